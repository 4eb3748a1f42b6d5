//! Reading: from bytes that arrive to requests whose bodies are whole, or as far as they have come.

use std::io::ErrorKind;
use std::sync::Arc;

use uwrs_api::{Body, BodyFraming, BodyMode, Event, Inbound, ProtocolState, Refusal, Request};

use super::{Connection, Farewell, Phase, Step};
use crate::server::body::BodyCollector;
use crate::server::services::Services;

/// Bytes of a body that count as progress: a byte a second would hold a place for ever.
const BODY_PROGRESS: u64 = 1024;

impl Connection {
    /// Lets the protocol look at what has come; reads where that is not enough.
    pub(super) fn read_on(&mut self, services: &mut Services) -> Step {
        if !self.backlog.is_empty() && self.consume_backlog(services) {
            return Step::More;
        }
        self.receive(services)
    }

    /// Reads once and lets the protocol look at it.
    pub(super) fn receive(&mut self, services: &mut Services) -> Step {
        if !self.readiness.readable {
            return Step::Stuck;
        }
        let mut scratch = std::mem::take(&mut services.scratch);
        let step = match self.stream.read(&mut scratch) {
            Ok(0) if self.streamed.is_some() => {
                self.readiness.readable = false;
                self.lose_client(services);
                Step::More
            }
            Ok(0) => {
                self.readiness.readable = false;
                // A request cut short can't be answered; answers on their way still are.
                self.phase = Phase::Closing {
                    farewell: Farewell::Prompt,
                };
                Step::More
            }
            Ok(count) => {
                // Less than was asked for: the socket is empty, and an edge will tell when it is not.
                self.readiness.readable = count == scratch.len() || self.readiness.read_closed;
                self.arrived(&scratch[..count], services);
                Step::More
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readiness.readable = false;
                Step::Stuck
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::More,
            Err(error) => {
                log::debug!("connection from {}: read: {error}", self.info.peer);
                Step::Over
            }
        };
        services.scratch = scratch;
        step
    }

    /// Lets the protocol look at new bytes, behind those it left.
    pub(super) fn arrived(&mut self, bytes: &[u8], services: &mut Services) {
        let is_progress = match self.phase {
            Phase::Collecting { .. } => false,
            _ => matches!(self.protocol.state(), ProtocolState::Idle | ProtocolState::Body),
        };
        if is_progress {
            self.since = services.now();
        }
        if self.backlog.is_empty() {
            let consumed = self.consume(bytes, services);
            self.backlog.extend_from_slice(&bytes[consumed..]);
        } else {
            self.backlog.extend_from_slice(bytes);
            self.consume_backlog(services);
        }
    }

    /// Lets the protocol look at what was left over. `false`: it needs more than that.
    pub(super) fn consume_backlog(&mut self, services: &mut Services) -> bool {
        let mut backlog = std::mem::take(&mut self.backlog);
        let consumed = self.consume(&backlog, services);
        if consumed == backlog.len() {
            // The memory is not kept: most connections that ever had a backlog never have another.
            backlog = Vec::new();
        } else {
            backlog.drain(..consumed);
        }
        self.backlog = backlog;
        consumed > 0 || !self.is_reading()
    }

    /// Feeds the protocol until it is starved, an exchange begins, or the connection is to close. Returns how
    /// many bytes it consumed.
    pub(super) fn consume(&mut self, bytes: &[u8], services: &mut Services) -> usize {
        let mut input = Inbound::with_spare(bytes, services.spare_request.take());
        while self.is_reading() {
            let served = self.served;
            match self.protocol.receive(&mut input, &mut self.outbound) {
                Event::Starved => {
                    self.hand_over_begun(services);
                    break;
                }
                Event::Answered => {}
                Event::Request(request) => self.begin(request, services),
                Event::Body(part) => self.collect(part, services),
                Event::BodyEnd => self.complete(services),
                Event::Refused(refusal) => {
                    self.refuse(&refusal, services);
                    break;
                }
                Event::Close(reason) => {
                    log::info!("connection from {} closed: {reason}", self.info.peer);
                    self.phase = Phase::Closing {
                        farewell: Farewell::Prompt,
                    };
                    break;
                }
            }
            // One exchange, then its answer goes out before the next begins.
            if self.served != served {
                break;
            }
        }
        let consumed = input.consumed();
        if let Some(spare) = input.into_spare() {
            services.spare_request = Some(spare);
        }
        consumed
    }

    /// A head is complete.
    pub(super) fn begin(&mut self, request: Arc<Request>, services: &mut Services) {
        if services.is_overloaded() {
            return self.send_away(request, services);
        }
        let mode = services.dispatch.body_mode(&request);
        match request.framing {
            BodyFraming::None | BodyFraming::Length(0) => self.handle(request, Body::Empty, mode, services),
            _ if mode == BodyMode::Streamed => {
                let begun = Vec::new();
                self.phase = Phase::Gathering { request, begun };
            }
            BodyFraming::Length(length) => self.expect_body(request, length, mode, services),
            BodyFraming::Chunked => self.expect_body(request, 0, mode, services),
        }
    }

    /// The body of `request` follows, of which `announced` bytes are known to come.
    pub(super) fn expect_body(
        &mut self,
        request: Arc<Request>,
        announced: u64,
        mode: BodyMode,
        services: &mut Services,
    ) {
        let body = BodyCollector::new(announced, services.limits.body_memory);
        self.phase = Phase::Collecting {
            request,
            body,
            mode,
            before: 0,
        };
        self.since = services.now();
        self.protocol.invite_body(&mut self.outbound);
    }

    pub(super) fn collect(&mut self, part: &[u8], services: &mut Services) {
        let Phase::Collecting { body, before, .. } = &mut self.phase else {
            return self.stream_in(part, services);
        };
        if let Err(error) = body.add(part, services.limits.body_memory) {
            log::error!(
                "{}: the body of a request could not be kept in a temporary file (TMPDIR): {error}",
                std::env::temp_dir().display()
            );
            self.refuse(
                &Refusal::new(507, "the request's body could not be stored"),
                services,
            );
            return;
        }
        if body.len() >= *before + BODY_PROGRESS {
            *before = body.len();
            self.since = services.now();
        }
    }

    pub(super) fn complete(&mut self, services: &mut Services) {
        if !matches!(self.phase, Phase::Collecting { .. }) {
            return self.end_stream_in(services);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        let Phase::Collecting {
            request, body, mode, ..
        } = phase
        else {
            return;
        };
        match body.finish() {
            Ok(body) => self.handle(request, body, mode, services),
            Err(error) => {
                log::error!("a request's body could not be read back: {error}");
                self.refuse(
                    &Refusal::new(507, "the request's body could not be stored"),
                    services,
                );
            }
        }
    }
}
