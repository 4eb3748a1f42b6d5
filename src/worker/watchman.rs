//! The watchman: a thread without an interpreter that looks whether another's loop (asyncio's) still turns the server's.
//!
//! It has the log tell what blocks that loop (`slow-callback`). Where `harakiri` is on it has the server's loop meanwhile, as
//! the minder of a worker with threads has: clients whose requests are overdue hear so, connections that would have to wait
//! cross to idle workers, and what needs no application goes on.
//!
//! And where it depends on that how many workers there are (`cheaper`), it keeps the account of the time for which the loop is at
//! work: whenever it looks, does the loop's thread wait for events?
//!
//! A loop that waits for something to do and one that is blocked look the same from outside. So one that has not turned for
//! a while is rung for: it turns, or it is blocked.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use uwrs_api::{Frame, Observer};

use crate::config::Config;
use crate::scoreboard::Slot;
use crate::sys::{self, EpollEvents, ThreadWatch};

use super::driven::Helm;
use super::pool::EVENTS;

/// It looks this often, at least.
const LOOK: Duration = Duration::from_millis(250);
/// And at most.
const SHORTEST_LOOK: Duration = Duration::from_millis(5);
/// At least, where it keeps an account.
const LOOK_FOR_WORK: Duration = Duration::from_millis(50);
/// Looks after which a loop that does not turn is rung for.
const PATIENCE: u64 = 2;
/// And where it has turned last because it was rung for: it has nothing to do.
const PATIENCE_OF_IDLE: u64 = 8;
/// Who looks so many times less often than it wants to has not been let run: nothing is to be concluded.
const STARVED: u64 = 6;
/// It tells of what blocks the loop this often, at most, and counts the others.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// A loop that has been blocked for so long may be so for ever: it is told while it is.
const LONG: Duration = Duration::from_secs(10);
const STACK_BYTES: usize = 512 * 1024;

/// The thread.
pub(super) struct Watchman(JoinHandle<()>);

impl Watchman {
    /// Employs one, if there is something to watch for. `observer`: what tells what the loop's thread is doing.
    pub(super) fn employ(
        helm: &Arc<Helm>,
        config: &Config,
        observer: impl FnOnce() -> Option<Box<dyn Observer>>,
    ) -> Option<Self> {
        let slow = config.limits.slow_callback;
        let account = config
            .processes
            .scaling
            .cheaper
            .and_then(|_| Account::open(&helm.slot));
        if slow.is_none() && account.is_none() && !helm.can_be_minded {
            return None;
        }
        let observer = slow.and_then(|_| observer());
        let helm = Arc::clone(helm);
        let longest = account.as_ref().map_or(LOOK, |_| LOOK_FOR_WORK);
        let look = slow.map_or(longest, |slow| (slow / 8).clamp(SHORTEST_LOOK, longest));
        let reporter = slow.map(|limit| Reporter::new(limit, observer));
        let thread = thread::Builder::new()
            .name("watchman".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || watch(&helm, look, reporter, account));
        thread
            .inspect_err(|error| {
                log::error!("the thread that watches the loop could not be started: {error}");
            })
            .ok()
            .map(Self)
    }

    /// The helm is over: the thread ends.
    pub(super) fn dismiss(self) {
        self.0.thread().unpark();
        if self.0.join().is_err() {
            log::error!("the thread that watches the loop panicked");
        }
    }
}

fn watch(helm: &Helm, look: Duration, mut reporter: Option<Reporter>, mut account: Option<Account>) {
    let mut lookout = Lookout::new(look.as_millis() as u64);
    let mut events = EpollEvents::with_capacity(EVENTS);
    let mut minds = false;
    while !helm.is_over() {
        match minds {
            true => helm.mind(look, &mut events),
            false => thread::park_timeout(look),
        }
        let now = sys::monotonic_milliseconds();
        account.iter_mut().for_each(|account| account.look(now));
        let finding = lookout.look(now, helm.slot.last_beat());
        minds = helm.can_be_minded && matches!(finding, Finding::Blocked(_));
        match finding {
            Finding::Fine => {}
            Finding::Quiet => helm.mailbox.rouse(),
            Finding::Blocked(time) => reporter.iter_mut().for_each(|reporter| reporter.blocked(time)),
            Finding::Back(time) => reporter.iter_mut().for_each(|reporter| reporter.back(time)),
        }
    }
}

impl Helm {
    /// Has the loop for a wait of at most `timeout`, unless its thread is back.
    fn mind(&self, timeout: Duration, events: &mut EpollEvents) {
        let beat = self.slot.last_beat();
        let mut worker = self.lock();
        if self.slot.last_beat() != beat {
            return;
        }
        worker.event_loop.stand_in();
        worker.event_loop.send_across();
        let timeout = worker.timeout(false).map_or(timeout, |due| due.min(timeout));
        let timeout = worker.event_loop.begin_wait(Some(timeout));
        drop(worker);
        let waited = sys::epoll_wait(self.epoll, events, timeout);
        let mut worker = self.lock();
        // What has been taken from the kernel is nobody else's, whether or not the thread is back.
        worker.event_loop.stand_in();
        let heard = worker.event_loop.end_wait(events);
        worker.hear(&heard);
        drop(worker);
        if let Err(error) = waited {
            log::error!("the event loop broke: {error}");
        }
        if self.slot.last_beat() != beat {
            self.mailbox.rouse();
        }
    }
}

