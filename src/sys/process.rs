//! Processes: forking, waiting, signalling, becoming another program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched;
use nix::sys::prctl;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult};

use super::{signal_name, to_io};

/// A process id.
pub type Pid = i32;

/// On which side of a fork one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The parent, told who the child is.
    Parent(Pid),
    /// The child.
    Child,
}

/// Forks. To be called where this process has one thread only, or where every other thread may vanish from
/// the child without harm (an application's threads, which CPython's own fork treats alike).
pub fn fork() -> io::Result<Fork> {
    // SAFETY: glibc's fork keeps its own locks (malloc, stdio) usable in the child. Locks of this program are
    // free: master and mold are single-threaded in Rust, and the runtime brackets the fork for the
    // interpreter's.
    match unsafe { unistd::fork() }.map_err(to_io)? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Set in every child of a process that called [`notice_forks`].
static IS_FORKED_COPY: AtomicBool = AtomicBool::new(false);

/// From now on [`is_forked_copy`] tells a child of this process, whoever forks it, from the process itself.
///
/// # Errors
/// There is no memory for the note.
pub fn notice_forks() -> io::Result<()> {
    extern "C" fn mark_copy() {
        IS_FORKED_COPY.store(true, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    let mut status = 0;
    ONCE.call_once(|| {
        // SAFETY: the handler does nothing but store to an atomic, which is allowed in a forked child.
        status = unsafe { libc::pthread_atfork(None, None, Some(mark_copy)) };
    });
    IS_FORKED_COPY.store(false, Ordering::Relaxed);
    match status {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Is this a child, forked since, of the process that called [`notice_forks`]? Costs a load, where asking the kernel
/// for the process's id after every request would be measurable.
pub fn is_forked_copy() -> bool {
    IS_FORKED_COPY.load(Ordering::Relaxed)
}

/// Ends this process if it is a child that the application forked in `what` ("its request") and let come back. It shares
/// all that its parent has open: were it to go on, it would speak in the parent's place, and nobody would know of it. To be
/// asked before anything of that is touched.
pub fn end_forked_copy(what: &str) {
    if is_forked_copy() {
        log::warn!(
            "process {}, forked by the application, came back from {what} and is ended: end such children with os._exit()",
            std::process::id()
        );
        exit_now(1);
    }
}

/// Ends the process at once: no destructors, no `atexit` of C. How forked children end.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit is always allowed and does not return.
    unsafe { libc::_exit(status) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With that status.
    Exited(i32),
    /// By a signal.
    Killed {
        /// Its number.
        signal: i32,
        /// Is there a core dump?
        core_dumped: bool,
    },
}

impl Ending {
    /// Was it that signal?
    pub fn is_by(self, by: Signal) -> bool {
        matches!(self, Self::Killed { signal, .. } if signal == by as i32)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(status) => write!(f, "ended with status {status}"),
            Self::Killed { signal, core_dumped } => {
                let core = if core_dumped { " (core dumped)" } else { "" };
                write!(f, "was killed by {}{core}", signal_name(signal))
            }
        }
    }
}

/// Collects a child that has ended, if there is one.
pub fn reap_any() -> Option<(Pid, Ending)> {
    wait(None)
}

/// Waits for that child to end; `None` where it is not (or no longer) a child.
pub fn reap_child(pid: Pid) -> Option<Ending> {
    wait(Some(pid)).map(|(_, ending)| ending)
}

/// For one child: until it ends. For any: only if it has.
fn wait(pid: Option<Pid>) -> Option<(Pid, Ending)> {
    let flags = match pid {
        Some(_) => WaitPidFlag::empty(),
        None => WaitPidFlag::WNOHANG,
    };
    loop {
        match waitpid(pid.map(unistd::Pid::from_raw), Some(flags)) {
            Ok(WaitStatus::Exited(pid, status)) => return Some((pid.as_raw(), Ending::Exited(status))),
            Ok(WaitStatus::Signaled(pid, signal, core_dumped)) => {
                let signal = signal as i32;
                return Some((pid.as_raw(), Ending::Killed { signal, core_dumped }));
            }
            Ok(WaitStatus::StillAlive) => return None,
            // Stops and continuations are not asked for.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Sends a signal.
pub fn send_signal(pid: Pid, signal: Signal) -> io::Result<()> {
    signal::kill(unistd::Pid::from_raw(pid), signal).map_err(to_io)
}

/// Is there a process of that id (whoever's it is)?
pub fn is_alive(pid: Pid) -> bool {
    matches!(
        signal::kill(unistd::Pid::from_raw(pid), None),
        Ok(()) | Err(Errno::EPERM)
    )
}

/// The parent's id.
pub fn parent_pid() -> Pid {
    unistd::getppid().as_raw()
}

/// The short name (`comm`) of a process, that `killall` goes by; `None` where there is no such process.
pub fn process_name(pid: Pid) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The processors that this process may run on, in ascending order.
pub fn allowed_processors() -> io::Result<Vec<usize>> {
    let allowed = sched::sched_getaffinity(unistd::Pid::from_raw(0)).map_err(to_io)?;
    let is_allowed = |processor: &usize| allowed.is_set(*processor).unwrap_or(false);
    Ok((0..sched::CpuSet::count()).filter(is_allowed).collect())
}

/// Lets this process, and those forked from it, run on these processors only.
pub fn run_on(processors: &[usize]) -> io::Result<()> {
    let mut chosen = sched::CpuSet::new();
    processors
        .iter()
        .try_for_each(|processor| chosen.set(*processor))
        .and_then(|()| sched::sched_setaffinity(unistd::Pid::from_raw(0), &chosen))
        .map_err(to_io)
}

/// What a process occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Bytes of memory, those included that it shares.
    pub resident: u64,
    /// Bytes of its address space.
    pub address_space: u64,
}

/// What a process occupies; `None` where there is no such process.
pub fn process_memory(pid: Pid) -> Option<ProcessMemory> {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = pages.split_ascii_whitespace().map(str::parse::<u64>);
    let (address_space, resident) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let page = unistd::sysconf(unistd::SysconfVar::PAGE_SIZE).ok()??.max(1) as u64;
    Some(ProcessMemory {
        resident: resident.saturating_mul(page),
        address_space: address_space.saturating_mul(page),
    })
}

/// What the kernel tells of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// Its id.
    pub id: Pid,
    /// Its short name.
    pub name: String,
    /// The number of the system call that it is in; `None` where it is in none, or the kernel does not say.
    pub call: Option<u64>,
    /// The kernel's function that it waits in; `None` where it waits in none, or the kernel does not say.
    pub waits_in: Option<String>,
}

/// What the kernel tells of a process's threads.
pub fn thread_states(pid: Pid) -> Vec<ThreadState> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let ids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let state = |id: Pid| {
        let read = |file: &str| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/task/{id}/{file}"));
            text.unwrap_or_default().trim_end().to_owned()
        };
        let call = read("syscall");
        let place = read("wchan");
        ThreadState {
            id,
            name: read("comm"),
            call: call.split(' ').next().and_then(|number| number.parse().ok()),
            waits_in: Some(place).filter(|place| !place.is_empty() && place != "0"),
        }
    };
    ids.map(state).collect()
}

/// How long a process has used processors, all its threads together; `None` where there is no such process.
pub fn process_time(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything, parentheses too; the twelfth and thirteenth field behind it are
    // ticks in the program and in the kernel.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = unistd::sysconf(unistd::SysconfVar::CLK_TCK).ok()??.max(1) as u64;
    Some(Duration::from_millis(ticks * 1000 / per_second))
}

/// Sets this process's short name. Children have the same.
pub fn set_process_name(name: &str) -> io::Result<()> {
    prctl::set_name(&CString::new(name)?).map_err(to_io)
}

/// Children of children whose parents have ended become ours, to be reaped.
pub fn set_subreaper() -> io::Result<()> {
    prctl::set_child_subreaper(true).map_err(to_io)
}

/// Is this process killed when its parent ends? Not inherited by children.
pub fn set_die_with_parent(dies: bool) -> io::Result<()> {
    prctl::set_pdeathsig(dies.then_some(Signal::SIGKILL)).map_err(to_io)
}

/// Leaves the terminal and its process group.
pub fn become_session_leader() -> io::Result<()> {
    unistd::setsid().map(drop).map_err(to_io)
}

/// Becomes another program, with that environment: same process, same children. Returns only an error.
pub fn replace_program(
    path: &Path,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> io::Result<Infallible> {
    let arguments: Result<Vec<CString>, _> = arguments
        .iter()
        .map(|text| CString::new(text.as_bytes()))
        .collect();
    let assignment = |(name, value): &(OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let environment: Result<Vec<CString>, _> = environment.iter().map(assignment).collect();
    let path = CString::new(path.as_os_str().as_bytes())?;
    unistd::execve(&path, &arguments?, &environment?).map_err(to_io)
}

/// Sets or removes a variable of this process's environment. Only while no other thread of the process may
/// look.
pub fn set_environment(name: &str, value: Option<&OsStr>) {
    // What the standard library would panic at.
    if name.is_empty() || name.contains(['=', '\0']) {
        return;
    }
    // SAFETY: called by master and mold only, at points where the process has the one thread.
    unsafe {
        match value {
            Some(value) if !value.as_bytes().contains(&0) => std::env::set_var(name, value),
            Some(_) => {}
            None => std::env::remove_var(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_like_sentences() {
        let killed = Ending::Killed {
            signal: 11,
            core_dumped: true,
        };
        assert_eq!(killed.to_string(), "was killed by SIGSEGV (core dumped)");
        assert_eq!(Ending::Exited(3).to_string(), "ended with status 3");
    }

    #[test]
    fn this_process_is_alive_and_has_a_name() {
        let pid = std::process::id() as Pid;
        assert!(is_alive(pid));
        assert!(process_name(pid).is_some_and(|name| !name.is_empty()));
    }

    #[test]
    fn this_process_occupies_memory() {
        let memory = process_memory(std::process::id() as Pid).unwrap();
        assert!(memory.resident > 1 << 20 && memory.resident < memory.address_space);
        assert_eq!(process_memory(Pid::MAX), None);
    }

    #[test]
    fn this_process_has_threads() {
        let threads = thread_states(std::process::id() as Pid);
        assert!(
            threads
                .iter()
                .any(|thread| thread.id == std::process::id() as Pid)
        );
        assert!(threads.iter().all(|thread| !thread.name.is_empty()));
    }

    #[test]
    fn a_program_that_is_not_there_cannot_be_become() {
        let error = replace_program(Path::new("/no/such/program"), &[], &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
