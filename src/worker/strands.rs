//! [`Strands`]: more loops in one worker. An application of asyncio that can run on several threads at once (`threads`,
//! on a Python without the global lock) has a loop, and a server's loop in it, for each of them.
//!
//! The first is the worker's own ([`driven`](super::driven)), which alone speaks with the master. The others, its
//! strands, accept from the same sockets and do as the first one says; what they write to the scoreboard it gathers.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use uwrs_api::{Delivered, Driver, ExchangeId, Gateway, Turned, Turns};

use crate::config::Config;
use crate::logging::AccessLog;
use crate::scoreboard::{self, Slot};
use crate::server::{EventLoop, Mailbox, call_in_person};

use super::driven::{BEAT, NESTED};
use super::seat::BoundListener;
use super::{DRAIN_LOOK, STACK_BYTES, Seat, listen_to};

/// The loops beside a worker's first; none in most workers.
#[derive(Default)]
pub(super) struct Strands {
    orders: Arc<Orders>,
    strands: Vec<Strand>,
}

/// One of them, as the worker's first thread sees it.
struct Strand {
    thread: JoinHandle<()>,
    mailbox: Arc<Mailbox>,
    board: scoreboard::Strand,
}

impl Strand {
    /// Returns when its loop accepts connections.
    fn start(berth: Berth, gateway: Box<dyn Gateway>) -> io::Result<Self> {
        let board = scoreboard::Strand::of(berth.slot.clone());
        let (started, has_started) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("core {}", berth.core))
            .stack_size(STACK_BYTES)
            .spawn(move || berth.serve(gateway, &started))?;
        let gone = || Err(io::Error::other("a thread ended before its loop began"));
        Ok(Self {
            mailbox: has_started.recv().unwrap_or_else(|_| gone())?,
            thread,
            board,
        })
    }
}

/// What the first loop has told the others, and what it hears of them.
#[derive(Default)]
struct Orders {
    /// An [`Order`].
    order: AtomicU8,
    running: AtomicUsize,
    has_failed: AtomicBool,
    /// The first loop's, to be turned when something has changed.
    first: OnceLock<Arc<Mailbox>>,
}

/// What a strand is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Order {
    Serve,
    Drain,
    Quit,
}

impl Orders {
    fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Quit,
        }
    }

    fn rouse_first(&self) {
        if let Some(first) = self.first.get() {
            first.rouse();
        }
    }
}

impl Strands {
    /// Starts one for each of `siblings`, and waits until they all accept connections. The calling thread has let go of
    /// the interpreter.
    ///
    /// # Errors
    /// One of them could not start; why is in the log, where it is not in the error.
    pub(super) fn start(seat: &Seat, siblings: Vec<Box<dyn Gateway>>) -> io::Result<Self> {
        let loops = siblings.len() + 1;
        let mut strands = Self::default();
        for (index, gateway) in siblings.into_iter().enumerate() {
            let berth = Berth {
                core: index + 1,
                loops,
                config: Arc::clone(&seat.config),
                listeners: seat.listeners.clone(),
                slot: seat.slot.strand(),
                orders: Arc::clone(&strands.orders),
            };
            match Strand::start(berth, gateway) {
                Ok(strand) => strands.strands.push(strand),
                Err(error) => {
                    strands.drain();
                    strands.join(&seat.slot);
                    return Err(error);
                }
            }
        }
        Ok(strands)
    }

    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.strands.is_empty()
    }

    /// From now on `first` is turned when one of them has ended.
    pub(super) fn report_to(&self, first: Arc<Mailbox>) {
        // It is told once.
        let _ = self.orders.first.set(first);
    }

    /// They take nothing new, finish what they have and end.
    pub(super) fn drain(&self) {
        self.give(Order::Drain);
    }

    /// They end without finishing anything.
    pub(super) fn quit(&self) {
        self.give(Order::Quit);
    }

    fn give(&self, order: Order) {
        self.orders.order.fetch_max(order as u8, Ordering::Release);
        self.rouse();
    }

    /// They look whether connections are to be taken.
    pub(super) fn rouse(&self) {
        for strand in &self.strands {
            strand.mailbox.rouse();
        }
    }

    /// Do none run any more?
    pub(super) fn are_over(&self) -> bool {
        self.orders.running.load(Ordering::Acquire) == 0
    }

    /// Has one of them broken?
    pub(super) fn have_failed(&self) -> bool {
        self.orders.has_failed.load(Ordering::Acquire)
    }

    /// Adds what they have done since the last time to the worker's slot, which was just given its own loop's beat.
    pub(super) fn gather(&mut self, slot: &Slot) {
        if self.strands.is_empty() {
            return;
        }
        let overstayed = self.strands.iter_mut().map(|strand| strand.board.gather(slot));
        // All of them are to be asked.
        let overstayed: Vec<_> = overstayed.collect();
        slot.set_overstayed_beside(overstayed.into_iter().flatten().min());
    }

    /// Waits for their ends. The calling thread has let go of the interpreter.
    pub(super) fn join(self, slot: &Slot) {
        for mut strand in self.strands {
            if strand.thread.join().is_err() {
                log::error!("a thread with a loop of its own panicked");
            }
            strand.board.gather(slot);
        }
    }
}

