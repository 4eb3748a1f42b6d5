//! [`Contexts`]: the context variables (PEP 567) that an exchange's code runs with. The call of the application, every
//! piece of what it returned and the end of that see the same ones, whichever threads they run on, and no other exchange
//! sees them meanwhile.
//!
//! A context serves one exchange after another, as a thread's own does elsewhere: what an application leaves in it for the
//! next request is found there. Django keeps its connections to caches so, which must not begin anew with every request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::raw;

/// How many contexts of one gateway wait for exchanges: one for its thread, and some of those that answers which were
/// streamed beside one another have needed.
const KEPT: usize = 4;

/// Those of one gateway.
#[derive(Clone, Default)]
pub(super) struct Contexts(Arc<Mutex<Vec<Py<PyAny>>>>);

impl Contexts {
    /// One for an exchange: the last one that has become free, or a copy of the calling thread's own.
    pub(super) fn take(&self, py: Python<'_>) -> PyResult<Lease> {
        let free = self.lock().pop();
        let context = match free {
            Some(context) => context,
            None => raw::copy_context(py)?.unbind(),
        };
        Ok(Lease {
            context: Some(context),
            home: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Py<PyAny>>> {
        // It is whole after every statement, whatever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A context in use by one exchange. Free again when this is dropped.
pub(super) struct Lease {
    /// `Some` until it is dropped.
    context: Option<Py<PyAny>>,
    home: Contexts,
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
        let Some(context) = self.context.take() else {
            return;
        };
        let mut free = self.home.lock();
        if free.len() < KEPT {
            return free.push(context);
        }
        drop(free);
        raw::discard(context);
    }
}
