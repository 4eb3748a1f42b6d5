//! What follows from the state and the clock: called after every input.

use std::time::{Duration, Instant};

use log::Level;

use super::generation::{Generation, Mold, SeatState};
use super::leaver::{Leaver, Role};
use super::{FORK_LIMIT, Output, PREFLIGHT_LIMIT, Phase, Reexecution, Reload, Supervisor, Urge, seconds};

impl Supervisor {
    pub(super) fn advance(&mut self, now: Instant) {
        self.kill_overdue(now);
        if self.phase == Phase::Running {
            self.advance_chain(now);
            self.limit_successors(now);
            self.limit_boot(now);
            self.start_molds(now);
            self.fill_seats(now);
            if self.next.as_ref().is_some_and(Generation::is_complete) {
                self.promote_next(now);
            }
            if let Reload::Wanted(manner) = self.reload
                && self.next.is_none()
                && self.current.is_some()
            {
                self.begin_reload(manner);
            }
            self.advance_reexecution(now);
        }
        self.retire();
        self.end_when_alone();
    }

    pub(super) fn kill_overdue(&mut self, now: Instant) {
        for leaver in &mut self.leavers {
            if leaver.next_deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            let (what, slot) = match leaver.role {
                Role::Worker { number, slot } => (format!("worker {number}"), slot),
                Role::Mold { .. } => (format!("the mold of generation {}", leaver.generation), None),
            };
            leaver.urge = Urge::Kill;
            let (pid, mercy) = (leaver.pid, leaver.mercy);
            self.outputs.push_back(Output::Overdue {
                pid,
                what,
                slot,
                mercy,
            });
            self.outputs.push_back(Output::Leave {
                pid,
                urge: Urge::Kill,
            });
        }
        self.kill_stuck_molds(now);
    }

    /// A mold that does not answer is of no use; its death brings everything else about.
    pub(super) fn kill_stuck_molds(&mut self, now: Instant) {
        let mut stuck = Vec::new();
        for generation in self.current.iter_mut().chain(&mut self.next) {
            if generation.take_overdue_fork(FORK_LIMIT, now) {
                let limit = seconds(FORK_LIMIT);
                stuck.extend(
                    generation
                        .mold
                        .pid()
                        .map(|pid| (pid, format!("did not fork within {limit}"))),
                );
            }
        }
        // Where a generation is new, limit_boot() looks after it.
        if let Some(current) = &mut self.current
            && let Mold::Loading { pid, since, .. } = &mut current.mold
            && *since + current.settings.boot_limit <= now
        {
            *since = now;
            let limit = seconds(current.settings.boot_limit);
            stuck.push((*pid, format!("was not ready within {limit} (boot-timeout)")));
        }
        for (pid, what) in stuck {
            self.log(Level::Error, format!("the mold (pid {pid}) {what} and is killed"));
            self.outputs.push_back(Output::Leave {
                pid,
                urge: Urge::Kill,
            });
        }
    }

    /// A generation that takes too long is asked where it is, then given up.
    pub(super) fn limit_boot(&mut self, now: Instant) {
        let Some(next) = self.next.as_mut().filter(|next| next.boot_deadline() <= now) else {
            return;
        };
        let limit = format!("{} (boot-timeout)", seconds(next.settings.boot_limit));
        if next.traced == Some(next.progressed) {
            let reason = format!("the new generation was not ready within {limit}");
            return self.give_up_next(1, reason, now);
        }
        next.traced = Some(next.progressed);
        let (id, starting) = (next.id, next.starting());
        self.log(
            Level::Error,
            format!("generation {id} is not ready after {limit}; what it does:"),
        );
        let traces = starting.into_iter().map(|pid| Output::Trace { pid });
        self.outputs.extend(traces);
    }

    pub(super) fn start_molds(&mut self, now: Instant) {
        let first = self.current.is_none();
        for generation in self.current.iter_mut().chain(&mut self.next) {
            if matches!(generation.mold, Mold::Due(due) if due <= now) {
                self.molds += 1;
                generation.mold = Mold::Asked(self.molds);
                let (mold, generation) = (self.molds, generation.id);
                self.outputs.push_back(Output::StartMold {
                    mold,
                    generation,
                    first,
                });
            }
        }
    }

    pub(super) fn fill_seats(&mut self, now: Instant) {
        for generation in self.current.iter_mut().chain(&mut self.next) {
            let Some(mold) = generation.mold.ready_id() else {
                continue;
            };
            for (number, place) in generation.vacancies(now) {
                let Some(slot) = self.slots.take() else {
                    // Those who leave still have theirs.
                    *place = SeatState::Vacant {
                        due: now + Duration::from_secs(1),
                    };
                    continue;
                };
                self.tickets = self.tickets.wrapping_add(1);
                let ticket = self.tickets;
                *place = SeatState::Requested {
                    ticket,
                    slot,
                    since: now,
                };
                self.outputs.push_back(Output::Fork {
                    mold,
                    ticket,
                    number,
                    slot,
                });
            }
        }
    }

    pub(super) fn advance_reexecution(&mut self, now: Instant) {
        if let Reexecution::Checking { since } = self.reexecution
            && since + PREFLIGHT_LIMIT <= now
        {
            self.outputs.push_back(Output::AbandonPreflight);
            let limit = seconds(PREFLIGHT_LIMIT);
            self.not_reexecuted(&format!(
                "the program at our path did not look at the configuration within {limit}"
            ));
        }
        let no_mold_leaves = !self.leavers.iter().any(Leaver::is_mold);
        let is_settled = self.current.as_ref().is_some_and(Generation::is_settled);
        let is_quiet = self.next.is_none() && self.reload == Reload::Idle && self.forgotten.is_empty();
        if !(no_mold_leaves && is_settled && is_quiet) {
            return;
        }
        match self.reexecution {
            Reexecution::Idle | Reexecution::Checking { .. } => {}
            Reexecution::Wanted => {
                self.reexecution = Reexecution::Checking { since: now };
                self.outputs.push_back(Output::Preflight);
            }
            Reexecution::Agreed => {
                self.reexecution = Reexecution::Idle;
                self.outputs.push_back(Output::Reexecute);
            }
        }
    }

    pub(super) fn retire(&mut self) {
        let (leavers, forgotten) = (&self.leavers, &self.forgotten);
        let outputs = &mut self.outputs;
        self.retiring.retain(|&id| {
            let is_there = leavers.iter().any(|leaver| leaver.generation == id)
                || forgotten.iter().any(|forgotten| forgotten.generation == id);
            if !is_there {
                outputs.push_back(Output::Retired { generation: id });
            }
            is_there
        });
    }

    pub(super) fn end_when_alone(&mut self) {
        let Phase::Stopping { status, reason, .. } = &mut self.phase else {
            return;
        };
        if self.leavers.is_empty() {
            let (status, reason) = (*status, reason.take());
            self.phase = Phase::Ended;
            self.outputs.push_back(Output::Exit { status, reason });
        }
    }
}
