//! The master's look at its workers, now and then: what is to be known of them only from outside, or would cost them
//! something to tell. What it means is decided elsewhere.

use std::time::{Duration, Instant};

use super::supervisor::Input;
use super::wear::{self, Finding, Sight};
use super::{GenerationFiles, Master, WorkerView, report};
use crate::scoreboard::WorkerState;
use crate::sys;

/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(1);

impl Master<'_> {
    /// When the workers are to be looked at; `None`: they have no limits.
    pub(super) fn next_watch(&self) -> Option<Instant> {
        let is_wanted = |files: &GenerationFiles| wear::is_wanted(&files.config.processes.worker_limits);
        self.generations
            .values()
            .any(is_wanted)
            .then_some(self.next_watch)
    }

    pub(super) fn look_at_workers(&mut self) {
        let now = Instant::now();
        if self.next_watch().is_none_or(|due| due > now) {
            return;
        }
        self.next_watch = now + EVERY;
        let inputs: Vec<Input> = self
            .supervisor
            .workers()
            .filter_map(|worker| self.look_at_worker(worker))
            .collect();
        for input in inputs {
            self.handle(input);
        }
    }

    fn look_at_worker(&self, worker: WorkerView) -> Option<Input> {
        let limits = &self
            .generations
            .get(&worker.generation)?
            .config
            .processes
            .worker_limits;
        let snapshot = self.scoreboard.snapshot(worker.slot?)?;
        let is_ready = matches!(snapshot.state, WorkerState::Serving | WorkerState::Draining);
        if snapshot.occupant.pid != worker.pid || !is_ready {
            return None;
        }
        let pid = worker.pid;
        let sight = Sight {
            number: worker.number,
            requests: snapshot.requests,
            age: report::age_of(snapshot.started),
            memory: wear::wants_memory(limits)
                .then(|| sys::process_memory(pid))
                .flatten(),
        };
        Some(match wear::judge(limits, &sight)? {
            Finding::Worn(reason) => Input::Worn { pid, reason },
            Finding::Deadly(reason) => Input::Deadly { pid, reason },
        })
    }
}
