//! How many workers there are at a time: seats are opened and closed as the [`Scaler`](super::scaler::Scaler) wants; all of
//! them, when nobody asks for anything (`idle`, `cheap`). A worker whose seat is closed drains and loses nothing.

use std::time::Instant;

use log::Level;

use super::generation::{Generation, Seat, SeatState};
use super::scaler::{Change, Measured, Scaler};
use super::{Notice, Phase, Supervisor, Urge, plural, seconds};
use crate::config::Scaling;

impl Supervisor {
    /// What decides how many workers there are at a time; `None` where nothing serves.
    pub(crate) fn scaling(&self) -> Option<Scaling> {
        self.current.as_ref().map(|current| current.settings.scaling)
    }

    /// Are there no workers, until someone asks for something?
    pub(crate) fn is_asleep(&self) -> bool {
        self.phase == Phase::Running && self.current.as_ref().is_some_and(Generation::is_asleep)
    }

    /// Is the master to listen in place of workers?
    pub(crate) fn listens(&self) -> bool {
        self.is_asleep() && !self.paused
    }

    /// A second has passed, in which that was measured.
    pub(super) fn measured(&mut self, measured: Measured, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(current) = self.current.as_mut() else {
            return;
        };
        // In a pause nobody can use it.
        if measured.is_used || self.paused {
            current.last_use = now;
        }
        if self.paused || self.next.is_some() || current.is_asleep() {
            return;
        }
        let idle = now.saturating_duration_since(current.last_use);
        if current.settings.scaling.idle.is_some_and(|limit| idle >= limit) {
            let reason = format!("nobody has asked for anything for {}", seconds(idle));
            if current.settings.scaling.die_on_idle {
                self.log(Level::Info, format!("stopping: {reason} (die-on-idle)"));
                self.stop(Urge::Drain, 0, None, now);
            } else {
                self.sleep(&reason, now);
            }
            return;
        }
        self.scale(measured, now);
    }

    fn scale(&mut self, measured: Measured, now: Instant) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let most = current.seats.len();
        let open = current.open_seats();
        let (change, why) = match &mut current.scaler {
            Some(scaler) => scaler.decide(open, most, measured),
            None => (Change::Stay, None),
        };
        let what = match change {
            Change::Stay => None,
            Change::More(count) => {
                current.open(count, now);
                Some(format!("{} more", plural(count)))
            }
            Change::Fewer => {
                self.close_seat(&mut current, now);
                Some("1 worker less".to_owned())
            }
        };
        let count = format!("{} of {most}", current.open_seats());
        let text = match (what, why) {
            (Some(what), why) => Some(format!("{what}: {}, now {count}", why.unwrap_or_default())),
            (None, Some(remark)) => Some(format!("{remark}, {}", plural(open))),
            (None, None) => None,
        };
        text.into_iter().for_each(|text| self.log(Level::Info, text));
        self.current = Some(current);
        if change != Change::Stay {
            self.notify(Notice::Status(self.status()));
        }
    }

    /// An operator wants one worker more than there are now. `false`: no seat is closed that could be opened for it.
    pub(super) fn open_one(&mut self, now: Instant) -> bool {
        if self.is_asleep() {
            self.knock(now);
            return true;
        }
        let Some(current) = self.current.as_mut() else {
            return false;
        };
        if current.open(1, now) == 0 {
            return false;
        }
        let text = format!(
            "1 worker more: asked for (TTIN or +), now {} of {}",
            current.open_seats(),
            current.seats.len()
        );
        self.log(Level::Info, text);
        true
    }

    /// An operator wants one worker less than there are now. `false`: seats are not closed here, but removed.
    pub(super) fn close_one(&mut self, now: Instant) -> bool {
        let Some(mut current) = self.current.take_if(|current| current.scaler.is_some()) else {
            return false;
        };
        let least = current.scaler.as_ref().map_or(1, Scaler::least);
        let text = if current.open_seats() > least {
            self.close_seat(&mut current, now);
            format!(
                "1 worker less: asked for (TTOU or -), now {} of {}",
                current.open_seats(),
                current.seats.len()
            )
        } else {
            format!("no worker less: cheaper = {least} are the fewest")
        };
        self.current = Some(current);
        self.log(Level::Info, text);
        true
    }

    /// The worker of the last open seat leaves.
    fn close_seat(&mut self, generation: &mut Generation, now: Instant) {
        let last = generation.seats.iter().rposition(Seat::is_open);
        if let Some(index) = last {
            let closed = Seat::closed(generation.seats[index].number, now);
            let seat = std::mem::replace(&mut generation.seats[index], closed);
            self.dissolve_seat(&seat, generation, Urge::Drain, now);
        }
    }

    /// An operator wants no workers, until someone asks for something.
    pub(super) fn go_cheap(&mut self, now: Instant) {
        if self.next.is_some() {
            self.log(Level::Warn, "not going to sleep: a reload is under way");
        }
        self.sleep("told to go cheap", now);
    }

    /// No workers, until someone asks for something.
    fn sleep(&mut self, reason: &str, now: Instant) {
        if self.phase != Phase::Running || self.next.is_some() || self.is_asleep() {
            return;
        }
        let Some(mut current) = self.current.take() else {
            return;
        };
        while current.open_seats() > 0 {
            self.close_seat(&mut current, now);
        }
        self.current = Some(current);
        self.log(
            Level::Info,
            format!("asleep: {reason}; the workers come back when someone asks"),
        );
        self.notify(Notice::Status(self.status()));
    }

    /// Someone asks while there are no workers.
    pub(super) fn knock(&mut self, now: Instant) {
        if !self.is_asleep() || self.paused {
            return;
        }
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let count = current
            .settings
            .scaling
            .cheaper
            .map_or(current.seats.len(), |cheaper| cheaper.initial);
        current.open(count.max(1), now);
        current.last_use = now;
        self.log(
            Level::Info,
            format!("awake: someone asks, so {} will be there", plural(count)),
        );
        self.notify(Notice::Status(self.status()));
    }
}

/// How many seats of a generation are open at first. `before`: the one that it follows.
pub(super) fn first_seats(scaling: &Scaling, most: usize, before: Option<&Generation>) -> usize {
    let initial = scaling.cheaper.map_or(most, |cheaper| cheaper.initial.min(most));
    match before {
        None if scaling.cheap => 0,
        None => initial,
        Some(before) if before.is_asleep() && (scaling.cheap || scaling.idle.is_some()) => 0,
        // Who has come for the load stays for it.
        Some(before) => initial.max(before.open_seats().min(most)),
    }
}

impl Seat {
    /// One that nobody is wanted in.
    pub(super) fn closed(number: usize, now: Instant) -> Self {
        Self {
            state: SeatState::Closed,
            ..Self::new(number, now)
        }
    }

    /// Is somebody wanted in it?
    pub(super) fn is_open(&self) -> bool {
        self.state != SeatState::Closed
    }
}

impl Generation {
    pub(super) fn open_seats(&self) -> usize {
        self.seats.iter().filter(|seat| seat.is_open()).count()
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.open_seats() == 0
    }

    /// Opens so many seats, the first ones, and says how many there were to be opened.
    fn open(&mut self, count: usize, now: Instant) -> usize {
        let closed = self.seats.iter_mut().filter(|seat| !seat.is_open());
        closed
            .take(count)
            .map(|seat| seat.state = SeatState::Vacant { due: now })
            .count()
    }
}
