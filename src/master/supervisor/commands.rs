//! What operators ask for, and what the supervisor makes of it.

use std::time::Instant;

use log::Level;

use super::generation::{Manner, Seat};
use super::{
    Command, HURRIED_MERCY, Notice, Output, Phase, Reexecution, Reload, SAME_STOP, Supervisor, Urge,
};
use crate::launch::ClientId;

impl Supervisor {
    pub(super) fn command(&mut self, command: Command, now: Instant) {
        let die_on_term = self
            .generations()
            .next()
            .is_none_or(|generation| generation.settings.die_on_term);
        match command {
            Command::Reload => self.want_reload(Manner::Graceful, now),
            Command::BrutalReload => self.want_reload(Manner::Brutal, now),
            Command::RenewWorkersBrutally => self.renew_workers(Urge::Hurry, now),
            Command::Stop => self.stop_by_command("q", Urge::Drain, now),
            Command::StopAtOnce => self.stop_by_command("Q", Urge::Hurry, now),
            Command::ShowState => self.outputs.push_back(Output::ShowState),
            Command::WritePidfiles => self.outputs.push_back(Output::WritePidfiles),
            Command::ChainReload => self.want_reload(Manner::Chain, now),
            Command::RenewWorkers => self.renew_workers(Urge::Drain, now),
            Command::Terminate if !die_on_term => self.want_reload(Manner::Brutal, now),
            Command::Interrupt => self.stop_by_command("INT", Urge::Drain, now),
            Command::Terminate => self.stop_by_command("TERM", Urge::Drain, now),
            Command::Quit => self.stop_by_command("QUIT", Urge::Hurry, now),
            Command::Report => self.outputs.extend([Output::ReopenLogs, Output::ShowState]),
            Command::Reexecute => self.want_reexecution(),
            Command::MoreWorkers => self.add_worker(now),
            Command::FewerWorkers => self.remove_worker(now),
            Command::GoCheap => self.go_cheap(now),
            Command::TogglePause => self.toggle_pause(),
            Command::ReopenLogs => self.outputs.push_back(Output::ReopenLogs),
            Command::RotateLogs => self.outputs.push_back(Output::RotateLogs),
        }
    }

    pub(super) fn want_reload(&mut self, manner: Manner, now: Instant) {
        if self.phase != Phase::Running {
            self.log(Level::Warn, "not reloading: the server is stopping");
            return;
        }
        if self.next.is_some() || self.reload != Reload::Idle {
            // However often that is asked for, it is one.
            if !matches!(self.reload, Reload::Wanted(_)) {
                self.log(
                    Level::Info,
                    "asked to reload once more: follows when the one under way is done",
                );
            }
        } else if manner == Manner::Chain {
            self.log(Level::Info, "reloading, one worker at a time");
        } else {
            self.log(Level::Info, "reloading");
        }
        if let Some(next) = self.next.as_mut().filter(|_| manner == Manner::Brutal) {
            next.hurry(now);
        }
        self.reload = match self.reload {
            Reload::Wanted(before) => Reload::Wanted(manner.max(before)),
            Reload::Idle | Reload::Reading(_) => Reload::Wanted(manner),
        };
    }

    pub(super) fn reload_for(&mut self, client: ClientId, now: Instant) {
        self.asked.push(client);
        self.want_reload(Manner::Graceful, now);
        if self.phase != Phase::Running {
            self.answer_all("the server is stopping");
        }
    }

    /// No reload that anyone waits for will come to anything.
    pub(super) fn answer_all(&mut self, reason: &str) {
        let asked = std::mem::take(&mut self.asked);
        self.awaited.extend(asked);
        self.answer(&Err(reason.to_owned()));
    }

    /// The reload that was under way is over.
    pub(super) fn answer(&mut self, outcome: &Result<u64, String>) {
        let answers = self.awaited.drain(..).map(|client| Output::Answer {
            client,
            outcome: outcome.clone(),
        });
        self.outputs.extend(answers);
    }

    pub(super) fn stop_by_command(&mut self, signal: &str, urge: Urge, now: Instant) {
        let Phase::Stopping {
            since, urge: before, ..
        } = &mut self.phase
        else {
            let how = if urge == Urge::Drain {
                "gracefully"
            } else {
                "at once"
            };
            self.log(Level::Info, format!("stopping {how} on {signal}"));
            self.stop(urge, 0, None, now);
            return;
        };
        if urge == Urge::Drain && now.saturating_duration_since(*since) < SAME_STOP {
            return;
        }
        let harder = match *before {
            Urge::Drain => Urge::Hurry,
            Urge::Hurry | Urge::Kill => Urge::Kill,
        };
        *before = harder;
        *since = now;
        self.log(Level::Warn, format!("stopping at once on {signal}"));
        self.urge_all(harder, now);
    }

