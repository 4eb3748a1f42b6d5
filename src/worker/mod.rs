//! A worker: one process with an event loop and an interpreter, and one thread or several that run applications. This
//! module joins them and keeps the promises a worker makes to its master; what the loop does is the server's
//! business.

mod autoreload;
mod deadline;
mod driven;
mod minder;
mod pool;
mod roster;
mod seat;
mod strands;
mod watchman;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uwrs_api::{Driver, Gateway, Runtime};

use crate::config::Limits;
use crate::logging::{self, AccessLog};
use crate::protocol;
use crate::scoreboard::{Slot, WorkerState};
use crate::server::{EventLoop, ForeignToken, Landing, Listener};
use crate::sys;

use autoreload::Autoreload;
pub use deadline::set_deadline;
pub use seat::{Announcement, BoundListener, Departure, Seat};
use strands::Strands;

/// As the main thread has it by default; a new thread's would be a quarter, and C extensions recurse.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// While connections wait that could go to another worker, were one idle: how long until that is looked at again.
const LOOK_FOR_IDLE: Duration = Duration::from_millis(5);

/// How often a worker looks whether everything is done, while it leaves.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

/// Serves until told to leave. Returns when the last exchange is done, or at once where that was asked.
///
/// `runtime` is where `gateway` comes from; it is asked for the files whose change calls for a reload.
pub fn run(seat: Seat, gateway: Box<dyn Gateway>, runtime: &dyn Runtime) -> Departure {
    if let Some(driver) = gateway.driver() {
        return serve_driven(seat, gateway, driver, runtime).unwrap_or_else(broken);
    }
    let threads = seat.config.application.threads;
    let siblings = siblings(&*gateway, threads);
    let have = siblings.len() + 1;
    if have < threads {
        log::warn!("threads: {threads} were asked for, the application can have {have}");
    }
    // A client that may have to be told before its application returns, or that could go to another worker meanwhile,
    // needs a loop that can be taken from the application's thread.
    let is_minded =
        seat.ferry.is_some() || seat.config.limits.concurrency.is_some() || has_deadlines(&seat, runtime);
    let served = if siblings.is_empty() && !is_minded {
        serve_alone(seat, gateway, runtime)
    } else {
        serve_together(seat, &*gateway, siblings, runtime)
    };
    served.unwrap_or_else(broken)
}

fn broken(error: io::Error) -> Departure {
    log::error!("the event loop broke: {error}");
    Departure::Failed
}

/// Gateways for the threads beside this one.
fn siblings(gateway: &dyn Gateway, threads: usize) -> Vec<Box<dyn Gateway>> {
    (1..threads).map_while(|_| gateway.sibling()).collect()
}

/// May a client have to be told that its request takes too long, while an application blocks the thread that would?
fn has_deadlines(seat: &Seat, runtime: &dyn Runtime) -> bool {
    seat.config.limits.harakiri.limit.is_some() || runtime.may_set_deadlines()
}

/// A loop of another kind turns the server's, and more of them do on other threads where there may be more than one.
fn serve_driven(
    seat: Seat,
    gateway: Box<dyn Gateway>,
    driver: Box<dyn Driver>,
    runtime: &dyn Runtime,
) -> io::Result<Departure> {
    let siblings = siblings(&*gateway, seat.config.application.threads);
    gateway.rest();
    let is_minded = has_deadlines(&seat, runtime);
    let strands = Strands::start(&seat, siblings, is_minded)?;
    let finished = driven::serve(seat, gateway, strands, driver, is_minded, &|| {
        runtime.source_files()
    })?;
    Ok(finished.departure)
}

/// The calling thread turns the loop and runs applications in its turns, until other threads are needed.
fn serve_alone(seat: Seat, gateway: Box<dyn Gateway>, runtime: &dyn Runtime) -> io::Result<Departure> {
    let most = 1 + seat.config.application.spare_threads;
    let worker = Worker::start(seat, Strands::default(), |limits, log, slot| {
        let mut event_loop = EventLoop::new(gateway, limits, log, slot)?;
        event_loop.part_at_need(most);
        Ok(event_loop)
    })?;
    worker.serve(runtime)
}

fn serve_together(
    seat: Seat,
    gateway: &dyn Gateway,
    siblings: Vec<Box<dyn Gateway>>,
    runtime: &dyn Runtime,
) -> io::Result<Departure> {
    let threads = siblings.len() + 1;
    let most = threads + seat.config.application.spare_threads;
    let worker = Worker::start(seat, Strands::default(), |limits, log, slot| {
        EventLoop::with_queue(threads, most, limits, log, slot)
    })?;
    Ok(pool::serve(worker, gateway, siblings, runtime))
}

