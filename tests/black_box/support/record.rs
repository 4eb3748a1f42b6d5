//! What clients and those who kill write down, and which of the requests that were lost a dead worker explains.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process;

/// How long a killed process may take to be gone.
const AGONY: Duration = Duration::from_millis(500);

/// A request that has no answer, or no whole one.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Who had it, where that is known.
    worker: Option<i32>,
    sent: Instant,
    noticed: Instant,
    #[expect(dead_code, reason = "shown by a test that fails")]
    what: String,
    #[expect(dead_code, reason = "shown by a test that fails")]
    why: io::Error,
}

/// What all threads write to.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) stop: AtomicBool,
    pub(crate) answered: AtomicUsize,
    pub(crate) streamed: AtomicUsize,
    pub(crate) rude: AtomicUsize,
    pub(crate) wrong: Mutex<Vec<String>>,
    pub(crate) lost: Mutex<Vec<Lost>>,
    /// Processes that were killed, and when.
    deaths: Mutex<Vec<(Instant, i32)>>,
}

impl Record {
    /// Is there more to do?
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// A request was sent then and has no answer.
    pub(crate) fn lose(&self, sent: Instant, what: String, why: io::Error) {
        self.put_down(None, sent, what, why);
    }

    /// A request was sent then, and that worker has not answered it to the end.
    pub(crate) fn lose_with(&self, worker: i32, sent: Instant, what: String, why: io::Error) {
        self.put_down(Some(worker), sent, what, why);
    }

    fn put_down(&self, worker: Option<i32>, sent: Instant, what: String, why: io::Error) {
        let noticed = Instant::now();
        self.lost.lock().unwrap().push(Lost {
            worker,
            sent,
            noticed,
            what,
            why,
        });
    }

    /// Kills a process.
    pub(crate) fn kill(&self, pid: i32) {
        self.deaths.lock().unwrap().push((Instant::now(), pid));
        process::signal(pid, Signal::SIGKILL);
    }

    /// Requests that were lost while no worker died that might have had them.
    pub(crate) fn unexplained(&self, log: &str) -> Vec<Lost> {
        let mut deaths = std::mem::take(&mut *self.deaths.lock().unwrap());
        // A mold has no request; what seemed to be one and was a worker is in the log with its pid.
        deaths.retain(|(_, pid)| log.contains(&format!("(pid {pid}) was killed by SIGKILL")));
        let held = |lost: &Lost, (at, pid): (Instant, i32)| {
            lost.sent <= at + AGONY && at <= lost.noticed && lost.worker.is_none_or(|worker| worker == pid)
        };
        let mut lost = std::mem::take(&mut *self.lost.lock().unwrap());
        lost.retain(|lost| !deaths.iter().any(|&death| held(lost, death)));
        lost
    }
}
