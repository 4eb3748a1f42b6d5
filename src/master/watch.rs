//! [`Watch`]: the master's look at its workers, now and then: what is to be known of them only from outside, or would cost
//! them something to tell. What it means is decided elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::supervisor::{Input, WorkerView, seconds};
use super::wear::{self, Finding, Sight};
use super::{GenerationFiles, Master, report, send};
use crate::config::{Config, Harakiri};
use crate::scoreboard::{CurrentRequest, SlotSnapshot, WorkerState};
use crate::sys::{self, Pid, TRACEBACK_SIGNAL};

/// Between two looks, at most.
const EVERY: Duration = Duration::from_secs(1);

/// When to look, and what has been told.
pub(super) struct Watch {
    next_look: Instant,
    /// What which process is known to be stuck with.
    told: BTreeSet<(Pid, Cause)>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next_look: now + EVERY,
            told: BTreeSet::new(),
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
        let is_wanted = self.scoreboard.has_deadlines() || self.generations.values().any(is_wanted);
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
            .retain(|(pid, _)| seen.iter().any(|seen| seen.worker.pid == *pid));
        for seen in seen {
            let Some(files) = self.generations.get(&seen.worker.generation) else {
                continue;
            };
            let config = files.config.clone();
            let clock = sys::monotonic_milliseconds();
            let holds = Hold::all(&seen.snapshot, &config.limits.harakiri, clock);
            for hold in holds {
                self.look_at_hold(&seen, &hold, &config.limits.harakiri, now);
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

    /// Is that worker stuck? The log tells once, the supervisor hears of it each time.
    fn look_at_hold(&mut self, seen: &Seen, hold: &Hold, harakiri: &Harakiri, now: Instant) {
        if !hold.rest.is_zero() {
            self.watch.next_look = self.watch.next_look.min(now + hold.rest);
            return;
        }
        let pid = seen.worker.pid;
        if self.watch.told.insert((pid, hold.cause)) {
            log::error!(
                "worker {} (pid {pid}): {}; what its threads do:",
                seen.worker.number,
                hold.describe(seen.snapshot.request.as_ref())
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

/// What keeps a worker from its other work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    cause: Cause,
    /// For how long already.
    age: Duration,
    /// How long it may; zero: not any more.
    rest: Duration,
    limit: Duration,
}

/// What keeps a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// The exchange of that serial number keeps a thread in the application.
    Exchange(u64),
    /// The loop that drives the worker's has not turned it since that moment.
    Loop(u64),
    /// The application has set a deadline itself.
    Deadline(u64),
    /// A task that was cancelled goes on since that moment.
    Task(u64),
}

impl Hold {
    fn new(cause: Cause, age: Duration, limit: Duration) -> Self {
        let rest = limit.saturating_sub(age);
        Self {
            cause,
            age,
            rest,
            limit,
        }
    }

    /// `now`: by the clock of the scoreboard.
    fn all(snapshot: &SlotSnapshot, harakiri: &Harakiri, now: u64) -> Vec<Self> {
        let holds = harakiri.limit.and_then(|limit| Self::of(snapshot, limit, now));
        let task = snapshot.overstayed.map(|since| {
            let age = Duration::from_millis(now.saturating_sub(since));
            // It hears of it when it is next its turn.
            Self::new(Cause::Task(since), age, harakiri.grace.max(EVERY))
        });
        let deadline = snapshot.deadline.map(|deadline| {
            let rest = Duration::from_millis(deadline.saturating_sub(now));
            Self::new(Cause::Deadline(deadline), Duration::ZERO, rest)
        });
        [holds, task, deadline].into_iter().flatten().collect()
    }

    fn of(snapshot: &SlotSnapshot, limit: Duration, now: u64) -> Option<Self> {
        let since = |moment: u64| Duration::from_millis(now.saturating_sub(moment));
        if let (Some(serial), Some(request)) = (snapshot.stint, &snapshot.request) {
            return Some(Self::new(Cause::Exchange(serial), since(request.started), limit));
        }
        let beat = snapshot.beat?;
        // It need not turn more often.
        let age = since(beat).checked_sub(EVERY)?;
        Some(Self::new(Cause::Loop(beat), age, limit))
    }

    fn describe(&self, request: Option<&CurrentRequest>) -> String {
        let (age, limit) = (seconds(self.age), self.limit.as_secs());
        let request = request.map(|request| {
            let peer = request.peer.map(|peer| format!(" from {peer}"));
            format!("\"{}\"{}", request.line, peer.unwrap_or_default())
        });
        let while_serving = |prefix: &str| {
            let request = request.as_ref();
            request.map_or_else(String::new, |request| format!("{prefix}{request}"))
        };
        match self.cause {
            Cause::Exchange(_) => format!(
                "{} has kept the application busy for {age} (harakiri = {limit})",
                while_serving("")
            ),
            Cause::Loop(_) => format!(
                "its event loop has stood still for {age} (harakiri = {limit}){}",
                while_serving("; the latest request is ")
            ),
            Cause::Task(_) => format!(
                "the task of a request has gone on for {age} since it was cancelled (harakiri-graceful-timeout = {limit})"
            ),
            Cause::Deadline(_) => format!(
                "the time is over that the application set itself (set_user_harakiri){}",
                while_serving(", while serving ")
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::Occupant;

    fn snapshot(stint: Option<u64>, beat: Option<u64>, is_asked: bool) -> SlotSnapshot {
        SlotSnapshot {
            occupant: Occupant {
                pid: 7,
                number: 1,
                generation: 1,
            },
            state: WorkerState::Serving,
            started: 0,
            requests: 0,
            server_errors: 0,
            exceptions: 0,
            bytes_sent: 0,
            accepted: 0,
            connections: 1,
            last_accept: 0,
            active: u64::from(is_asked),
            request: is_asked.then(|| CurrentRequest {
                line: "GET /x".to_owned(),
                peer: "127.0.0.1:5000".parse().ok(),
                started: 10_000,
            }),
            stint,
            beat,
            deadline: None,
            overstayed: None,
            burdened: false,
            loops: 1,
            at_work: 0,
        }
    }

    fn harakiri(seconds: Option<u64>) -> Harakiri {
        Harakiri {
            limit: seconds.map(Duration::from_secs),
            ..Harakiri::default()
        }
    }

    /// What is said of it 40 seconds after the clock began.
    fn told(snapshot: &SlotSnapshot) -> Option<String> {
        let holds = Hold::all(snapshot, &harakiri(Some(20)), 40_000);
        let hold = holds.iter().find(|hold| hold.rest.is_zero())?;
        Some(hold.describe(snapshot.request.as_ref()))
    }

    #[test]
    fn a_request_that_keeps_a_thread_holds_the_worker() {
        let expected =
            "\"GET /x\" from 127.0.0.1:5000 has kept the application busy for 30 s (harakiri = 20)";
        for beat in [None, Some(1)] {
            assert_eq!(told(&snapshot(Some(3), beat, true)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_loop_that_is_not_turned_holds_the_worker() {
        let with_request = "its event loop has stood still for 30 s (harakiri = 20); the latest request is \
                            \"GET /x\" from 127.0.0.1:5000";
        assert_eq!(
            told(&snapshot(None, Some(9_000), true)).as_deref(),
            Some(with_request)
        );
        assert_eq!(
            told(&snapshot(None, Some(9_000), false)).as_deref(),
            Some("its event loop has stood still for 30 s (harakiri = 20)")
        );
    }

    #[test]
    fn requests_that_wait_and_loops_that_turn_hold_nobody() {
        assert_eq!(told(&snapshot(None, None, true)), None);
        assert_eq!(told(&snapshot(None, Some(39_500), true)), None);
        // A beat may come between the look at the clock and the look at it.
        assert_eq!(told(&snapshot(None, Some(41_000), true)), None);
    }

    #[test]
    fn a_task_that_goes_on_although_it_was_cancelled_holds_the_worker_after_a_while() {
        let since = |moment: u64| SlotSnapshot {
            overstayed: Some(moment),
            ..snapshot(None, None, true)
        };
        assert_eq!(
            told(&since(28_000)).as_deref(),
            Some(
                "the task of a request has gone on for 12 s since it was cancelled (harakiri-graceful-timeout = 10)"
            )
        );
        assert_eq!(told(&since(31_000)), None);
    }

    #[test]
    fn a_deadline_that_the_application_set_holds_for_whatever_it_does() {
        let with = |deadline: u64, is_asked: bool| SlotSnapshot {
            deadline: Some(deadline),
            ..snapshot(None, None, is_asked)
        };
        assert_eq!(told(&with(40_001, true)), None);
        assert_eq!(
            told(&with(40_000, false)).as_deref(),
            Some("the time is over that the application set itself (set_user_harakiri)")
        );
        assert!(
            told(&with(39_000, true))
                .is_some_and(|text| text.ends_with(", while serving \"GET /x\" from 127.0.0.1:5000"))
        );
        let next = Hold::all(&with(40_250, true), &harakiri(None), 40_000);
        assert_eq!(
            next.first().map(|hold| hold.rest),
            Some(Duration::from_millis(250))
        );
    }
}
