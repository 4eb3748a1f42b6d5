//! [`Roster`]: which of a worker's threads does what, and when one is to be called: decisions, without a thread, a lock or
//! a clock of its own. The pool carries them out.
//!
//! At any time at most one thread leads: it waits for events, takes the work that they bring and does it itself, so
//! that a quick application costs no hop from thread to thread. While it is in the application the loop is
//! unattended. Where applications have been quick lately ([`Pace`]), nobody is called for that; one of those who stand
//! by watches, and takes over when the loop has been unattended for [`OVERDUE`]. Where they have been slow, somebody is
//! called before the work begins, and every thread that comes back takes the next piece.
//!
//! When all of them are in the application, the minder, a thread that runs none, takes over the loop as a watcher would,
//! and gives it back to the first who returns. Where threads come back one soon after the other, and work waits for each of
//! them, it keeps the loop and dozes: they look for events in passing, which wakes nobody.
//!
//! There are as many *places* as applications may be at work at a time. A thread that is attached to an answer which is
//! streamed does nothing else, and has a place only while it makes a piece; meanwhile the places are for the others, and
//! where those are too few for them a spare thread is recruited. With no thread attached the first ones, as many as there
//! are places, serve, and spares rest.

mod places;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A loop that has been unattended for so long is taken over.
pub(super) const OVERDUE: Duration = Duration::from_millis(1);
/// With work in hand, the kernel is asked for more after so long.
const STALE: Duration = Duration::from_micros(200);
/// Applications that take this long are slow.
const SLOW: Duration = Duration::from_micros(100);
/// Threads that come back within so long of each other leave the minder nothing to do.
const BRISK: Duration = Duration::from_millis(2);
/// For so long the minder dozes, and leaves it to threads that come back to look for events.
pub(super) const DOZE: Duration = Duration::from_millis(10);
/// No application counts as slower. A single one among quick ones is none to prepare for, nor is a thread that the kernel
/// has kept waiting.
const SLOWEST: Duration = Duration::from_micros(500);

/// How long applications took lately.
#[derive(Debug, Default)]
struct Pace {
    /// Nanoseconds.
    average: u32,
}

impl Pace {
    /// One took so long. The last eight make up two thirds of the average.
    fn note(&mut self, took: Duration) {
        self.average = (self.average * 7 + took.min(SLOWEST).subsec_nanos()) / 8;
    }

    fn is_slow(&self) -> bool {
        self.average >= SLOW.subsec_nanos()
    }
}

/// How soon after one another threads have come back from slow applications lately.
#[derive(Debug)]
struct Returns {
    last: Instant,
    average: Duration,
}

impl Returns {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            average: DOZE,
        }
    }

    fn note(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last);
        self.average = (self.average * 7 + gap.min(DOZE)) / 8;
        self.last = now;
    }

    fn are_brisk(&self) -> bool {
        self.average < BRISK
    }
}

/// What a thread that stands by is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// To look what there is to do.
    Act,
    /// To watch that the loop is not left alone for long.
    Watch,
}

/// What a thread may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Take work, or wait for events where there is none.
    Lead,
    /// Take work; another waits for events.
    Help,
    /// Nothing until it is called.
    StandBy,
}

/// What the minder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Minder {
    /// It is on its way between the two others, or there is none.
    Absent,
    StandsBy,
    /// It has the loop and waits for events.
    Minds,
    /// It has the loop; threads that come back look for events.
    Dozes,
}

/// Who does what. Threads go by their number.
#[derive(Debug)]
pub(super) struct Roster {
    /// Those who do nothing, the one that did something last at the end.
    standing: Vec<usize>,
    /// The one of them that looks every so often.
    watcher: Option<usize>,
    /// Who waited for events last, or does so now.
    leader: Option<usize>,
    is_polling: bool,
    /// Until when that thread waits, if nothing happens. `None`: for ever.
    waits_until: Option<Instant>,
    /// Applications that may be at work at a time.
    places: usize,
    /// Threads that run applications, with the spare ones that there are.
    threads: usize,
    /// The most that there may be.
    most: usize,
    /// The minder's number, after those that threads may have.
    minder_number: usize,
    /// Those that do nothing but the answer which they stream.
    attached: Vec<usize>,
    /// Those that have been called for work that waits for them, and for each of whom a place is kept.
    expected: Vec<usize>,
    /// One more thread is being made.
    is_recruiting: bool,
    /// Threads with work in hand.
    busy: usize,
    minder: Minder,
    /// When the kernel was last asked for events.
    attended: Instant,
    /// When that will have been [`STALE`] ago.
    stale: Instant,
    pace: Pace,
    returns: Returns,
    beacon: Arc<Beacon>,
}

