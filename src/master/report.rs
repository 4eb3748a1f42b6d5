//! What the master tells people: who does what, who did what before it died, what a reload can't change.

use std::sync::Arc;
use std::time::Duration;

use super::supervisor::{Supervisor, WorkerView, seconds};
use crate::config::{Config, Principal, ProcessConfig};
use crate::scoreboard::{Scoreboard, SlotSnapshot, WorkerState};
use crate::sys::{self, Pid, ThreadState};
use crate::worker::BoundListener;

/// ` after 12 requests, while serving "GET /x" for 3.2 s`, to follow how a worker ended.
pub(super) fn work_done(snapshot: &SlotSnapshot) -> String {
    let requests = count(snapshot.requests, "request");
    format!(" after {requests}{}", work_under_way(snapshot))
}

/// `, while serving "GET /x" for 3.2 s`; nothing for one that is idle.
pub(super) fn work_under_way(snapshot: &SlotSnapshot) -> String {
    let Some(request) = &snapshot.request else {
        return String::new();
    };
    let age = age_of(request.started);
    let others = match snapshot.active {
        0 | 1 => String::new(),
        active => format!(" and {}", count(active - 1, "other")),
    };
    format!(
        ", while serving \"{}\"{others} for {}",
        request.line,
        seconds(age)
    )
}

/// A line about each thread of a process: in which system call it is, and where in the kernel it waits.
pub(super) fn threads(pid: Pid) -> Vec<String> {
    let line = |thread: ThreadState| {
        let call = match (thread.call, thread.waits_in) {
            (Some(call), Some(place)) => format!("in system call {call}, waits in {place}"),
            (Some(call), None) => format!("in system call {call}"),
            (None, Some(place)) => format!("waits in {place}"),
            (None, None) => "runs".to_owned(),
        };
        format!("thread {} ({}) of pid {pid}: {call}", thread.id, thread.name)
    };
    sys::thread_states(pid).into_iter().map(line).collect()
}

/// A line about the server, a line about each worker.
pub(super) fn state(supervisor: &Supervisor, scoreboard: &Scoreboard) -> Vec<String> {
    let mut lines = vec![format!("state: {}", supervisor.status())];
    lines.extend(
        supervisor
            .mold_pids()
            .map(|(generation, pid)| format!("mold of generation {generation} (pid {pid})")),
    );
    let worker_line = |worker: WorkerView| {
        let snapshot = worker.slot.and_then(|slot| scoreboard.snapshot(slot));
        worker_line(
            worker,
            snapshot
                .filter(|snapshot| snapshot.occupant.pid == worker.pid)
                .as_ref(),
        )
    };
    lines.extend(supervisor.workers().map(worker_line));
    lines
}

fn worker_line(worker: WorkerView, snapshot: Option<&SlotSnapshot>) -> String {
    let WorkerView {
        pid,
        number,
        generation,
        leaving,
        ..
    } = worker;
    let name = format!("worker {number} (pid {pid}, generation {generation})");
    let Some(snapshot) = snapshot else {
        return format!("{name}: nothing known");
    };
    let doing = match (&snapshot.request, snapshot.state) {
        (Some(_), _) => "busy",
        (None, _) if leaving => "leaving",
        (None, WorkerState::Serving) => "idle",
        (None, WorkerState::Draining) => "leaving",
        (None, WorkerState::Starting | WorkerState::Vacant) => "starting",
    };
    let SlotSnapshot {
        requests,
        server_errors,
        exceptions,
        connections,
        ..
    } = snapshot;
    format!(
        "{name}: {doing}, {}, {} open, {}, {}{}",
        count(*requests, "request"),
        count(*connections, "connection"),
        count(*server_errors, "server error"),
        count(*exceptions, "exception"),
        work_under_way(snapshot),
    )
}

/// `1 request`, `12 requests`
fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// How long ago that was, by the clock of the scoreboard.
pub(super) fn age_of(moment: u64) -> Duration {
    Duration::from_millis(sys::monotonic_milliseconds().saturating_sub(moment))
}

