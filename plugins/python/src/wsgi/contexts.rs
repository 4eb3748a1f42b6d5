//! [`Contexts`]: the context variables (PEP 567) that an exchange's code runs with. The call of the application, every
//! piece of what it returned and the end of that see the same ones, and no other exchange sees them meanwhile, whatever that
//! thread does between two pieces (where WSGI runs beside ASGI it is one for all).
//!
//! A context serves one exchange after another, as a thread's own does elsewhere: what an application leaves in it for the
//! next request is found there. Django keeps its connections to caches so, which must not begin anew with every request.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::raw;

/// How many contexts of one gateway wait for exchanges beside the one that its calls run in: those that answers which were
/// streamed side by side have needed.
const KEPT: usize = 4;

/// Those of one gateway, for its thread.
#[derive(Default)]
pub(super) struct Contexts {
    /// That of the last call, if all of its exchange is over.
    free: Cell<Option<Py<PyAny>>>,
    returned: Arc<Returned>,
}

/// Contexts of exchanges that went on after their call.
#[derive(Default)]
struct Returned(Mutex<Vec<Py<PyAny>>>);

impl Contexts {
    /// Runs a call of the application, and gives what it returned and the context to whatever goes on after it: to `rest`,
    /// which is called with the context left, when `call` returns something for it.
    ///
    /// # Errors
    /// The interpreter refuses to make, to enter or to leave a context.
    pub(super) fn run<R>(
        &self,
        py: Python<'_>,
        call: impl FnOnce() -> Option<R>,
        rest: impl FnOnce(R, Lease),
    ) -> PyResult<()> {
        let context = match self.free.take().or_else(|| self.returned.pop()) {
            Some(context) => context,
            None => raw::copy_context(py)?.unbind(),
        };
        match raw::in_context(context.bind(py), call)? {
            None => self.free.set(Some(context)),
            Some(more) => {
                let home = Arc::clone(&self.returned);
                let context = Some(context);
                rest(more, Lease { context, home });
            }
        }
        Ok(())
    }
}

impl Returned {
    fn pop(&self) -> Option<Py<PyAny>> {
        // It is whole after every statement, whatever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn push(&self, context: Py<PyAny>) {
        let mut contexts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if contexts.len() < KEPT {
            return contexts.push(context);
        }
        drop(contexts);
        raw::discard(context);
    }
}

/// A context in use by one exchange whose call is over. Free again when this is dropped.
pub(super) struct Lease {
    /// `Some` until it is dropped.
    context: Option<Py<PyAny>>,
    home: Arc<Returned>,
}

impl Lease {
    /// Runs `work` with it.
    ///
    /// # Errors
    /// The interpreter refuses: it is at work with it already.
    pub(super) fn run<R>(&self, py: Python<'_>, work: impl FnOnce() -> R) -> PyResult<R> {
        match &self.context {
            Some(context) => raw::in_context(context.bind(py), work),
            None => Ok(work()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            self.home.push(context);
        }
    }
}