/// What a look has found. Blocked for so many milliseconds: since its last turn, or, where it had nothing to do since that,
/// since it was rung for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It turns, or has been rung for.
    Fine,
    /// It has not turned for a while: it is to be rung for.
    Quiet,
    /// It was rung for and has not turned.
    Blocked(u64),
    /// It was blocked and turns again.
    Back(u64),
}

/// What is known of the loop from its beats. Times are milliseconds.
#[derive(Debug)]
struct Lookout {
    /// Between two looks.
    every: u64,
    last_look: u64,
    last_beat: u64,
    /// When it was rung for.
    rung: Option<u64>,
    /// It had been rung for when it turned last.
    is_idle: bool,
    /// Since when.
    blocked: Option<u64>,
}

impl Lookout {
    fn new(every: u64) -> Self {
        Self {
            every: every.max(1),
            last_look: 0,
            last_beat: 0,
            rung: None,
            is_idle: false,
            blocked: None,
        }
    }

    /// A look at a loop that turned last at `beat`; 0: it does not turn yet, or any more.
    fn look(&mut self, now: u64, beat: u64) -> Finding {
        let is_starved =
            now.saturating_sub(std::mem::replace(&mut self.last_look, now)) > self.every * STARVED;
        if beat != std::mem::replace(&mut self.last_beat, beat) || beat == 0 {
            self.is_idle = self.rung.take().is_some();
            return match self.blocked.take() {
                Some(since) if beat > since => Finding::Back(beat - since),
                _ => Finding::Fine,
            };
        }
        if let Some(since) = self.blocked {
            return Finding::Blocked(now.saturating_sub(since));
        }
        if is_starved {
            self.rung = None;
            return Finding::Fine;
        }
        let patience = match self.is_idle {
            true => PATIENCE_OF_IDLE,
            false => PATIENCE,
        };
        match self.rung {
            None if now.saturating_sub(beat) >= self.every * patience => {
                self.rung = Some(now);
                Finding::Quiet
            }
            Some(rung) if now.saturating_sub(rung) >= self.every => {
                let since = if self.is_idle { rung } else { beat };
                self.blocked = Some(since);
                Finding::Blocked(now.saturating_sub(since))
            }
            _ => Finding::Fine,
        }
    }
}

/// The account of the time for which the loop is at work.
struct Account {
    thread: ThreadWatch,
    slot: Slot,
    last_look: u64,
}

impl Account {
    /// Of the calling thread. `None`: the kernel does not tell what a thread does.
    fn open(slot: &Slot) -> Option<Self> {
        let thread = ThreadWatch::of_caller();
        let thread = thread.inspect_err(|error| {
            log::debug!(
                "only time on a processor counts for cheaper: what a thread waits for is not known: {error}"
            );
        });
        Some(Self {
            thread: thread.ok()?,
            slot: slot.clone(),
            last_look: sys::monotonic_milliseconds(),
        })
    }

    /// What it does now stands for all the time since the last look.
    fn look(&mut self, now: u64) {
        let elapsed = now.saturating_sub(std::mem::replace(&mut self.last_look, now));
        if !self.thread.waits_for_events() {
            self.slot.worked(elapsed);
        }
    }
}

/// Tells of what blocks the loop.
struct Reporter {
    limit: Duration,
    observer: Option<Box<dyn Observer>>,
    /// What it was doing when it was found.
    seen: Option<Vec<Frame>>,
    /// It has been told already, while it is blocked still.
    is_told: bool,
    next: Option<Instant>,
    untold: u32,
}

impl Reporter {
    fn new(limit: Duration, observer: Option<Box<dyn Observer>>) -> Self {
        Self {
            limit,
            observer,
            seen: None,
            is_told: false,
            next: None,
            untold: 0,
        }
    }

    /// The loop has been blocked for so many milliseconds.
    fn blocked(&mut self, time: u64) {
        let time = Duration::from_millis(time);
        if self.seen.is_none() && time >= self.limit / 2 {
            let look = self.observer.as_ref().map(|observer| observer.look());
            self.seen = Some(look.unwrap_or_default());
        }
        if let Some(frames) = &self.seen
            && time >= LONG.max(self.limit)
            && !self.is_told
        {
            log::warn!("{}{}", self.describe("has been", time, frames), traceback(frames));
            self.is_told = true;
        }
    }

