//! Workers: their births and deaths, as the supervisor takes them.

use std::time::{Duration, Instant};

use log::Level;

use super::generation::{Obituary, SeatState, Sitter};
use super::leaver::{Leaver, Role};
use super::{BOOT_FAILURES, FORK_REMINDER, HURRIED_MERCY, Phase, Supervisor, Ticket, Urge, seconds};
use crate::sys::{Ending, Pid};

impl Supervisor {
    pub(super) fn forked(&mut self, ticket: Ticket, pid: Pid, now: Instant) {
        let Some(seat) = self.seat_by_ticket(ticket) else {
            self.forked_in_vain(ticket, pid, now);
            return;
        };
        let Some(place) = seat.place_of(ticket) else {
            return;
        };
        let SeatState::Requested { slot, .. } = *place else {
            return;
        };
        *place = SeatState::Starting(Sitter {
            ticket,
            pid,
            slot,
            since: now,
        });
        let obituary = seat.obituary.take();
        self.fork_complaint = None;
        if let Some(obituary) = obituary {
            self.log(
                obituary.level,
                format!("{}; replaced by pid {pid}", obituary.text),
            );
        }
    }

    /// A worker that is wanted no more, or that came after its mold was dead.
    pub(super) fn forked_in_vain(&mut self, ticket: Ticket, pid: Pid, now: Instant) {
        if self.leavers.iter().any(|leaver| leaver.pid == pid) {
            return;
        }
        let known = self
            .forgotten
            .iter()
            .position(|forgotten| forgotten.ticket == ticket);
        let forgotten = known.map(|index| self.forgotten.swap_remove(index));
        let role = Role::Worker {
            number: forgotten.map_or(0, |forgotten| forgotten.number),
            slot: forgotten.map(|forgotten| forgotten.slot),
        };
        let generation = forgotten.map_or(self.generations, |forgotten| forgotten.generation);
        let mercy = forgotten.map(|forgotten| forgotten.mercy);
        let urge = match self.phase {
            Phase::Stopping { urge, .. } => urge,
            Phase::Running | Phase::Ended => Urge::Drain,
        };
        self.send_newcomer_away(pid, role, generation, urge, mercy.unwrap_or(HURRIED_MERCY), now);
    }

    pub(super) fn not_forked(&mut self, ticket: Ticket, reason: &str, now: Instant) {
        if let Some(index) = self
            .forgotten
            .iter()
            .position(|forgotten| forgotten.ticket == ticket)
        {
            let forgotten = self.forgotten.swap_remove(index);
            self.slots.release(forgotten.slot);
            return;
        }
        let Some(seat) = self.seat_by_ticket(ticket) else {
            return;
        };
        let number = seat.number;
        let Some(place) = seat.place_of(ticket) else {
            return;
        };
        let SeatState::Requested { slot, .. } = *place else {
            return;
        };
        *place = SeatState::Vacant {
            due: now + Duration::from_secs(1),
        };
        self.slots.release(slot);
        // It is tried every second, for every worker.
        if self.fork_complaint.is_none_or(|told| now >= told + FORK_REMINDER) {
            self.fork_complaint = Some(now);
            self.log(
                Level::Error,
                format!("cannot fork worker {number}: {reason}; trying again every second"),
            );
        }
    }

    pub(super) fn worker_ready(&mut self, ticket: Ticket, pid: Pid, now: Instant) {
        // It and the process that reports its birth run side by side.
        self.forked(ticket, pid, now);
        let Some(seat) = self.seat_by_ticket(ticket) else {
            self.spare_newcomer(pid, now);
            return;
        };
        match seat.state {
            SeatState::Starting(sitter) if sitter.ticket == ticket => seat.state = SeatState::Serving(sitter),
            _ => self.relieve_by(ticket, now),
        }
    }

    pub(super) fn worker_failed(&mut self, ticket: Ticket, status: i32, reason: String, now: Instant) {
        let next = self.next.as_mut();
        let Some(seat) = next.and_then(|next| next.seat_by_ticket(ticket)) else {
            self.successor_failed(ticket, &reason, now);
            return;
        };
        let number = seat.number;
        self.give_up_next(status, format!("worker {number}: {reason}"), now);
    }

