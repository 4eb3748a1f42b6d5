//! One generation after the other: how a reload begins, fails and succeeds.

use std::time::{Duration, Instant};

use log::Level;

use super::generation::{Generation, Manner, Mold, Seat, SeatState};
use super::leaver::{Leaver, Role};
use super::scaling::first_seats;
use super::{
    Forgotten, HURRIED_MERCY, MOLD_MERCY, Notice, Output, Phase, Reload, Settings, Supervisor, Urge,
};
use crate::sys::Pid;

impl Supervisor {
    pub(super) fn begin_reload(&mut self, manner: Manner) {
        self.reload = Reload::Reading(manner);
        self.awaited.append(&mut self.asked);
        self.notify(Notice::Reloading);
        self.outputs.push_back(Output::Reread);
    }

    pub(super) fn reread(&mut self, result: Result<Settings, String>, now: Instant) {
        let manner = match self.reload {
            Reload::Reading(manner) => {
                self.reload = Reload::Idle;
                manner
            }
            Reload::Idle | Reload::Wanted(_) => Manner::Graceful,
        };
        if self.phase != Phase::Running || self.next.is_some() {
            return;
        }
        match result {
            Ok(settings) => {
                self.generations += 1;
                let workers = self.clamp_workers(settings.workers);
                let open = first_seats(&settings.scaling, workers, self.current.as_ref());
                self.next = Some(Generation::new(
                    self.generations,
                    Settings { workers, ..settings },
                    open,
                    manner,
                    now,
                ));
            }
            Err(reason) => self.reload_failed(&reason),
        }
    }

    /// Half of the slots: two generations must fit in.
    pub(super) fn clamp_workers(&mut self, wanted: usize) -> usize {
        let most = (self.slots.count() / 2).max(1);
        if wanted > most {
            self.log(
                Level::Warn,
                format!("{wanted} workers do not fit until the server is restarted, {most} are used"),
            );
        }
        wanted.clamp(1, most)
    }

    pub(super) fn reload_failed(&mut self, reason: &str) {
        let Some(current) = &self.current else {
            return;
        };
        let id = current.id;
        self.log(
            Level::Error,
            format!("reload failed: {reason}; generation {id} goes on serving"),
        );
        self.answer(&Err(reason.to_owned()));
        self.notify(Notice::Ready(format!(
            "reload failed: {reason}; {}",
            self.status()
        )));
    }

    /// The generation in preparation will not come to be.
    pub(super) fn give_up_next(&mut self, status: i32, reason: String, now: Instant) {
        let Some(next) = self.next.take() else {
            return;
        };
        self.dissolve(next, Urge::Drain, now);
        if let Some(current) = &mut self.current {
            current.reopen(now);
            self.reload_failed(&reason);
            return;
        }
        self.log(Level::Error, format!("cannot start: {reason}"));
        self.stop(Urge::Hurry, status, Some(reason), now);
    }

    /// The generation in preparation takes over.
    pub(super) fn promote_next(&mut self, now: Instant) {
        let Some(mut next) = self.next.take() else {
            return;
        };
        let manner = std::mem::replace(&mut next.manner, Manner::Graceful);
        let (generation, workers) = (next.id, next.open_seats());
        next.last_use = now;
        let took = now.saturating_duration_since(next.since);
        // The old are told first: whoever hears that the new one serves should not meet them any more.
        if let Some(former) = self.current.replace(next) {
            let urge = match manner {
                Manner::Brutal => Urge::Hurry,
                Manner::Graceful | Manner::Chain => Urge::Drain,
            };
            self.dissolve(former, urge, now);
        }
        self.outputs.push_back(Output::Serving {
            generation,
            workers,
            took,
        });
        self.answer(&Ok(generation));
        self.notify(Notice::Ready(self.status()));
    }

