//! [`WebSocket`]: one connection after its handshake, the server's side of RFC 6455.
//!
//! Frames are read by [`incoming`](crate::incoming) and written by [`frame`](crate::frame); this module says what
//! follows from them: pongs, the closing handshake, and whether the peer is still there.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{Bytes, Inbound, Outbound};

use crate::close::{CloseCode, CloseFrame, InvalidClose, Violation};
use crate::deflate::{Agreement, Deflate};
use crate::frame::{self, CONTROL_BYTES, Opcode};
use crate::incoming::{Arrival, Incoming, MessageKind};
use crate::timer::{Due, Timer};
use crate::{Settings, Store, Utf8};

/// What [`WebSocket::receive`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<B: Store = Vec<u8>> {
    /// Nothing without more bytes.
    Starved,
    /// A text.
    Text(Utf8<B>),
    /// A binary message.
    Binary(B),
    /// A ping came; the pong is in the output.
    Ping,
    /// A pong came, asked for or not.
    Pong,
    /// The peer closes, or answers our close frame. What answers it is in the output; the state is
    /// [`State::Closed`].
    Closed(CloseFrame),
    /// The peer broke a rule, or a limit. A close frame that says so is in the output; the state is
    /// [`State::Closed`].
    Failed(Violation),
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// We have sent a close frame and wait for the peer's; messages that still come are dropped.
    Closing,
    /// Nothing more is sent, whatever comes is dropped: once the output is written, the connection is to be closed (RFC
    /// 6455 §7.1.1: by the server, first), lingering, so that a reset does not take the last frame away.
    Closed,
}

/// What [`WebSocket::on_deadline`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Nothing: it was too early.
    Nothing,
    /// It asked the peer whether it is there; the ping is in the output.
    Pinged,
    /// Nothing has come since the last ping: the peer is gone, and the state is [`State::Closed`]. In case it is not, a
    /// close frame (1011) is in the output.
    Lost,
    /// The peer has not answered our close frame in time. The state is [`State::Closed`].
    Expired,
}

/// A message after the closing handshake has begun: it was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOpen;

impl fmt::Display for NotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket is closed, or closing")
    }
}

impl std::error::Error for NotOpen {}

/// One connection. What it wants to send it puts into the `output` that it is given; the server writes that when
/// the socket takes it, and stops calling [`WebSocket::receive`] while too much is waiting there: each ping is
/// answered, and a peer might not read the answers. `B` is what messages are put together in.
#[derive(Debug)]
pub struct WebSocket<B = Vec<u8>> {
    settings: Arc<Settings>,
    incoming: Incoming<B>,
    /// Where compression was agreed on.
    deflate: Option<Box<Deflate>>,
    state: State,
    timer: Timer,
}

impl WebSocket {
    /// A connection whose handshake is done now, without compression. [`Handshake::open`](crate::Handshake::open)
    /// knows what was agreed on.
    pub fn new(settings: Arc<Settings>, now: Instant) -> Self {
        Self::agreed(settings, None, now)
    }
}

