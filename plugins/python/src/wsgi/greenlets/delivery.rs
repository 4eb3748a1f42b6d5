//! [`Delivery`]: what an application returned, iterated and sent by the greenlet that called it.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::prelude::*;
use uwrs_api::{Delivered, FilePart, Request};

use super::outlet::Outlet;
use crate::wsgi::answer::{Answer, Begun, StartedHead};
use crate::wsgi::body::{self, Whole};
use crate::wsgi::file_wrapper::FileWrapper;
use crate::wsgi::response::{HEADLESS, UNSENDABLE, is_single, log_failed, open, unstarted, with_length};
use crate::wsgi::stream::Stream;

/// An answer to be sent. The errors of its functions are what an application raised, when its client has been told.
pub(super) struct Delivery<'a> {
    pub(super) outlet: &'a Outlet,
    pub(super) request: &'a Arc<Request>,
    pub(super) answer: &'a Arc<Answer>,
}

impl Delivery<'_> {
    /// Sends what the application returned.
    pub(super) fn deliver(&self, py: Python<'_>, returned: &Bound<'_, PyAny>) -> PyResult<()> {
        match body::whole(returned) {
            Ok(Some(whole)) => self.deliver_whole(py, whole),
            Ok(None) => self.deliver_iterable(py, returned),
            Err(error) => Err(self.fail_delivery(py, error)),
        }
    }

    /// Says why in the log, and answers with 500, or breaks off where something was sent. Gives the error back.
    pub(super) fn fail(&self, py: Python<'_>, what: &str, error: PyErr) -> PyErr {
        let is_lost = self.answer.is_lost();
        self.answer.end();
        // Before the client is told: who has seen the answer finds the reason.
        if !self.outlet.is_expected(py, &error) {
            log_failed(py, self.request, what, &error, is_lost);
        }
        self.outlet.break_off();
        error
    }

    /// What came of sending: an exception that was thrown into the greenlet meanwhile ends the answer.
    fn sent(&self, py: Python<'_>, sent: PyResult<Delivered>) -> PyResult<Delivered> {
        sent.map_err(|error| self.fail(py, "an exception came while the client was waited for", error))
    }

    fn fail_delivery(&self, py: Python<'_>, error: PyErr) -> PyErr {
        self.fail(py, UNSENDABLE, error)
    }

    fn fail_unstarted(&self, py: Python<'_>) -> PyErr {
        self.fail(py, HEADLESS, unstarted())
    }

    fn deliver_whole(&self, py: Python<'_>, whole: Whole) -> PyResult<()> {
        let Some(begun) = self.answer.send() else {
            return Err(self.fail_unstarted(py));
        };
        self.answer.end();
        match (whole, begun) {
            (Whole::One(bytes), Begun::Head(started)) => self.outlet.respond(started.head, bytes),
            (Whole::One(bytes), Begun::Written(_)) => self.outlet.push_rest(std::iter::once(bytes)),
            (Whole::Pieces(pieces, total), Begun::Head(started)) => {
                let head = with_length(started, total).head;
                self.sent(py, self.outlet.begin(py, head, Bytes::new()))?;
                self.outlet.push_rest(pieces.into_iter());
            }
            (Whole::Pieces(pieces, _), Begun::Written(_)) => self.outlet.push_rest(pieces.into_iter()),
        }
        Ok(())
    }

    fn deliver_iterable(&self, py: Python<'_>, returned: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut stream =
            open(returned, self.request, self.answer).map_err(|error| self.fail_delivery(py, error))?;
        // Exactly what was made by it, not what a middleware put around it (PEP 3333).
        let wrapper = returned.cast_exact::<FileWrapper>().ok();
        let delivered = match wrapper.and_then(|wrapper| wrapper.get().part(py)) {
            Some(part) => self.deliver_file(py, &mut stream, part),
            None => self.deliver_stream(py, &mut stream, is_single(returned)),
        };
        // Answered before it is closed: what the application does then is not what the client waits for.
        stream.close(py);
        delivered
    }

    fn deliver_file(&self, py: Python<'_>, stream: &mut Stream, mut part: FilePart) -> PyResult<()> {
        match self.answer.send() {
            Some(Begun::Head(StartedHead { head, content_length })) => {
                // PEP 3333: up to the file's end, or as many bytes as Content-Length has.
                if let Some(length) = content_length {
                    part.truncate(length);
                }
                self.outlet.respond_file(head, part);
                Ok(())
            }
            Some(Begun::Written(written)) => {
                let left = Begun::Written(written).left();
                self.pump(py, stream, left, Ok(Delivered::Room))
            }
            None => Err(self.fail_unstarted(py)),
        }
    }

    fn deliver_stream(&self, py: Python<'_>, stream: &mut Stream, is_single: bool) -> PyResult<()> {
        let first = stream
            .first(py)
            .map_err(|error| self.fail(py, "the application raised", error))?;
        let Some(begun) = self.answer.send() else {
            return Err(self.fail_unstarted(py));
        };
        let is_last = first.is_none() || is_single;
        let first = first.unwrap_or_default();
        // PEP 3333, "Handling the Content-Length Header": iteration stops when enough was sent.
        let left = begun.left().map(|left| left.saturating_sub(first.len() as u64));
        let is_all = is_last || left == Some(0);
        match begun {
            Begun::Head(started) if is_all => {
                self.outlet.respond(started.head, first);
                Ok(())
            }
            Begun::Written(_) if is_all => {
                self.outlet.push_rest(std::iter::once(first));
                Ok(())
            }
            Begun::Head(started) => {
                let sent = self.outlet.begin(py, started.head, first);
                self.pump(py, stream, left, sent)
            }
            Begun::Written(_) => {
                let sent = self.outlet.push(py, first);
                self.pump(py, stream, left, sent)
            }
        }
    }

    /// Sends one piece after the other behind what was `sent`, as long as more is wanted: up to the end, or as many bytes as
    /// are `left`.
    fn pump(
        &self,
        py: Python<'_>,
        stream: &mut Stream,
        mut left: Option<u64>,
        sent: PyResult<Delivered>,
    ) -> PyResult<()> {
        let mut wanted = self.sent(py, sent)?;
        while wanted == Delivered::Room && left != Some(0) {
            let piece = match stream.next(py) {
                Ok(Some(piece)) if piece.is_empty() => continue,
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => return Err(self.fail(py, "the application raised amidst its answer", error)),
            };
            left = left.map(|left| left.saturating_sub(piece.len() as u64));
            wanted = self.sent(py, self.outlet.push(py, piece))?;
        }
        self.outlet.end();
        Ok(())
    }
}