/// A line for the reason why a reload failed; where there are several errors, each is logged by itself.
pub(super) fn log_errors(errors: &[String]) -> String {
    match errors {
        [] => "the configuration cannot be read".to_owned(),
        [only] => only.clone(),
        [first, rest @ ..] => {
            errors.iter().for_each(|error| log::error!("{error}"));
            format!("{first} (and {} more)", rest.len())
        }
    }
}

/// What is different in `new` and stays as it was until the server is started anew.
pub(super) fn unchangeable(old: &Config, new: &Config) -> Vec<String> {
    let (was, is) = (&old.processes, &new.processes);
    // Not where it is said: that may move.
    let name = |principal: &Option<Principal>| principal.as_ref().map(|principal| principal.name.clone());
    let pidfile = |option: &str| {
        let of = |processes: &ProcessConfig| {
            processes
                .pidfiles
                .iter()
                .find(|file| file.option == option)
                .cloned()
        };
        of(was) != of(is)
    };
    let changes = [
        ("master", was.master != is.master),
        ("uid", name(&was.uid) != name(&is.uid)),
        ("gid", name(&was.gid) != name(&is.gid)),
        ("umask", was.umask != is.umask),
        ("pidfile", pidfile("pidfile")),
        ("pidfile2", pidfile("pidfile2")),
        ("safe-pidfile", pidfile("safe-pidfile")),
        ("safe-pidfile2", pidfile("safe-pidfile2")),
        ("master-fifo", was.fifos != is.fifos),
        ("daemonize", was.daemonize != is.daemonize),
        ("logto", old.logging.file != new.logging.file),
        ("listen", old.sockets.backlog != new.sockets.backlog),
        ("chmod-socket", old.sockets.mode != new.sockets.mode),
        ("chown-socket", old.sockets.owner != new.sockets.owner),
    ];
    let changed = changes.into_iter().filter(|(_, changed)| *changed);
    changed
        .map(|(name, _)| format!("{name} was changed: takes effect when the server is started anew"))
        .collect()
}

/// Which listeners come and which go.
pub(super) fn changed_listeners(before: &[Arc<BoundListener>], after: &[Arc<BoundListener>]) -> Vec<String> {
    let is_in = |list: &[Arc<BoundListener>], one: &BoundListener| {
        list.iter()
            .any(|other| other.config.address == one.config.address)
    };
    let new = after.iter().filter(|one| !is_in(before, one));
    let old = before.iter().filter(|one| !is_in(after, one));
    let new = new.map(|one| format!("listening on {} too", one.address));
    let old = old.map(|one| format!("{} is closed once the old workers have left", one.address));
    new.chain(old).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::{CurrentRequest, Occupant};

    fn snapshot(active: u64) -> SlotSnapshot {
        let request = CurrentRequest {
            line: "GET /x".into(),
            peer: None,
            started: sys::monotonic_milliseconds() - 3210,
        };
        SlotSnapshot {
            occupant: Occupant {
                pid: 7,
                number: 2,
                generation: 1,
            },
            state: WorkerState::Serving,
            started: 0,
            requests: 12,
            server_errors: 0,
            exceptions: 1,
            bytes_sent: 0,
            accepted: 0,
            connections: 1,
            last_accept: 0,
            active,
            request: (active > 0).then_some(request),
            stint: None,
            beat: None,
            deadline: None,
            overstayed: None,
            burdened: false,
            loops: 1,
            at_work: 0,
        }
    }

    #[test]
    fn what_a_worker_did_reads_like_a_sentence() {
        assert_eq!(work_done(&snapshot(0)), " after 12 requests");
        assert_eq!(
            work_done(&snapshot(1)),
            " after 12 requests, while serving \"GET /x\" for 3.2 s"
        );
        assert_eq!(
            work_under_way(&snapshot(3)),
            ", while serving \"GET /x\" and 2 others for 3.2 s"
        );
    }

    #[test]
    fn a_worker_has_a_line() {
        let worker = WorkerView {
            pid: 7,
            number: 2,
            generation: 1,
            slot: Some(0),
            leaving: false,
        };
        assert_eq!(
            worker_line(worker, Some(&snapshot(0))),
            "worker 2 (pid 7, generation 1): idle, 12 requests, 1 connection open, 0 server errors, 1 exception"
        );
        assert_eq!(
            worker_line(worker, None),
            "worker 2 (pid 7, generation 1): nothing known"
        );
    }
}