impl Roster {
    /// For so many applications at a time and as many threads, which may become `most`.
    pub(super) fn new(places: usize, most: usize, now: Instant) -> Self {
        Self {
            places,
            threads: places,
            most: most.max(places),
            minder_number: most.max(places),
            attached: Vec::new(),
            expected: Vec::new(),
            is_recruiting: false,
            minder: Minder::Absent,
            standing: Vec::new(),
            watcher: None,
            leader: None,
            is_polling: false,
            waits_until: None,
            busy: 0,
            attended: now,
            stale: now + STALE,
            pace: Pace::default(),
            returns: Returns::new(now),
            beacon: Arc::new(Beacon::new(now)),
        }
    }

    /// What watchers look at.
    pub(super) fn beacon(&self) -> Arc<Beacon> {
        Arc::clone(&self.beacon)
    }

    /// Threads with work in hand.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// Does a thread that runs applications wait for events?
    pub(super) fn is_polling(&self) -> bool {
        self.is_polling
    }

    /// Threads that stand by, all of them: everything is over.
    pub(super) fn call_all(&mut self) -> Vec<usize> {
        self.watcher = None;
        std::mem::take(&mut self.standing)
    }

    /// What `thread`, which has nothing in hand, may do.
    #[inline]
    pub(super) fn role(&self, thread: usize, has_work: bool, now: Instant) -> Role {
        if self.is_polling {
            // Work that is there while someone waits for events was brought by an answer: a request behind it.
            return match has_work {
                true => Role::Help,
                false => Role::StandBy,
            };
        }
        let is_led = self.leader.is_some_and(|leader| leader != thread);
        match is_led && self.busy > 0 && !self.pace.is_slow() && !self.is_overdue(now) {
            true => Role::StandBy,
            false => Role::Lead,
        }
    }

    /// Does the minder have the loop?
    pub(super) fn is_minded(&self) -> bool {
        matches!(self.minder, Minder::Minds | Minder::Dozes)
    }

    /// Does some thread wait for events?
    pub(super) fn is_awaited(&self) -> bool {
        self.is_polling || self.minder == Minder::Minds
    }

    /// May the minder, which is to have the loop, leave it to others to look for events?
    pub(super) fn may_doze(&self, now: Instant) -> bool {
        self.pace.is_slow()
            && self.returns.are_brisk()
            && now.saturating_duration_since(self.returns.last) < DOZE
    }

    /// The minder has the loop and does nothing for a while.
    pub(super) fn begin_dozing(&mut self) {
        self.minder = Minder::Dozes;
        self.attend(self.attended);
    }

    /// Is the minder to have the loop?
    pub(super) fn wants_minder(&self, now: Instant) -> bool {
        let all_busy = !self.has_room() && !self.is_polling;
        all_busy && (self.is_minded() || self.is_overdue(now))
    }

    /// The minder begins to wait for events.
    pub(super) fn begin_minding(&mut self, now: Instant) {
        self.minder = Minder::Minds;
        self.attend(now);
    }

    /// A thread has come back: does it leave the loop to the minder, because the next slow application waits for it?
    pub(super) fn leaves_minder(&self, has_work: bool) -> bool {
        self.is_minded() && has_work && self.pace.is_slow()
    }

    /// The minder no longer has the loop.
    pub(super) fn end_minding(&mut self) {
        if self.is_minded() {
            self.minder = Minder::Absent;
        }
    }

