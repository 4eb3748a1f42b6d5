//! A worker whose thread belongs to another loop (asyncio's), which turns the server's when that has something to do.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use uwrs_api::{Delivered, Driver, ExchangeId, Gateway, Runtime, Turned, Turns};

use crate::server::call_in_person;

use super::{Departure, Seat, Worker, start_alone};

/// A turn that was asked for amidst a turn (an application that runs its loop inside a callback of it) is due again after
/// this time.
const NESTED: Duration = Duration::from_millis(10);

/// With `harakiri` on, the loop is turned at least this often: one that is not stands still.
const BEAT: Duration = Duration::from_secs(1);

/// Serves, turned by `driver`.
pub(super) fn serve(
    seat: Seat,
    gateway: Box<dyn Gateway>,
    mut driver: Box<dyn Driver>,
    runtime: &dyn Runtime,
) -> io::Result<Departure> {
    let driven = Rc::new(Driven {
        worker: RefCell::new(start_alone(seat, gateway)?),
        ended: Cell::new(None),
    });
    call_in_person();
    loop {
        driver.drive(driven.clone());
        if let Some(departure) = driven.ended.get() {
            driver.finish();
            return Ok(departure);
        }
        let files = runtime.source_files();
        driven.worker.borrow_mut().look_at(files);
    }
}

/// The worker, as its driver sees it.
struct Driven {
    worker: RefCell<Worker>,
    /// Set when everything is over.
    ended: Cell<Option<Departure>>,
}

impl Driven {
    fn end(&self, departure: Departure) -> Turned {
        if let Ok(worker) = self.worker.try_borrow() {
            worker.seat.slot.beat(0);
        }
        self.ended.set(Some(departure));
        Turned::Stop
    }
}

impl Turns for Driven {
    fn descriptor(&self) -> RawFd {
        self.worker.borrow().event_loop.as_raw_fd()
    }

    fn turn(&self) -> Turned {
        let Ok(mut worker) = self.worker.try_borrow_mut() else {
            return Turned::Wait(Some(NESTED));
        };
        match worker.event_loop.turn(Some(Duration::ZERO)) {
            Ok(heard) => worker.hear(&heard),
            Err(error) => {
                log::error!("the event loop broke: {error}");
                return self.end(Departure::Failed);
            }
        }
        if let Some(departure) = worker.departure(true) {
            return self.end(departure);
        }
        if worker.wants_sources() {
            return Turned::Stop;
        }
        worker.event_loop.beat();
        let beat = worker.seat.config.limits.harakiri.limit.map(|_| BEAT);
        let timeout = worker.timeout(true).into_iter().chain(beat).min();
        match worker.event_loop.begin_wait(timeout) {
            Some(Duration::ZERO) => Turned::Again,
            wait => Turned::Wait(wait),
        }
    }

    fn deliver(&self, id: ExchangeId) -> Delivered {
        match self.worker.try_borrow_mut() {
            Ok(mut worker) => worker.event_loop.deliver_now(id),
            Err(_) => Delivered::Later,
        }
    }
}
