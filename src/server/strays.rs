//! [`Strays`]: exchanges that are streamed and over for their clients, while the application is still at work on them: the
//! client has gone, or has been told that it waits for nothing.
//!
//! They are known here where `harakiri` is on, so that none stays for ever. What is done about one that does is decided
//! elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uwrs_api::{ExchangeId, Request};

/// How far it has come with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its client has gone.
    Left,
    /// It has taken too long, of which the gateway does not know.
    Overdue,
    /// The gateway was told then to give it up.
    GivenUp(Instant),
}

#[derive(Debug)]
struct Stray {
    id: ExchangeId,
    request: Arc<Request>,
    /// When the application last did something for its client, or last got something from it.
    since: Instant,
    stage: Stage,
}

/// Those of one loop.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    under_way: Vec<Stray>,
}

impl Strays {
    /// The client of an exchange is gone.
    pub(crate) fn leave(&mut self, id: ExchangeId, request: Arc<Request>, since: Instant) {
        self.add(id, request, since, Stage::Left);
    }

    /// An exchange has taken too long, and its client has been told.
    pub(crate) fn overstay(&mut self, id: ExchangeId, request: Arc<Request>, since: Instant) {
        self.add(id, request, since, Stage::Overdue);
    }

    fn add(&mut self, id: ExchangeId, request: Arc<Request>, since: Instant, stage: Stage) {
        self.under_way.push(Stray {
            id,
            request,
            since,
            stage,
        });
    }

    /// The application is done with it. `true`: it had taken too long.
    pub(crate) fn end(&mut self, id: ExchangeId) -> bool {
        let Some(index) = self.under_way.iter().position(|stray| stray.id == id) else {
            return false;
        };
        self.under_way.swap_remove(index).stage != Stage::Left
    }

    /// Those whose client has gone, and who have taken longer than `limit` at `now`, are overdue as well. What they were
    /// asked, and since when.
    pub(crate) fn find_overdue(
        &mut self,
        limit: Duration,
        now: Instant,
    ) -> impl Iterator<Item = (&Request, Instant)> {
        let strays = self.under_way.iter_mut();
        strays.filter_map(move |stray| {
            if stray.stage != Stage::Left || stray.since + limit > now {
                return None;
            }
            stray.stage = Stage::Overdue;
            Some((&*stray.request, stray.since))
        })
    }

    /// Since when the one has been at it whose client has gone and which will be overdue first.
    pub(crate) fn oldest_left(&self) -> Option<Instant> {
        let left = self.under_way.iter().filter(|stray| stray.stage == Stage::Left);
        left.map(|stray| stray.since).min()
    }

    /// The ones that the gateway is to be told of: `now`, as far as this is concerned.
    pub(crate) fn give_up(&mut self, now: Instant) -> Vec<ExchangeId> {
        let strays = self.under_way.iter_mut();
        let overdue = strays.filter(|stray| stray.stage == Stage::Overdue);
        overdue
            .map(|stray| {
                stray.stage = Stage::GivenUp(now);
                stray.id
            })
            .collect()
    }

    /// Is there one that the gateway is to be told of?
    pub(crate) fn has_overdue(&self) -> bool {
        self.under_way.iter().any(|stray| stray.stage == Stage::Overdue)
    }

    /// When the gateway was told of the one that has gone on for the longest time since.
    pub(crate) fn oldest_given_up(&self) -> Option<Instant> {
        let strays = self.under_way.iter();
        strays
            .filter_map(|stray| match stray.stage {
                Stage::GivenUp(at) => Some(at),
                _ => None,
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn id(serial: u64) -> ExchangeId {
        ExchangeId { slot: 0, serial }
    }

    #[test]
    fn who_has_gone_is_overdue_when_its_time_is_up_and_told_of_once() {
        let start = Instant::now();
        let mut strays = Strays::default();
        strays.leave(id(1), Arc::default(), start);
        strays.leave(id(2), Arc::default(), start + LIMIT);
        assert_eq!(strays.oldest_left(), Some(start));
        assert_eq!(strays.find_overdue(LIMIT, start).count(), 0);
        assert_eq!(strays.find_overdue(LIMIT, start + LIMIT).count(), 1);
        assert!(strays.has_overdue());
        assert_eq!(strays.give_up(start + LIMIT), [id(1)]);
        assert!(!strays.has_overdue());
        assert_eq!(strays.oldest_given_up(), Some(start + LIMIT));
        assert_eq!(strays.oldest_left(), Some(start + LIMIT));
        assert!(strays.end(id(1)) && !strays.end(id(1)) && !strays.end(id(2)));
        assert_eq!(strays.oldest_given_up(), None);
    }

    #[test]
    fn who_has_been_told_is_overdue_at_once() {
        let start = Instant::now();
        let mut strays = Strays::default();
        strays.overstay(id(7), Arc::default(), start);
        assert_eq!(strays.oldest_left(), None);
        assert_eq!(strays.give_up(start), [id(7)]);
    }
}
