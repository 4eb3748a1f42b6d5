//! [`Services`]: what connections need of the house they live in: who runs the application, the clock, limits, logs,
//! the scoreboard.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uwrs_api::{ConnectionInfo, Exchange, ExchangeId, Outbound, Peer, Request};

use crate::config::Limits;
use crate::logging::AccessLog;
use crate::scoreboard::Slot;
use crate::sys::{self, Handed, Pages};

use super::batch::{Batch, Batcher};
use super::clock::Clock;
use super::deadlines::Deadlines;
use super::dispatch::{Asked, Dispatch, Work};
use super::exchange::Record;
use super::ferry;
use super::mailbox::Mailbox;
use super::overload::Shed;
use super::stints::{self, Stint, Stints};
use super::strays::Strays;

/// Bytes read at once. One buffer for all connections: an idle one holds none.
const READ_BYTES: usize = 64 * 1024;
const _: () = assert!(READ_BYTES >= ferry::MESSAGE_BYTES);

/// What it takes to send something while an application is at work.
pub(crate) struct Means<'a> {
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) clock: &'a mut Clock,
    /// How long a client may take nothing of it.
    pub(crate) patience: Duration,
}

/// Who has more requests than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The connection in that place.
    Connection(usize),
    /// Those who wait at that listener to be accepted.
    Listener(usize),
}

/// What a connection uses and does not own.
pub struct Services {
    pub(crate) dispatch: Dispatch,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    /// What `limits` says of idle connections, or less while there are many of them.
    pub(crate) keep_alive: Duration,
    pub(crate) access_log: AccessLog,
    pub(crate) slot: Slot,
    pub(super) stints: Stints,
    pub(super) strays: Strays,
    /// Who comes next when there is room for requests: connections that are open and those that are not take turns.
    pub(super) held: VecDeque<Held>,
    pub(super) shed: Shed,
    pub(super) deadlines: Arc<Deadlines>,
    /// Filled by every read, and by what comes with the ferry; emptied before the next.
    pub(crate) scratch: Pages,
    /// Memory for the answer of whoever speaks: empty between two steps.
    pub(crate) spare: Outbound,
    /// The last request that was answered, emptied: memory for the next.
    pub(crate) spare_request: Option<Arc<Request>>,
    /// Exchanges that are over for their clients, while the application is still at work on them.
    pub(super) told: Vec<ExchangeId>,
    /// The worker leaves.
    pub(crate) is_leaving: bool,
    serial: u64,
}

impl Services {
    /// # Errors
    /// There is no memory to read into.
    pub(crate) fn new(
        dispatch: Dispatch,
        mailbox: Arc<Mailbox>,
        limits: Limits,
        access_log: AccessLog,
        slot: Slot,
    ) -> io::Result<Self> {
        Ok(Self {
            dispatch,
            mailbox,
            clock: Clock::new(),
            keep_alive: limits.keep_alive,
            limits,
            access_log,
            slot,
            stints: Stints::default(),
            strays: Strays::default(),
            held: VecDeque::new(),
            shed: Shed::default(),
            deadlines: Arc::default(),
            scratch: Pages::new(READ_BYTES)?,
            spare: Outbound::default(),
            spare_request: None,
            told: Vec::new(),
            is_leaving: false,
            serial: 0,
        })
    }

    /// A name for the next exchange of the connection in `slot`.
    pub(crate) fn next_exchange(&mut self, slot: u32) -> ExchangeId {
        self.serial += 1;
        ExchangeId {
            slot,
            serial: self.serial,
        }
    }

    /// Has a request answered. `true`: the application has been called, on this thread; whenever it wanted something to
    /// be sent before its end, `send_now` was.
    pub(crate) fn answer(
        &mut self,
        exchange: Exchange,
        mut send_now: impl FnMut(&mut Means<'_>) -> bool,
    ) -> bool {
        if !self.dispatch.is_inline() {
            return self.dispatch.answer(exchange);
        }
        let (id, began) = (exchange.responder.id(), self.clock.shared());
        self.slot.begin();
        stints::show(
            id,
            &exchange.request,
            &exchange.connection.peer,
            began,
            &self.slot,
        );
        let mut means = Means {
            mailbox: &self.mailbox,
            clock: &mut self.clock,
            patience: self.limits.send_timeout,
        };
        let dispatch = &mut self.dispatch;
        sys::lend(&mut || send_now(&mut means), || dispatch.answer(exchange));
        self.slot.rest();
        self.clock.update();
        true
    }

    /// The next pieces of a body are about to be asked for, of which `record` tells.
    pub(crate) fn begin_pull(&self, record: &Record, peer: &Peer) {
        if self.dispatch.is_inline() {
            stints::show(record.id, &record.request, peer, self.clock.shared(), &self.slot);
        }
    }

    /// Asks for them, as [`Dispatch::pull`] does.
    pub(crate) fn pull(&mut self, asked: Asked, flush: &mut Handed<'_>) -> Option<(Batch, Batcher)> {
        let pulled = self.dispatch.pull(asked, flush)?;
        self.slot.rest();
        self.clock.update();
        Some(pulled)
    }

    /// The work in that place of the queue, for that thread.
    pub(crate) fn take_work(&mut self, place: usize, thread: usize) -> Option<Work> {
        let work = self.dispatch.take(place, thread)?;
        if let Work::Answer(exchange) = &work {
            self.slot.begin();
            self.begin_stint(exchange.responder.id(), (&exchange.request, &exchange.connection));
        }
        Some(work)
    }

    /// A thread goes into the application for that exchange.
    pub(super) fn begin_stint(&mut self, id: ExchangeId, asked: (&Arc<Request>, &Arc<ConnectionInfo>)) {
        self.stints.begin(id, asked, self.clock.shared(), &self.slot);
    }

    /// A thread has come back from it.
    pub(super) fn end_stint(&mut self, id: ExchangeId) {
        self.stints.end(id, &self.slot);
    }

    /// Stays in the application of exchanges that are not over for their clients, the oldest first.
    pub(super) fn untold_stints(&self) -> impl Iterator<Item = &Stint> {
        self.stints.iter().filter(|stint| !self.told.contains(&stint.id))
    }

    /// A request is done with: its memory is the next one's, if no one else has it still.
    pub(crate) fn recycle(&mut self, mut request: Arc<Request>) {
        if let Some(only) = Arc::get_mut(&mut request) {
            only.clear();
            self.spare_request = Some(request);
        }
    }

    /// The time of this turn, or of the last exchange's end in it.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }
}
