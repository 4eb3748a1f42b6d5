//! [`CurrentExchange`]: the exchange that a thread has in hand, for what goes to the client before the application has
//! returned: early hints, and what it writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use bytes::Bytes;
use uwrs_api::{Forerunner, ResponseHead};

/// Shared by a gateway and the callables that it gives to its applications.
#[derive(Clone, Default)]
pub(super) struct CurrentExchange(Arc<Mutex<Option<(ThreadId, Forerunner)>>>);

impl CurrentExchange {
    /// The calling thread has this one in hand, until what is returned is dropped.
    pub(super) fn set(&self, forerunner: Option<Forerunner>) -> Release<'_> {
        *self.lock() = forerunner.map(|forerunner| (thread::current().id(), forerunner));
        Release(self)
    }

    /// Sends an interim answer, if the calling thread is the one that has the exchange in hand.
    pub(super) fn interim(&self, head: ResponseHead) {
        let current = self.lock().clone();
        if let Some((thread, forerunner)) = current
            && thread == thread::current().id()
        {
            forerunner.interim(head);
        }
    }

    /// Sends a part of the answer's body, after `head` where that has not gone. `false`: the client is gone. May wait:
    /// not with the interpreter held.
    pub(super) fn write(&self, head: Option<ResponseHead>, bytes: Bytes) -> bool {
        let Some((_, forerunner)) = self.lock().clone() else {
            return false;
        };
        match head {
            Some(head) => forerunner.begin(head, bytes),
            None => forerunner.push(bytes),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(ThreadId, Forerunner)>> {
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
