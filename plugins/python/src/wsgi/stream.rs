//! [`Stream`]: the iterable that an application returned, pulled piece by piece, and closed exactly once.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use uwrs_api::{BodySource, Pull, Request};

use super::answer::Answer;
use super::body;
use super::response::log_failure;
use crate::{apart, raw};

/// An iterable on its way out. Dropping it before its end (the client is gone, or has all it wants) closes it.
pub(super) struct Stream {
    /// `None` once it is closed.
    open: Option<Open>,
    request: Arc<Request>,
    answer: Arc<Answer>,
}

struct Open {
    iterator: Py<PyIterator>,
    close: Option<Py<PyAny>>,
}

impl Stream {
    /// Begins to iterate. When that fails the iterable is closed.
    pub(super) fn new(
        returned: &Bound<'_, PyAny>,
        request: &Arc<Request>,
        answer: &Arc<Answer>,
    ) -> PyResult<Self> {
        let py = returned.py();
        let close = returned.getattr_opt(intern!(py, "close"))?.map(Bound::unbind);
        match returned.try_iter() {
            Ok(iterator) => Ok(Self {
                open: Some(Open {
                    iterator: iterator.unbind(),
                    close,
                }),
                request: Arc::clone(request),
                answer: Arc::clone(answer),
            }),
            Err(error) => {
                if let Some(close) = close {
                    call_close(py, &close, request);
                }
                Err(error)
            }
        }
    }

    /// The next piece; it may be empty. `None` at the end.
    pub(super) fn next(&mut self, py: Python<'_>) -> PyResult<Option<Bytes>> {
        let Some(open) = &self.open else { return Ok(None) };
        let mut iterator = open.iterator.bind(py).clone();
        match iterator.next() {
            Some(item) => body::chunk(&item?).map(Some),
            None => Ok(None),
        }
    }

    /// The first piece that is not empty: PEP 3333 has the head wait for it.
    pub(super) fn first(&mut self, py: Python<'_>) -> PyResult<Option<Bytes>> {
        loop {
            match self.next(py)? {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece),
            }
        }
    }

    /// Calls the iterable's `close()`, if it has one and it was not called yet.
    pub(super) fn close(&mut self, py: Python<'_>) {
        let Some(open) = self.open.take() else { return };
        if let Some(close) = &open.close {
            call_close(py, close, &self.request);
        }
        self.answer.end();
    }

    fn pull_with(&mut self, py: Python<'_>) -> Pull {
        match self.next(py) {
            Ok(Some(piece)) => Pull::Data(piece),
            Ok(None) => {
                self.close(py);
                Pull::End
            }
            Err(error) => {
                log_failure(
                    py,
                    &self.request,
                    "the application raised amidst its answer",
                    &error,
                );
                self.close(py);
                Pull::Failed
            }
        }
    }
}

impl BodySource for Stream {
    fn pull(&mut self) -> Pull {
        in_application(|py| self.pull_with(py))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.open.is_some() {
            in_application(|py| self.close(py));
        }
    }
}

/// Runs code of the application, outside of its call.
pub(super) fn in_application<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    raw::with_interpreter(|py| {
        let _apart = apart::apart(py);
        work(py)
    })
}

fn call_close(py: Python<'_>, close: &Py<PyAny>, request: &Request) {
    if let Err(error) = close.call0(py) {
        log_failure(py, request, "closing the answer failed", &error);
    }
}
