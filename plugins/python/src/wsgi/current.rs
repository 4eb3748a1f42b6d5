//! [`CurrentExchange`]: the exchange that a thread or a greenlet has in hand, for what goes to the client before the
//! application has returned: early hints, and what it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use bytes::Bytes;
use pyo3::prelude::*;
use uwrs_api::{Delivered, Forerunner, ResponseHead};

use super::greenlets::Outlet;

/// Shared by a gateway and the callables that it gives to its applications.
#[derive(Clone, Default)]
pub(super) struct CurrentExchange(Arc<Mutex<Option<InHand>>>);

/// How what is sent reaches the client.
#[derive(Clone)]
enum InHand {
    /// The application runs on that thread, for that exchange and no other.
    Thread(ThreadId, Forerunner),
    /// It runs on a greenlet.
    Greenlet(Arc<Outlet>),
}

impl CurrentExchange {
    /// The calling thread has this one in hand, until what is returned is dropped.
    pub(super) fn set(&self, forerunner: Option<Forerunner>) -> Release<'_> {
        *self.lock() = forerunner.map(|forerunner| InHand::Thread(thread::current().id(), forerunner));
        Release(self)
    }

    /// The calling greenlet has this one in hand, until what is returned is dropped.
    pub(super) fn set_outlet(&self, outlet: &Arc<Outlet>) -> Release<'_> {
        *self.lock() = Some(InHand::Greenlet(Arc::clone(outlet)));
        Release(self)
    }

    /// Sends an interim answer, if the calling thread is the one that has the exchange in hand.
    pub(super) fn interim(&self, py: Python<'_>, head: ResponseHead) {
        let current = self.lock().clone();
        match current {
            Some(InHand::Thread(thread, forerunner)) if thread == thread::current().id() => {
                py.detach(|| forerunner.interim(head));
            }
            Some(InHand::Greenlet(outlet)) => outlet.interim(head),
            _ => {}
        }
    }

    /// Sends a part of the answer's body, after `head` where that has not gone. Waits while the client takes nothing.
    /// `false`: the client is gone.
    ///
    /// # Errors
    /// What was thrown into a greenlet that waits.
    pub(super) fn write(&self, py: Python<'_>, head: Option<ResponseHead>, bytes: Bytes) -> PyResult<bool> {
        let current = self.lock().clone();
        match (current, head) {
            (None, _) => Ok(false),
            (Some(InHand::Thread(_, forerunner)), Some(head)) => {
                Ok(py.detach(|| forerunner.begin(head, bytes)))
            }
            (Some(InHand::Thread(_, forerunner)), None) => Ok(py.detach(|| forerunner.push(bytes))),
            (Some(InHand::Greenlet(outlet)), Some(head)) => {
                Ok(outlet.begin(py, head, bytes)? != Delivered::Gone)
            }
            (Some(InHand::Greenlet(outlet)), None) => Ok(outlet.push(py, bytes)? != Delivered::Gone),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<InHand>> {
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
