//! Signals, as each kind of process takes them.
//!
//! The master reads them from a descriptor and has them blocked all its life, also over an exec, so that none
//! is lost and none comes twice. Molds and workers have handlers, not masks and not SIG_IGN: both would be
//! inherited by the programs which an application starts. A process that the application forks keeps the
//! handlers but is not the one they were installed for: there a signal does what it does by default.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

use libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{Pid, pipe, to_io};

/// Signals that mean something to a master.
const COMMANDS: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGTSTP,
];

/// Signals that a worker is told of: the master sends them, or an operator.
const WORKER_COMMANDS: [Signal; 5] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGWINCH,
];

/// Asks a mold or a worker for tracebacks of its threads. One that the kernel never sends and nobody uses.
pub const TRACEBACK_SIGNAL: Signal = Signal::SIGSTKFLT;

/// `SIGTERM`; `signal 64` for one without a name.
pub fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    }
}

/// Signals as they were blocked before.
#[derive(Clone, Debug)]
pub struct SignalMask(SigSet);

/// Blocks every signal, around a fork: the child must not run a handler that is its parent's.
pub fn block_signals() -> SignalMask {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    SignalMask(before.unwrap_or_else(|_| SigSet::empty()))
}

/// Blocks what was blocked when `mask` was taken, nothing else.
pub fn restore_signals(mask: &SignalMask) {
    // Fails only for a mask that the kernel did not give.
    let restored = mask.0.thread_set_mask();
    debug_assert!(restored.is_ok(), "the mask came from the kernel");
}

/// A master's signals, read from a descriptor.
#[derive(Debug)]
pub struct MasterSignals {
    descriptor: SignalFd,
    before: SignalMask,
}

impl MasterSignals {
    /// Blocks the signals that a master understands, SIGCHLD, and SIGURG, by which a worker wants to be looked at; gives the descriptor which they are read
    /// from.
    pub fn open() -> io::Result<Self> {
        let mut watched: SigSet = COMMANDS.into_iter().collect();
        watched.add(Signal::SIGCHLD);
        watched.add(Signal::SIGURG);
        // `nohup` and careless parents leave some ignored; an ignored SIGCHLD would make children vanish
        // unreaped.
        for signal in &watched {
            set_action(signal, SigHandler::SigDfl)?;
        }
        let before = watched.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(to_io)?;
        let descriptor = SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        Ok(Self {
            descriptor: descriptor.map_err(to_io)?,
            before: SignalMask(before),
        })
    }

    /// The next signal that has come, if any.
    pub fn next(&self) -> Option<Signal> {
        let info = self.descriptor.read_signal().ok()??;
        Signal::try_from(info.ssi_signo as i32).ok()
    }

    /// What children are to restore: what was blocked before, without what a re-executed master had left
    /// blocked.
    pub fn children_mask(&self) -> SignalMask {
        let mut mask = self.before.0;
        for signal in COMMANDS {
            mask.remove(signal);
        }
        mask.remove(Signal::SIGCHLD);
        mask.remove(Signal::SIGURG);
        SignalMask(mask)
    }
}

impl std::os::fd::AsFd for MasterSignals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Who the handlers were installed for, and where they write to.
static OWNER: AtomicI32 = AtomicI32::new(0);
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// The handler of the application that USR1 is shared with, as an address; 0: none.
static SHARED: AtomicUsize = AtomicUsize::new(0);

/// A single process was asked to start anew, by HUP or USR2.
static RESTART: AtomicBool = AtomicBool::new(false);
/// How often a single process was asked to leave.
static STOPS: AtomicU32 = AtomicU32::new(0);
/// Seconds that a single process may take to leave.
static MERCY: AtomicU32 = AtomicU32::new(60);

/// Takes no notice of any command, as the mold: whatever `killall` sends, the master tells it what to do.
pub fn ignore_commands() -> io::Result<()> {
    install(|_| take_no_notice)
}

/// Installs the handler of each command. Each at once: a signal that comes meanwhile meets the handler from before or that
/// one, never one in between that swallows it.
fn install(handler_of: impl Fn(Signal) -> extern "C" fn(c_int)) -> io::Result<()> {
    OWNER.store(std::process::id() as Pid, Ordering::Relaxed);
    COMMANDS
        .into_iter()
        .chain([Signal::SIGWINCH])
        .try_for_each(|signal| set_action(signal, SigHandler::Handler(handler_of(signal))))
}

