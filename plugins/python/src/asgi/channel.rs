//! [`Channel`]: what an application and its client say to one another in one exchange, in which order it may be said, and
//! who waits for what.
//!
//! The lock is never held while the server or Python code runs: both come back here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{Appetite, Body, Conversation, Delivered, ExchangeId, FilePart, Heard, Request, ResponseHead};

use super::driver;
use super::events::{self, Sent};
use super::outflow::{self, Outflow};
use super::talk::{Progress, Talk, wait, wake};
use crate::wsgi;

pyo3::create_exception!(
    uwrs,
    ClientDisconnected,
    PyOSError,
    "The client is gone: what is sent reaches nobody."
);

pyo3::create_exception!(
    uwrs,
    ResponseComplete,
    PyOSError,
    "Nothing can follow a complete response: what is sent is dropped."
);

/// Bytes of a request's body that wait for the application; beyond that the server stops reading.
const WINDOW: usize = 64 * 1024;

/// How far a request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// More is to come.
    Open,
    /// All of it is here.
    Whole,
    /// The client has gone: no more of it comes.
    Cut,
}

/// What ends an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The last part of its body.
    Body,
    /// Fields behind it.
    Trailers,
}

/// How far the answer has come.
#[derive(Debug)]
enum Answer {
    Silent,
    Started(ResponseHead, Ending),
    Streaming(Ending),
    /// The body is complete; these fields are to follow it, and others.
    Trailing(ResponseHead),
    Over,
}

/// Who the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// It waits for it.
    There,
    /// It says nothing more.
    Gone,
    /// It has waited for too long and was told so.
    Told,
}

struct State {
    received: Vec<u8>,
    intake: Intake,
    /// The application has been given the last part of the body.
    has_had_all: bool,
    client: Client,
    /// The server waits to be asked for more of the body.
    is_held: bool,
    answer: Answer,
    /// Futures of those who wait for an event.
    receivers: Vec<Py<PyAny>>,
    outflow: Outflow,
}

impl State {
    /// What is raised after the end.
    fn too_late(&self) -> PyErr {
        match self.client {
            Client::There => ResponseComplete::new_err("send: the response is complete"),
            Client::Gone | Client::Told => gone(),
        }
    }
}

/// One exchange of an application with its client.
pub(super) struct Channel {
    id: ExchangeId,
    request: Arc<Request>,
    state: Mutex<State>,
}