    /// Has no one asked the kernel for events for too long?
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        !self.is_polling && !self.is_minded() && now.saturating_duration_since(self.attended) >= OVERDUE
    }

    /// Is it time to ask the kernel for events, although there is work?
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now >= self.stale && !self.is_awaited()
    }

    /// `thread` has asked the kernel for events without waiting for them.
    pub(super) fn attended(&mut self, thread: usize, now: Instant) {
        self.leader = Some(thread);
        self.attend(now);
    }

    fn attend(&mut self, now: Instant) {
        self.attended = now;
        self.stale = now + STALE;
        self.beacon.show(now, self.is_awaited());
    }

    /// `thread` begins to wait for events, at most so long.
    pub(super) fn begin_wait(&mut self, thread: usize, timeout: Option<Duration>, now: Instant) {
        self.is_polling = true;
        self.waits_until = timeout.map(|timeout| now + timeout);
        self.attended(thread, now);
    }

    /// Does a thread wait for events longer than `timeout`, which is how long it may by what is known now?
    pub(super) fn waits_beyond(&self, timeout: Option<Duration>, now: Instant) -> bool {
        let is_before = |due: Instant| self.waits_until.is_none_or(|until| due < until);
        self.is_polling && timeout.is_some_and(|timeout| is_before(now + timeout))
    }

    /// `thread` has waited for events.
    pub(super) fn end_wait(&mut self, thread: usize, now: Instant) {
        self.is_polling = false;
        self.attended(thread, now);
    }

    /// `thread` begins a piece of work; `has_more`: it leaves some. Who is to be called for what, before it does.
    pub(super) fn begin_work(&mut self, thread: usize, has_more: bool) -> Option<(usize, Call)> {
        self.busy += 1;
        if self.is_polling && !has_more {
            return None;
        }
        if !self.is_polling {
            self.leader = Some(thread);
        }
        // One who finds no place to work in would come, or watch, for nothing.
        let has_room = self.has_room();
        if has_room
            && self.pace.is_slow()
            && let Some(called) = self.call()
        {
            return Some((called, Call::Act));
        }
        if self.is_polling || self.is_minded() || has_room && self.watcher.is_some() {
            return None;
        }
        let standing = self.first_to_serve().filter(|_| has_room);
        let Some(standing) = standing else {
            return self.leave_to_minder().map(|minder| (minder, Call::Watch));
        };
        self.watcher = Some(standing);
        Some((standing, Call::Watch))
    }

    /// The minder, which is to watch: the loop is nobody's. `None`: it does so, or is on its way.
    pub(super) fn leave_to_minder(&mut self) -> Option<usize> {
        let is_called = self.minder == Minder::StandsBy && self.watcher != Some(self.minder_number);
        if !is_called {
            return None;
        }
        self.watcher = Some(self.minder_number);
        self.watcher
    }

    /// A thread comes back from its work.
    pub(super) fn end_work(&mut self, began: Instant, ended: Instant) {
        self.busy = self.busy.saturating_sub(1);
        self.pace.note(ended.saturating_duration_since(began));
        if self.pace.is_slow() {
            self.returns.note(ended);
        }
    }

    /// `thread` does nothing until it is called. `true`: it is to watch meanwhile.
    pub(super) fn stand_by(&mut self, thread: usize) -> bool {
        let is_minder = thread == self.minder_number;
        if is_minder {
            self.minder = Minder::StandsBy;
        } else {
            self.standing.push(thread);
        }
        if self.leader == Some(thread) {
            self.leader = None;
        }
        let is_watched =
            self.watcher.is_some() || !is_minder && (self.pace.is_slow() || !self.may_watch(thread));
        if !is_watched && (!is_minder || self.busy > 0) {
            self.watcher = Some(thread);
        }
        debug_assert!(!self.is_forsaken(), "nobody is left to wait for events: {self:?}");
        self.watcher == Some(thread)
    }

    /// Do all stand by, called by nobody, though nobody waits for events?
    fn is_forsaken(&self) -> bool {
        let is_called = self.standing.len() < self.threads || self.minder != Minder::StandsBy;
        !is_called && !self.is_polling && self.busy == 0 && self.watcher.is_none()
    }

    /// `thread` stands by no longer.
    pub(super) fn step_forward(&mut self, thread: usize) {
        self.standing.retain(|&standing| standing != thread);
        if thread == self.minder_number {
            self.minder = Minder::Absent;
        }
        self.watcher = self.watcher.filter(|&watcher| watcher != thread);
    }

    /// `thread` has watched and seen nothing go on since `sight`. `true`: it need not look until it is called; another
    /// may have its place by now.
    pub(super) fn stop_watching(&mut self, thread: usize, sight: Sight) -> bool {
        if self.watcher != Some(thread) {
            return true;
        }
        if !self.is_polling || self.beacon.look() != sight {
            return false;
        }
        self.watcher = None;
        true
    }

    /// Calls one who stands by, to have the loop: one who answers requests, where there is one.
    pub(super) fn call_anyone(&mut self) -> Option<usize> {
        self.call().or_else(|| {
            let called = self.standing.last().copied()?;
            self.step_forward(called);
            Some(called)
        })
    }

    /// Calls one who stands by and answers requests: the one who did something last, whose memory is warm.
    pub(super) fn call(&mut self) -> Option<usize> {
        let called = self.first_to_serve()?;
        self.step_forward(called);
        Some(called)
    }
}

/// What a watcher sees from afar: when the loop was last attended, and whether someone waits for events now. Looked
/// at without the lock that the roster is behind.
#[derive(Debug)]
pub(super) struct Beacon {
    start: Instant,
    /// Nanoseconds since the start, and in the lowest bit whether someone waits.
    light: AtomicU64,
}

/// What a look at a [`Beacon`] showed; the same as before: nothing has gone on in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight(u64);

impl Beacon {
    fn new(start: Instant) -> Self {
        Self {
            start,
            light: AtomicU64::new(0),
        }
    }

    fn show(&self, attended: Instant, is_polling: bool) {
        let light = self.nanoseconds(attended) << 1 | u64::from(is_polling);
        self.light.store(light, Ordering::Relaxed);
    }

    /// What it shows.
    pub(super) fn look(&self) -> Sight {
        Sight(self.light.load(Ordering::Relaxed))
    }

    /// Had the loop, when it looked like that, been unattended for too long?
    pub(super) fn is_overdue(&self, sight: Sight, now: Instant) -> bool {
        let since = self.nanoseconds(now).saturating_sub(sight.0 >> 1);
        sight.0 & 1 == 0 && Duration::from_nanos(since) >= OVERDUE
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }
}
