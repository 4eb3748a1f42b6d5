//! The chain reload: workers of the next generation take over from those of the current one, one at a time. What is
//! particular to it is the order; that a broken generation is given up, and what happens at the end, is as in any reload.

use std::time::Instant;

use log::Level;

use super::generation::{Generation, Manner, Mold, Seat, SeatState};
use super::{Supervisor, Urge};

impl Supervisor {
    /// Takes the step that is possible now, if there is one.
    pub(super) fn advance_chain(&mut self, now: Instant) {
        let Some(mut next) = self.next.take_if(|next| next.manner == Manner::Chain) else {
            return;
        };
        let Some(mut current) = self.current.take() else {
            next.reopen(now);
            self.next = Some(next);
            return;
        };
        for seat in &next.seats {
            self.hand_over(&mut current, seat, next.id, now);
        }
        let leaves = self
            .leavers
            .iter()
            .any(|leaver| leaver.generation == current.id && !leaver.is_mold());
        if leaves {
            // Its mercy is not the new generation's fault.
            next.progressed = now;
        } else {
            next.open_seat(now);
        }
        (self.current, self.next) = (Some(current), Some(next));
    }

    /// Whose successor serves leaves.
    fn hand_over(&mut self, current: &mut Generation, successor: &Seat, generation: u64, now: Instant) {
        let SeatState::Serving(sitter) = successor.state else {
            return;
        };
        let number = successor.number;
        let index = current.seats.iter().position(|seat| {
            seat.number == number && !matches!(seat.state, SeatState::Aside | SeatState::Closed)
        });
        let Some(index) = index else {
            return;
        };
        let former = current.seats[index].clone();
        self.dissolve_seat(&former, current, Urge::Drain, now);
        current.seats[index] = Seat {
            state: SeatState::Aside,
            ..Seat::new(number, now)
        };
        let pid = sitter.pid;
        self.log(
            Level::Info,
            format!("worker {number} of generation {generation} (pid {pid}) takes over"),
        );
    }
}

impl Generation {
    /// The next worker's turn has come, if all those before it serve.
    fn open_seat(&mut self, now: Instant) {
        let is_done =
            |seat: &Seat| seat.is_serving() || matches!(seat.state, SeatState::Aside | SeatState::Closed);
        if !matches!(self.mold, Mold::Ready { .. }) || !self.seats.iter().all(is_done) {
            return;
        }
        let seat = self.seats.iter_mut().find(|seat| seat.state == SeatState::Aside);
        if let Some(seat) = seat {
            seat.state = SeatState::Vacant { due: now };
            self.progressed = now;
        }
    }

    /// Who had stood aside for the next generation is wanted again.
    pub(super) fn reopen(&mut self, now: Instant) {
        for seat in &mut self.seats {
            if seat.state == SeatState::Aside {
                seat.state = SeatState::Vacant { due: now };
            }
        }
    }

    /// Cuts the one before off, all at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.manner = Manner::Brutal;
        self.reopen(now);
    }
}
