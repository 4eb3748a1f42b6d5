//! [`Streamed`]: an exchange whose body goes to the gateway as it comes, and whose answer the gateway pushes.

use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{
    Appetite, Body, BodyMode, Delivered, ExchangeId, Heard, ProtocolState, Reply, Request, ResponseHead,
};

use super::{Connection, Farewell, HIGH_WATER, Phase, Source, Verdict};
use crate::protocol::Tunnel;
use crate::server::services::Services;

/// Bytes of a body that are gathered before the gateway is called: what is here already goes along.
const GATHERED: usize = 64 * 1024;

/// The rest of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inflow {
    /// It is read as it comes.
    Open,
    /// The gateway has enough for now.
    Shut,
    /// It is complete, or no more of it will come.
    Ended,
}

/// What the connection remembers of an exchange that is streamed.
#[derive(Debug)]
pub(super) struct Streamed {
    id: ExchangeId,
    inflow: Inflow,
    asks_for_room: bool,
    /// When the application last did something for its client, or last got something from it.
    touched: Instant,
    /// The gateway has heard that the client says nothing more.
    is_lost: bool,
}

impl Streamed {
    /// For an exchange that begins now, of whose body `body` is here.
    pub(super) fn new(id: ExchangeId, body: &Body, now: Instant) -> Self {
        let inflow = match body {
            Body::Begun(_) => Inflow::Open,
            _ => Inflow::Ended,
        };
        Self {
            id,
            inflow,
            asks_for_room: false,
            touched: now,
            is_lost: false,
        }
    }
}

impl Connection {
    /// Is that exchange streamed here?
    pub(super) fn is_streamed(&self, id: ExchangeId) -> bool {
        self.streamed.as_ref().is_some_and(|streamed| streamed.id == id)
    }

    /// Is a body read while its exchange is under way?
    pub(super) fn reads_on(&self) -> bool {
        let streamed = self.streamed.as_ref();
        streamed.is_some_and(|streamed| streamed.inflow == Inflow::Open) && self.outbound.len() < HIGH_WATER
    }

    /// Since when the client has waited for the application, where its exchange is streamed.
    pub(super) fn touched(&self) -> Option<Instant> {
        self.streamed.as_ref().map(|streamed| streamed.touched)
    }

    /// The client need not have waited until `now`.
    pub(super) fn touch(&mut self, now: Instant) {
        if let Some(streamed) = &mut self.streamed {
            streamed.touched = now;
        }
    }

    /// Tells the gateway what it waits to hear.
    pub(super) fn attend(&mut self, services: &mut Services) {
        let Some(streamed) = &mut self.streamed else {
            return;
        };
        if streamed.asks_for_room && self.outbound.len() < HIGH_WATER {
            streamed.asks_for_room = false;
            streamed.touched = services.clock.now();
            services.dispatch.hear(streamed.id, Heard::Room);
        }
        // While a body is read its end tells; what came before it is not to be lost.
        let is_over =
            self.readiness.hung_up || self.readiness.read_closed && streamed.inflow == Inflow::Ended;
        if is_over {
            self.lose_client(services);
        }
    }

    /// The client says nothing more.
    pub(super) fn lose_client(&mut self, services: &mut Services) {
        let Some(streamed) = &mut self.streamed else {
            return;
        };
        streamed.inflow = Inflow::Ended;
        if !std::mem::replace(&mut streamed.is_lost, true) {
            streamed.touched = services.clock.now();
            services.dispatch.hear(streamed.id, Heard::Gone);
        }
    }

    /// The protocol needs more of a body than has come: the gateway need not wait for it.
    pub(super) fn hand_over_begun(&mut self, services: &mut Services) {
        if let Some((request, begun)) = self.take_gathered() {
            self.handle(request, Body::Begun(begun), BodyMode::Streamed, services);
        }
    }

    /// Some of a body that is streamed.
    pub(super) fn stream_in(&mut self, part: &[u8], services: &mut Services) {
        if let Phase::Gathering { begun, .. } = &mut self.phase {
            begun.extend_from_slice(part);
            if begun.len() >= GATHERED {
                self.hand_over_begun(services);
            }
            return;
        }
        let Some(streamed) = &mut self.streamed else {
            return;
        };
        streamed.touched = services.clock.now();
        if services.dispatch.hear(streamed.id, Heard::Body(part)) == Appetite::Full {
            streamed.inflow = Inflow::Shut;
        }
    }

