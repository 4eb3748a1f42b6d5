//! A worker whose thread belongs to another loop (asyncio's), which turns the server's when that has something to do.
//!
//! With `harakiri` on, or where applications set such deadlines themselves, they are called between two turns, without the
//! server's loop in hand: the [`watchman`](super::watchman) has it while one of them blocks the thread.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uwrs_api::{Delivered, Driver, ExchangeId, Gateway, Turned, Turns};

use crate::scoreboard::Slot;
use crate::server::{EventLoop, Flusher, Mailbox, call_in_person, take_charge};

use super::strands::Strands;
use super::watchman::Watchman;
use super::{Departure, Seat, Worker};

/// A turn that was asked for amidst a turn (an application that runs its loop inside a callback of it) is due again after
/// this time.
const NESTED: Duration = Duration::from_millis(10);

/// When there has been no room for another request for so long, others are to take what comes.
const FULL: Duration = Duration::from_millis(1);

/// With `harakiri` on, the loop is turned at least this often: one that is not stands still.
const BEAT: Duration = Duration::from_secs(1);

/// Serves, turned by `driver`, beside `strands`. `is_minded`: another thread is to have the loop while an application blocks
/// it. `sources`: the files that are imported, where their change calls for a reload.
pub(super) fn serve(
    seat: Seat,
    gateway: Box<dyn Gateway>,
    strands: Strands,
    mut driver: Box<dyn Driver>,
    is_minded: bool,
    sources: &dyn Fn() -> Vec<PathBuf>,
) -> io::Result<Finished> {
    let config = Arc::clone(&seat.config);
    let (worker, gateway) = match is_minded {
        false => {
            let make = |limits, log, slot| EventLoop::new(gateway, limits, log, slot);
            (Worker::start(seat, strands, make)?, None)
        }
        true => {
            let gateway: Rc<dyn Gateway> = Rc::from(gateway);
            take_charge(Rc::clone(&gateway));
            let make = |limits, log, slot| EventLoop::deferring(&*gateway, limits, log, slot);
            (Worker::start(seat, strands, make)?, Some(gateway))
        }
    };
    let helm = Arc::new(Helm::new(worker, gateway.is_some()));
    let weak = Arc::downgrade(&helm);
    let watchman = Watchman::employ(&helm, &config, || driver.observer());
    let driven = Rc::new(Driven {
        helm,
        gateway,
        flusher: Flusher::new(move |now| weak.upgrade()?.lock().event_loop.flush_held(now)),
        is_turning: Cell::new(false),
        full_since: Cell::new(None),
        ended: Cell::new(None),
    });
    call_in_person();
    loop {
        driver.drive(driven.clone());
        if let Some(departure) = driven.ended.get() {
            driven.helm.is_over.store(true, Ordering::Release);
            watchman.into_iter().for_each(Watchman::dismiss);
            driver.finish();
            driven.rest();
            driven.helm.lock().end_strands();
            return Ok(Finished { departure, driven });
        }
        let files = sources();
        driven.helm.lock().look_at(files);
    }
}

/// A worker, or a strand of one, that has nothing more to do.
pub(super) struct Finished {
    pub(super) departure: Departure,
    driven: Rc<Driven>,
}

impl Finished {
    /// The gateway leaves the calling thread, which is not the worker's first.
    pub(super) fn leave_thread(&self) {
        match &self.driven.gateway {
            Some(gateway) => gateway.leave_thread(),
            None => self.driven.helm.lock().event_loop.leave_thread(),
        }
    }
}

/// The worker, and what another thread needs to see whether its loop turns.
pub(super) struct Helm {
    worker: Mutex<Worker>,
    pub(super) slot: Slot,
    pub(super) mailbox: Arc<Mailbox>,
    /// The loop's epoll, which lives as long as the worker.
    pub(super) epoll: RawFd,
    /// Another thread may have the loop while an application blocks the driver's.
    pub(super) can_be_minded: bool,
    is_over: AtomicBool,
}

impl Helm {
    fn new(worker: Worker, can_be_minded: bool) -> Self {
        Self {
            slot: worker.seat.slot.clone(),
            mailbox: worker.event_loop.mailbox(),
            epoll: worker.event_loop.as_raw_fd(),
            can_be_minded,
            is_over: AtomicBool::new(false),
            worker: Mutex::new(worker),
        }
    }

