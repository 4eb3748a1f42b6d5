//! [`Watch`]: the master's look at its workers, now and then: what is to be known of them only from outside, or would cost
//! them something to tell. What it means is decided elsewhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::supervisor::{Input, WorkerView, seconds};
use super::wear::{self, Finding, Sight};
use super::{GenerationFiles, Master, report, send};
use crate::config::{Config, Harakiri};
use crate::scoreboard::{SlotSnapshot, WorkerState};
use crate::sys::{self, Pid, TRACEBACK_SIGNAL};

/// Between two looks, at most.
const EVERY: Duration = Duration::from_secs(1);

/// When to look, and what has been told.
pub(super) struct Watch {
    next_look: Instant,
    /// The latest exchange of each process that is known to be stuck.
    told: BTreeMap<Pid, u64>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next_look: now + EVERY,
            told: BTreeMap::new(),
        }
    }
}

fn is_wanted(files: &GenerationFiles) -> bool {
    let config = &files.config;
    config.limits.harakiri.limit.is_some() || wear::is_wanted(&config.processes.worker_limits)
}

/// A worker, and what its slot says.
struct Seen {
    worker: WorkerView,
    snapshot: SlotSnapshot,
}

impl Master<'_> {
    /// When the workers are to be looked at; `None`: they have no limits.
    pub(super) fn next_watch(&self) -> Option<Instant> {
        let is_wanted = self.generations.values().any(is_wanted);
        is_wanted.then_some(self.watch.next_look)
    }

    pub(super) fn look_at_workers(&mut self) {
        let now = Instant::now();
        if self.next_watch().is_none_or(|due| due > now) {
            return;
        }
        self.watch.next_look = now + EVERY;
        let seen: Vec<Seen> = self
            .supervisor
            .workers()
            .filter_map(|worker| self.see(worker))
            .collect();
        self.watch
            .told
            .retain(|pid, _| seen.iter().any(|seen| seen.worker.pid == *pid));
        for seen in seen {
            let Some(files) = self.generations.get(&seen.worker.generation) else {
                continue;
            };
            let config = files.config.clone();
            if let Some(limit) = config.limits.harakiri.limit {
                self.look_for_stuck(&seen, limit, &config.limits.harakiri, now);
            }
            if let Some(input) = look_for_wear(&seen, &config) {
                self.handle(input);
            }
        }
    }

    /// What the slot of a worker says, once that is ready.
    fn see(&self, worker: WorkerView) -> Option<Seen> {
        let snapshot = self.scoreboard.snapshot(worker.slot?)?;
        let is_ready = matches!(snapshot.state, WorkerState::Serving | WorkerState::Draining);
        let is_its_own = snapshot.occupant.pid == worker.pid;
        (is_ready && is_its_own).then_some(Seen { worker, snapshot })
    }

    /// Is a request of that worker stuck? The log tells once, the supervisor hears of it each time.
    fn look_for_stuck(&mut self, seen: &Seen, limit: Duration, harakiri: &Harakiri, now: Instant) {
        let SlotSnapshot {
            stint: Some(serial),
            request: Some(request),
            ..
        } = &seen.snapshot
        else {
            return;
        };
        let pid = seen.worker.pid;
        let age = report::age_of(request.started);
        if age < limit {
            let due = now + (limit - age);
            self.watch.next_look = self.watch.next_look.min(due);
            return;
        }
        if self.watch.told.insert(pid, *serial) != Some(*serial) {
            let peer = request
                .peer
                .map(|peer| format!(" from {peer}"))
                .unwrap_or_default();
            log::error!(
                "worker {} (pid {pid}): \"{}\"{peer} has kept the application busy for {} (harakiri = {}); what its threads do:",
                seen.worker.number,
                request.line,
                seconds(age),
                limit.as_secs()
            );
            if harakiri.verbose {
                report::threads(pid).iter().for_each(|line| log::error!("{line}"));
            }
            send(pid, TRACEBACK_SIGNAL);
        }
        let grace = harakiri.grace;
        self.handle(Input::Stuck { pid, grace });
    }
}

fn look_for_wear(seen: &Seen, config: &Config) -> Option<Input> {
    let limits = &config.processes.worker_limits;
    let pid = seen.worker.pid;
    let memory = wear::wants_memory(limits).then(|| sys::process_memory(pid));
    let sight = Sight {
        number: seen.worker.number,
        requests: seen.snapshot.requests,
        exceptions: seen.snapshot.exceptions,
        age: report::age_of(seen.snapshot.started),
        memory: memory.flatten(),
    };
    Some(match wear::judge(limits, &sight)? {
        Finding::Worn(reason) => Input::Worn { pid, reason },
        Finding::Deadly(reason) => Input::Deadly { pid, reason },
    })
}
