//! [`Socket`]: a WebSocket as its application has it (ASGI's WebSocket specification). What the frames mean is
//! [`uwrs_websocket`]'s business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{Appetite, Conversation, ExchangeId, Heard, Inbound, Outbound, Request, ResponseHead};
use uwrs_websocket::{CloseCode, Event, Handshake, MessageKind, State as Connection, WebSocket};

use super::channel::{gone, is_expected};
use super::outflow::{self, Outflow};
use super::talk::{Progress, Talk, is_pending, wait, wake};
use super::websocket_events::{self as events, Arrival, Sent};
use super::{driver, registry};
use crate::raw::GrowingBytes;
use crate::wsgi;

/// Bytes of messages that wait for the application; beyond that nothing more is read.
const WINDOW: usize = 64 * 1024;
/// What a message costs beside its bytes, so that empty ones count too.
const MESSAGE_COST: usize = 64;

/// How long an application has to answer what it has been told, before its client is sent away.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sending the client away because the worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goodbye {
    /// The worker stays.
    None,
    /// With that code, as soon as the application has answered what it was told: it asks for more, or the time has come.
    /// Nothing more is read, so that the client knows that what was not answered was not heard.
    Due(CloseCode, Instant),
    Said,
}

/// How far it has come.
enum Stage {
    /// The client has asked, the application has not said anything.
    Asked(Handshake),
    /// The application answers with a response of HTTP, of which this is the head.
    Denied(ResponseHead),
    /// That response is under way.
    Denying,
    /// Messages go both ways, or the closing handshake is under way.
    Open(Box<WebSocket<GrowingBytes>>),
    Over,
}

struct State {
    stage: Stage,
    arrived: VecDeque<Arrival>,
    /// Bytes in `arrived`.
    waiting: usize,
    /// Bytes from the client that were not looked at.
    unread: Vec<u8>,
    /// How it ended: what `receive` gives from then on.
    end: Option<Arrival>,
    goodbye: Goodbye,
    /// The server waits to be asked for more.
    is_held: bool,
    is_task_done: bool,
    /// The application has closed it.
    is_closed: bool,
    receivers: Vec<Py<PyAny>>,
    outflow: Outflow,
    output: Outbound,
}

/// See the module.
pub(super) struct Socket {
    id: ExchangeId,
    request: Arc<Request>,
    event_loop: Py<PyAny>,
    state: Mutex<State>,
}