/// The loop and the descriptors by which the outside speaks to this worker.
struct Worker {
    seat: Seat,
    event_loop: EventLoop,
    /// Loops of other threads.
    strands: Strands,
    signals: ForeignToken,
    lifeline: Option<ForeignToken>,
    autoreload: Option<(ForeignToken, Autoreload)>,
    /// Set when it is to leave: what it will have been.
    leaving: Option<Departure>,
    /// It is to leave without finishing anything.
    quits: bool,
}

impl Worker {
    /// Takes its seat: from now on the loop that `make` makes accepts connections.
    fn start(
        seat: Seat,
        strands: Strands,
        make: impl FnOnce(Limits, AccessLog, Slot) -> io::Result<EventLoop>,
    ) -> io::Result<Self> {
        let config = &seat.config;
        let log = AccessLog::new(&config.logging);
        let mut event_loop = make(config.limits.clone(), log, seat.slot.clone())?;
        sys::notice_forks()?;
        logging::keep()?;
        let host = nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        for bound in &seat.listeners {
            let fd = bound.fd.try_clone()?;
            event_loop.listen(
                Listener::new(fd, protocol::speaker(bound.config.protocol), &host, bound.port)
                    .of_protocol(bound.config.protocol),
            )?;
        }
        strands.report_to(event_loop.mailbox());
        if let Some(ferry) = &seat.ferry {
            event_loop.land(Landing {
                ferry: Arc::clone(ferry),
                speak: protocol::speaker,
                server_name: host.into(),
            })?;
        }
        let signals = event_loop.watch(seat.signals.as_fd())?;
        let lifeline = seat
            .lifeline
            .as_ref()
            .map(|fd| event_loop.watch(fd.as_fd()))
            .transpose()?;
        let autoreload = match config.application.autoreload {
            Some(every) => {
                let autoreload = Autoreload::new(every)?;
                Some((event_loop.watch(autoreload.fd())?, autoreload))
            }
            None => None,
        };
        let mut worker = Self {
            seat,
            event_loop,
            strands,
            signals,
            lifeline,
            autoreload,
            leaving: None,
            quits: false,
        };
        deadline::expect(&worker);
        worker.pause_or_resume();
        worker.seat.slot.set_state(WorkerState::Serving);
        worker
            .seat
            .ready
            .take()
            .into_iter()
            .for_each(|announce| announce());
        Ok(worker)
    }

    fn serve(mut self, runtime: &dyn Runtime) -> io::Result<Departure> {
        loop {
            if self.wants_sources() {
                self.look_at(runtime.source_files());
            }
            let heard = self.event_loop.turn(self.timeout(true))?;
            self.hear(&heard);
            // What waits there now, though it be only the end of an answer, is done before the worker leaves.
            if let Some(gateway) = self.event_loop.take_gateway() {
                return Ok(pool::serve(self, &*gateway, Vec::new(), runtime));
            }
            if let Some(departure) = self.departure(true) {
                return Ok(departure);
            }
        }
    }

    /// How long may be waited for events. `looks`: by the thread that looks at the sources.
    fn timeout(&self, looks: bool) -> Option<Duration> {
        match self.leaving {
            Some(_) => Some(DRAIN_LOOK),
            None => self.next_look().filter(|_| looks),
        }
    }

    /// These descriptors have become readable.
    fn hear(&mut self, tokens: &[ForeignToken]) {
        for &token in tokens {
            if token == self.signals {
                self.hear_signals();
            } else if Some(token) == self.lifeline {
                self.lose_master();
            } else {
                self.notice_change();
            }
        }
        if self.leaving.is_none() && self.seat.slot.is_dismissed() {
            self.heed_dismissal();
        }
    }

    /// The master wants this worker to leave. Its signal is on the way, or the application has it.
    fn heed_dismissal(&mut self) {
        if sys::worker_signal_is_taken(Signal::SIGTERM) {
            log::warn!(
                "the application has taken SIGTERM during a request, by which worker {} is asked to leave; it leaves all \
                 the same",
                self.seat.facts.number
            );
        }
        self.leave(Departure::Drained);
    }

