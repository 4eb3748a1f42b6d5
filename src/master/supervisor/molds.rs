//! Molds: their births and deaths, as the supervisor takes them.

use std::time::{Duration, Instant};

use log::Level;

use super::generation::{Mold, Seat, SeatState};
use super::leaver::Role;
use super::{MOLD_MERCY, MoldId, Supervisor, Urge};
use crate::sys::{Ending, Pid};

impl Supervisor {
    pub(super) fn mold_started(&mut self, mold: MoldId, pid: Pid, now: Instant) {
        if let Some(generation) = self.generation_of_mold(mold) {
            generation.mold = Mold::Loading {
                id: mold,
                pid,
                since: now,
            };
            return;
        }
        // Its generation was given up between the wish and the deed.
        let generation = self.generations;
        self.send_away(
            pid,
            Role::Mold { id: mold },
            generation,
            Urge::Kill,
            MOLD_MERCY,
            now,
        );
    }

    pub(super) fn mold_not_started(&mut self, mold: MoldId, reason: &str, now: Instant) {
        let Some(generation) = self.generation_of_mold(mold) else {
            return;
        };
        generation.mold = Mold::Due(now + Duration::from_secs(1));
        let id = generation.id;
        let reason = format!("cannot fork a mold: {reason}");
        self.log(Level::Error, reason.clone());
        self.boot_failure(id, 1, reason, now);
    }

    pub(super) fn mold_ready(&mut self, mold: MoldId) {
        let Some(generation) = self.generation_of_mold(mold) else {
            return;
        };
        if let Mold::Loading { id, pid, since } = generation.mold {
            generation.mold = Mold::Ready { id, pid, since };
        }
    }

    pub(super) fn mold_failed(&mut self, mold: MoldId, status: i32, reason: String, now: Instant) {
        let Some(generation) = self.generation_of_mold(mold) else {
            return;
        };
        let id = generation.id;
        if let Some(pid) = generation.mold.pid() {
            generation.mold = Mold::Due(now + generation.mold_backoff.note_death(Duration::ZERO));
            self.send_away(pid, Role::Mold { id: mold }, id, Urge::Drain, MOLD_MERCY, now);
        }
        if self.is_next(id) {
            self.give_up_next(status, reason, now);
        } else {
            self.log(Level::Error, format!("the application of generation {id} could not be loaded again, {reason}; its workers go on"));
        }
    }

    pub(super) fn mold_died(&mut self, id: u64, ending: Ending, now: Instant) {
        let Some(generation) = self.generations_mut().find(|generation| generation.id == id) else {
            return;
        };
        let (since, loaded) = match generation.mold {
            Mold::Loading { since, .. } => (since, false),
            Mold::Ready { since, .. } => (since, true),
            Mold::Due(_) | Mold::Asked(_) | Mold::Lost => (now, false),
        };
        let mold = generation.mold.id();
        let delay = generation
            .mold_backoff
            .note_death(now.saturating_duration_since(since));
        generation.mold = Mold::Due(now + delay);
        let mut released = Vec::new();
        for place in generation.seats.iter_mut().flat_map(Seat::places_mut) {
            if let SeatState::Requested { slot, .. } = *place {
                released.push(slot);
                *place = SeatState::Vacant { due: now };
            }
        }
        for slot in released {
            self.slots.release(slot);
        }
        self.forget_forks_of(mold);
        if self.is_next(id) && !loaded {
            let status = match ending {
                Ending::Exited(status) if status != 0 => status,
                _ => 1,
            };
            self.give_up_next(
                status,
                format!("the process that loads the application {ending}"),
                now,
            );
            return;
        }
        self.log(
            Level::Error,
            format!("the mold of generation {id} {ending}; another one is started"),
        );
        self.boot_failure(id, 1, format!("the mold {ending}"), now);
    }

    /// What a mold that is gone had been asked to fork will not come, or come as a stranger.
    pub(super) fn forget_forks_of(&mut self, mold: Option<MoldId>) {
        let slots = &mut self.slots;
        self.forgotten.retain(|forgotten| {
            let is_lost = forgotten.mold == mold;
            if is_lost {
                slots.release(forgotten.slot);
            }
            !is_lost
        });
    }
}
