//! [`EventLoop`]: one epoll, the connections it watches, and a turn in which all that is ready is handled.
//!
//! The loop does not know who calls [`EventLoop::turn`]: a worker's main thread for ever, or some other loop that
//! watches the poll's descriptor and calls in when it is readable. Threads that share it behind a lock wait without
//! the lock: between [`EventLoop::begin_wait`] and [`EventLoop::end_wait`].

mod admission;
mod crossing;
mod mail;
mod overdue;
mod work;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use uwrs_api::{ExchangeId, Gateway, Reply};

use crate::config::Limits;
use crate::logging::AccessLog;
use crate::scoreboard::Slot;
use crate::sys::{self, EpollEvents};

use super::capacity::Capacity;
use super::connection::{Connection, Patience, Verdict};
use super::deadlines::Deadlines;
use super::dispatch::Dispatch;
use super::ferry::Origin;
use super::idle::Idle;
use super::listener::Listener;
use super::mailbox::Mailbox;
use super::occurrence::Occurrence;
use super::schedule::Schedule;
use super::services::{Held, Services};
pub use crossing::Landing;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// Connections accepted from one listener in one turn. Each is served before the next is accepted, so that a slow
/// one leaves the others to idle workers.
const ACCEPTS_A_TURN: usize = 64;
const MAILBOX: Token = Token(0);
const FIRST_LISTENER: usize = 1;
const FERRY: usize = FIRST_FOREIGN - 1;
const FIRST_FOREIGN: usize = 1 << 16;

/// Names a descriptor that is not a connection and that the loop's caller wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignToken(usize);

/// Whether new connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Open,
    /// All threads are busy, and have been for a while.
    Burdened,
    /// There are as many requests in hand as it is to have before others take what comes.
    Sated,
    /// Asked to stop until asked to go on.
    Paused,
    /// There are as many connections as there may be, and all are busy.
    Full,
    /// Out of descriptors until then.
    Exhausted(Instant),
    /// The worker leaves.
    Closed,
}

/// A connection and the number that tells it from others that had its place.
struct Entry {
    generation: u32,
    /// `None`: it can't go to another worker.
    origin: Option<Origin>,
    connection: Connection,
}

/// One epoll and all that hangs on it.
pub struct EventLoop {
    poll: Poll,
    events: Events,
    listeners: Vec<Listener>,
    landing: Option<Landing>,
    admission: Admission,
    connections: Slab<Entry>,
    generation: u32,
    foreigners: usize,
    capacity: Capacity,
    idle: Idle,
    /// All threads are busy: when it is worth while to look for newcomers.
    next_glance: Instant,
    /// There was no room: when to say so again.
    next_complaint: Option<Instant>,
    /// Connections that have more to do and had their share of the last turn.
    ready: VecDeque<usize>,
    services: Services,
    schedule: Schedule,
    /// What was taken out of the mailbox: empty, and memory for the next.
    replies: Vec<(ExchangeId, Reply)>,
}

impl EventLoop {
    /// A loop that gives requests to `gateway`, on the thread that turns it.
    ///
    /// # Errors
    /// epoll or its waker could not be made (out of descriptors).
    pub fn new(
        gateway: Box<dyn Gateway>,
        limits: Limits,
        access_log: AccessLog,
        slot: Slot,
    ) -> io::Result<Self> {
        Self::with_dispatch(Dispatch::inline(gateway), limits, access_log, slot)
    }

    /// A loop whose work is taken off it by threads, see [`EventLoop::take_work`]: at most `capacity` of them are in the
    /// application at a time, of `most` that there may be. Requests are read as long as that leaves room for one; beyond
    /// that nothing is accepted, and no connection begins with another request.
    ///
    /// # Errors
    /// As [`EventLoop::new`].
    pub fn with_queue(
        capacity: usize,
        most: usize,
        limits: Limits,
        access_log: AccessLog,
        slot: Slot,
    ) -> io::Result<Self> {
        Self::with_dispatch(Dispatch::queue(capacity, most), limits, access_log, slot)
    }

    /// A loop whose work waits for the thread that turns it, which takes it between two turns, see
    /// [`EventLoop::take_work`]: so that another can mind the loop while an application blocks that thread. The gateway is
    /// what that thread has taken charge of.
    ///
    /// # Errors
    /// As [`EventLoop::new`].
    pub fn deferring(
        gateway: &dyn Gateway,
        limits: Limits,
        access_log: AccessLog,
        slot: Slot,
    ) -> io::Result<Self> {
        Self::with_dispatch(Dispatch::deferred(gateway), limits, access_log, slot)
    }

