//! The server's loop as this thread turns it, and when the next turn is due: what asyncio's driver and gevent's have in common.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uwrs_api::{Delivered, ExchangeId, Observer, Turns};

use crate::raw::{self, StackObserver};

thread_local! {
    /// The server's loop, while it is driven by this thread.
    static TURNS: RefCell<Option<Rc<dyn Turns>>> = const { RefCell::new(None) };
}

/// It, where this thread has it.
pub(crate) fn turns() -> Option<Rc<dyn Turns>> {
    TURNS.with_borrow(Clone::clone)
}

/// Has what was left for an exchange sent, where this thread has the server's loop and is not amidst a turn of it.
pub(crate) fn deliver(id: ExchangeId) -> Delivered {
    turns().map_or(Delivered::Later, |turns| turns.deliver(id))
}

/// From now on this thread has the server's loop, until what is returned is dropped.
pub(crate) fn drive(turns: Rc<dyn Turns>) -> Driven {
    TURNS.set(Some(turns));
    Driven
}

/// See [`drive`].
pub(crate) struct Driven;

impl Drop for Driven {
    fn drop(&mut self) {
        TURNS.set(None);
    }
}

/// What tells what this thread is doing.
pub(crate) fn observer() -> Option<Box<dyn Observer>> {
    let made = raw::with_interpreter(StackObserver::new);
    match made {
        Ok(observer) => Some(Box::new(observer)),
        Err(error) => {
            log::warn!("what blocks the event loop will not be named: {error}");
            None
        }
    }
}

/// When the next turn is due by time, as the driver has been told.
#[derive(Default)]
pub(crate) struct Clock(Mutex<Due>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Due {
    #[default]
    Never,
    At(Instant),
    Stopped,
}

impl Clock {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a turn said that none follows it?
    pub(crate) fn is_stopped(&self) -> bool {
        *self.due() == Due::Stopped
    }

    /// No turn is due any more.
    pub(crate) fn stop(&self) {
        *self.due() = Due::Stopped;
    }

    /// The timer has rung.
    pub(crate) fn ring(&self) {
        let mut due = self.due();
        if matches!(*due, Due::At(_)) {
            *due = Due::Never;
        }
    }

    /// Is a timer for that time needed? One that rings earlier will do.
    pub(crate) fn needs(&self, at: Instant) -> bool {
        let mut due = self.due();
        match *due {
            Due::At(have) if have <= at => false,
            Due::Stopped => false,
            _ => {
                *due = Due::At(at);
                true
            }
        }
    }
}
