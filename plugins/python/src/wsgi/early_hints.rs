//! `wsgi.early_hints`: an interim answer, 103 Early Hints (RFC 8297), while the application makes the real one. Offered
//! where other threads can send it meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use pyo3::prelude::*;
use uwrs_api::{InterimSender, ResponseHead};

use super::start_response::put_field;

/// The exchange that a thread has in hand, for the callable that its applications are given.
#[derive(Clone, Default)]
pub(super) struct CurrentExchange(Arc<Mutex<Option<(ThreadId, InterimSender)>>>);

impl CurrentExchange {
    /// The calling thread has this one in hand, until what is returned is dropped.
    pub(super) fn set(&self, sender: Option<InterimSender>) -> Release<'_> {
        *self.lock() = sender.map(|sender| (thread::current().id(), sender));
        Release(self)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ThreadId, InterimSender)>> {
        // It is set or not, whatever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an exchange's time in hand.
pub(super) struct Release<'a>(&'a CurrentExchange);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

/// What an application calls with a list of header fields.
#[pyclass(frozen, module = "uwrs")]
pub(super) struct EarlyHints(pub(super) CurrentExchange);

#[pymethods]
impl EarlyHints {
    /// Sends the fields. From another thread than the request's, or after it, nothing is sent.
    fn __call__(&self, fields: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut head = ResponseHead::new(103);
        let mut content_length = None;
        for field in fields.try_iter()? {
            put_field(&mut head, &field?, &mut content_length)?;
        }
        let current = self.0.lock();
        if let Some((thread, sender)) = &*current
            && *thread == thread::current().id()
        {
            sender.send(head);
        }
        Ok(())
    }
}
