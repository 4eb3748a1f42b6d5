//! [`Member`]: one of the threads, and how it does its duty.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use uwrs_api::{Gateway, Runtime};

use crate::server::Work;
use crate::sys::{self, EpollEvents};

use super::super::roster::Call;
use super::sharing::REST;
use super::shift::{Duty, Shift};
use super::{Pool, spawn};

/// One of the threads.
pub(super) struct Member<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) number: usize,
    pub(super) gateway: &'a dyn Gateway,
    pub(super) runtime: Option<&'a dyn Runtime>,
    /// It has let go of the interpreter, and has done nothing since.
    pub(super) has_rested: bool,
    /// When it was last at work.
    pub(super) worked: Instant,
    pub(super) events: EpollEvents,
}

/// Why a thread ends.
pub(super) enum End {
    /// Everything is over.
    Over,
    /// It is not needed any more.
    Dismissed,
}

impl<'a> Member<'a> {
    /// One duty after the other, until everything is over.
    pub(super) fn serve(mut self) -> io::Result<End> {
        let mut shift = self.pool.lock();
        while let Some(duty) = shift.next_duty(&self)? {
            // What it does when it has rested may be something else: it took a moment.
            let is_idle = matches!(duty, Duty::Wait(_) | Duty::StandBy);
            if is_idle && !self.has_rested {
                drop(shift);
                self.gateway.rest();
                self.has_rested = true;
                shift = self.pool.lock();
                continue;
            }
            if let Duty::Leave = duty {
                return Ok(End::Dismissed);
            }
            shift = self.perform(duty, shift)?;
            self.has_rested = false;
        }
        Ok(End::Over)
    }

    /// Does its duty, without the loop in hand; has it again afterwards.
    fn perform(&mut self, duty: Duty, shift: MutexGuard<'a, Shift>) -> io::Result<MutexGuard<'a, Shift>> {
        match duty {
            Duty::Run(work, called) => Ok(self.run(work, called, shift)),
            Duty::Wait(timeout) => self.wait(timeout, shift),
            Duty::StandBy | Duty::Leave => Ok(self.stand_by(shift)),
            Duty::Recruit(number) => {
                drop(shift);
                Ok(self.recruit(number))
            }
            Duty::LookAtSources => {
                drop(shift);
                let files = self.runtime.map(Runtime::source_files).unwrap_or_default();
                let mut shift = self.pool.lock();
                shift.worker.look_at(files);
                Ok(shift)
            }
        }
    }

    fn run(
        &mut self,
        work: Work,
        called: Option<(usize, Call)>,
        shift: MutexGuard<'a, Shift>,
    ) -> MutexGuard<'a, Shift> {
        self.pool.busy.store(shift.roster.busy(), Ordering::Relaxed);
        let is_alone = shift.roster.busy() == 1;
        // Where the interpreter is nobody else's, the work begins at once.
        let began = is_alone.then(|| shift.worker.event_loop.now());
        drop(shift);
        if let Some((number, call)) = called {
            self.pool.stations[number].call(call);
        }
        self.gateway.rouse();
        let exchange = work.exchange();
        let began = began.unwrap_or_else(Instant::now);
        let pulled = work.run(self.gateway, &self.pool.flusher);
        let ended = Instant::now();
        let mut shift = self.take_again();
        shift
            .worker
            .event_loop
            .take_back(self.number, exchange, pulled, ended);
        self.worked = ended;
        shift.roster.end_work(began, ended);
        self.pool.busy.store(shift.roster.busy(), Ordering::Relaxed);
        shift
    }

    /// The loop, after an application. Alone, the thread keeps hold of the interpreter: it is about to run the next.
    fn take_again(&mut self) -> MutexGuard<'a, Shift> {
        if self.pool.busy.load(Ordering::Relaxed) <= 1
            && let Ok(shift) = self.pool.shift.try_lock()
        {
            return shift;
        }
        self.gateway.rest();
        self.pool.lock()
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut shift: MutexGuard<'a, Shift>,
    ) -> io::Result<MutexGuard<'a, Shift>> {
        let timeout = shift.worker.event_loop.begin_wait(timeout);
        let now = shift.worker.event_loop.now();
        shift.roster.begin_wait(self.number, timeout, now);
        drop(shift);
        let waited = sys::epoll_wait(self.pool.epoll, &mut self.events, timeout);
        let mut shift = self.pool.lock();
        let heard = shift.worker.event_loop.end_wait(&self.events);
        let now = shift.worker.event_loop.now();
        shift.roster.end_wait(self.number, now);
        shift.worker.hear(&heard);
        waited.map(|()| shift)
    }

    /// Makes thread `number`.
    fn recruit(&self, number: usize) -> MutexGuard<'a, Shift> {
        let sibling = self.gateway.sibling();
        self.gateway.rest();
        let is_made = sibling.is_some_and(|sibling| spawn(self.pool, number, sibling, None));
        let mut shift = self.pool.lock();
        if let Some(threads) = shift.roster.end_recruiting(is_made) {
            shift.worker.event_loop.limit_threads(threads);
            log::warn!("spare-threads: there are {threads} threads in all, and can't be more");
        }
        shift
    }

    fn stand_by(&self, shift: MutexGuard<'a, Shift>) -> MutexGuard<'a, Shift> {
        let errand = match self.runtime {
            Some(_) => shift.worker.next_look(),
            None => shift.roster.is_spare(self.number).then_some(REST),
        };
        self.pool.stand_by(self.number, errand, shift)
    }
}