    /// A body that is streamed is complete.
    pub(super) fn end_stream_in(&mut self, services: &mut Services) {
        if let Some((request, begun)) = self.take_gathered() {
            return self.handle(request, Body::Memory(begun), BodyMode::Streamed, services);
        }
        if let Some(streamed) = &mut self.streamed {
            streamed.inflow = Inflow::Ended;
            streamed.touched = services.clock.now();
            services.dispatch.hear(streamed.id, Heard::BodyEnd);
        }
    }

    fn take_gathered(&mut self) -> Option<(Arc<Request>, Vec<u8>)> {
        match std::mem::replace(&mut self.phase, Phase::Reading) {
            Phase::Gathering { request, begun } => Some((request, begun)),
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// What the gateway wants beside answering.
    pub(super) fn note_wish(&mut self, wish: &Reply) {
        let Some(streamed) = &mut self.streamed else {
            return;
        };
        match wish {
            Reply::AskForRoom => streamed.asks_for_room = true,
            _ if streamed.inflow == Inflow::Ended => {}
            _ => {
                streamed.inflow = Inflow::Open;
                self.protocol.invite_body(&mut self.outbound);
            }
        }
    }

    /// The gateway takes the connection out of its protocol.
    pub(super) fn switch(&mut self, head: &ResponseHead, services: &mut Services) {
        let Some(streamed) = &mut self.streamed else {
            return;
        };
        if !self.protocol.reply_switch(head, &mut self.outbound) {
            return;
        }
        streamed.inflow = match streamed.is_lost {
            true => Inflow::Ended,
            false => Inflow::Open,
        };
        self.protocol = Box::new(Tunnel::default());
        match std::mem::replace(&mut self.phase, Phase::Reading) {
            Phase::Handling { mut record } => {
                record.answered(head);
                self.phase = Phase::Answering {
                    record,
                    source: Source::Pushed,
                };
            }
            phase => self.phase = phase,
        }
        if services.is_leaving {
            self.announce_leave(services);
        }
    }

    /// Tells a gateway that has the connection for itself that the worker leaves.
    pub(super) fn announce_leave(&self, services: &Services) {
        if let Some(streamed) = &self.streamed
            && self.protocol.state() == ProtocolState::Switched
        {
            let has_successor = !services.slot.board().is_stopping();
            services
                .dispatch
                .hear(streamed.id, Heard::Leaving { has_successor });
        }
    }

    /// The gateway pushed something of an answer's body.
    pub(super) fn take_pushed(&mut self, reply: Reply, services: &mut Services) {
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        let Phase::Answering {
            record,
            source: Source::Pushed,
        } = phase
        else {
            self.phase = phase;
            return;
        };
        match reply {
            Reply::Piece(bytes) => self.send_pushed(bytes, record),
            Reply::Rest(body) => self.begin_body(record, body, services),
            Reply::End if self.protocol.state() == ProtocolState::Switched => {
                self.conclude(record, services);
                // The client may still be talking; a reset would take the last words from it.
                self.phase = Phase::Closing {
                    farewell: Farewell::Linger,
                };
            }
            Reply::End => self.conclude(record, services),
            Reply::Trailers(trailers) => {
                self.protocol.reply_trailers(&trailers, &mut self.outbound);
                self.conclude(record, services);
            }
            _ => self.cut(&record, services),
        }
    }

    /// Goes on after the gateway said something. It may have done so amidst an application, which is no moment to begin
    /// with the next request.
    pub(super) fn go_on_quietly(&mut self, services: &mut Services) -> Verdict {
        let is_next = self.streamed.is_none() && self.is_reading() && self.has_input();
        if !is_next || self.protocol.state() == ProtocolState::Closed {
            return self.take_steps(services);
        }
        match self.flush(services) {
            Ok(()) => Verdict::Again,
            Err(_) => Verdict::Close,
        }
    }

    /// How it stands with what was left for that exchange.
    pub(crate) fn delivered(&self, id: ExchangeId) -> Delivered {
        match self.is_streamed(id) {
            // It is kept until the application knows.
            true if self.readiness.hung_up => Delivered::Gone,
            true if !self.protocol.wants_reply_data() => Delivered::Enough,
            true if self.outbound.len() >= HIGH_WATER => Delivered::Full,
            true => Delivered::Room,
            false => Delivered::Gone,
        }
    }
}
