//! [`Shift`]: the loop and who does what, behind one lock; and what a thread that has it in hand is to do next.

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::server::Work;

use super::super::roster::{Call, Role, Roster};
use super::super::{Departure, Worker};
use super::member::Member;

/// How often the log says that there are too few threads.
const COMPLAINT: Duration = Duration::from_secs(60);

/// The loop, and who does what.
pub(in crate::worker) struct Shift {
    pub(in crate::worker) worker: Worker,
    pub(in crate::worker) roster: Roster,
    /// Set when everything is over.
    pub(super) ended: Option<Departure>,
    /// All threads are attached, and others are to take what comes.
    pub(super) is_short: bool,
    /// When that is worth another line in the log.
    pub(super) next_complaint: Option<Instant>,
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
            if !self.roster.is_plain() || self.is_short || !self.roster.serves(member.number) {
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
        let timeout = self.worker.timeout(member.runtime.is_some());
        let was_short = mem::replace(&mut self.is_short, self.worker.event_loop.is_out_of_threads());
        let look = match (was_short, self.is_short) {
            (_, true) => {
                self.complain();
                self.worker.give_away()
            }
            (true, false) => {
                self.worker.event_loop.unburden();
                None
            }
            (false, false) => None,
        };
        [timeout, look].into_iter().flatten().min()
    }

    fn complain(&mut self) {
        let now = self.worker.event_loop.now();
        if self.next_complaint.is_none_or(|next| next <= now) {
            self.next_complaint = Some(now + COMPLAINT);
            log::warn!(
                "worker {}: all {} threads have an answer that is streamed and wait for its client (threads, \
                 spare-threads); other requests wait for one of them, or for another worker",
                self.worker.seat.facts.number,
                self.worker.event_loop.attached().len()
            );
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
        if self.roster.leaves_minder(event_loop.has_work()) {
            return;
        }
        event_loop.unburden();
        if self.roster.is_awaited() {
            event_loop.rouse();
        }
        self.roster.end_minding();
    }
}