    /// Sends everyone of a generation away.
    pub(super) fn dissolve(&mut self, generation: Generation, urge: Urge, now: Instant) {
        let id = generation.id;
        let mold = generation.mold;
        for seat in &generation.seats {
            self.dissolve_seat(seat, &generation, urge, now);
        }
        match mold {
            // It is in the application's code and would not listen.
            Mold::Loading { id: mold, pid, .. } => {
                self.send_away(pid, Role::Mold { id: mold }, id, Urge::Kill, MOLD_MERCY, now);
            }
            Mold::Ready { id: mold, pid, .. } => {
                self.send_away(
                    pid,
                    Role::Mold { id: mold },
                    id,
                    urge.min(Urge::Hurry),
                    MOLD_MERCY,
                    now,
                );
            }
            Mold::Due(_) | Mold::Asked(_) | Mold::Lost => {}
        }
        self.retiring.push(id);
    }

    pub(super) fn dissolve_seat(&mut self, seat: &Seat, generation: &Generation, urge: Urge, now: Instant) {
        for place in seat.places() {
            self.dissolve_place(place, seat.number, generation, urge, now);
        }
        if let Some(obituary) = &seat.obituary {
            self.log(obituary.level, obituary.text.clone());
        }
    }

    pub(super) fn dissolve_place(
        &mut self,
        place: SeatState,
        number: usize,
        generation: &Generation,
        urge: Urge,
        now: Instant,
    ) {
        let mercy = generation.settings.mercy;
        match place {
            SeatState::Vacant { .. } | SeatState::Aside | SeatState::Closed => {}
            SeatState::Requested { ticket, slot, .. } => self.forgotten.push(Forgotten {
                ticket,
                mold: generation.mold.id(),
                number,
                generation: generation.id,
                slot,
                mercy,
            }),
            SeatState::Starting(sitter) => {
                let role = Role::Worker {
                    number,
                    slot: Some(sitter.slot),
                };
                self.send_newcomer_away(sitter.pid, role, generation.id, urge, mercy, now);
            }
            SeatState::Serving(sitter) => {
                let role = Role::Worker {
                    number,
                    slot: Some(sitter.slot),
                };
                self.send_away(sitter.pid, role, generation.id, urge, mercy, now);
            }
        }
    }

    /// Sends a worker away that has not said that it serves. It may do so by now, and have clients; or be in the
    /// application's code, where it listens to nobody. So it has a moment, and its whole mercy if it says that it serves.
    pub(super) fn send_newcomer_away(
        &mut self,
        pid: Pid,
        role: Role,
        generation: u64,
        urge: Urge,
        mercy: Duration,
        now: Instant,
    ) {
        let urge = if urge == Urge::Drain {
            Urge::Drain
        } else {
            Urge::Kill
        };
        self.send_away(pid, role, generation, urge, HURRIED_MERCY, now);
        if let Some(leaver) = self.leavers.last_mut().filter(|_| urge == Urge::Drain) {
            leaver.once_ready = Some(mercy);
        }
    }

    /// Someone says that it serves who was sent away meanwhile.
    pub(super) fn spare_newcomer(&mut self, pid: Pid, now: Instant) {
        let leaver = self.leavers.iter_mut().find(|leaver| leaver.pid == pid);
        if let Some(leaver) = leaver.filter(|leaver| leaver.urge == Urge::Drain)
            && let Some(mercy) = leaver.once_ready.take()
        {
            leaver.mercy = mercy;
            leaver.deadline = now + mercy;
            // Whatever the application's code did with the first signal.
            self.outputs.push_back(Output::Leave {
                pid,
                urge: Urge::Drain,
            });
        }
    }

    pub(super) fn send_away(
        &mut self,
        pid: Pid,
        role: Role,
        generation: u64,
        urge: Urge,
        mercy: Duration,
        now: Instant,
    ) {
        let mercy = if urge == Urge::Hurry { HURRIED_MERCY } else { mercy };
        let deadline = now + mercy;
        self.leavers.push(Leaver {
            pid,
            role,
            generation,
            urge,
            mercy,
            once_ready: None,
            deadline,
        });
        self.outputs.push_back(match (role, urge) {
            (Role::Mold { .. }, Urge::Drain | Urge::Hurry) => Output::DismissMold { pid },
            _ => Output::Leave { pid, urge },
        });
    }
}