    pub(super) fn exited(&mut self, pid: Pid, ending: Ending, work: &str, now: Instant) {
        if let Some(index) = self.leavers.iter().position(|leaver| leaver.pid == pid) {
            let leaver = self.leavers.swap_remove(index);
            self.left(leaver, ending, work);
            return;
        }
        let mold_of = self
            .generations()
            .find(|generation| generation.mold.pid() == Some(pid));
        if let Some(generation) = mold_of {
            let id = generation.id;
            self.mold_died(id, ending, now);
            return;
        }
        self.worker_died(pid, ending, work, now);
    }

    /// Someone who had been told to leave has left.
    pub(super) fn left(&mut self, leaver: Leaver, ending: Ending, work: &str) {
        let (number, slot) = match leaver.role {
            Role::Worker { number, slot } => (number, slot),
            Role::Mold { id } => return self.forget_forks_of(Some(id)),
        };
        if let Some(slot) = slot {
            self.slots.release(slot);
        }
        let pid = leaver.pid;
        let ended = self.how_it_ended(pid, ending);
        match ending {
            Ending::Exited(0) => self.log(Level::Info, format!("worker {number} (pid {pid}) left{work}")),
            _ if leaver.urge == Urge::Kill => {}
            _ => self.log(
                Level::Warn,
                format!("worker {number} (pid {pid}) {ended} while it was leaving{work}"),
            ),
        }
    }

    pub(super) fn worker_died(&mut self, pid: Pid, ending: Ending, work: &str, now: Instant) {
        let ended = self.how_it_ended(pid, ending);
        let found = self.generations_mut().find_map(|generation| {
            let (id, can_fork) = (generation.id, generation.mold.ready_id().is_some());
            generation.seat_of(pid).map(|seat| (id, can_fork, seat))
        });
        // A child that an application left behind is reaped and that is all.
        let Some((id, can_fork, seat)) = found else {
            return;
        };
        if seat.is_successor(pid) {
            self.successor_died(pid, ending, now);
            return;
        }
        let was_serving = seat.is_serving();
        let Some(sitter) = seat.state.sitter() else {
            return;
        };
        let delay = seat
            .backoff
            .note_death(now.saturating_duration_since(sitter.since));
        let number = seat.number;
        let level = if ending == Ending::Exited(0) {
            Level::Info
        } else {
            Level::Error
        };
        let stage = if was_serving { "" } else { " before it was ready" };
        let text = format!("worker {number} (pid {pid}) {ended}{stage}{work}");
        if let Some(successor) = seat.take_successor_under_way() {
            // It was on its way already.
            seat.state = successor;
            self.slots.release(sitter.slot);
            self.log(level, format!("{text}; its successor is on the way"));
            return;
        }
        seat.state = SeatState::Vacant { due: now + delay };
        let is_replaced_at_once = can_fork && delay.is_zero();
        if is_replaced_at_once {
            seat.obituary = Some(Obituary {
                level,
                text: text.clone(),
            });
        }
        self.slots.release(sitter.slot);
        if is_replaced_at_once {
            // Logged with its replacement's pid.
        } else if can_fork {
            self.log(
                level,
                format!("{text}; the next one starts in {}", seconds(delay)),
            );
        } else {
            self.log(
                level,
                format!("{text}; the next one starts when the application is loaded again"),
            );
        }
        if !was_serving {
            self.boot_failure(id, 1, text, now);
        }
    }

    /// Something died that should have helped a new generation up. Too often, and the generation is given up.
    pub(super) fn boot_failure(&mut self, generation: u64, status: i32, reason: String, now: Instant) {
        let Some(next) = self.next.as_mut().filter(|next| next.id == generation) else {
            return;
        };
        next.failures += 1;
        if next.failures >= BOOT_FAILURES {
            self.give_up_next(status, reason, now);
        }
    }
}
