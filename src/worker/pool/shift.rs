//! [`Shift`]: the loop and who does what, behind one lock; and what a thread that has it in hand is to do next.

use std::io;
use std::time::{Duration, Instant};

use crate::server::Work;

use super::super::roster::{Call, Role, Roster};
use super::super::{Departure, Worker};
use super::member::Member;

/// When there have been too few threads for so long, the log says so.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it does.
const COMPLAINT: Duration = Duration::from_secs(60);

/// The loop, and who does what.
pub(in crate::worker) struct Shift {
    pub(in crate::worker) worker: Worker,
    pub(in crate::worker) roster: Roster,
    /// Set when everything is over.
    pub(super) ended: Option<Departure>,
    /// All threads are attached, and others are to take what comes: when that is worth a line in the log.
    pub(super) is_short: Option<Instant>,
}

/// What a thread does next.
pub(super) enum Duty {
    Run(Work, Option<(usize, Call)>),
    Wait(Option<Duration>),
    StandBy,
    /// Make one more thread, with that number.
    Recruit(usize),
    /// End: it has rested for long.
    Leave,
    /// Ask the runtime for the files that are imported.
    LookAtSources,
}

impl Shift {
    /// What a thread, which has nothing in hand, is to do. `None`: everything is over.
    pub(super) fn next_duty(&mut self, member: &Member<'_>) -> io::Result<Option<Duty>> {
        loop {
            if self.is_over() {
                return Ok(None);
            }
            if member.runtime.is_some() && self.worker.wants_sources() {
                return Ok(Some(Duty::LookAtSources));
            }
            let now = self.worker.event_loop.now();
            if self.roster.is_minded() && self.roster.is_stale(now) {
                self.look_around(member.number)?;
                self.worker.event_loop.glance_outside();
                self.worker.event_loop.send_across();
                continue;
            }
            self.take_over_from_minder();
            self.roster.set_attached(self.worker.event_loop.attached());
            self.note_relief();
            let may_serve = self.roster.serves(member.number) && self.roster.has_place(member.number);
            if !self.roster.is_plain() || !may_serve {
                return self.share_out(member).map(Some);
            }
            let has_work = self.worker.event_loop.has_work();
            match self.roster.role(member.number, has_work, now) {
                Role::StandBy => return Ok(Some(Duty::StandBy)),
                Role::Lead if has_work && self.roster.is_stale(now) => {
                    self.look_around(member.number)?;
                    continue;
                }
                Role::Lead | Role::Help => {}
            }
            if let Some(work) = self.worker.event_loop.take_work(member.number) {
                return Ok(Some(self.begin(work, member.number)));
            }
            if self.roster.is_polling() {
                return Ok(Some(Duty::StandBy));
            }
            return Ok(Some(Duty::Wait(self.timeout(member))));
        }
    }

    /// `number` does that next.
    #[inline]
    pub(super) fn begin(&mut self, work: Work, number: usize) -> Duty {
        let has_more = self.worker.event_loop.has_work();
        let called = self.roster.begin_work(number, has_more);
        Duty::Run(work, called)
    }

    /// How long that thread may wait for events.
    pub(super) fn timeout(&mut self, member: &Member<'_>) -> Option<Duration> {
        // Who left the loop to the minder for the sake of work that could not be had after all has it now.
        self.end_minding();
        let timeout = self.worker.timeout(member.runtime.is_some());
        match self.worker.event_loop.is_out_of_threads() {
            true => [timeout, self.be_short()].into_iter().flatten().min(),
            false => timeout,
        }
    }

    /// There is no thread for another request: others are to take what comes. How long until there is to be looked again.
    fn be_short(&mut self) -> Option<Duration> {
        let now = self.worker.event_loop.now();
        let mut due = *self.is_short.get_or_insert(now + PATIENCE);
        if due <= now {
            due = now + COMPLAINT;
            self.is_short = Some(due);
            log::warn!(
                "worker {}: its threads, {} with the spare ones, all have a streamed answer whose client takes its time; other \
                 requests wait for one of them to end, or for another worker (more spare-threads, or a proxy that buffers)",
                self.worker.seat.facts.number,
                self.worker.event_loop.attached().len()
            );
        }
        [Some(due.saturating_duration_since(now)), self.worker.give_away()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Are there threads enough again?
    fn note_relief(&mut self) {
        if self.is_short.is_some() && !self.worker.event_loop.is_out_of_threads() {
            self.is_short = None;
            self.worker.event_loop.unburden();
        }
    }

    /// Asks the kernel for events, without waiting for any.
    pub(super) fn look_around(&mut self, number: usize) -> io::Result<()> {
        let heard = self.worker.event_loop.turn(Some(Duration::ZERO))?;
        self.roster.attended(number, self.worker.event_loop.now());
        self.worker.hear(&heard);
        Ok(())
    }

    /// Is everything over?
    pub(in crate::worker) fn is_over(&mut self) -> bool {
        let is_idle = self.roster.busy() == 0 && !self.worker.event_loop.has_work();
        self.ended = self.ended.or_else(|| self.worker.departure(is_idle));
        self.ended.is_some()
    }

    /// A thread is back from the application: the loop is no longer the minder's, unless slow ones wait in a row.
    fn take_over_from_minder(&mut self) {
        if !self.roster.is_minded() {
            return;
        }
        let event_loop = &mut self.worker.event_loop;
        if self.roster.is_awaited() {
            event_loop.glance_outside();
        }
        if !self.roster.leaves_minder(event_loop.has_work()) {
            self.end_minding();
        }
    }

    /// The loop is the minder's no longer: newcomers are let in again.
    fn end_minding(&mut self) {
        if !self.roster.is_minded() {
            return;
        }
        self.worker.event_loop.unburden();
        if self.roster.is_awaited() {
            self.worker.event_loop.rouse();
        }
        self.roster.end_minding();
    }
}
