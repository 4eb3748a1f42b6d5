//! Relief: one worker takes over from another in its seat, of the same generation. The successor comes first, the one who
//! serves leaves when it is ready; where it does not come up, the one who serves goes on. Successors come one at a time
//! ([`Generation::vacancies`](super::Generation::vacancies)).

use std::time::Instant;

use log::Level;

use super::generation::{Generation, Mold, Occasion, Seat, SeatState, Sitter, Successor};
use super::leaver::Role;
use super::{HURRIED_MERCY, Phase, Supervisor, Ticket, Urge, seconds};
use crate::sys::{Ending, Pid};

impl Supervisor {
    /// New workers for the generation that serves.
    pub(super) fn renew_workers(&mut self, urge: Urge, now: Instant) {
        if self.phase != Phase::Running {
            self.log(Level::Warn, "no new workers: the server is stopping");
            return;
        }
        let Some(current) = self.current.as_mut().filter(|_| self.next.is_none()) else {
            self.log(
                Level::Info,
                "no new workers: those of the generation that is being loaded are new",
            );
            return;
        };
        if current.mold == Mold::Lost {
            self.log(
                Level::Warn,
                "no new workers: nothing is left that could fork them; reload instead",
            );
            return;
        }
        for seat in &mut current.seats {
            seat.want_successor(Occasion::Renewal, urge, now);
        }
        self.log(Level::Info, "replacing the workers, one after the other");
    }

    /// If a successor goes by that ticket, it serves now.
    pub(super) fn relieve_by(&mut self, ticket: Ticket, now: Instant) {
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let (generation, mercy) = (current.id, current.settings.mercy);
        let Some(seat) = current.seat_by_ticket(ticket) else {
            return;
        };
        let Some(Successor {
            urge,
            state,
            occasion,
        }) = seat.successor.take_if(|successor| {
            let sitter = successor.state.sitter();
            sitter.is_some_and(|sitter| sitter.ticket == ticket)
        })
        else {
            return;
        };
        let SeatState::Starting(heir) = state else {
            return;
        };
        let former = std::mem::replace(&mut seat.state, SeatState::Serving(heir)).sitter();
        let number = seat.number;
        let Some(former) = former else {
            return;
        };
        let role = Role::Worker {
            number,
            slot: Some(former.slot),
        };
        let mercy = match occasion {
            Occasion::Stuck { grace } => grace,
            Occasion::Renewal | Occasion::Wear => mercy,
        };
        self.send_away(former.pid, role, generation, urge, mercy, now);
        self.log(
            Level::Info,
            format!(
                "worker {number}: pid {} takes over from pid {}",
                heir.pid, former.pid
            ),
        );
    }

    /// A successor could not get the application ready, and is ending.
    pub(super) fn successor_failed(&mut self, ticket: Ticket, reason: &str, now: Instant) {
        self.stop_successor(|sitter| sitter.ticket == ticket, reason, now);
    }

    /// A successor takes too long.
    pub(super) fn limit_successors(&mut self, now: Instant) {
        let Some(limit) = self.current.as_ref().map(|current| current.settings.boot_limit) else {
            return;
        };
        let reason = format!("not ready within {} (boot-timeout)", seconds(limit));
        self.stop_successor(|sitter| sitter.since + limit <= now, &reason, now);
    }

    /// The successor, not ready yet, of which that is true is wanted no more.
    fn stop_successor(&mut self, is_it: impl Fn(Sitter) -> bool, reason: &str, now: Instant) {
        let Some(current) = self.current.as_mut() else {
            return;
        };
        let generation = current.id;
        let is_it = |state: SeatState| state.sitter().is_some_and(&is_it);
        let dismissed = current
            .seats
            .iter_mut()
            .find_map(|seat| seat.dismiss_successor(is_it));
        let Some((number, successor)) = dismissed else {
            return;
        };
        if let Some(sitter) = successor.state.sitter() {
            let role = Role::Worker {
                number,
                slot: Some(sitter.slot),
            };
            self.send_away(sitter.pid, role, generation, Urge::Kill, HURRIED_MERCY, now);
        }
        self.no_relief(number, &successor, reason, now);
    }

    /// A successor died before it was ready.
    pub(super) fn successor_died(&mut self, pid: Pid, ending: Ending, now: Instant) {
        let seat = self.current.as_mut().and_then(|current| current.seat_of(pid));
        let dismissed = seat.and_then(|seat| {
            seat.dismiss_successor(|state| state.sitter().is_some_and(|sitter| sitter.pid == pid))
        });
        let Some((number, successor)) = dismissed else {
            return;
        };
        if let Some(sitter) = successor.state.sitter() {
            self.slots.release(sitter.slot);
        }
        self.no_relief(
            number,
            &successor,
            &format!("pid {pid} {ending} before it was ready"),
            now,
        );
    }

    fn no_relief(&mut self, number: usize, successor: &Successor, reason: &str, now: Instant) {
        let what = match successor.occasion {
            Occasion::Renewal => {
                self.current.iter_mut().for_each(Generation::cancel_renewals);
                "the workers are not replaced"
            }
            Occasion::Wear => {
                self.put_off_wear(now);
                "a worker that has reached a limit is not replaced"
            }
            Occasion::Stuck { .. } => return self.kill_stuck(number, reason),
        };
        self.log(
            Level::Error,
            format!("{what}: the successor of worker {number}: {reason}; who serves goes on"),
        );
    }
}

impl Seat {
    /// Who serves here is to be replaced. Nothing happens where nobody serves or a successor is wanted already.
    pub(super) fn want_successor(&mut self, occasion: Occasion, urge: Urge, now: Instant) {
        if self.is_serving() && self.successor.is_none() {
            self.successor = Some(Successor {
                occasion,
                urge,
                state: SeatState::Vacant { due: now },
            });
        }
    }

    /// Who serves here has died: a successor that was asked for takes its place.
    pub(super) fn take_successor_under_way(&mut self) -> Option<SeatState> {
        let successor = self.successor.take()?.state;
        (!matches!(successor, SeatState::Vacant { .. })).then_some(successor)
    }

    /// The successor of whom that is true is none any more; gives it with the number of the seat.
    fn dismiss_successor(&mut self, is_it: impl FnOnce(SeatState) -> bool) -> Option<(usize, Successor)> {
        let successor = self.successor.take_if(|successor| is_it(successor.state))?;
        Some((self.number, successor))
    }
}

impl Generation {
    /// Those whose turn has not come are not replaced.
    fn cancel_renewals(&mut self) {
        for seat in &mut self.seats {
            let is_waiting = |successor: &mut Successor| {
                successor.occasion == Occasion::Renewal && matches!(successor.state, SeatState::Vacant { .. })
            };
            seat.successor.take_if(is_waiting);
        }
    }
}