    /// What it will have been, once there is nothing left to do. `is_idle`: no application is at work.
    fn departure(&mut self, is_idle: bool) -> Option<Departure> {
        let is_done = self.leaving.is_some()
            && is_idle
            && self.event_loop.connections() == 0
            && !self.event_loop.look_back()
            && self.strands.are_over();
        let departure = match self.leaving {
            Some(departure) if is_done => departure,
            _ if self.strands.have_failed() => Departure::Failed,
            _ if self.quits => Departure::Drained,
            _ => return None,
        };
        self.event_loop.flush_log();
        Some(departure)
    }

    fn hear_signals(&mut self) {
        let mut bytes = [0; 64];
        while let Some(count) = read_some(&self.seat.signals, &mut bytes) {
            for &signal in &bytes[..count] {
                match i32::from(signal) {
                    libc::SIGTERM | libc::SIGINT => self.leave(Departure::Drained),
                    libc::SIGQUIT => self.quit(),
                    libc::SIGUSR1 => self.reopen_log(),
                    libc::SIGWINCH => self.pause_or_resume(),
                    other => log::debug!("signal {other} asks nothing of a worker"),
                }
            }
        }
    }

    fn reopen_log(&mut self) {
        self.event_loop.flush_log();
        if let Err(error) = logging::reopen() {
            log::error!("the log could not be reopened: {error}");
        }
    }

    /// The master has changed the scoreboard's word on whether connections are taken.
    fn pause_or_resume(&mut self) {
        if self.seat.slot.board().is_paused() {
            self.event_loop.pause();
        } else {
            self.event_loop.resume();
        }
        self.strands.pass_on(libc::SIGWINCH);
    }

    /// Anything readable on the lifeline is its end.
    fn lose_master(&mut self) {
        log::error!(
            "worker {}: the master is gone; finishing what is in hand",
            self.seat.facts.number
        );
        self.leave(Departure::Orphaned);
    }

    /// How long until the runtime is to be asked what is imported; `None`: never.
    fn next_look(&self) -> Option<Duration> {
        let (_, autoreload) = self.autoreload.as_ref()?;
        Some(autoreload.patience())
    }

    /// Is it time to ask?
    fn wants_sources(&self) -> bool {
        self.next_look().is_some_and(|patience| patience.is_zero())
    }

    /// Keeps the list of watched files as long as what is imported.
    fn look_at(&mut self, files: Vec<PathBuf>) {
        if let Some((_, autoreload)) = &mut self.autoreload {
            autoreload.look(files);
        }
    }

    /// A watched folder changed: a module in it means a reload, unless this worker is on its way out.
    fn notice_change(&mut self) {
        let Some((_, autoreload)) = &self.autoreload else {
            return;
        };
        let Some(file) = autoreload.changed() else { return };
        if self.leaving.is_some() {
            return;
        }
        let Some(master) = self.seat.facts.master else {
            log::warn!(
                "{} has changed; without a master there is no reload: start uwrs again",
                file.display()
            );
            return;
        };
        log::info!("{} has changed, asking for a reload", file.display());
        if let Err(error) = kill(Pid::from_raw(master), Signal::SIGHUP) {
            log::error!("the master could not be asked for a reload: {error}");
        }
    }

    /// All threads are busy: others are to take what comes, and what waits. How long until there is to be looked again
    /// whether one of them is idle.
    fn give_away(&mut self) -> Option<Duration> {
        self.event_loop.burden();
        self.event_loop.send_across().then_some(LOOK_FOR_IDLE)
    }

    /// Lets the scoreboard know that a loop of another kind has turned this one, and what the strands have done.
    fn beat(&mut self) {
        self.event_loop.beat();
        self.strands.gather(&self.seat.slot);
    }

    /// Nothing is served any more: waits for the other threads, unless nothing is to be waited for. The calling one has
    /// let go of the interpreter.
    fn end_strands(&mut self) {
        let strands = std::mem::take(&mut self.strands);
        if self.quits || strands.is_empty() {
            return;
        }
        // After a failure nobody has told them yet.
        strands.pass_on(libc::SIGTERM);
        strands.join(&self.seat.slot);
    }

    fn leave(&mut self, departure: Departure) {
        if self.leaving.is_none() {
            self.leaving = Some(departure);
            self.seat.slot.set_state(WorkerState::Draining);
            self.event_loop.drain();
            self.strands.pass_on(libc::SIGTERM);
        }
    }

    fn quit(&mut self) {
        self.quits = true;
        self.strands.pass_on(libc::SIGQUIT);
    }
}

/// One read of a descriptor that does not block; `None` when there is nothing (more).
fn read_some(fd: &OwnedFd, bytes: &mut [u8]) -> Option<usize> {
    nix::unistd::read(fd, bytes).ok().filter(|&count| count > 0)
}
