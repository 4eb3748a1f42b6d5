//! [`Strands`]: more loops in one worker. An application of asyncio that can run on several threads at once (`threads`,
//! on a Python without the global lock) has a loop, and a server's loop in it, for each of them.
//!
//! The first is the worker's own, which alone speaks with the master. Each of the others, its strands, is served as a worker
//! of its own would be ([`driven`](super::driven)), in a seat that the first one has made for it: on the same listening
//! sockets, with signals that the first one passes on, and with words of its own on the scoreboard, which that one gathers.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};

use nix::libc;
use uwrs_api::Gateway;

use crate::scoreboard::{self, Slot};
use crate::server::Mailbox;
use crate::sys;

use super::{Departure, STACK_BYTES, Seat, driven};

/// The loops beside a worker's first; none in most workers.
#[derive(Default)]
pub(super) struct Strands {
    ends: Arc<Ends>,
    strands: Vec<Strand>,
}

/// One of them, as the worker's first thread sees it.
struct Strand {
    thread: JoinHandle<()>,
    signals: OwnedFd,
    board: scoreboard::Strand,
}

/// What the first loop hears of the others.
#[derive(Default)]
struct Ends {
    running: AtomicUsize,
    has_failed: AtomicBool,
    /// The first loop's, which is turned when one has ended.
    first: OnceLock<Arc<Mailbox>>,
}

/// Tells of a strand's end, however that comes about.
struct Ending(Arc<Ends>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_failed.store(true, Ordering::Release);
        }
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        if let Some(first) = self.0.first.get() {
            first.rouse();
        }
    }
}

impl Strands {
    /// Starts one for each of `siblings`, and returns when they all accept connections. The calling thread has let go of the
    /// interpreter.
    ///
    /// # Errors
    /// One of them could not start; why is in the log, where it is not in the error.
    pub(super) fn start(seat: &Seat, siblings: Vec<Box<dyn Gateway>>, is_minded: bool) -> io::Result<Self> {
        let loops = siblings.len() + 1;
        let mut strands = Self::default();
        for (index, gateway) in siblings.into_iter().enumerate() {
            let berth = Berth {
                core: index + 1,
                loops,
                is_minded,
            };
            if let Err(error) = strands.add(seat, gateway, berth) {
                strands.pass_on(libc::SIGTERM);
                strands.join(&seat.slot);
                return Err(error);
            }
        }
        Ok(strands)
    }

    fn add(&mut self, seat: &Seat, gateway: Box<dyn Gateway>, berth: Berth) -> io::Result<()> {
        let (heard, signals) = sys::pipe()?;
        let (started, has_started) = mpsc::channel();
        let core = berth.core;
        let seat = seat_beside(seat, berth.loops, heard, started);
        let board = scoreboard::Strand::of(seat.slot.clone());
        self.ends.running.fetch_add(1, Ordering::AcqRel);
        let ending = Ending(Arc::clone(&self.ends));
        let thread = thread::Builder::new()
            .name(format!("core {core}"))
            .stack_size(STACK_BYTES)
            .spawn(move || berth.serve(seat, gateway, &ending))?;
        // Who ends before that drops the sender.
        let has_started = has_started.recv().is_ok();
        self.strands.push(Strand {
            thread,
            signals,
            board,
        });
        has_started
            .then_some(())
            .ok_or_else(|| io::Error::other(format!("thread {core} could not begin")))
    }

    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.strands.is_empty()
    }

    /// From now on the loop of `first` is turned when one of them has ended.
    pub(super) fn report_to(&self, first: Arc<Mailbox>) {
        // It is told once.
        let _ = self.ends.first.set(first);
    }

    /// What the worker was asked by a signal, or should have been, they are asked as well.
    pub(super) fn pass_on(&self, signal: i32) {
        for strand in &self.strands {
            if let Err(error) = nix::unistd::write(&strand.signals, &[signal as u8]) {
                log::error!("signal {signal} could not be passed on to a thread: {error}");
            }
        }
    }

    /// Do none run any more?
    pub(super) fn are_over(&self) -> bool {
        self.ends.running.load(Ordering::Acquire) == 0
    }

    /// Has one of them broken?
    pub(super) fn have_failed(&self) -> bool {
        self.ends.has_failed.load(Ordering::Acquire)
    }

    /// Adds what they have done since the last time to the worker's slot.
    pub(super) fn gather(&mut self, slot: &Slot) {
        if !self.strands.is_empty() {
            scoreboard::Strand::gather(self.strands.iter_mut().map(|strand| &mut strand.board), slot);
        }
    }

    /// Waits for their ends. The calling thread has let go of the interpreter.
    pub(super) fn join(self, slot: &Slot) {
        let ended = self.strands.into_iter().map(|strand| {
            if strand.thread.join().is_err() {
                log::error!("a thread with a loop of its own panicked");
            }
            strand.board
        });
        let mut boards: Vec<_> = ended.collect();
        scoreboard::Strand::gather(boards.iter_mut(), slot);
    }
}

/// A seat for one of `loops` loops that share what a worker may have. `started` is told when it accepts connections.
fn seat_beside(seat: &Seat, loops: usize, signals: OwnedFd, started: mpsc::Sender<()>) -> Seat {
    let mut config = (*seat.config).clone();
    let most = &mut config.limits.max_connections;
    *most = most.map(|most| most.div_ceil(loops));
    // The first one watches for all.
    config.application.autoreload = None;
    Seat {
        facts: seat.facts,
        generation: seat.generation,
        config: Arc::new(config),
        listeners: seat.listeners.clone(),
        ferry: None,
        slot: seat.slot.strand(),
        signals,
        ready: Some(Box::new(move || {
            // Who waits for it does so until it hears of it.
            let _ = started.send(());
        })),
        lifeline: None,
    }
}

/// A strand's place among the others.
#[derive(Clone, Copy)]
struct Berth {
    core: usize,
    loops: usize,
    is_minded: bool,
}

impl Berth {
    /// What its thread does from beginning to end.
    fn serve(self, seat: Seat, gateway: Box<dyn Gateway>, ending: &Ending) {
        gateway.enter_thread(self.core);
        let Some(driver) = gateway.driver() else {
            gateway.leave_thread();
            return;
        };
        // Sources are not watched here.
        let served = driven::serve(
            seat,
            gateway,
            Strands::default(),
            driver,
            self.is_minded,
            &Vec::new,
        );
        let departure = match served {
            Ok(finished) => {
                finished.leave_thread();
                finished.departure
            }
            Err(error) => super::broken(error),
        };
        if departure == Departure::Failed {
            ending.0.has_failed.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
