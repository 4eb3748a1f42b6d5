//! [`Delivery`]: what an application returned, made into a reply; and the replies when there is nothing to return.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use uwrs_api::{BodySource, FilePart, Pull, Reply, ReplyBody, Request, Responder, ResponseHead};

use super::answer::{Answer, Begun, StartedHead};
use super::body::{self, Whole};
use super::contexts::Lease;
use super::file_wrapper::FileWrapper;
use super::stream::Stream;
use crate::failure;

/// Said of what an application returned.
pub(super) const UNSENDABLE: &str = "the application's answer cannot be sent";
/// Said of an application that did not call `start_response`; see [`unstarted`].
pub(super) const HEADLESS: &str = "the application's answer has no head";

/// What is wrong with an answer that is [`HEADLESS`].
pub(super) fn unstarted() -> PyErr {
    PyAssertionError::new_err("start_response was not called")
}

/// An answer to be sent.
pub(super) struct Delivery<'a> {
    pub(super) responder: Responder,
    pub(super) request: &'a Arc<Request>,
    pub(super) answer: &'a Arc<Answer>,
}

impl Delivery<'_> {
    /// Sends what the application returned, or gives back what is to be sent when its context has been left.
    pub(super) fn deliver(self, py: Python<'_>, returned: Bound<'_, PyAny>) -> Option<Unsent> {
        match body::whole(&returned) {
            Ok(Some(whole)) => self.deliver_whole(py, whole),
            Ok(None) => return self.deliver_iterable(py, &returned),
            Err(error) => self.fail(py, UNSENDABLE, &error),
        }
        None
    }

    /// Says why in the log, and answers with 500, or breaks off where something was written.
    pub(super) fn fail(self, py: Python<'_>, what: &str, error: &PyErr) {
        let (is_begun, is_lost) = (self.answer.is_head_gone(), self.answer.is_lost());
        self.answer.end();
        if is_begun {
            log_failed(py, self.request, what, error, is_lost);
            return self.responder.respond(Reply::Break);
        }
        broken(py, self.responder, self.request, what, error);
    }

    fn deliver_whole(self, py: Python<'_>, whole: Whole) {
        let Some(begun) = self.answer.send() else {
            return self.fail_unstarted(py);
        };
        self.answer.end();
        let (begun, body) = match (whole, begun) {
            (Whole::One(bytes), begun) => (begun, ReplyBody::Full(bytes)),
            (Whole::Pieces(pieces, total), begun) => {
                let begun = match begun {
                    Begun::Head(started) => Begun::Head(with_length(started, total)),
                    written @ Begun::Written(_) => written,
                };
                let rest = ReplyBody::Source {
                    first: Bytes::new(),
                    rest: Box::new(pieces),
                };
                (begun, rest)
            }
        };
        respond(self.responder, begun, body);
    }

    fn deliver_iterable(self, py: Python<'_>, returned: &Bound<'_, PyAny>) -> Option<Unsent> {
        // Exactly what was made by it, not what a middleware put around it (PEP 3333).
        if let Ok(wrapper) = returned.cast_exact::<FileWrapper>()
            && let Some(part) = wrapper.get().part(py)
        {
            return self.deliver_file(py, returned, part);
        }
        let mut stream = match open(returned, self.request, self.answer) {
            Ok(stream) => stream,
            Err(error) => {
                self.fail(py, UNSENDABLE, &error);
                return None;
            }
        };
        let first = match stream.first(py) {
            Ok(first) => first,
            Err(error) => {
                // The exception is told before what closing may add to it.
                self.fail(py, "the application raised", &error);
                stream.close(py);
                return None;
            }
        };
        let Some(begun) = self.answer.send() else {
            self.fail_unstarted(py);
            stream.close(py);
            return None;
        };
        let is_last = first.is_none() || is_single(returned);
        let first = first.unwrap_or_default();
        // PEP 3333, "Handling the Content-Length Header": iteration stops when enough was sent.
        let is_enough = begun.left().is_some_and(|left| first.len() as u64 >= left);
        if !is_last && !is_enough {
            let responder = self.responder;
            return Some(Unsent {
                responder,
                begun,
                part: Part::Pieces { first },
                stream,
            });
        }
        // Answered before it is closed: what the application does then (Django: `request_finished`) is not what the
        // client waits for.
        respond(self.responder, begun, ReplyBody::Full(first));
        stream.close(py);
        None
    }

    fn deliver_file(self, py: Python<'_>, returned: &Bound<'_, PyAny>, mut part: FilePart) -> Option<Unsent> {
        let mut stream = match open(returned, self.request, self.answer) {
            Ok(stream) => stream,
            Err(error) => {
                self.fail(py, UNSENDABLE, &error);
                return None;
            }
        };
        let Some(begun) = self.answer.send() else {
            self.fail_unstarted(py);
            stream.close(py);
            return None;
        };
        // PEP 3333: up to the file's end, or as many bytes as Content-Length has.
        if let Some(left) = begun.left() {
            part.truncate(left);
        }
        let responder = self.responder;
        Some(Unsent {
            responder,
            begun,
            part: Part::File(part),
            stream,
        })
    }

    fn fail_unstarted(self, py: Python<'_>) {
        self.fail(py, HEADLESS, &unstarted());
    }
}