    fn with_dispatch(
        dispatch: Dispatch,
        limits: Limits,
        access_log: AccessLog,
        slot: Slot,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), MAILBOX)?));
        let capacity = Capacity::new(limits.max_connections, sys::descriptor_limit());
        let services = Services::new(dispatch, mailbox, limits, access_log, slot)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            listeners: Vec::new(),
            landing: None,
            admission: Admission::Open,
            connections: Slab::new(),
            generation: 0,
            foreigners: 0,
            capacity,
            idle: Idle::default(),
            next_glance: services.now(),
            next_complaint: None,
            ready: VecDeque::new(),
            schedule: Schedule::new(services.now()),
            services,
            replies: Vec::new(),
        })
    }

    /// Accepts connections from `listener` from now on.
    ///
    /// # Errors
    /// epoll refuses the descriptor.
    pub fn listen(&mut self, listener: Listener) -> io::Result<()> {
        let token = FIRST_LISTENER + self.listeners.len();
        sys::epoll_exclusive(self.poll.as_raw_fd(), listener.as_fd().as_raw_fd(), token as u64)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Reports in [`EventLoop::turn`]'s answer when `fd` becomes readable (edge-triggered: read it empty).
    ///
    /// # Errors
    /// epoll refuses the descriptor.
    pub fn watch(&mut self, fd: BorrowedFd<'_>) -> io::Result<ForeignToken> {
        let token = FIRST_FOREIGN + self.foreigners;
        self.poll
            .registry()
            .register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)?;
        self.foreigners += 1;
        Ok(ForeignToken(token))
    }

    /// Waits until something is ready, at most `timeout` (`None`: as long as it takes), and handles all that
    /// is. Returns which of the watched descriptors are readable.
    ///
    /// # Errors
    /// epoll broke; the loop can't go on.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Vec<ForeignToken>> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.wait(&mut events, timeout);
        let foreign = match &polled {
            Ok(()) => self.handle_all(events.iter().map(Occurrence::from)),
            Err(_) => Vec::new(),
        };
        self.events = events;
        polled?;
        Ok(foreign)
    }

    /// Before a wait, of at most `timeout`, on the descriptor of epoll and without this loop: how long it may last.
    pub fn begin_wait(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        let timeout = self.patience(timeout);
        // A reply that was left in the meantime is looked at without waiting for its waker.
        if timeout != Some(Duration::ZERO) && self.services.mailbox.sleep() {
            return timeout;
        }
        Some(Duration::ZERO)
    }

    /// After a wait: handles what it has reported, as [`EventLoop::turn`] does.
    pub fn end_wait(&mut self, events: &EpollEvents) -> Vec<ForeignToken> {
        self.services.mailbox.wake_up();
        self.handle_all(events.iter().map(|(token, bits)| Occurrence::new(token, bits)))
    }

    /// Ends the wait of a thread that waits on the descriptor of epoll.
    pub fn rouse(&self) {
        self.services.mailbox.rouse();
    }

    /// What ends the wait of the one who waits for events, from any thread.
    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.services.mailbox)
    }

    /// The calling thread is about to wait for something else than this loop's events.
    pub fn rest(&self) {
        self.services.dispatch.rest();
    }

    /// The calling thread, which the gateway was brought to by [`Gateway::enter_thread`], is done with it.
    pub fn leave_thread(&self) {
        self.services.dispatch.leave_thread();
    }

    /// The deadlines that applications set themselves, to be set by any thread.
    pub(crate) fn deadlines(&self) -> Arc<Deadlines> {
        Arc::clone(&self.services.deadlines)
    }

    fn handle_all(&mut self, occurrences: impl Iterator<Item = Occurrence>) -> Vec<ForeignToken> {
        self.services.clock.update();
        let foreign = occurrences
            .filter_map(|occurrence| self.handle(occurrence))
            .collect();
        self.deliver_mail();
        self.continue_ready();
        self.tell_overdue();
        self.send_away_waiting();
        self.sweep();
        self.give_up_overdue();
        self.accept_again();
        self.services.access_log.flush_if_due(self.services.clock.now());
        foreign
    }

    /// Lets the scoreboard know that whoever drives this loop has turned it.
    pub fn beat(&self) {
        self.services.slot.beat(self.services.clock.shared());
    }

    /// Reads the time anew.
    pub fn update_clock(&mut self) -> Instant {
        self.services.clock.update()
    }

    /// The time as it was last read.
    pub fn now(&self) -> Instant {
        self.services.clock.now()
    }

    /// Stops taking connections until [`EventLoop::resume`]; those that are open are served on.
    pub fn pause(&mut self) {
        if self.admission != Admission::Closed {
            self.stop_listening();
            self.services.slot.set_burdened(false);
            self.admission = Admission::Paused;
        }
    }

    /// Takes connections again.
    pub fn resume(&mut self) {
        if matches!(self.admission, Admission::Paused | Admission::Exhausted(_)) {
            self.start_listening();
        }
    }

    /// Takes no more connections and no more requests than those that are on their way; answers say so.
    /// What already waits in the listeners' queues and may have been told to this worker alone is still taken.
    pub fn drain(&mut self) {
        if self.admission == Admission::Closed {
            return;
        }
        if self.admission == Admission::Open {
            self.stop_listening();
            // After the last chance to be told of a connection, so that none is told to nobody.
            for index in 0..self.listeners.len() {
                self.accept(index, ACCEPTS_A_TURN);
            }
            self.take_off_ferry(ACCEPTS_A_TURN);
        }
        self.admission = Admission::Closed;
        self.services.is_leaving = true;
        let now = self.services.clock.update();
        for (_, entry) in &mut self.connections {
            entry.connection.drain(&mut self.services);
        }
        self.schedule.all_moved(now);
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Writes out what the access log holds back.
    pub fn flush_log(&mut self) {
        self.services.access_log.flush();
    }

    /// Waits for events. That nothing came, or that a signal interrupted the wait, is no error.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = self.patience(timeout);
        let idle = timeout != Some(Duration::ZERO);
        if idle {
            self.services.dispatch.rest();
        }
        // A reply that was left in the meantime is looked at without waiting for its waker.
        let timeout = if idle && !self.services.mailbox.sleep() {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let polled = self.poll.poll(events, timeout);
        self.services.mailbox.wake_up();
        match polled {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// How long may be waited: until the next thing that time alone brings.
    fn patience(&self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let sweep = (!self.connections.is_empty()).then_some(self.schedule.next());
        let admission = match self.admission {
            Admission::Exhausted(until) => Some(until),
            _ => None,
        };
        let log = self.services.access_log.due();
        let overdue = self.next_overdue();
        let next = [sweep, admission, log, overdue].into_iter().flatten().min();
        let next = next.map(|at| at.saturating_duration_since(now).max(Duration::from_millis(1)));
        [timeout, next].into_iter().flatten().min()
    }

    fn handle(&mut self, occurrence: Occurrence) -> Option<ForeignToken> {
        let token = occurrence.token;
        let generation = (token >> 32) as u32;
        if generation != 0 {
            self.handle_connection((token & u32::MAX as usize, generation), occurrence);
            return None;
        }
        match token {
            token if token >= FIRST_FOREIGN => return Some(ForeignToken(token)),
            FERRY => self.meet_ferry(),
            token if token >= FIRST_LISTENER => self.answer_door(token - FIRST_LISTENER),
            // The mailbox is looked at in every turn.
            _ => {}
        }
        None
    }

    fn handle_connection(&mut self, (slot, generation): (usize, u32), occurrence: Occurrence) {
        let Some(entry) = self.connections.get_mut(slot) else {
            return;
        };
        // An earlier event of this turn closed it and another has its place.
        if entry.generation != generation {
            return;
        }
        let readiness = &mut entry.connection.readiness;
        readiness.readable |= occurrence.readable;
        readiness.writable |= occurrence.writable;
        readiness.read_closed |= occurrence.read_closed;
        readiness.hung_up |= occurrence.hung_up;
        match entry.connection.hold(&self.services) {
            Some(verdict) => self.settle(slot, verdict),
            None => self.advance(slot),
        }
    }

    fn advance(&mut self, slot: usize) {
        let Some(entry) = self.connections.get_mut(slot) else {
            return;
        };
        let verdict = entry.connection.advance(&mut self.services);
        self.settle(slot, verdict);
    }

    fn settle(&mut self, slot: usize, verdict: Verdict) {
        self.schedule.moved(slot);
        match verdict {
            Verdict::Wait if self.admission == Admission::Full => {
                // Someone who waits can have its place.
                if self.idle_since(slot).is_some() {
                    self.start_listening();
                }
            }
            Verdict::Wait => {}
            Verdict::Again => self.ready.push_back(slot),
            Verdict::Held => self.services.held.push_back(Held::Connection(slot)),
            Verdict::Close => {
                // Closing the descriptor takes it out of epoll as well.
                if let Some(entry) = self.connections.try_remove(slot) {
                    self.services.slot.closed();
                    entry.connection.abandon(&mut self.services);
                }
                if self.admission == Admission::Full && self.capacity.has_room(self.connections.len()) {
                    self.start_listening();
                }
            }
        }
    }

    /// Gives those that had more to do another share.
    fn continue_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            self.advance(slot);
        }
    }

    /// Ends waits that have lasted too long.
    fn sweep(&mut self) {
        let now = self.services.now();
        if let Admission::Exhausted(until) = self.admission
            && now >= until
        {
            self.start_listening();
        }
        if now < self.schedule.next() {
            return;
        }
        self.services.tell_shed();
        let (limits, open) = (&self.services.limits, self.connections.len());
        self.capacity.forget(open);
        let keep_alive = self.capacity.keep_alive(limits.keep_alive, open);
        if keep_alive < std::mem::replace(&mut self.services.keep_alive, keep_alive) {
            self.schedule.all_moved(now);
        }
        let draining = self.admission == Admission::Closed;
        for slot in self.schedule.take_due(now) {
            let Some(entry) = self.connections.get_mut(slot) else {
                self.schedule.set(slot, None);
                continue;
            };
            match entry.connection.expire(&mut self.services, draining) {
                Patience::Until(end) => self.schedule.set(slot, end),
                Patience::Over(verdict) => self.settle(slot, verdict),
            }
        }
    }
}

impl AsRawFd for EventLoop {
    /// epoll's descriptor: readable when a turn has something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
