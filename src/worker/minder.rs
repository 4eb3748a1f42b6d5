//! The minder: a thread without an interpreter that has the loop while all the others are in the application.
//!
//! It moves bytes, keeps deadlines, listens to signals, answers what needs no application, and sends connections that
//! would have to wait to idle workers. Nothing is accepted meanwhile: other workers may have room. When it comes and goes
//! is for the [`Roster`](super::roster::Roster) to say.

use std::io;
use std::sync::MutexGuard;
use std::thread;
use std::time::Duration;

use crate::sys::{self, EpollEvents};

use super::pool::{EVENTS, Ending, Pool, Shift};
use super::roster::DOZE;

/// What the minder does from beginning to end.
pub(super) fn serve(pool: &Pool, number: usize) {
    pool.arrive(number, thread::current());
    let _ending = Ending(pool);
    if let Err(error) = mind(pool, number) {
        log::error!("the event loop broke: {error}");
    }
}

fn mind(pool: &Pool, number: usize) -> io::Result<()> {
    let mut events = EpollEvents::with_capacity(EVENTS);
    let mut shift = pool.lock();
    while !shift.is_over() {
        let now = shift.worker.event_loop.now();
        if !shift.roster.wants_minder(now) {
            shift.hand_back(pool);
            shift = pool.stand_by(number, None, shift);
            continue;
        }
        let look = shift.prepare_to_mind();
        if shift.roster.may_doze(now) {
            shift = pool.doze(look, shift);
            continue;
        }
        let timeout = shift.prepare_wait(look);
        shift.roster.begin_minding(now);
        drop(shift);
        let waited = sys::epoll_wait(pool.epoll(), &mut events, timeout);
        shift = pool.lock();
        let heard = shift.worker.event_loop.end_wait(&events);
        shift.worker.hear(&heard);
        waited?;
    }
    Ok(())
}

impl Pool {
    /// Waits, without the loop in hand and without being told of events.
    fn doze<'a>(&'a self, look: Option<Duration>, mut shift: MutexGuard<'a, Shift>) -> MutexGuard<'a, Shift> {
        shift.roster.begin_dozing();
        drop(shift);
        thread::park_timeout(look.unwrap_or(DOZE));
        let mut shift = self.lock();
        shift.worker.event_loop.update_clock();
        shift
    }
}

impl Shift {
    /// What is to be done when the minder has the loop. How long until it is to be done again.
    fn prepare_to_mind(&mut self) -> Option<Duration> {
        let look = self.worker.give_away();
        look.or(self.worker.event_loop.next_burden())
    }

    /// What is to be done before the minder waits for events, and how long it may wait.
    fn prepare_wait(&mut self, look: Option<Duration>) -> Option<Duration> {
        let timeout = [self.worker.timeout(false), look].into_iter().flatten().min();
        self.worker.event_loop.begin_wait(timeout)
    }

    /// The loop is another's: what came in the last wait is told to it. Where the minder has watched, and not all threads
    /// are busy, that is one who stands by and whom nobody has called.
    fn hand_back(&mut self, pool: &Pool) {
        let has_work = self.worker.event_loop.has_work();
        let now = self.worker.event_loop.now();
        let is_overdue = self.roster.is_overdue(now);
        // Where threads are attached, who came back may have found nothing for itself, and left the loop here.
        // So may those who left it here for the sake of work that another has taken.
        let was_minded = self.roster.is_minded();
        if was_minded {
            self.worker.event_loop.unburden();
            self.roster.end_minding();
        }
        let is_nobodys = (was_minded || !self.roster.is_plain()) && !self.roster.is_polling();
        if (has_work || is_overdue || is_nobodys)
            && let Some(called) = self.roster.call_anyone()
        {
            pool.call(called);
        } else if self.roster.is_polling() {
            // That thread waits without the minder; the mailbox must wake it. Of what the minder was told meanwhile, a
            // newcomer's deadline or the signal to leave, it knows nothing.
            let timeout = self.worker.timeout(false);
            let timeout = self.worker.event_loop.begin_wait(timeout);
            if has_work || self.roster.waits_beyond(timeout, now) {
                self.worker.event_loop.rouse();
            }
        }
    }
}
