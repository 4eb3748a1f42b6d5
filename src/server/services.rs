//! [`Services`]: what connections need of the house they live in: who runs the application, the clock, limits, logs,
//! the scoreboard.

use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{Exchange, ExchangeId, Outbound};

use crate::config::Limits;
use crate::logging::AccessLog;
use crate::scoreboard::Slot;

use super::clock::Clock;
use super::dispatch::{Dispatch, Work};
use super::mailbox::Mailbox;

/// Bytes read at once. One buffer for all connections: an idle one holds none.
const READ_BYTES: usize = 64 * 1024;

/// What a connection uses and does not own.
pub struct Services {
    pub(crate) dispatch: Dispatch,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) access_log: AccessLog,
    pub(crate) slot: Slot,
    /// Filled by every read, emptied before the next.
    pub(crate) scratch: Box<[u8]>,
    /// Memory for the answer of whoever speaks: empty between two steps.
    pub(crate) spare: Outbound,
    serial: u64,
}

impl Services {
    pub(crate) fn new(
        dispatch: Dispatch,
        mailbox: Arc<Mailbox>,
        limits: Limits,
        access_log: AccessLog,
        slot: Slot,
    ) -> Self {
        Self {
            dispatch,
            mailbox,
            clock: Clock::new(),
            limits,
            access_log,
            slot,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            spare: Outbound::default(),
            serial: 0,
        }
    }

    /// A name for the next exchange of the connection in `slot`.
    pub(crate) fn next_exchange(&mut self, slot: u32) -> ExchangeId {
        self.serial += 1;
        ExchangeId {
            slot,
            serial: self.serial,
        }
    }

    /// Has a request answered. `true`: the application has been called, on this thread.
    pub(crate) fn answer(&mut self, exchange: Exchange) -> bool {
        if matches!(self.dispatch, Dispatch::Inline(_)) {
            self.note_begin(&exchange);
        }
        let has_been_called = self.dispatch.answer(exchange);
        if has_been_called {
            self.clock.update();
        }
        has_been_called
    }

    /// The next piece of work for a thread.
    pub(crate) fn take_work(&mut self) -> Option<Work> {
        let work = self.dispatch.take()?;
        if let Work::Answer(exchange) = &work {
            self.note_begin(exchange);
        }
        Some(work)
    }

    fn note_begin(&self, exchange: &Exchange) {
        let request = &exchange.request;
        self.slot
            .begin(request.method(), request.target(), self.clock.shared());
    }

    /// The time of this turn, or of the last exchange's end in it.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }
}