    /// Everything is sent away; the server ends when it is gone.
    pub(super) fn stop(&mut self, urge: Urge, status: i32, reason: Option<String>, now: Instant) {
        self.phase = Phase::Stopping {
            since: now,
            urge,
            status,
            reason,
        };
        self.reload = Reload::Idle;
        self.reexecution = Reexecution::Idle;
        self.notify(Notice::Stopping);
        self.answer_all("the server is stopping");
        for generation in [self.next.take(), self.current.take()].into_iter().flatten() {
            self.dissolve(generation, urge, now);
        }
        if urge > Urge::Drain {
            self.urge_all(urge, now);
        }
    }

    /// Those who are leaving are told to make haste.
    pub(super) fn urge_all(&mut self, urge: Urge, now: Instant) {
        for leaver in &mut self.leavers {
            if leaver.urge >= urge {
                continue;
            }
            leaver.urge = urge;
            leaver.mercy = HURRIED_MERCY;
            leaver.deadline = leaver.deadline.min(now + HURRIED_MERCY);
            // A mold was told already, and knows no haste.
            if !leaver.is_mold() || urge == Urge::Kill {
                self.outputs.push_back(Output::Leave {
                    pid: leaver.pid,
                    urge,
                });
            }
        }
    }

    pub(super) fn add_worker(&mut self, now: Instant) {
        if self.phase == Phase::Running && self.open_one(now) {
            return;
        }
        let most = self.slots.count() / 2;
        let mut wanted = None;
        for generation in self.generations_mut() {
            if generation.seats.len() < most {
                let number = generation.seats.len() + 1;
                generation.seats.push(Seat::new(number, now));
            }
            wanted = Some(generation.seats.len());
        }
        if let Some(wanted) = wanted {
            self.log(
                Level::Info,
                format!("1 worker more: asked for (TTIN or +), now {wanted}"),
            );
        }
    }

    pub(super) fn remove_worker(&mut self, now: Instant) {
        if self.phase == Phase::Running && self.close_one(now) {
            return;
        }
        let mut wanted = None;
        for is_next in [false, true] {
            let place = if is_next {
                &mut self.next
            } else {
                &mut self.current
            };
            let Some(mut generation) = place.take() else {
                continue;
            };
            let removed = if generation.seats.len() > 1 {
                generation.seats.pop()
            } else {
                None
            };
            wanted = Some(generation.seats.len());
            if let Some(seat) = removed {
                self.dissolve_seat(&seat, &generation, Urge::Drain, now);
            }
            let place = if is_next {
                &mut self.next
            } else {
                &mut self.current
            };
            *place = Some(generation);
        }
        if let Some(wanted) = wanted {
            self.log(
                Level::Info,
                format!("1 worker less: asked for (TTOU or -), now {wanted}"),
            );
        }
    }

    pub(super) fn toggle_pause(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.paused = !self.paused;
        self.outputs.push_back(Output::Pause(self.paused));
        let text = if self.paused {
            "paused: new connections wait until the next TSTP"
        } else {
            "going on after a pause"
        };
        self.log(Level::Info, text);
        self.notify(Notice::Status(self.status()));
    }

    pub(super) fn want_reexecution(&mut self) {
        if self.phase != Phase::Running {
            self.log(Level::Warn, "not re-executing: the server is stopping");
            return;
        }
        if self.reexecution == Reexecution::Idle {
            self.log(
                Level::Info,
                "asked to re-execute: trying the program at our path first",
            );
            self.reexecution = Reexecution::Wanted;
        }
    }

    pub(super) fn preflight(&mut self, result: Result<(), String>) {
        if !matches!(self.reexecution, Reexecution::Checking { .. }) {
            return;
        }
        match result {
            Ok(()) => self.reexecution = Reexecution::Agreed,
            Err(reason) => self.not_reexecuted(&reason),
        }
    }

    pub(super) fn not_reexecuted(&mut self, reason: &str) {
        self.reexecution = Reexecution::Idle;
        self.log(
            Level::Error,
            format!("not re-executed: {reason}; everything goes on as it was"),
        );
    }
}
