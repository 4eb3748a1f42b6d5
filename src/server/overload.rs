//! Overload: how many requests a worker has in hand, and what becomes of more (`limit-concurrency`, `backpressure`).
//!
//! In hand is a request from its complete head to the end of its answer, whoever works on it or waits for a thread, and a
//! WebSocket; so is a connection that waits with a request until a thread is free. An idle connection is not.

use std::time::{Duration, Instant};

use super::services::Services;

/// How often the log tells how many were sent away.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Requests that were sent away with 503.
#[derive(Debug, Default)]
pub(super) struct Shed {
    untold: u64,
    next: Option<Instant>,
}

impl Shed {
    fn note(&mut self, limit: usize, now: Instant) {
        self.untold += 1;
        self.tell_if_due(limit, now);
    }

    /// At once for the first, then all that came since the last time.
    fn tell_if_due(&mut self, limit: usize, now: Instant) {
        if self.untold == 0 || self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + TOLD_EVERY);
        let were = match std::mem::take(&mut self.untold) {
            1 => "a request was".to_owned(),
            count => format!("{count} requests were"),
        };
        log::warn!(
            "{were} answered with 503: {limit} are in hand already (raise limit-concurrency, or have more processes)"
        );
    }
}

impl Services {
    /// How many requests it has in hand.
    fn in_hand(&self) -> usize {
        self.slot.active() as usize + self.dispatch.waiting() + self.held.len()
    }

    /// Are there so many, and no other worker is idle, that one more is to be sent away?
    pub(super) fn is_overloaded(&self) -> bool {
        let limit = self.limits.concurrency;
        limit.is_some_and(|limit| self.in_hand() >= limit) && self.slot.idle_others() == 0
    }

    /// A request is sent away.
    pub(super) fn note_shed(&mut self) {
        let now = self.now();
        if let Some(limit) = self.limits.concurrency {
            self.shed.note(limit, now);
        }
    }

    /// Tells of those that were sent away and not told of.
    pub(super) fn tell_shed(&mut self) {
        let now = self.now();
        if let Some(limit) = self.limits.concurrency {
            self.shed.tell_if_due(limit, now);
        }
    }

    /// Are there so many that other workers are to accept what comes?
    pub(super) fn is_sated(&self) -> bool {
        let limit = self.limits.backpressure;
        limit.is_some_and(|limit| self.in_hand() >= limit)
    }

    /// Are there so many fewer that it can accept again?
    pub(super) fn has_appetite(&self) -> bool {
        let limit = self.limits.backpressure.unwrap_or(usize::MAX);
        self.in_hand() <= limit - (limit / 8).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let start = Instant::now();
        let mut shed = Shed::default();
        shed.note(5, start);
        assert_eq!(shed.untold, 0);
        for _ in 0..100 {
            shed.note(5, start + TOLD_EVERY / 2);
        }
        assert_eq!(shed.untold, 100);
        shed.tell_if_due(5, start + TOLD_EVERY);
        assert_eq!((shed.untold, shed.next), (0, Some(start + TOLD_EVERY * 2)));
    }
}