impl<B: Store> WebSocket<B> {
    pub(crate) fn agreed(settings: Arc<Settings>, agreement: Option<Agreement>, now: Instant) -> Self {
        let agreed = agreement.zip(settings.deflate.as_ref());
        Self {
            timer: Timer::begin(&settings, now),
            deflate: agreed.map(|(agreement, settings)| Box::new(Deflate::new(agreement, settings))),
            settings,
            incoming: Incoming::default(),
            state: State::Open,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Consumes what it can of `input` and says what it found. Called again and again until [`Event::Starved`];
    /// up to 131 bytes may then be left, which come again with more behind them.
    pub fn receive(&mut self, input: &mut Inbound<'_>, output: &mut Outbound) -> Event<B> {
        if self.state == State::Closed {
            input.take(usize::MAX);
            return Event::Starved;
        }
        let before = input.consumed();
        let arrival = self
            .incoming
            .next(input, &self.settings, self.deflate.as_deref_mut());
        if input.consumed() > before {
            self.hear();
        }
        match arrival {
            Ok(Arrival::Starved) => Event::Starved,
            Ok(Arrival::Message(MessageKind::Text, bytes)) => Event::Text(Utf8::checked(bytes)),
            Ok(Arrival::Message(MessageKind::Binary, bytes)) => Event::Binary(bytes),
            Ok(Arrival::Ping(payload)) => {
                frame::put(Opcode::Pong, false, payload.as_bytes(), output);
                Event::Ping
            }
            Ok(Arrival::Pong) => Event::Pong,
            Ok(Arrival::Close(close)) => {
                if self.state == State::Open {
                    put_close(close.code, "", output);
                }
                self.end();
                Event::Closed(close)
            }
            Err(violation) => {
                if self.state == State::Open {
                    put_close(violation.code, &violation.reason, output);
                }
                self.end();
                Event::Failed(violation)
            }
        }
    }

    /// Sends a text: a copy of it, compressed where that was agreed on and makes it shorter.
    ///
    /// # Errors
    ///
    /// When the connection is not open; nothing is sent.
    pub fn send_text(&mut self, text: &str, output: &mut Outbound) -> Result<(), NotOpen> {
        self.send(Opcode::Text, text.as_bytes(), output)
    }

    /// Sends a binary message, as [`WebSocket::send_text`] does.
    ///
    /// # Errors
    ///
    /// When the connection is not open; nothing is sent.
    pub fn send_binary(&mut self, bytes: &[u8], output: &mut Outbound) -> Result<(), NotOpen> {
        self.send(Opcode::Binary, bytes, output)
    }

    /// Sends a message without copying it where it is long ([`Outbound::COPY_LIMIT`]). That a text is UTF-8 is the
    /// caller's promise.
    ///
    /// # Errors
    ///
    /// When the connection is not open; nothing is sent.
    pub fn send_shared(
        &mut self,
        kind: MessageKind,
        payload: Bytes,
        output: &mut Outbound,
    ) -> Result<(), NotOpen> {
        self.check_open()?;
        let (payload, compressed) = match self.compress(&payload) {
            Some(compressed) => (compressed, true),
            None => (payload, false),
        };
        let opcode = match kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        put_shared(opcode, compressed, payload, output);
        Ok(())
    }

    /// Sends a ping; at most 125 bytes of `payload`.
    ///
    /// # Errors
    ///
    /// When the connection is not open; nothing is sent.
    pub fn ping(&mut self, payload: &[u8], output: &mut Outbound) -> Result<(), NotOpen> {
        self.check_open()?;
        frame::put(
            Opcode::Ping,
            false,
            &payload[..payload.len().min(CONTROL_BYTES)],
            output,
        );
        Ok(())
    }

    /// Begins the closing handshake, which the peer has [`Settings::close_timeout`] to answer. Nothing happens where it
    /// has begun.
    ///
    /// # Errors
    ///
    /// When `code` must not be sent or `reason` has more than 123 bytes; nothing is sent.
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        now: Instant,
        output: &mut Outbound,
    ) -> Result<(), InvalidClose> {
        if !code.is_sendable() {
            return Err(InvalidClose::Code(code));
        }
        if reason.len() > CONTROL_BYTES - 2 {
            return Err(InvalidClose::Reason(reason.len()));
        }
        if self.state == State::Open {
            put_close(code, reason, output);
            self.incoming.discard();
            self.state = State::Closing;
            self.timer = Timer::closing(&self.settings, now);
        }
        Ok(())
    }

    /// The peer has taken bytes that had to wait for it, so it is there, although it can't answer a ping that waits behind
    /// them.
    pub fn hear(&mut self) {
        self.timer.hear(&self.settings);
    }

    /// The server does not read for reasons of its own: its application is slow. The peer's answers may lie unread, so it
    /// is not asked whether it is there, nor given up, until [`WebSocket::resume`].
    pub fn pause(&mut self) {
        if self.state == State::Open {
            self.timer = Timer::Never;
        }
    }

    /// The server reads again, since `now`. Nothing happens where it was not paused.
    pub fn resume(&mut self, now: Instant) {
        if self.state == State::Open && self.timer == Timer::Never {
            self.timer = Timer::begin(&self.settings, now);
        }
    }

    /// When [`WebSocket::on_deadline`] is to be called; any call of another function may change it.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timer.deadline(&self.settings)
    }

    /// Does what is due at `now`: asks a peer whether it is there, gives up one that does not answer.
    pub fn on_deadline(&mut self, now: Instant, output: &mut Outbound) -> Lapse {
        match self.timer.lapse(&self.settings, now) {
            Due::Nothing => Lapse::Nothing,
            Due::Ping => {
                frame::put(Opcode::Ping, false, &[], output);
                Lapse::Pinged
            }
            Due::GiveUp => {
                put_close(CloseCode::INTERNAL_ERROR, "no answer to a ping", output);
                self.end();
                Lapse::Lost
            }
            Due::Close => {
                self.end();
                Lapse::Expired
            }
        }
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8], output: &mut Outbound) -> Result<(), NotOpen> {
        self.check_open()?;
        match self.compress(payload) {
            Some(compressed) => put_shared(opcode, true, compressed, output),
            None => frame::put(opcode, false, payload, output),
        }
        Ok(())
    }

    fn compress(&mut self, payload: &[u8]) -> Option<Bytes> {
        self.deflate.as_mut()?.compress(payload).map(Bytes::from)
    }

    fn check_open(&self) -> Result<(), NotOpen> {
        match self.state {
            State::Open => Ok(()),
            State::Closing | State::Closed => Err(NotOpen),
        }
    }

    /// Nothing is read any more.
    fn end(&mut self) {
        self.state = State::Closed;
        self.timer = Timer::Never;
        self.deflate = None;
        self.incoming = Incoming::default();
    }
}

/// Appends a frame whose payload is not copied where it is long.
fn put_shared(opcode: Opcode, compressed: bool, payload: Bytes, output: &mut Outbound) {
    output.put_with(|buffer| frame::put_header(opcode, compressed, payload.len(), buffer));
    output.push(payload);
}

/// Appends a close frame; one without a code where there is none.
fn put_close(code: CloseCode, reason: &str, output: &mut Outbound) {
    let mut payload = [0; CONTROL_BYTES];
    if code == CloseCode::NONE {
        frame::put(Opcode::Close, false, &[], output);
        return;
    }
    let length = 2 + reason.len().min(CONTROL_BYTES - 2);
    payload[..2].copy_from_slice(&code.0.to_be_bytes());
    payload[2..length].copy_from_slice(&reason.as_bytes()[..length - 2]);
    frame::put(Opcode::Close, false, &payload[..length], output);
}
