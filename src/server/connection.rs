//! [`Connection`]: a stream, the protocol spoken on it, and the bytes between the two.
//!
//! One function, [`Connection::advance`], moves it on after any stimulus: bytes, room, a reply, a deadline. What the
//! kernel said is latched in [`Readiness`]; what to do next follows from [`Phase`], the protocol's state and
//! what waits to be sent, so there is nothing to remember to wake.

mod answering;
mod crossing;
mod deadline;
mod forerun;
mod holding;
mod reading;
mod streamed;

use answering::error_page;
pub(crate) use answering::unavailable;
pub(crate) use deadline::Patience;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uwrs_api::{
    Body, BodyMode, ConnectionInfo, Exchange, ExchangeId, Outbound, Protocol, ProtocolState, Refusal, Reply,
    Request, Responder,
};

use super::batch::{Batcher, Held};
use super::body::BodyCollector;
use super::dispatch::Pulled;
use super::exchange::Record;
use super::services::Services;
use super::stream::{NEAR_BYTES, Stream};
pub(crate) use forerun::Sending;
use streamed::Streamed;

/// Steps of one connection in one turn (a read, an exchange, a piece of an answer); then others have theirs.
const STEPS_A_TURN: usize = 64;
/// As soon as one connection's steps have taken so long, others have their turn: the application is slow, and who asks
/// much of it waits behind who asks little.
const TIME_A_TURN: Duration = Duration::from_millis(5);
/// Bytes waiting for the client above which no more of an answer is asked for.
const HIGH_WATER: usize = 64 * 1024;
/// Memory for answers that is kept for the next one.
const SPARE_BYTES: usize = 128 * 1024;

/// What the kernel said last. Latched: set by events, cleared by `WouldBlock`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer will send no more; a read will say so once everything is read.
    pub(crate) read_closed: bool,
    /// The peer is gone for good: nothing that is sent reaches it.
    pub(crate) hung_up: bool,
}

/// What the connection is doing.
enum Phase {
    /// Reading requests; the protocol knows how far it is.
    Reading,
    /// Reading a request's body.
    Collecting {
        request: Arc<Request>,
        body: BodyCollector,
        mode: BodyMode,
        /// Bytes that had come when the present wait began.
        before: u64,
    },
    /// Reading what has come already of a body that is streamed.
    Gathering { request: Arc<Request>, begun: Vec<u8> },
    /// The gateway has the exchange and has not answered.
    Handling { record: Record },
    /// The answer's head is out, its body is being pulled.
    Answering { record: Record, source: Source },
    /// Everything is said: once it is sent, the connection is over.
    Closing { farewell: Farewell },
    /// Everything is sent; what the client still sends is thrown away until it stops.
    Lingering,
}

/// Where the rest of an answer's body comes from.
enum Source {
    /// To be asked for the next pieces.
    Here(Batcher),
    /// It has been asked, elsewhere; there some may be held back.
    Away(Arc<Held>),
    /// The gateway pushes.
    Pushed,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// At once: the client has said everything as well. As [`Farewell::Linger`] where it has said more meanwhile.
    Prompt,
    /// At once, whatever still waits to be sent, and so that the client notices.
    Reset,
    /// After listening to the rest of what the client has to say. Closing while its bytes arrive would reset the
    /// connection and could destroy the answer on its way (RFC 9112 §9.6).
    Linger,
}

/// What is to become of a connection after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It waits for the kernel or the gateway.
    Wait,
    /// It has more to do but has had its share of this turn.
    Again,
    /// Its client has more to say than there is room for at present.
    Held,
    /// It is over.
    Close,
}

/// One step inside a turn.
enum Step {
    /// Something was done: look again.
    More,
    /// Nothing can be done before something happens.
    Stuck,
    /// Nothing should be done before there is room for another request.
    Held,
    /// It is over.
    Over,
}