impl Socket {
    /// For a client that asks for one.
    pub(super) fn new(
        request: Arc<Request>,
        handshake: Handshake,
        conversation: Conversation,
        event_loop: Py<PyAny>,
    ) -> Self {
        Self {
            id: conversation.id(),
            request,
            event_loop,
            state: Mutex::new(State {
                stage: Stage::Asked(handshake),
                arrived: VecDeque::from([Arrival::Connect]),
                waiting: 0,
                unread: Vec::new(),
                end: None,
                goodbye: Goodbye::None,
                is_held: false,
                is_task_done: false,
                is_closed: false,
                receivers: Vec::new(),
                outflow: Outflow::new(conversation),
                output: Outbound::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, py: Python<'_>, subprotocol: Option<&str>, fields: &ResponseHead) -> PyResult<Progress> {
        let mut state = self.state();
        let handshake = match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Asked(handshake) => handshake,
            stage => {
                state.stage = stage;
                return Err(state.misstep("websocket.accept"));
            }
        };
        let head = match handshake.head(subprotocol, fields.fields()) {
            Ok(head) => head,
            Err(error) => {
                state.stage = Stage::Asked(handshake);
                return Err(PyValueError::new_err(format!("websocket.accept: {error}")));
            }
        };
        state.outflow.conversation.switch(head);
        state.stage = Stage::Open(Box::new(handshake.open_with(Instant::now())));
        drop(state);
        driver::tick_soon(py, &self.event_loop);
        self.deliver()
    }

    fn send_message(&self, kind: MessageKind, payload: Bytes) -> PyResult<Progress> {
        let mut state = self.state();
        let State { stage, output, .. } = &mut *state;
        let Stage::Open(socket) = stage else {
            return Err(state.misstep("websocket.send"));
        };
        if socket.send_shared(kind, payload, output).is_err() {
            return Err(state.misstep("websocket.send"));
        }
        state.settle();
        drop(state);
        self.deliver()
    }

    fn close(&self, code: u16, reason: &str) -> PyResult<Progress> {
        let mut state = self.state();
        let State {
            stage,
            output,
            is_closed,
            ..
        } = &mut *state;
        match stage {
            Stage::Asked(_) => {
                state.stage = Stage::Over;
                // ASGI: a connection that is closed before it is accepted is answered with 403.
                let mut head = ResponseHead::new(403);
                head.push(b"Content-Type", b"text/plain; charset=utf-8");
                let body = Bytes::from_static(b"403 Forbidden\n");
                state.outflow.conversation.respond(head, body);
                state.end = Some(Arrival::Disconnect(1006, String::new()));
            }
            Stage::Open(socket) if socket.state() == Connection::Open => {
                socket
                    .close(CloseCode(code), reason, Instant::now(), output)
                    .map_err(|error| PyValueError::new_err(format!("websocket.close: {error}")))?;
                *is_closed = true;
                state.settle();
            }
            // The server was quicker, and the application could not know.
            Stage::Open(_) if !*is_closed => return Ok(Progress::Done),
            _ => return Err(state.misstep("websocket.close")),
        }
        drop(state);
        driver::deliver(self.id);
        Ok(Progress::Done)
    }

    fn deny(&self, head: ResponseHead) -> PyResult<Progress> {
        let mut state = self.state();
        if !matches!(state.stage, Stage::Asked(_)) {
            return Err(state.misstep("websocket.http.response.start"));
        }
        state.stage = Stage::Denied(head);
        Ok(Progress::Done)
    }

    fn deny_with(&self, data: Bytes, more: bool) -> PyResult<Progress> {
        let mut state = self.state();
        let next = match more {
            true => Stage::Denying,
            false => Stage::Over,
        };
        match std::mem::replace(&mut state.stage, next) {
            Stage::Denied(head) => state.outflow.answer(Some(head), data, more),
            Stage::Denying => state.outflow.answer(None, data, more),
            stage => {
                state.stage = stage;
                return Err(state.misstep("websocket.http.response.body"));
            }
        }
        if !more {
            state.end = Some(Arrival::Disconnect(1006, String::new()));
        }
        drop(state);
        self.deliver()
    }

    /// Has what was left sent.
    fn deliver(&self) -> PyResult<Progress> {
        let delivered = outflow::deliver(self.id, |work| work(&mut self.state().outflow));
        let mut state = self.state();
        if delivered.is_err() && !matches!(state.stage, Stage::Over) {
            state.lose(1006);
        }
        match (&delivered, &state.stage) {
            // The last words need no room for others.
            (Err(_), Stage::Over) if state.end.is_some() => Ok(Progress::Done),
            _ => delivered,
        }
    }
}

impl State {
    /// What is raised where an event may not be sent.
    fn misstep(&self, event: &str) -> PyErr {
        let why = match &self.stage {
            Stage::Asked(_) => "the connection is not accepted",
            Stage::Denied(_) | Stage::Denying => "the connection is being denied",
            Stage::Open(socket) if socket.state() == Connection::Open => "the connection is accepted already",
            Stage::Open(_) if !self.is_closed => return gone(),
            Stage::Open(_) => "the connection is being closed",
            Stage::Over if matches!(self.end, Some(Arrival::Disconnect(..))) => return gone(),
            Stage::Over => "the connection is over",
        };
        PyRuntimeError::new_err(format!("send: {event}: {why}"))
    }

    /// Looks at what came from the client, as far as there is room for it. `false`: there is none.
    fn read(&mut self, part: &[u8]) -> bool {
        let mut unread = std::mem::take(&mut self.unread);
        let mut input = match unread.is_empty() {
            true => Inbound::new(part),
            false => {
                unread.extend_from_slice(part);
                Inbound::new(&unread)
            }
        };
        let Stage::Open(socket) = &mut self.stage else {
            return true;
        };
        let mut has_room = true;
        loop {
            if self.waiting >= WINDOW || matches!(self.goodbye, Goodbye::Due(..)) {
                socket.pause();
                has_room = false;
                break;
            }
            let arrival = match socket.receive(&mut input, &mut self.output) {
                Event::Starved => break,
                Event::Ping | Event::Pong => continue,
                Event::Text(text) => Arrival::Text(text.into_bytes()),
                Event::Binary(bytes) => Arrival::Binary(bytes),
                Event::Closed(frame) => Arrival::Disconnect(frame.code.0, frame.reason),
                Event::Failed(violation) => {
                    log::debug!("a WebSocket broke off: {}", violation.reason);
                    Arrival::Disconnect(violation.code.0, violation.reason.into_owned())
                }
            };
            match arrival {
                Arrival::Disconnect(..) => self.end = Some(arrival),
                message => {
                    self.waiting += message.len() + MESSAGE_COST;
                    self.arrived.push_back(message);
                }
            }
        }
        self.unread = input.rest().to_vec();
        self.is_held = !has_room;
        self.settle();
        has_room
    }

    /// Leaves what the socket has put into the output, and notes that it is closed.
    fn settle(&mut self) {
        for piece in self.output.take_pieces() {
            self.outflow.left(piece.len());
            self.outflow.conversation.push(piece);
        }
        if let Stage::Open(socket) = &self.stage
            && socket.state() == Connection::Closed
        {
            self.stage = Stage::Over;
            self.outflow.conversation.end();
            self.end
                .get_or_insert_with(|| Arrival::Disconnect(1006, String::new()));
        }
    }

    /// Begins the closing handshake. What still comes is nobody's.
    fn say_goodbye(&mut self, code: CloseCode) {
        let Stage::Open(socket) = &mut self.stage else {
            return;
        };
        let _ = socket.close(code, "", Instant::now(), &mut self.output);
        socket.resume(Instant::now());
        self.goodbye = Goodbye::Said;
        self.arrived.clear();
        self.waiting = 0;
        self.settle();
        if std::mem::take(&mut self.is_held) && self.read(&[]) {
            self.outflow.conversation.read_on();
        }
    }

    /// The code with which the client is to be sent away, where the application has had its time by `now`.
    fn late_goodbye(&self, now: Instant) -> Option<CloseCode> {
        match self.goodbye {
            Goodbye::Due(code, since) if now.saturating_duration_since(since) >= LAST_WORDS => Some(code),
            _ => None,
        }
    }

    /// The client is gone, or as good as that.
    fn lose(&mut self, code: u16) {
        self.stage = Stage::Over;
        self.outflow.conversation.break_off();
        self.end
            .get_or_insert_with(|| Arrival::Disconnect(code, String::new()));
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Do messages go both ways?
    fn is_open(&self) -> bool {
        matches!(&self.stage, Stage::Open(socket) if socket.state() == Connection::Open)
    }

    /// Who is to be woken.
    fn take_waiters(&mut self) -> Vec<Py<PyAny>> {
        let mut futures = match self.arrived.is_empty() && self.end.is_none() {
            true => Vec::new(),
            false => std::mem::take(&mut self.receivers),
        };
        if self.is_over() {
            futures.append(&mut self.outflow.open());
        }
        futures
    }
}

impl Talk for Socket {
    fn id(&self) -> ExchangeId {
        self.id
    }

    fn request(&self) -> &Request {
        &self.request
    }

    fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut state = self.state();
        let Some(mut arrival) = state.arrived.pop_front() else {
            if let Goodbye::Due(code, _) = state.goodbye {
                state.say_goodbye(code);
                drop(state);
                driver::deliver(self.id);
                state = self.state();
            }
            return match &mut state.end {
                Some(end) => events::arrival(py, end).map(Some),
                None => Ok(None),
            };
        };
        if !matches!(arrival, Arrival::Connect) {
            state.waiting -= arrival.len() + MESSAGE_COST;
        }
        if state.is_held && state.waiting < WINDOW {
            state.is_held = false;
            if let Stage::Open(socket) = &mut state.stage {
                socket.resume(Instant::now());
            }
            if state.read(&[]) {
                state.outflow.conversation.read_on();
            }
            drop(state);
            driver::deliver(self.id);
        } else {
            drop(state);
        }
        events::arrival(py, &mut arrival).map(Some)
    }

    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Progress> {
        match events::read(message)? {
            Sent::Accept { subprotocol, fields } => {
                self.accept(message.py(), subprotocol.as_deref(), &fields)
            }
            Sent::Message(kind, payload) => self.send_message(kind, payload),
            Sent::Close { code, reason } => self.close(code, &reason),
            Sent::Deny(head) => self.deny(head),
            Sent::DenyBody { data, more } => self.deny_with(data, more),
        }
    }

    fn has_room(&self) -> bool {
        let state = self.state();
        state.outflow.has_room() || state.is_over()
    }

    fn wait_for_event(&self, py: Python<'_>, future: Py<PyAny>) {
        wait(py, &mut self.state().receivers, future);
    }

    fn wait_for_room(&self, py: Python<'_>, future: Py<PyAny>) {
        self.state().outflow.wait(py, future);
    }

    fn hear(&self, py: Python<'_>, heard: Heard<'_>) -> Appetite {
        let mut state = self.state();
        let mut appetite = Appetite::Hungry;
        let mut futures = Vec::new();
        match heard {
            Heard::Body(part) => {
                if !state.read(part) {
                    appetite = Appetite::Full;
                }
            }
            Heard::BodyEnd => {}
            Heard::Room => {
                if let Stage::Open(socket) = &mut state.stage {
                    socket.hear();
                }
                futures = state.outflow.open();
            }
            Heard::Leaving { has_successor } => {
                let code = match has_successor {
                    true => CloseCode::SERVICE_RESTART,
                    false => CloseCode::GOING_AWAY,
                };
                let is_awaited = state.receivers.iter().any(|future| is_pending(py, future));
                let is_idle = state.arrived.is_empty() && is_awaited;
                if state.is_open() && is_idle {
                    state.say_goodbye(code);
                } else if state.is_open() && state.goodbye == Goodbye::None {
                    state.goodbye = Goodbye::Due(code, Instant::now());
                }
            }
            Heard::Gone | Heard::Overdue { .. } => {
                if !state.is_over() {
                    state.lose(1006);
                }
            }
        }
        futures.append(&mut state.take_waiters());
        let is_forgotten = state.is_over() && state.is_task_done;
        drop(state);
        wake(py, futures);
        if is_forgotten {
            registry::remove(self.id);
        }
        appetite
    }

    fn finish(&self, py: Python<'_>, error: Option<&PyErr>) {
        let mut state = self.state();
        state.is_task_done = true;
        let (code, what) = match error {
            Some(_) => (CloseCode::INTERNAL_ERROR, Some("the application raised")),
            None => (CloseCode::NORMAL, None),
        };
        let is_over = match &state.stage {
            Stage::Open(socket) => socket.state() != Connection::Open,
            Stage::Over => true,
            Stage::Asked(_) | Stage::Denied(_) | Stage::Denying => false,
        };
        let what = match state.stage {
            Stage::Open(_) => {
                state.say_goodbye(code);
                what
            }
            Stage::Over => what,
            Stage::Asked(_) | Stage::Denied(_) | Stage::Denying => {
                state.lose(1006);
                what.or(Some(
                    "the application returned before it had accepted or closed the connection",
                ))
            }
        };
        drop(state);
        match (error, what) {
            (Some(error), _) if is_over && is_expected(py, error) => {
                log::debug!("{}: the client is gone: {error}", self.request.line());
            }
            (Some(error), Some(what)) => wsgi::log_failure(py, &self.request, what, error),
            (None, Some(what)) => log::error!("{}: {what}", self.request.line()),
            (_, None) => {}
        }
        driver::deliver(self.id);
    }

    fn ends_with_its_task(&self) -> bool {
        self.state().is_over()
    }

    fn tick(&self, py: Python<'_>) {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(code) = state.late_goodbye(now) {
            state.say_goodbye(code);
        } else {
            let State { stage, output, .. } = &mut *state;
            let Stage::Open(socket) = stage else { return };
            if socket.next_deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
            socket.on_deadline(now, output);
            state.settle();
        }
        let futures = state.take_waiters();
        let is_forgotten = state.is_over() && state.is_task_done;
        drop(state);
        wake(py, futures);
        if is_forgotten {
            registry::remove(self.id);
        }
        driver::deliver(self.id);
    }
}
