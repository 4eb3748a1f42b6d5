//! [`Deadlines`]: what applications allow their exchanges themselves (`uwsgi.set_user_harakiri`). Set by any thread, looked at
//! by the one that has the loop.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uwrs_api::ExchangeId;

use crate::scoreboard::Slot;

/// Milliseconds.
const GRACE: u64 = 1000;

thread_local! {
    /// What the application is called for on this thread.
    static CURRENT: Cell<Option<ExchangeId>> = const { Cell::new(None) };
}

/// Calls the application for that exchange, by `work`.
pub(super) fn within<R>(id: ExchangeId, work: impl FnOnce() -> R) -> R {
    let _restore = Restore(CURRENT.replace(Some(id)));
    work()
}

struct Restore(Option<ExchangeId>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The exchange that the calling thread is in the application for.
pub(crate) fn current_exchange() -> Option<ExchangeId> {
    CURRENT.get()
}

/// Until when each exchange may take: milliseconds of [`crate::sys::monotonic_milliseconds`]. `None`: what is no exchange.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    set: Mutex<Vec<(Option<ExchangeId>, u64)>>,
    /// There is one: a glance is enough where there never is.
    has_some: AtomicBool,
}

impl Deadlines {
    /// Sets the deadline of an exchange in the place of the one that it has; `None`: it has none any more.
    pub(crate) fn set(&self, id: Option<ExchangeId>, at: Option<u64>) {
        let mut set = self.lock();
        set.retain(|(have, _)| *have != id);
        set.extend(at.map(|at| (id, at)));
        self.has_some.store(!set.is_empty(), Ordering::Release);
    }

    /// The first of all.
    fn first(&self) -> Option<u64> {
        self.lock().iter().map(|(_, at)| *at).min()
    }

    /// Lets the scoreboard know of the first. `true`: it is the first ever. Who can see to it by itself has a little longer:
    /// that is the loop of a worker that another one drives, where cancelling a task is enough.
    pub(crate) fn show(&self, slot: &Slot) -> bool {
        let grace = if slot.last_beat() > 0 { GRACE } else { 0 };
        slot.set_deadline(self.first().map(|at| at.saturating_add(grace)))
    }

    /// The first of an exchange.
    pub(super) fn next(&self) -> Option<u64> {
        if !self.has_some.load(Ordering::Acquire) {
            return None;
        }
        let of_exchanges = |(id, at): &(Option<ExchangeId>, u64)| id.map(|_| *at);
        self.lock().iter().filter_map(of_exchanges).min()
    }

    /// The exchanges whose deadline is over at `now`: they have none any more.
    pub(super) fn take_due(&self, now: u64) -> Vec<ExchangeId> {
        if self.next().is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut set = self.lock();
        let is_due = |(id, at): &(Option<ExchangeId>, u64)| id.filter(|_| *at <= now);
        let due = set.iter().filter_map(is_due).collect();
        set.retain(|deadline| is_due(deadline).is_none());
        due
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Option<ExchangeId>, u64)>> {
        // Every change is whole before anything can panic.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exchange_has_its_own_and_the_first_counts() {
        let [one, two] = [1, 2].map(|serial| ExchangeId { slot: 0, serial });
        let deadlines = Deadlines::default();
        assert_eq!((deadlines.first(), deadlines.next()), (None, None));
        deadlines.set(Some(one), Some(50));
        deadlines.set(Some(two), Some(40));
        deadlines.set(None, Some(10));
        assert_eq!((deadlines.first(), deadlines.next()), (Some(10), Some(40)));
        deadlines.set(None, None);
        deadlines.set(Some(one), Some(60));
        assert_eq!(deadlines.take_due(39), []);
        assert_eq!(deadlines.take_due(59), [two]);
        assert_eq!(deadlines.first(), Some(60));
        deadlines.set(Some(one), None);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn the_exchange_that_a_thread_works_for_is_known_while_it_does() {
        let id = ExchangeId { slot: 3, serial: 9 };
        assert_eq!(within(id, current_exchange), Some(id));
        assert_eq!(current_exchange(), None);
    }
}