/// A stream and the protocol spoken on it.
pub(crate) struct Connection {
    stream: Stream,
    protocol: Box<dyn Protocol>,
    info: Arc<ConnectionInfo>,
    slot: u32,
    pub(crate) readiness: Readiness,
    phase: Phase,
    /// Received, not consumed: part of a head, or requests that wait for their turn.
    backlog: Vec<u8>,
    outbound: Outbound,
    /// The other side of the present exchange, where it is streamed.
    streamed: Option<Streamed>,
    /// When the present wait began, or last saw progress.
    since: Instant,
    /// Exchanges answered.
    served: u64,
    /// It is not read from until there is room for another request.
    is_held: bool,
    /// Its socket has been told to keep little of what is sent.
    is_lean: bool,
}

impl Connection {
    /// A connection in place `slot`, just accepted: reading is tried before the kernel is asked to tell.
    pub(crate) fn new(
        stream: Stream,
        protocol: Box<dyn Protocol>,
        info: Arc<ConnectionInfo>,
        slot: u32,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            protocol,
            info,
            slot,
            readiness: Readiness {
                readable: true,
                writable: true,
                read_closed: false,
                hung_up: false,
            },
            phase: Phase::Reading,
            backlog: Vec::new(),
            outbound: Outbound::default(),
            streamed: None,
            since: now,
            served: 0,
            is_held: false,
            is_lean: false,
        }
    }

    /// The stream, to send it elsewhere.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The stream, to register it.
    pub(crate) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Does as much as can be done now, within a turn's share.
    pub(crate) fn advance(&mut self, services: &mut Services) -> Verdict {
        self.with_memory(services, Self::take_steps)
    }

    /// An idle connection owns no memory for answers: it borrows it while it has something to say.
    fn with_memory<R>(
        &mut self,
        services: &mut Services,
        work: impl FnOnce(&mut Self, &mut Services) -> R,
    ) -> R {
        let borrows = self.outbound.is_empty();
        if borrows {
            std::mem::swap(&mut self.outbound, &mut services.spare);
        }
        let result = work(self, services);
        if self.outbound.is_empty() {
            if borrows {
                std::mem::swap(&mut self.outbound, &mut services.spare);
                services.spare.reset(SPARE_BYTES);
            } else {
                self.outbound = Outbound::default();
            }
        }
        result
    }

    fn take_steps(&mut self, services: &mut Services) -> Verdict {
        let verdict = self.take_some_steps(services);
        if let Phase::Answering {
            source: Source::Here(batcher),
            ..
        } = &self.phase
            && batcher.owner().is_some()
        {
            services.dispatch.note_wait();
        }
        verdict
    }

    fn take_some_steps(&mut self, services: &mut Services) -> Verdict {
        let begun = services.now();
        for _ in 0..STEPS_A_TURN {
            match self.step(services) {
                Step::More if self.has_more_to_ask() && services.now() - begun >= TIME_A_TURN => break,
                Step::More => {}
                Step::Stuck => return Verdict::Wait,
                Step::Held => return self.be_held(),
                Step::Over => return Verdict::Close,
            }
        }
        // Others come first, whose applications may take their time.
        match self.write_out(services) {
            true => Verdict::Again,
            false => Verdict::Close,
        }
    }

    /// Would the next step call the application, for all that is known?
    fn has_more_to_ask(&self) -> bool {
        match &self.phase {
            Phase::Reading => !self.backlog.is_empty(),
            Phase::Answering { source, .. } => matches!(source, Source::Here(_)),
            _ => false,
        }
    }

    /// Writes what the socket takes. `false`: it is broken.
    fn write_out(&mut self, services: &Services) -> bool {
        if self.outbound.is_empty() || !self.readiness.writable {
            return true;
        }
        let flushed = self.flush(services);
        if let Err(error) = &flushed {
            self.blame(error);
        }
        flushed.is_ok()
    }

    /// Is the gateway's answer to that exchange awaited here?
    pub(crate) fn awaits_reply(&self, id: ExchangeId) -> bool {
        self.is_in_hand(id) || self.is_streamed(id)
    }

    /// Takes a reply that came while the loop was elsewhere, and goes on.
    pub(crate) fn deliver(&mut self, reply: Reply, services: &mut Services) -> Verdict {
        let is_streamed = self.streamed.is_some();
        self.with_memory(services, |connection, services| {
            connection.answer(reply, services);
            match is_streamed {
                true => connection.go_on_quietly(services),
                false => connection.take_steps(services),
            }
        })
    }

    /// Is a piece of the answer to that exchange awaited here?
    pub(crate) fn awaits_piece(&self, id: ExchangeId) -> bool {
        matches!(&self.phase, Phase::Answering { record, source: Source::Away(_) } if record.id == id)
    }

    /// The request of that exchange, whose answer is being pulled here, and who made it.
    pub(crate) fn asked_by(&self, id: ExchangeId) -> Option<(&Arc<Request>, &Arc<ConnectionInfo>)> {
        match &self.phase {
            Phase::Answering { record, .. } if record.id == id => Some((&record.request, &self.info)),
            _ => None,
        }
    }

    /// Takes a piece of a body that was asked for elsewhere, and goes on.
    pub(crate) fn take_piece(&mut self, pulled: Pulled, services: &mut Services) -> Verdict {
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        let Phase::Answering { record, .. } = phase else {
            self.phase = phase;
            return Verdict::Wait;
        };
        self.with_memory(services, |connection, services| {
            connection.go_on(record, pulled.batch, pulled.batcher, services);
            connection.take_steps(services)
        })
    }

    /// The application takes too long for that exchange, by the option in `why`: its client need not wait. `None`: it does
    /// not.
    pub(crate) fn time_out(&mut self, id: ExchangeId, why: &str, services: &mut Services) -> Option<Verdict> {
        match std::mem::replace(&mut self.phase, Phase::Reading) {
            Phase::Handling { record } if record.id == id => {
                self.note_overdue(&record, why, services);
                self.phase = Phase::Handling { record };
                let (head, body) = error_page(504, b"Gateway Timeout\n");
                Some(self.deliver(Reply::Response { head, body }, services))
            }
            Phase::Answering {
                record,
                source: Source::Away(_) | Source::Pushed,
            } if record.id == id => {
                self.note_overdue(&record, why, services);
                self.cut(&record, services);
                Some(self.advance(services))
            }
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// A connection whose next request has to wait, and that has nothing else to do, is held without a step. `None`: it may
    /// have more to do.
    pub(crate) fn hold(&mut self, services: &Services) -> Option<Verdict> {
        let is_all = self.is_idle() && self.streamed.is_none() && self.is_to_wait(services);
        if is_all && (self.readiness.read_closed || self.readiness.hung_up) && !self.has_unheard() {
            return Some(Verdict::Close);
        }
        is_all.then(|| self.be_held())
    }

    /// Has the client said something that was not looked at? The kernel is asked.
    fn has_unheard(&self) -> bool {
        !self.backlog.is_empty() || self.stream.has_unread()
    }

    /// It is not read from until there is room; whoever is told so for the first time puts it in the queue.
    fn be_held(&mut self) -> Verdict {
        match std::mem::replace(&mut self.is_held, true) {
            true => Verdict::Wait,
            false => Verdict::Held,
        }
    }

    /// There is room for another request.
    pub(crate) fn let_go_on(&mut self, now: Instant) {
        self.is_held = false;
        // It was not the client's fault.
        self.since = now;
    }

    /// The connection is over. An answer that was under way goes no further.
    pub(crate) fn abandon(mut self, services: &mut Services) {
        self.lose_client(services);
        self.stray(services);
        let Phase::Answering { record, source } = self.phase else {
            return;
        };
        services.slot.end(record.status, record.body_bytes);
        services
            .access_log
            .record(&record, &self.info.peer, services.clock.now(), &services.slot);
        if let Source::Here(source) = source {
            services.dispatch.discard(source);
        }
    }

    /// The application goes on with an exchange without a client.
    fn stray(&self, services: &mut Services) {
        if services.limits.harakiri.limit.is_some()
            && self.protocol.state() != ProtocolState::Switched
            && let Phase::Handling { record } | Phase::Answering { record, .. } = &self.phase
            && let Some(since) = self.touched()
        {
            services.strays.leave(record.id, record.request.clone(), since);
        }
    }

    fn step(&mut self, services: &mut Services) -> Step {
        if !self.write_out(services) {
            return Step::Over;
        }
        if self.streamed.is_some() {
            self.attend(services);
        }
        match &self.phase {
            Phase::Answering { .. } if self.readiness.hung_up => Step::Over,
            _ if self.has_more_of_a_file() => Step::More,
            Phase::Handling { .. } | Phase::Answering { .. } if self.reads_on() => self.read_on(services),
            Phase::Answering {
                source: Source::Here(_),
                ..
            } if self.outbound.len() < HIGH_WATER => self.pull(services),
            Phase::Handling { .. } | Phase::Answering { .. } => Step::Stuck,
            Phase::Lingering => self.discard(services),
            Phase::Closing {
                farewell: Farewell::Reset,
            } => {
                self.stream.reset_on_close();
                Step::Over
            }
            Phase::Closing { .. } if !self.outbound.is_empty() => Step::Stuck,
            Phase::Closing {
                farewell: Farewell::Prompt,
            } if !self.stream.has_unread() => Step::Over,
            Phase::Closing { .. } => {
                self.stream.finish_writing();
                self.phase = Phase::Lingering;
                self.readiness.readable = true;
                self.since = services.now();
                Step::More
            }
            // The client has not taken the last answers: no new requests from it.
            Phase::Reading | Phase::Collecting { .. } | Phase::Gathering { .. }
                if self.outbound.len() >= HIGH_WATER =>
            {
                Step::Stuck
            }
            Phase::Reading if self.protocol.state() == ProtocolState::Closed => {
                let all_heard = self.backlog.is_empty();
                let farewell = if all_heard {
                    Farewell::Prompt
                } else {
                    Farewell::Linger
                };
                self.phase = Phase::Closing { farewell };
                Step::More
            }
            Phase::Reading if self.is_to_wait(services) => Step::Held,
            Phase::Reading | Phase::Collecting { .. } | Phase::Gathering { .. } => self.read_on(services),
        }
    }

    /// Has its next request to wait, because there is no room for more?
    fn is_to_wait(&self, services: &Services) -> bool {
        let is_minded = services.dispatch.is_minded();
        // What has begun to arrive goes on: no client's pace is another's burden. Where another thread minds the loop of
        // one that is blocked there is nobody to say how a body is wanted.
        services.dispatch.is_full()
            && self.has_input()
            && (self.is_between() || is_minded)
            && (is_minded || self.is_held || !services.is_overloaded())
    }

    /// Has the client said something that was not looked at, as far as is known?
    fn has_input(&self) -> bool {
        self.readiness.readable || !self.backlog.is_empty()
    }

    /// Writes what waits, as much as the socket takes.
    fn flush(&mut self, services: &Services) -> io::Result<()> {
        if !self.is_lean && self.outbound.len() > NEAR_BYTES && self.info.peer.is_near() {
            self.is_lean = true;
            self.stream.keep_little();
        }
        while !self.outbound.is_empty() {
            let was_file = self.outbound.first_file().is_some();
            match self.stream.write(&mut self.outbound) {
                Ok(_) => self.since = services.now(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readiness.writable = false;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // A file can be of any size, and a quick client without end.
            if was_file {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Can more of a file be written at once?
    fn has_more_of_a_file(&self) -> bool {
        let is_wanted = !matches!(
            self.phase,
            Phase::Closing {
                farewell: Farewell::Reset
            }
        );
        is_wanted && self.readiness.writable && self.outbound.first_file().is_some()
    }

    /// Says why no more can be written. A client that has taken a part of a file for all of it is told otherwise.
    fn blame(&self, error: &io::Error) {
        if error.kind() == ErrorKind::UnexpectedEof {
            log::warn!("connection from {} cut: {error}", self.info.peer);
            self.stream.reset_on_close();
        } else {
            log::debug!("connection from {}: write: {error}", self.info.peer);
        }
    }

    fn is_reading(&self) -> bool {
        match self.phase {
            Phase::Reading | Phase::Collecting { .. } | Phase::Gathering { .. } => true,
            Phase::Handling { .. } | Phase::Answering { .. } => self.reads_on(),
            Phase::Closing { .. } | Phase::Lingering => false,
        }
    }

    /// A request is complete: the gateway's turn. It may have answered when this returns.
    fn handle(&mut self, request: Arc<Request>, body: Body, mode: BodyMode, services: &mut Services) {
        let id = services.next_exchange(self.slot);
        let record = Record::new(id, request.clone(), services.now());
        self.phase = Phase::Handling { record };
        self.streamed = (mode != BodyMode::Complete).then(|| Streamed::new(id, &body, services.now()));
        let exchange = Exchange {
            request,
            body,
            connection: self.info.clone(),
            responder: Responder::new(id, services.mailbox.clone()),
        };
        if !services.answer(exchange, |means| self.send_amidst(id, means)) {
            return;
        }
        while let Some(reply) = services.mailbox.take_one(id) {
            self.answer(reply, services);
        }
    }

    /// The client is told what it did wrong, and the connection ends.
    fn refuse(&mut self, refusal: &Refusal, services: &mut Services) {
        log::debug!(
            "connection from {} refused: {} {}",
            self.info.peer,
            refusal.status,
            refusal.reason
        );
        services
            .access_log
            .refused(&self.info, refusal, services.clock.now());
        self.lose_client(services);
        self.protocol
            .refuse(refusal, services.clock.date(), &mut self.outbound);
        self.phase = Phase::Closing {
            farewell: Farewell::Linger,
        };
        self.since = services.now();
    }

    /// Throws away what the client still sends.
    fn discard(&mut self, services: &mut Services) -> Step {
        if !self.readiness.readable {
            return Step::Stuck;
        }
        match self.stream.read(&mut services.scratch) {
            Ok(0) => Step::Over,
            Ok(_) => Step::More,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readiness.readable = false;
                Step::Stuck
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::More,
            Err(_) => Step::Over,
        }
    }

    /// The worker leaves: no request after the current one.
    pub(crate) fn drain(&mut self, services: &mut Services) {
        self.protocol.drain();
        if self.is_held && !self.has_unheard() {
            // It waits for nothing.
            self.is_held = false;
            self.readiness.readable = false;
        }
        if self.is_idle() {
            self.since = services.now();
        }
        self.announce_leave(services);
    }

    /// Since when it has waited for another request, if it does and nothing of that is here. One that has never spoken
    /// does not count: its first request may be on its way.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.served > 0 && self.is_idle() && !self.has_input();
        is_idle.then_some(self.since)
    }

    /// Does what there is to do if the client has spoken or taken something, of which the kernel has not told yet.
    pub(crate) fn look_again(&mut self, services: &mut Services) -> Verdict {
        // Where there is no room it would be held, without a look.
        self.readiness.readable = !self.is_between() || !services.dispatch.is_full() || self.has_unheard();
        self.readiness.writable = true;
        self.advance(services)
    }

    /// Has the client nothing under way, as far as it has told?
    fn is_idle(&self) -> bool {
        self.is_between() && self.outbound.is_empty()
    }

    /// Has nothing been looked at of another request?
    fn is_between(&self) -> bool {
        matches!(self.phase, Phase::Reading) && self.protocol.state() == ProtocolState::Idle
    }
}
