//! [`Idle`]: connections that wait for their next request, the one that has waited longest first.
//!
//! No one keeps order while requests come and go: when room is short, one look at all connections finds the next few
//! that would have to go. Whoever becomes idle later has waited less.

use std::collections::VecDeque;
use std::time::Instant;

/// How many are found by one look.
const FOUND: usize = 128;

/// A connection that is idle: its place, and the moment since when, which tells it from later ones in that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Idler {
    pub(super) since: Instant,
    pub(super) slot: usize,
}

/// Those found by the last look, oldest first.
#[derive(Debug, Default)]
pub(super) struct Idle {
    found: VecDeque<Idler>,
}

impl Idle {
    /// It did not have to go.
    pub(super) fn put_back(&mut self, idler: Option<Idler>) {
        self.found.extend(idler);
        self.found.rotate_right(usize::from(idler.is_some()));
    }

    /// Takes the one that has been idle for longest. `since` says since when the connection in a place has been,
    /// if it is; `all` gives those that are.
    pub(super) fn take_oldest<I: Iterator<Item = Idler>>(
        &mut self,
        since: impl Fn(usize) -> Option<Instant>,
        all: impl FnOnce() -> I,
    ) -> Option<Idler> {
        let is_idle_still = |idler: &Idler| since(idler.slot) == Some(idler.since);
        while let Some(idler) = self.found.pop_front() {
            if is_idle_still(&idler) {
                return Some(idler);
            }
        }
        let mut all: Vec<Idler> = all().collect();
        if all.len() > FOUND {
            all.select_nth_unstable(FOUND);
            all.truncate(FOUND);
        }
        all.sort_unstable();
        self.found = all.into();
        self.found.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn take(idle: &mut Idle, connections: &[Option<Instant>]) -> Option<usize> {
        let all = || {
            let idlers = connections.iter().enumerate();
            idlers.filter_map(|(slot, since)| {
                Some(Idler {
                    since: (*since)?,
                    slot,
                })
            })
        };
        idle.take_oldest(|slot| connections[slot], all)
            .map(|idler| idler.slot)
    }

    #[test]
    fn the_oldest_goes_first_whatever_its_place() {
        let start = Instant::now();
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        // Many more than one look finds, in an order that is none.
        let mut connections: Vec<_> = (0..1000).map(|slot| after((slot * 7) % 1000)).collect();
        let mut idle = Idle::default();
        for expected in 0..1000 {
            let slot = take(&mut idle, &connections).unwrap();
            assert_eq!(connections[slot], after(expected));
            connections[slot] = None;
        }
        assert_eq!(take(&mut idle, &connections), None);
    }

    #[test]
    fn one_that_was_found_and_spoke_since_is_spared() {
        let start = Instant::now();
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        let mut connections = vec![after(1), after(2), after(3), None];
        let mut idle = Idle::default();
        assert_eq!(take(&mut idle, &connections), Some(0));
        connections[0] = None;
        // It has answered a request, and another is in the midst of one.
        connections[1] = after(9);
        connections[3] = after(8);
        assert_eq!(take(&mut idle, &connections), Some(2));
        connections[2] = None;
        assert_eq!(take(&mut idle, &connections), Some(3));
    }
}
