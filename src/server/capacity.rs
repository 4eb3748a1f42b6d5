//! [`Capacity`]: how many connections a worker holds, and what it does for those who wait when they are many: idle ones
//! are kept for a shorter time, and at the end they go.
//!
//! Which of them goes first is [`Idle`](super::idle::Idle)'s business.

use std::os::fd::RawFd;
use std::time::Duration;

/// The least that an idle connection has: its client may be sending.
const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The most descriptors that are kept free for the application.
pub(crate) const RESERVE: usize = 256;

/// How many connections a worker holds that may have so many descriptors open: an eighth of them, or [`RESERVE`], stays
/// free for the application.
pub(crate) fn connections_within(descriptors: usize) -> usize {
    descriptors.saturating_sub((descriptors / 8).clamp(16, RESERVE))
}

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    asked: usize,
    /// Descriptors that are not the application's reserve.
    descriptors: usize,
    /// Of these, what is not a connection, as far as is known.
    others: usize,
}

impl Capacity {
    /// At most `asked` (`max-connections`), and no more than the process has descriptors for ([`connections_within`]).
    /// `descriptors`: how many the process may have.
    pub(super) fn new(asked: Option<usize>, descriptors: usize) -> Self {
        Self {
            asked: asked.unwrap_or(usize::MAX),
            descriptors: connections_within(descriptors),
            others: 0,
        }
    }

    /// A connection got that descriptor when `open` were there. The kernel gives the lowest number that is free: all
    /// below it are taken, by connections or by others, files of the application most likely.
    pub(super) fn note(&mut self, fd: RawFd, open: usize) {
        let below = usize::try_from(fd).unwrap_or(0);
        self.others = self.others.max(below.saturating_sub(open));
    }

    /// There is room enough, `open` being there: what was known of others may be over.
    pub(super) fn forget(&mut self, open: usize) {
        if !self.is_short(open) {
            self.others = 0;
        }
    }

    /// The most that there may be.
    pub(super) fn most(self) -> usize {
        self.asked
            .min(self.descriptors.saturating_sub(self.others))
            .max(1)
    }

    /// Is there room for one more than `open`?
    pub(super) fn has_room(self, open: usize) -> bool {
        open < self.most()
    }

    /// Do `open` connections take more than half of the room?
    pub(super) fn is_short(self, open: usize) -> bool {
        open > self.most() / 2
    }

    /// How long a connection may be idle when `open` are: `full` while they take no more than half of the room; then
    /// less, in proportion to the room that is left, and a second where none is.
    pub(super) fn keep_alive(self, full: Duration, open: usize) -> Duration {
        if !self.is_short(open) {
            return full;
        }
        let most = self.most();
        let left = most.saturating_sub(open) as f64 / (most - most / 2) as f64;
        full.mul_f64(left).max(LEAST_KEEP_ALIVE).min(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Duration = Duration::from_secs(60);

    #[test]
    fn the_application_keeps_descriptors_of_its_own() {
        for (asked, descriptors, most) in [
            (None, 1024, 896),
            (None, 64, 48),
            (None, 1_000_000, 999_744),
            (None, 8, 1),
            (Some(100), 1024, 100),
            (Some(5000), 1024, 896),
        ] {
            assert_eq!(
                Capacity::new(asked, descriptors).most(),
                most,
                "{asked:?}, {descriptors}"
            );
        }
    }

    #[test]
    fn files_of_the_application_take_room_until_there_is_plenty() {
        let mut capacity = Capacity::new(None, 64);
        // 30 are taken by others.
        for open in 0..18 {
            assert!(capacity.has_room(open));
            capacity.note(30 + open as RawFd, open);
        }
        assert!(!capacity.has_room(18));
        capacity.note(12, 17);
        assert_eq!(capacity.most(), 18, "a free number below says nothing");
        capacity.forget(17);
        assert_eq!(capacity.most(), 18);
        capacity.forget(3);
        assert_eq!(capacity.most(), 48);
    }

    #[test]
    fn keep_alive_shrinks_past_half_of_the_room() {
        let capacity = Capacity::new(Some(100), 1_000_000);
        for (open, seconds) in [(0, 60), (50, 60), (75, 30), (90, 12), (100, 1), (101, 1)] {
            let time = capacity.keep_alive(FULL, open);
            assert_eq!(time, Duration::from_secs(seconds), "{open} are open");
        }
    }

    #[test]
    fn keep_alive_never_grows() {
        let short = Duration::from_millis(10);
        let capacity = Capacity::new(Some(1), 1_000_000);
        for open in 0..3 {
            assert_eq!(capacity.keep_alive(short, open), short);
        }
    }
}