    /// It turns again, after that time.
    fn back(&mut self, time: u64) {
        self.is_told = false;
        let Some(frames) = self.seen.take() else { return };
        let time = Duration::from_millis(time);
        if time < self.limit {
            return;
        }
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.untold += 1;
            return;
        }
        self.next = Some(now + TOLD_EVERY);
        let others = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            count => format!(" (and {count} times more since this was told last)"),
        };
        log::warn!(
            "{}{others}{}",
            self.describe("was", time, &frames),
            traceback(&frames)
        );
    }

    fn describe(&self, was: &str, time: Duration, frames: &[Frame]) -> String {
        let (time, limit) = (time.as_secs_f64(), self.limit.as_secs_f64());
        let blocked = format!("the event loop {was} blocked for {time:.2} s (slow-callback = {limit})");
        match called(frames) {
            Some(frame) => format!(
                "{blocked} by {} ({}:{}); it was here (most recent call last):",
                frame.function, frame.file, frame.line
            ),
            None => format!("{blocked}, it is not known by what"),
        }
    }
}

/// What the loop called: the first call that is not asyncio's own.
fn called(frames: &[Frame]) -> Option<&Frame> {
    frames.iter().find(|frame| !is_loops_own(frame)).or(frames.last())
}

fn is_loops_own(frame: &Frame) -> bool {
    let own = [
        "/asyncio/base_events.py",
        "/asyncio/events.py",
        "/asyncio/unix_events.py",
    ];
    own.iter().any(|own| frame.file.ends_with(own))
}

/// The calls, as a traceback has them, without the loop's own.
fn traceback(frames: &[Frame]) -> String {
    let frames = frames.iter().filter(|frame| !is_loops_own(frame));
    frames.map(|frame| format!("\n  {frame}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: u64 = 100;

    /// What is found by looks every 100 ms at a loop that turns at `beats` (the last one until then counts).
    fn findings(beats: &[u64], until: u64) -> Vec<(u64, Finding)> {
        let mut lookout = Lookout::new(EVERY);
        let looks = (1..=until / EVERY).map(|look| look * EVERY);
        looks
            .map(|now| {
                let beat = beats.iter().copied().filter(|beat| *beat <= now).max();
                (now, lookout.look(now, beat.unwrap_or(0)))
            })
            .filter(|(_, finding)| *finding != Finding::Fine)
            .collect()
    }

    #[test]
    fn a_loop_that_turns_is_left_alone() {
        let beats: Vec<u64> = (1..40).map(|beat| beat * 90).collect();
        assert_eq!(findings(&beats, 3_000), []);
    }

    #[test]
    fn one_that_waits_is_rung_for_and_turns() {
        assert_eq!(
            findings(&[50, 310, 1_210], 2_000),
            [(300, Finding::Quiet), (1_200, Finding::Quiet)],
            "it has nothing to do and is left alone for longer"
        );
    }

    #[test]
    fn one_that_does_not_turn_when_it_is_rung_for_is_blocked_until_it_does() {
        assert_eq!(
            findings(&[50, 590], 700),
            [
                (300, Finding::Quiet),
                (400, Finding::Blocked(350)),
                (500, Finding::Blocked(450)),
                (600, Finding::Back(540)),
            ]
        );
        // Since it was rung for the second time, for all that is known.
        assert_eq!(
            findings(&[50, 310, 1_590], 1_600),
            [
                (300, Finding::Quiet),
                (1_200, Finding::Quiet),
                (1_300, Finding::Blocked(100)),
                (1_400, Finding::Blocked(200)),
                (1_500, Finding::Blocked(300)),
                (1_600, Finding::Back(390)),
            ]
        );
    }

    #[test]
    fn one_that_has_not_begun_or_has_ended_is_not_blocked() {
        assert_eq!(findings(&[], 5_000), []);
        let mut lookout = Lookout::new(EVERY);
        for now in (100..=600).step_by(100) {
            lookout.look(now, 50);
        }
        assert_eq!(lookout.look(700, 0), Finding::Fine);
        assert_eq!(lookout.look(800, 0), Finding::Fine);
    }

    #[test]
    fn who_was_not_let_run_concludes_nothing() {
        let mut lookout = Lookout::new(EVERY);
        lookout.look(100, 50);
        assert_eq!(lookout.look(5_000, 50), Finding::Fine);
        assert_eq!(lookout.look(5_100, 50), Finding::Quiet);
        assert_eq!(lookout.look(5_110, 5_105), Finding::Fine);
    }

    #[test]
    fn the_one_who_is_named_is_the_first_that_is_not_the_loops_own() {
        let frame = |file: &str, function: &str| Frame {
            file: file.to_owned(),
            line: 7,
            function: function.to_owned(),
        };
        let frames = [
            frame("/usr/lib/python3.11/asyncio/base_events.py", "run_forever"),
            frame("/usr/lib/python3.11/asyncio/events.py", "_run"),
            frame("/srv/app.py", "view"),
            frame("/srv/app.py", "helper"),
        ];
        let reporter = Reporter::new(Duration::from_millis(250), None);
        assert_eq!(
            reporter.describe("was", Duration::from_millis(1_240), &frames),
            "the event loop was blocked for 1.24 s (slow-callback = 0.25) by view (/srv/app.py:7); it was here (most \
             recent call last):"
        );
        assert_eq!(
            traceback(&frames),
            "\n  File \"/srv/app.py\", line 7, in view\n  File \"/srv/app.py\", line 7, in helper"
        );
        assert!(
            reporter
                .describe("was", Duration::ZERO, &[])
                .ends_with("it is not known by what")
        );
    }
}