impl Channel {
    /// For an exchange of whose body `body` is here.
    pub(super) fn new(request: Arc<Request>, body: Body, conversation: Conversation) -> Self {
        let (received, intake) = match body {
            Body::Begun(bytes) => (bytes, Intake::Open),
            Body::Memory(bytes) => (bytes, Intake::Whole),
            // Whole bodies in files are not for those who stream.
            Body::Empty | Body::File { .. } => (Vec::new(), Intake::Whole),
        };
        Self {
            id: conversation.id(),
            request,
            state: Mutex::new(State {
                received,
                intake,
                has_had_all: false,
                client: Client::There,
                // The client may wait to be asked (`Expect: 100-continue`).
                is_held: intake == Intake::Open,
                answer: Answer::Silent,
                receivers: Vec::new(),
                outflow: Outflow::new(conversation),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the server for more of the body, where it waits for that.
    fn read_on(&self, mut state: MutexGuard<'_, State>) {
        if !std::mem::replace(&mut state.is_held, false) {
            return;
        }
        state.outflow.conversation.read_on();
        drop(state);
        driver::deliver(self.id);
    }

    fn start(
        &self,
        mut head: ResponseHead,
        trailers: bool,
        mut state: MutexGuard<'_, State>,
    ) -> PyResult<Progress> {
        match state.answer {
            Answer::Silent => {}
            Answer::Over => return Err(state.too_late()),
            _ => return Err(out_of_order("http.response.start came already")),
        }
        // A client that takes none gets the answer without.
        head.has_trailers = trailers && self.request.takes_trailers;
        let ending = match trailers {
            true => Ending::Trailers,
            false => Ending::Body,
        };
        state.answer = Answer::Started(head, ending);
        Ok(Progress::Done)
    }

    fn send_body(
        &self,
        py: Python<'_>,
        data: Bytes,
        more: bool,
        mut state: MutexGuard<'_, State>,
    ) -> PyResult<Progress> {
        let (head, ending) = match std::mem::replace(&mut state.answer, Answer::Over) {
            Answer::Started(head, ending) => (Some(head), ending),
            Answer::Streaming(ending) => (None, ending),
            Answer::Over => return Err(state.too_late()),
            before => {
                let what = match before {
                    Answer::Silent => "http.response.body came before http.response.start",
                    _ => "http.response.body came after the last one",
                };
                state.answer = before;
                return Err(out_of_order(what));
            }
        };
        let is_open = more || ending == Ending::Trailers && self.request.takes_trailers;
        state.outflow.answer(head, data, is_open);
        state.answer = match (more, ending) {
            (true, _) => Answer::Streaming(ending),
            (false, Ending::Trailers) => Answer::Trailing(ResponseHead::default()),
            (false, Ending::Body) => Answer::Over,
        };
        if is_open {
            drop(state);
            return self.deliver();
        }
        self.complete(py, state);
        Ok(Progress::Done)
    }

    fn send_trailers(
        &self,
        py: Python<'_>,
        fields: &ResponseHead,
        more: bool,
        mut state: MutexGuard<'_, State>,
    ) -> PyResult<Progress> {
        let what = match &mut state.answer {
            Answer::Trailing(trailers) => {
                for (name, value) in fields.fields() {
                    trailers.push(name, value);
                }
                if more {
                    return Ok(Progress::Done);
                }
                let trailers = std::mem::take(trailers);
                state.answer = Answer::Over;
                state.outflow.conversation.end_with(trailers);
                self.complete(py, state);
                return Ok(Progress::Done);
            }
            Answer::Over => return Err(state.too_late()),
            Answer::Silent => "http.response.trailers came before http.response.start",
            Answer::Started(_, Ending::Body) | Answer::Streaming(Ending::Body) => {
                "http.response.trailers came, and http.response.start had not said \"trailers\""
            }
            Answer::Started(..) | Answer::Streaming(_) => {
                "http.response.trailers came before the last http.response.body"
            }
        };
        Err(out_of_order(what))
    }

    fn send_file(
        &self,
        py: Python<'_>,
        part: FilePart,
        mut state: MutexGuard<'_, State>,
    ) -> PyResult<Progress> {
        match std::mem::replace(&mut state.answer, Answer::Over) {
            Answer::Started(mut head, ending) => {
                // A file has a length, and what has one no place for fields behind it.
                head.has_trailers = false;
                state.outflow.conversation.respond_file(head, part);
                if ending == Ending::Trailers {
                    state.answer = Answer::Trailing(ResponseHead::default());
                }
            }
            Answer::Over => return Err(state.too_late()),
            before => {
                let what = match before {
                    Answer::Silent => "http.response.pathsend came before http.response.start",
                    _ => "http.response.pathsend came after http.response.body",
                };
                state.answer = before;
                return Err(out_of_order(what));
            }
        }
        self.complete(py, state);
        Ok(Progress::Done)
    }

    fn hint(&self, head: ResponseHead, state: MutexGuard<'_, State>) -> PyResult<Progress> {
        match state.answer {
            // What begins the answer waits for the body.
            Answer::Silent | Answer::Started(..) => state.outflow.conversation.interim(head),
            // No hint can be early any more.
            Answer::Streaming(_) | Answer::Trailing(_) => return Ok(Progress::Done),
            Answer::Over => return Err(state.too_late()),
        }
        drop(state);
        self.deliver()
    }

    /// The state, for something to be sent. Whoever is given it takes it as the last argument: so it is let go of before
    /// what was to be sent is dropped, which may run Python code.
    ///
    /// # Errors
    /// Nobody would get it. A client that only says nothing more may yet listen.
    fn state_to_send(&self) -> PyResult<MutexGuard<'_, State>> {
        let state = self.state();
        if state.client != Client::Gone {
            return Ok(state);
        }
        drop(state);
        let delivered = driver::deliver(self.id);
        let mut state = self.state();
        if delivered != Delivered::Gone {
            return Ok(state);
        }
        state.answer = Answer::Over;
        state.outflow.conversation.break_off();
        drop(state);
        driver::deliver(self.id);
        Err(gone())
    }

    /// Has the last of the answer sent, and tells those who wait for an event that this was the end.
    fn complete(&self, py: Python<'_>, mut state: MutexGuard<'_, State>) {
        let receivers = std::mem::take(&mut state.receivers);
        drop(state);
        driver::deliver(self.id);
        wake(py, receivers);
    }

    /// Has what was left sent, after which something will follow, for which there has to be room.
    fn deliver(&self) -> PyResult<Progress> {
        let delivered = outflow::deliver(self.id, |work| work(&mut self.state().outflow));
        if delivered.is_err() {
            let mut state = self.state();
            state.client = Client::Gone;
            state.answer = Answer::Over;
        }
        delivered
    }
}

impl Talk for Channel {
    fn id(&self) -> ExchangeId {
        self.id
    }

    fn request(&self) -> &Request {
        &self.request
    }

    fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut state = self.state();
        if matches!(state.answer, Answer::Over)
            || state.intake == Intake::Cut
            || state.has_had_all && state.client != Client::There
        {
            drop(state);
            return events::disconnect(py).map(Some);
        }
        if state.has_had_all {
            return Ok(None);
        }
        let is_whole = state.intake == Intake::Whole;
        if state.received.is_empty() && !is_whole {
            self.read_on(state);
            return Ok(None);
        }
        state.has_had_all = is_whole;
        let body = std::mem::take(&mut state.received);
        match is_whole {
            true => drop(state),
            false => self.read_on(state),
        }
        events::request(py, &body, !is_whole).map(Some)
    }

    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Progress> {
        let py = message.py();
        let event = events::read(message)?;
        let state = self.state_to_send()?;
        match event {
            Sent::Start { head, trailers } => self.start(head, trailers, state),
            Sent::Body { data, more } => self.send_body(py, data, more, state),
            Sent::Path(part) => self.send_file(py, part, state),
            Sent::EarlyHint(head) => self.hint(head, state),
            Sent::Trailers { fields, more } => self.send_trailers(py, &fields, more, state),
        }
    }

    fn has_room(&self) -> bool {
        let state = self.state();
        state.outflow.has_room() || matches!(state.answer, Answer::Over)
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
        let futures = match heard {
            Heard::Body(part) => {
                state.received.extend_from_slice(part);
                if state.received.len() >= WINDOW {
                    state.is_held = true;
                    appetite = Appetite::Full;
                }
                std::mem::take(&mut state.receivers)
            }
            Heard::BodyEnd => {
                state.intake = Intake::Whole;
                std::mem::take(&mut state.receivers)
            }
            Heard::Room => state.outflow.open(),
            Heard::Leaving { .. } => Vec::new(),
            Heard::Gone | Heard::Overdue { .. } => {
                state.client = Client::Gone;
                if matches!(heard, Heard::Overdue { .. }) {
                    state.client = Client::Told;
                    state.answer = Answer::Over;
                }
                if state.intake == Intake::Open {
                    state.intake = Intake::Cut;
                }
                let mut futures = std::mem::take(&mut state.receivers);
                futures.append(&mut state.outflow.open());
                futures
            }
        };
        drop(state);
        wake(py, futures);
        appetite
    }

    fn finish(&self, py: Python<'_>, error: Option<&PyErr>) {
        let mut state = self.state();
        let is_over = matches!(state.answer, Answer::Over);
        let is_silent = matches!(state.answer, Answer::Silent | Answer::Started(..));
        let client = state.client;
        let is_lost = client != Client::There;
        state.answer = Answer::Over;
        state.outflow.conversation.break_off();
        drop(state);
        match error {
            Some(error) if is_lost && is_expected(py, error) => {
                log::debug!("{}: the client is gone: {error}", self.request.line());
            }
            Some(error) => {
                let what = match is_silent {
                    true => "the application raised",
                    false if is_over => "the application raised after its answer",
                    false => "the application raised amidst its answer",
                };
                wsgi::log_failure(py, &self.request, what, error);
            }
            // Nobody waits for an answer that nobody can get.
            None if is_over || is_lost => {}
            None => {
                let what = match is_silent {
                    true => "the application returned without an answer",
                    false => "the application returned before its answer was complete",
                };
                log::error!("{}: {what}", self.request.line());
            }
        }
        if !is_over || client == Client::Told {
            driver::deliver(self.id);
        }
    }
}

fn out_of_order(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("send: {what}"))
}

/// Is that what an application is to end with when nobody waits for its answer? [`ClientDisconnected`], `CancelledError`, a
/// group of nothing else, or the exception of its own that a framework raises in its place, as Starlette does.
pub(super) fn is_expected(py: Python<'_>, error: &PyErr) -> bool {
    /// Of a group in a group, and of what was raised while something else was handled.
    const LINKS: usize = 16;
    let mut open = vec![error.value(py).clone().into_any()];
    for _ in 0..LINKS {
        let Some(error) = open.pop() else { return true };
        if error.is_instance_of::<ClientDisconnected>() || error.is_instance_of::<CancelledError>() {
            continue;
        }
        let group = error.getattr(intern!(py, "exceptions"));
        match group.and_then(|group| group.extract::<Vec<Bound<'_, PyAny>>>()) {
            Ok(parts) if !parts.is_empty() => open.extend(parts),
            _ if stands_for_disconnect(&error) => {}
            _ => return false,
        }
    }
    false
}

/// Was it raised in the place of [`ClientDisconnected`], and does it say so? What else is raised then is a mistake.
fn stands_for_disconnect(error: &Bound<'_, PyAny>) -> bool {
    let py = error.py();
    let links = [intern!(py, "__cause__"), intern!(py, "__context__")];
    let is_raised_instead = links.into_iter().any(|link| {
        let before = error.getattr(link);
        before.is_ok_and(|before| before.is_instance_of::<ClientDisconnected>())
    });
    is_raised_instead && events::kind_of(error).contains("Disconnect")
}

/// What is raised where nobody gets what is sent (ASGI HTTP specification 2.4: an `OSError`).
pub(super) fn gone() -> PyErr {
    ClientDisconnected::new_err("the client is gone")
}
