//! [`Stream`]: the iterable that an application returned, pulled piece by piece, and closed exactly once.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use uwrs_api::{BodySource, Pull, Request};

use super::answer::Answer;
use super::body;
use super::contexts::Lease;
use super::response::log_failure;
use crate::{apart, raw};

/// An iterable on its way out. Dropping it before its end (the client is gone, or has all it wants) closes it.
pub(super) struct Stream {
    /// `None` once it is closed.
    open: Option<Open>,
    request: Arc<Request>,
    answer: Arc<Answer>,
    /// The context that it runs with, when the call that it came from is over.
    lease: Option<Lease>,
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
                lease: None,
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

    /// The call is over: from now on it is pulled and dropped outside of that context, and enters it.
    pub(super) fn keep_context(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    /// Closes it from outside of the application.
    pub(super) fn close_in_context(&mut self) {
        self.in_application(Self::close);
    }

    /// Runs code of the application outside of its call. `None`: its context was refused, which is in the log.
    fn in_application<R>(&mut self, work: impl FnOnce(&mut Self, Python<'_>) -> R) -> Option<R> {
        raw::with_interpreter(|py| {
            let _apart = apart::apart(py);
            let Some(lease) = self.lease.take() else {
                return Some(work(self, py));
            };
            let done = lease.run(py, || work(self, py));
            // Once it is closed the context is free for others.
            if self.open.is_some() {
                self.lease = Some(lease);
            }
            done.inspect_err(|error| log_failure(py, &self.request, "its context is refused", error))
                .ok()
        })
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
        self.in_application(Self::pull_with).unwrap_or(Pull::Failed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.open.is_some() {
            self.close_in_context();
        }
    }
}

fn call_close(py: Python<'_>, close: &Py<PyAny>, request: &Request) {
    if let Err(error) = close.call0(py) {
        log_failure(py, request, "closing the answer failed", &error);
    }
}
