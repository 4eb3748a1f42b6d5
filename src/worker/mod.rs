//! A worker: one process with an event loop and an interpreter. This module joins the two and keeps the promises a
//! worker makes to its master; what the loop does is the server's business.

mod autoreload;
mod seat;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uwrs_api::{Gateway, Runtime};

use crate::logging::{self, AccessLog};
use crate::protocol;
use crate::scoreboard::WorkerState;
use crate::server::{EventLoop, ForeignToken, Listener};

use autoreload::Autoreload;
pub use seat::{BoundListener, Departure, Seat};

/// How often a worker looks whether everything is done, while it leaves.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

/// Serves until told to leave. Returns when the last exchange is done, or at once where that was asked.
///
/// `runtime` is where `gateway` comes from; it is asked for the files whose change calls for a reload.
pub fn run(seat: Seat, gateway: Box<dyn Gateway>, runtime: &dyn Runtime) -> Departure {
    match Worker::start(seat, gateway, runtime).and_then(Worker::serve) {
        Ok(departure) => departure,
        Err(error) => {
            log::error!("the event loop broke: {error}");
            Departure::Failed
        }
    }
}

/// The loop and the descriptors by which the outside speaks to this worker.
struct Worker<'a> {
    seat: Seat,
    runtime: &'a dyn Runtime,
    event_loop: EventLoop,
    signals: ForeignToken,
    lifeline: Option<ForeignToken>,
    autoreload: Option<(ForeignToken, Autoreload)>,
    /// Set when it is to leave: what it will have been.
    leaving: Option<Departure>,
    /// It is to leave without finishing anything.
    quits: bool,
}

impl<'a> Worker<'a> {
    fn start(seat: Seat, gateway: Box<dyn Gateway>, runtime: &'a dyn Runtime) -> io::Result<Self> {
        let config = &seat.config;
        let access_log = AccessLog::new(&config.logging);
        let mut event_loop = EventLoop::new(gateway, config.limits.clone(), access_log, seat.slot.clone())?;
        let host = nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        for bound in &seat.listeners {
            let fd = bound.fd.try_clone()?;
            event_loop.listen(Listener::new(
                fd,
                protocol::speaker(bound.config.protocol),
                &host,
                bound.port,
            ))?;
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
        Ok(Self {
            seat,
            runtime,
            event_loop,
            signals,
            lifeline,
            autoreload,
            leaving: None,
            quits: false,
        })
    }

    fn serve(mut self) -> io::Result<Departure> {
        self.pause_or_resume();
        self.seat.slot.set_state(WorkerState::Serving);
        loop {
            self.look_at_sources();
            let timeout = match (self.leaving, &self.autoreload) {
                (Some(_), _) => Some(DRAIN_LOOK),
                (None, Some((_, autoreload))) => Some(autoreload.patience()),
                (None, None) => None,
            };
            for token in self.event_loop.turn(timeout)? {
                if token == self.signals {
                    self.hear_signals();
                } else if Some(token) == self.lifeline {
                    self.lose_master();
                } else {
                    self.notice_change();
                }
            }
            if let Some(departure) = self.leaving
                && self.event_loop.connections() == 0
            {
                self.event_loop.flush_log();
                return Ok(departure);
            }
            if self.quits {
                self.event_loop.flush_log();
                return Ok(Departure::Drained);
            }
        }
    }

    fn hear_signals(&mut self) {
        let mut bytes = [0; 64];
        while let Some(count) = read_some(&self.seat.signals, &mut bytes) {
            for &signal in &bytes[..count] {
                match i32::from(signal) {
                    libc::SIGTERM | libc::SIGINT => self.leave(Departure::Drained),
                    libc::SIGQUIT => self.quits = true,
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
    }

    /// Anything readable on the lifeline is its end.
    fn lose_master(&mut self) {
        log::error!(
            "worker {}: the master is gone; finishing what is in hand",
            self.seat.facts.number
        );
        self.leave(Departure::Orphaned);
    }

    /// Keeps the list of watched files as long as what is imported.
    fn look_at_sources(&mut self) {
        if let Some((_, autoreload)) = &mut self.autoreload
            && autoreload.is_due()
        {
            autoreload.look(self.runtime.source_files());
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

    fn leave(&mut self, departure: Departure) {
        if self.leaving.is_none() {
            self.leaving = Some(departure);
            self.seat.slot.set_state(WorkerState::Draining);
            self.event_loop.drain();
        }
    }
}

/// One read of a descriptor that does not block; `None` when there is nothing (more).
fn read_some(fd: &OwnedFd, bytes: &mut [u8]) -> Option<usize> {
    nix::unistd::read(fd, bytes).ok().filter(|&count| count > 0)
}
