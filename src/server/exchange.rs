//! [`Record`]: what the server remembers of an exchange from its head to its last byte, for the access log.

use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{ExchangeId, Request, ResponseHead};

/// An exchange, as the access log will tell it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: ExchangeId,
    pub(crate) request: Arc<Request>,
    /// When the request was complete and the gateway was asked.
    pub(crate) started: Instant,
    /// 0 until the answer's head is known.
    pub(crate) status: u16,
    /// Header fields of the answer, as the application gave them.
    pub(crate) header_count: usize,
    /// Their bytes.
    pub(crate) header_bytes: usize,
    /// Bytes of the answer's body.
    pub(crate) body_bytes: u64,
}

impl Record {
    pub(crate) fn new(id: ExchangeId, request: Arc<Request>, started: Instant) -> Self {
        Self {
            id,
            request,
            started,
            status: 0,
            header_count: 0,
            header_bytes: 0,
            body_bytes: 0,
        }
    }

    /// Notes the answer's head.
    pub(crate) fn answered(&mut self, head: &ResponseHead) {
        self.status = head.status;
        self.header_count = head.field_count();
        self.header_bytes = head.field_bytes();
    }
}