/// What a strand is given.
struct Berth {
    core: usize,
    /// How many loops share what the worker may have.
    loops: usize,
    config: Arc<Config>,
    listeners: Vec<Arc<BoundListener>>,
    slot: Slot,
    orders: Arc<Orders>,
}

impl Berth {
    /// What its thread does from beginning to end.
    fn serve(self, gateway: Box<dyn Gateway>, started: &mpsc::Sender<io::Result<Arc<Mailbox>>>) {
        gateway.enter_thread(self.core);
        let Some(driver) = gateway.driver() else {
            gateway.leave_thread();
            let error = io::Error::other(format!("thread {} has no loop", self.core));
            // Who waits for it does so until it hears of it.
            let _ = started.send(Err(error));
            return;
        };
        match self.begin(gateway) {
            Ok(turning) => turning.serve(driver, started),
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    }

    fn begin(self, gateway: Box<dyn Gateway>) -> io::Result<Turning> {
        let mut limits = self.config.limits.clone();
        limits.max_connections = limits.max_connections.map(|most| most.div_ceil(self.loops));
        let log = AccessLog::new(&self.config.logging);
        let mut event_loop = EventLoop::new(gateway, limits, log, self.slot.clone())?;
        listen_to(&mut event_loop, &self.listeners)?;
        self.orders.running.fetch_add(1, Ordering::AcqRel);
        Ok(Turning {
            event_loop: RefCell::new(event_loop),
            is_paused: Cell::new(false),
            has_ended: Cell::new(false),
            berth: self,
        })
    }
}

/// A strand's loop, as its driver sees it.
struct Turning {
    berth: Berth,
    event_loop: RefCell<EventLoop>,
    is_paused: Cell<bool>,
    has_ended: Cell<bool>,
}

/// However it comes about, the first loop hears of the end of a strand.
impl Drop for Turning {
    fn drop(&mut self) {
        let orders = &self.berth.orders;
        if !self.has_ended.get() {
            orders.has_failed.store(true, Ordering::Release);
        }
        orders.running.fetch_sub(1, Ordering::AcqRel);
        orders.rouse_first();
    }
}

impl Turning {
    fn serve(self, mut driver: Box<dyn Driver>, started: &mpsc::Sender<io::Result<Arc<Mailbox>>>) {
        let turning = Rc::new(self);
        call_in_person();
        let _ = started.send(Ok(turning.event_loop.borrow().mailbox()));
        driver.drive(turning.clone());
        driver.finish();
        turning.event_loop.borrow().leave_thread();
    }

    fn obey(&self, event_loop: &mut EventLoop) -> Order {
        let order = self.berth.orders.order();
        match order {
            Order::Drain => event_loop.drain(),
            Order::Serve => {
                let pauses = self.berth.slot.board().is_paused();
                match (pauses, self.is_paused.replace(pauses)) {
                    (true, false) => event_loop.pause(),
                    (false, true) => event_loop.resume(),
                    _ => {}
                }
            }
            Order::Quit => {}
        }
        order
    }

    fn end(&self, event_loop: &mut EventLoop) -> Turned {
        event_loop.flush_log();
        self.berth.slot.beat(0);
        self.has_ended.set(true);
        Turned::Stop
    }
}

impl Turns for Turning {
    fn descriptor(&self) -> RawFd {
        self.event_loop.borrow().as_raw_fd()
    }

    fn turn(&self) -> Turned {
        let Ok(mut event_loop) = self.event_loop.try_borrow_mut() else {
            return Turned::Wait(Some(NESTED));
        };
        // Nobody watches other descriptors of a strand's loop.
        if let Err(error) = event_loop.turn(Some(Duration::ZERO)) {
            log::error!("the event loop broke: {error}");
            self.berth.slot.beat(0);
            return Turned::Stop;
        }
        let order = self.obey(&mut event_loop);
        let is_done = order == Order::Drain && event_loop.connections() == 0 && !event_loop.look_back();
        if is_done || order == Order::Quit {
            return self.end(&mut event_loop);
        }
        event_loop.beat();
        let drain = (order == Order::Drain).then_some(DRAIN_LOOK);
        let beat = self.berth.config.limits.harakiri.limit.map(|_| BEAT);
        match event_loop.begin_wait(drain.into_iter().chain(beat).min()) {
            Some(Duration::ZERO) => Turned::Again,
            wait => Turned::Wait(wait),
        }
    }

    fn deliver(&self, id: ExchangeId) -> Delivered {
        match self.event_loop.try_borrow_mut() {
            Ok(mut event_loop) => event_loop.deliver_now(id),
            Err(_) => Delivered::Later,
        }
    }

    fn done(&self) {
        if let Ok(mut event_loop) = self.event_loop.try_borrow_mut() {
            event_loop.take_leave();
        }
    }
}

#[cfg(test)]
mod tests;