    /// The worker. Its thread holds the interpreter here: whoever else does this must not want that meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Worker> {
        // A panic amidst a turn is the end of one exchange; the loop's tables are whole between two steps.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it time to go?
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

/// The worker, as its driver sees it.
struct Driven {
    helm: Arc<Helm>,
    /// What work that is deferred is done with.
    gateway: Option<Rc<dyn Gateway>>,
    /// Sends pieces of bodies that wait for the next ones, when those take long.
    flusher: Flusher,
    /// This thread has the worker in hand.
    is_turning: Cell<bool>,
    /// Since when there has been no room for another request.
    full_since: Cell<Option<Instant>>,
    /// Set when everything is over.
    ended: Cell<Option<Departure>>,
}

/// The worker in this thread's hand.
struct Hold<'a> {
    worker: MutexGuard<'a, Worker>,
    is_turning: &'a Cell<bool>,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.is_turning.set(false);
    }
}

impl Driven {
    /// `None`: this thread has it already.
    fn take(&self) -> Option<Hold<'_>> {
        if self.is_turning.replace(true) {
            return None;
        }
        let mut worker = self.helm.lock();
        worker.event_loop.stand_back();
        Some(Hold {
            worker,
            is_turning: &self.is_turning,
        })
    }

    /// Does the work that a turn has brought.
    fn do_work<'a>(&'a self, mut hold: Hold<'a>) -> Option<Hold<'a>> {
        let Some(gateway) = &self.gateway else {
            return Some(hold);
        };
        while let Some(work) = hold.worker.event_loop.take_work(0) {
            drop(hold);
            let exchange = work.exchange();
            let pulled = work.run(&**gateway, &self.flusher);
            hold = self.take()?;
            let event_loop = &mut hold.worker.event_loop;
            event_loop.take_back(0, exchange, pulled, Instant::now());
            event_loop.beat();
        }
        Some(hold)
    }

    /// Leaves what comes to other workers when there is no room for it here. When to look again.
    fn share(&self, worker: &mut Worker) -> Option<Duration> {
        let event_loop = &mut worker.event_loop;
        if !event_loop.is_full() {
            if self.full_since.take().is_some() {
                event_loop.unburden();
            }
            return None;
        }
        let now = event_loop.now();
        let since = self.full_since.get().unwrap_or(now);
        self.full_since.set(Some(since));
        let left = FULL.saturating_sub(now.saturating_duration_since(since));
        if !left.is_zero() {
            return Some(left);
        }
        worker.give_away()
    }

    /// This thread is about to wait for others.
    fn rest(&self) {
        match &self.gateway {
            Some(gateway) => gateway.rest(),
            None => self.helm.lock().event_loop.rest(),
        }
    }

    fn end(&self, worker: &Worker, departure: Departure) -> Turned {
        worker.seat.slot.beat(0);
        self.ended.set(Some(departure));
        Turned::Stop
    }
}

impl Turns for Driven {
    fn descriptor(&self) -> RawFd {
        self.helm.epoll
    }

    fn turn(&self) -> Turned {
        let Some(mut hold) = self.take() else {
            return Turned::Wait(Some(NESTED));
        };
        match hold.worker.event_loop.turn(Some(Duration::ZERO)) {
            Ok(heard) => hold.worker.hear(&heard),
            Err(error) => {
                log::error!("the event loop broke: {error}");
                return self.end(&hold.worker, Departure::Failed);
            }
        }
        let Some(mut hold) = self.do_work(hold) else {
            return Turned::Again;
        };
        let worker = &mut *hold.worker;
        let is_idle = worker.event_loop.in_hand() == 0;
        if let Some(departure) = worker.departure(is_idle) {
            return self.end(worker, departure);
        }
        if worker.wants_sources() {
            return Turned::Stop;
        }
        worker.beat();
        let has_strands = !worker.strands.is_empty();
        let must_beat = has_strands || worker.seat.config.limits.harakiri.limit.is_some();
        let beat = must_beat.then_some(BEAT);
        let look = self.share(worker);
        let timeout = [worker.timeout(true), beat, look].into_iter().flatten().min();
        match worker.event_loop.begin_wait(timeout) {
            Some(Duration::ZERO) => Turned::Again,
            wait => Turned::Wait(wait),
        }
    }

    fn deliver(&self, id: ExchangeId) -> Delivered {
        match self.take() {
            Some(mut hold) => hold.worker.event_loop.deliver_now(id),
            None => Delivered::Later,
        }
    }

    fn done(&self) {
        let Some(mut hold) = self.take() else {
            return log::error!("an application was done with a request amidst a turn");
        };
        let worker = &mut *hold.worker;
        worker.event_loop.take_leave();
        // It may be the last that was waited for.
        if worker.leaving.is_some() {
            worker.event_loop.rouse();
        }
        if self.full_since.get().is_some() {
            self.share(worker);
        }
    }
}