/// What a worker does on a signal.
fn worker_handler(signal: Signal) -> extern "C" fn(c_int) {
    if WORKER_COMMANDS.contains(&signal) {
        write_number
    } else {
        take_no_notice
    }
}

/// Takes no notice of [`TRACEBACK_SIGNAL`] until the interpreter has a handler for it. Children have the same.
pub fn expect_traceback_signal() -> io::Result<()> {
    set_action(TRACEBACK_SIGNAL, SigHandler::Handler(take_no_notice))
}

/// Takes signals as a worker: those that ask it something write their number into the returned pipe
/// (non-blocking), the others do nothing.
pub fn take_worker_signals() -> io::Result<OwnedFd> {
    let (read, write) = pipe()?;
    // The write end stays open as long as the process: a handler may run at any time.
    PIPE.store(write.into_raw_fd(), Ordering::Relaxed);
    install(worker_handler)?;
    Ok(read)
}

/// Installs the handlers of [`take_worker_signals`] again, over what an application installed while it was
/// loaded or began its life. It keeps those signals that mean nothing to a worker, and shares USR1.
pub fn renew_worker_signals() -> io::Result<()> {
    renew(worker_handler, &WORKER_COMMANDS)
}

/// Has the application a handler of its own for a signal that asks a worker something?
pub fn worker_signal_is_taken(signal: Signal) -> bool {
    taken_by_application(signal, worker_handler(signal)).is_ok_and(|taken| taken.is_some())
}

/// Installs handlers again: of the signals that belong to the server, and of those that the application has not taken.
fn renew(handler_of: impl Fn(Signal) -> extern "C" fn(c_int), ours: &[Signal]) -> io::Result<()> {
    for signal in COMMANDS.into_iter().chain([Signal::SIGWINCH]) {
        let handler = handler_of(signal);
        match taken_by_application(signal, handler)? {
            Some(theirs) if signal == Signal::SIGUSR1 => {
                SHARED.store(theirs, Ordering::Relaxed);
                set_action(signal, SigHandler::Handler(write_number_and_pass_on))?;
            }
            Some(_) if !ours.contains(&signal) => {}
            _ => set_action(signal, SigHandler::Handler(handler))?,
        }
    }
    Ok(())
}

/// The handler that somebody else has installed in the place of `ours`, as an address.
fn taken_by_application(signal: Signal, ours: extern "C" fn(c_int)) -> io::Result<Option<usize>> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action this only writes the present one, to a place of its size.
    let asked = unsafe { libc::sigaction(signal as c_int, std::ptr::null(), action.as_mut_ptr()) };
    if asked < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has written it.
    let action = unsafe { action.assume_init() };
    // What wants to know more than the number can't be called by a handler that knows no more.
    let is_plain = action.sa_flags & libc::SA_SIGINFO == 0;
    let handler = action.sa_sigaction;
    let is_theirs =
        is_plain && ![libc::SIG_DFL, libc::SIG_IGN, ours as libc::sighandler_t].contains(&handler);
    Ok(is_theirs.then_some(handler))
}

/// Takes signals as a process without a master. Like a worker's; and the second INT or TERM becomes a QUIT,
/// `mercy` seconds after the first (or one after the second) the process ends whatever it is doing, HUP and
/// USR2 ask it to leave and be started anew ([`restart_was_asked`]).
pub fn take_single_signals(mercy: u32) -> io::Result<OwnedFd> {
    let read = take_worker_signals()?;
    MERCY.store(mercy, Ordering::Relaxed);
    install(single_handler)?;
    // A master that became this process had them blocked.
    SigSet::empty().thread_set_mask().map_err(to_io)?;
    Ok(read)
}

/// Installs the handlers of [`take_single_signals`] again, as [`renew_worker_signals`] does.
pub fn renew_single_signals() -> io::Result<()> {
    let more = [Signal::SIGHUP, Signal::SIGUSR2];
    renew(single_handler, &[&WORKER_COMMANDS[..], &more].concat())
}

/// What a process without a master does on a signal.
fn single_handler(signal: Signal) -> extern "C" fn(c_int) {
    match signal {
        Signal::SIGINT | Signal::SIGTERM => leave_or_hurry,
        Signal::SIGHUP | Signal::SIGUSR2 => leave_and_restart,
        other => worker_handler(other),
    }
}

