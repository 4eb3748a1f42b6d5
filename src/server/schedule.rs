//! [`Schedule`]: when each connection's wait is to be looked at. Ten thousand that are idle cost a glance at as many
//! numbers, twice a second, and not a visit to each.
//!
//! How long a wait may last is the connection's business; a connection that moves is to be looked at anew.

use std::time::{Duration, Instant};

/// Waits are looked at this often: they are seconds, and to be late by one hurts no one.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// No one waits for that client.
const NEVER: u32 = u32::MAX;

/// By a connection's place: the tick of its next look.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    next: Instant,
    due: Vec<u32>,
}

impl Schedule {
    /// Nobody's.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            next: now + TICK,
            due: Vec::new(),
        }
    }

    /// When it is to be looked at.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The connection in that place has moved: its wait is another one.
    pub(super) fn moved(&mut self, slot: usize) {
        match self.due.get_mut(slot) {
            Some(due) => *due = 0,
            None => self.due.resize(slot + 1, 0),
        }
    }

    /// What all of them have left has changed.
    pub(super) fn all_moved(&mut self, now: Instant) {
        self.due.fill(0);
        self.next = now;
    }

    /// The wait of the connection in that place ends then. `None`: no one waits for it.
    pub(super) fn set(&mut self, slot: usize, end: Option<Instant>) {
        if let Some(due) = self.due.get_mut(slot) {
            // A look comes after the end, never just before it.
            *due = end.map_or(NEVER, |end| {
                tick(self.start, end).saturating_add(1).min(NEVER - 1)
            });
        }
    }

    /// The places to look at, if it is time for a look.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<usize> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + TICK;
        let tick = tick(self.start, now);
        let places = self.due.iter().enumerate();
        places
            .filter(|(_, due)| **due <= tick)
            .map(|(slot, _)| slot)
            .collect()
    }
}

fn tick(start: Instant, at: Instant) -> u32 {
    let ticks = at.saturating_duration_since(start).as_millis() / TICK.as_millis();
    u32::try_from(ticks).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_looked_at_when_it_is_over_and_not_before() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        for slot in 0..3 {
            schedule.moved(slot);
        }
        let mut now = start + TICK;
        assert_eq!(schedule.take_due(now), [0, 1, 2]);
        let end = now + Duration::from_millis(2750);
        schedule.set(0, None);
        schedule.set(1, Some(end));
        schedule.set(2, Some(now + Duration::from_secs(3600)));
        let found = loop {
            now += TICK;
            let due = schedule.take_due(now);
            if !due.is_empty() {
                break due;
            }
        };
        assert_eq!(found, [1]);
        assert!(now >= end && now < end + 2 * TICK);
    }

    #[test]
    fn one_that_moves_is_looked_at_whatever_was_known_of_it() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.moved(1);
        schedule.set(0, None);
        schedule.set(1, None);
        assert!(schedule.take_due(start + TICK).is_empty());
        schedule.moved(1);
        assert!(schedule.take_due(start + TICK).is_empty(), "not before its time");
        assert_eq!(schedule.take_due(start + 2 * TICK), [1]);
        schedule.all_moved(start);
        assert_eq!(schedule.take_due(start), [0, 1]);
    }
}