/// An answer that has more to it than its call: where it is sent from need not be this thread.
pub(super) struct Unsent {
    responder: Responder,
    begun: Begun,
    part: Part,
    stream: Stream,
}

/// What of it goes first.
enum Part {
    /// A piece, which may be empty; the stream gives the rest.
    Pieces { first: Bytes },
    /// A file, and nothing more; the stream is closed after it.
    File(FilePart),
}

impl Unsent {
    /// Sends it. From now on the stream runs with the context of its call, which is not in use any more.
    pub(super) fn send(mut self, lease: Lease) {
        self.stream.keep_context(lease);
        let body = match self.part {
            Part::Pieces { first } => {
                let rest = Box::new(self.stream);
                ReplyBody::Source { first, rest }
            }
            Part::File(part) => {
                let owner: Option<Box<dyn BodySource>> = Some(Box::new(FileOwner(self.stream)));
                ReplyBody::File { part, owner }
            }
        };
        respond(self.responder, self.begun, body);
    }
}

/// Answers, or sends the rest of an answer.
fn respond(responder: Responder, begun: Begun, body: ReplyBody) {
    responder.respond(match begun {
        Begun::Head(StartedHead { head, .. }) => Reply::Response { head, body },
        Begun::Written(_) => Reply::Rest(body),
    });
}

/// Closes a wrapped file that is sent without being read.
struct FileOwner(Stream);

impl BodySource for FileOwner {
    fn pull(&mut self) -> Pull {
        self.0.close_in_context();
        Pull::End
    }
}

/// The iterator of what was returned, with a clear word for the usual mistakes.
pub(super) fn open(
    returned: &Bound<'_, PyAny>,
    request: &Arc<Request>,
    answer: &Arc<Answer>,
) -> PyResult<Stream> {
    if returned.is_none() {
        return Err(PyTypeError::new_err(
            "the application returned None: it must return an iterable of bytes",
        ));
    }
    if returned.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(
            "the application returned a str: it must return an iterable of bytes",
        ));
    }
    Stream::new(returned, request, answer)
}

/// A list or tuple (a subclass of one) of one piece ends with it.
pub(super) fn is_single(returned: &Bound<'_, PyAny>) -> bool {
    let length = match (returned.cast::<PyList>(), returned.cast::<PyTuple>()) {
        (Ok(list), _) => list.len(),
        (_, Ok(tuple)) => tuple.len(),
        _ => return false,
    };
    length == 1
}

/// The head with a Content-Length, where it may have one and has none.
pub(super) fn with_length(mut started: StartedHead, length: u64) -> StartedHead {
    let head = &mut started.head;
    if started.content_length.is_none() && !matches!(head.status, 204 | 304) {
        head.push(b"Content-Length", length.to_string().as_bytes());
    }
    started
}

/// Answers with 500, the reason in the log.
pub(super) fn broken(py: Python<'_>, responder: Responder, request: &Request, what: &str, error: &PyErr) {
    log_failure(py, request, what, error);
    // The server says 500 for it, and counts it.
    drop(responder);
}

/// Answers where no application is mounted.
pub(crate) fn nothing_mounted(responder: Responder, request: &Request, is_anything_loaded: bool) {
    if is_anything_loaded {
        log::debug!("{}: no application is mounted there", request.line());
        return respond_text(responder, 404, "Not Found");
    }
    log::error!("{}: no application is loaded", request.line());
    respond_text(responder, 500, "Internal Server Error");
}

fn respond_text(responder: Responder, status: u16, text: &'static str) {
    let mut head = ResponseHead::new(status);
    head.push(b"Content-Type", b"text/plain; charset=utf-8");
    let body = ReplyBody::Full(Bytes::from_static(text.as_bytes()));
    responder.respond(Reply::Response { head, body });
}

/// As [`log_failure`], of an answer a part of which has gone. That the client was gone for another part (`is_lost`), and the
/// application ended by what `write` said of it, is no failure of anyone here.
pub(super) fn log_failed(py: Python<'_>, request: &Request, what: &str, error: &PyErr, is_lost: bool) {
    if is_lost && error.is_instance_of::<PyBrokenPipeError>(py) {
        return log::debug!("{}: the client is gone: {error}", request.line());
    }
    log_failure(py, request, what, error);
}

/// Tells in the log what went wrong, with the traceback.
pub(crate) fn log_failure(py: Python<'_>, request: &Request, what: &str, error: &PyErr) {
    log::error!("{}: {what}\n{}", request.line(), failure::traceback(py, error));
}