/// Did HUP or USR2 come to this single process?
pub fn restart_was_asked() -> bool {
    RESTART.load(Ordering::Relaxed)
}

fn set_action(signal: Signal, handler: SigHandler) -> io::Result<()> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handlers below call nothing but async-signal-safe functions (write, getpid, sigaction,
    // raise, alarm, _exit), touch atomics only and keep errno.
    unsafe { sigaction(signal, &action) }.map(drop).map_err(to_io)
}

/// Runs `handle` in the process that the handler is for; elsewhere the signal does what it does by default.
fn in_owner(signal: c_int, handle: impl FnOnce()) {
    let errno = nix::errno::Errno::last_raw();
    // SAFETY: getpid has no preconditions.
    if unsafe { libc::getpid() } == OWNER.load(Ordering::Relaxed) {
        handle();
    } else {
        // SAFETY: both are async-signal-safe. The signal is blocked while its handler runs and takes its
        // default effect when this returns.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    nix::errno::Errno::set_raw(errno);
}

/// Leaves the number in the pipe. A full pipe has enough to say already.
fn write_byte(number: c_int) {
    let byte = number as u8;
    // SAFETY: one byte from a live local; a bad descriptor is an error, not a hazard.
    unsafe {
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
    }
}

extern "C" fn take_no_notice(signal: c_int) {
    in_owner(signal, || {});
}

extern "C" fn write_number(signal: c_int) {
    in_owner(signal, || write_byte(signal));
}

extern "C" fn write_number_and_pass_on(signal: c_int) {
    let errno = nix::errno::Errno::last_raw();
    // A process that the application has forked has its handler too.
    // SAFETY: getpid has no preconditions.
    if unsafe { libc::getpid() } == OWNER.load(Ordering::Relaxed) {
        write_byte(signal);
    }
    nix::errno::Errno::set_raw(errno);
    let theirs = SHARED.load(Ordering::Relaxed);
    if theirs != 0 {
        // SAFETY: it is what sigaction gave as this signal's handler, which takes a number (there was no SA_SIGINFO), and
        // handlers live as long as the process.
        let theirs = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(theirs) };
        theirs(signal);
    }
}

extern "C" fn leave_or_hurry(signal: c_int) {
    in_owner(signal, || {
        let again = STOPS.fetch_add(1, Ordering::Relaxed) > 0;
        write_byte(if again { libc::SIGQUIT } else { signal });
        let seconds = if again { 1 } else { MERCY.load(Ordering::Relaxed) };
        end_after(seconds);
    });
}

extern "C" fn leave_and_restart(signal: c_int) {
    in_owner(signal, || {
        RESTART.store(true, Ordering::Relaxed);
        write_byte(libc::SIGTERM);
    });
}

/// Ends the process in so many seconds, whatever it is doing then.
fn end_after(seconds: u32) {
    // SAFETY: all three are async-signal-safe, and the handler is of the right type.
    unsafe {
        libc::signal(
            libc::SIGALRM,
            end_process as extern "C" fn(c_int) as libc::sighandler_t,
        );
        libc::alarm(seconds.max(1));
    }
}

extern "C" fn end_process(_: c_int) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Ending, Fork, exit_now, fork, reap_child};

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(64), "signal 64");
    }

    #[test]
    fn a_signal_that_comes_while_handlers_are_renewed_is_not_lost() {
        // In a process of its own: handlers are everyone's.
        let Fork::Parent(child) = fork().unwrap() else {
            let heard = take_worker_signals().and_then(|pipe| {
                for _ in 0..100 {
                    let sender = std::thread::spawn(|| {
                        // SAFETY: a signal to this process, which handles it.
                        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) }
                    });
                    while !sender.is_finished() {
                        renew_worker_signals()?;
                    }
                    let count = nix::unistd::read(&pipe, &mut [0; 64])?;
                    if count != 1 {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
                Ok(())
            });
            exit_now(i32::from(heard.is_err()));
        };
        assert_eq!(reap_child(child), Some(Ending::Exited(0)));
    }

    #[test]
    fn blocked_signals_can_be_restored() {
        let before = block_signals();
        let blocked = block_signals();
        restore_signals(&before);
        let restored = block_signals();
        restore_signals(&before);
        assert!(blocked.0.contains(Signal::SIGTERM));
        assert!(!restored.0.contains(Signal::SIGTERM));
    }
}
