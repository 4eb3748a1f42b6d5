//! [`Outlet`]: the way to the client of an exchange that a greenlet has in hand. Where the client takes nothing the greenlet
//! waits, and the others go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pyo3::prelude::*;
use uwrs_api::{Conversation, Delivered, ExchangeId, FilePart, ResponseHead};

use super::hub::Hub;
use crate::turning;

/// Where the parts of an answer go.
pub(crate) struct Outlet {
    id: ExchangeId,
    hub: Arc<Hub>,
    conversation: Mutex<Conversation>,
    /// gevent's waiters of greenlets that wait for room.
    waiting: Mutex<Vec<Py<PyAny>>>,
    /// The client has been told not to wait: what it was asked is given up.
    is_given_up: AtomicBool,
}

impl Outlet {
    pub(super) fn new(conversation: Conversation, hub: &Arc<Hub>) -> Self {
        Self {
            id: conversation.id(),
            hub: Arc::clone(hub),
            conversation: Mutex::new(conversation),
            waiting: Mutex::default(),
            is_given_up: AtomicBool::new(false),
        }
    }

    /// Sends an interim answer.
    pub(crate) fn interim(&self, head: ResponseHead) {
        self.conversation().interim(head);
        turning::deliver(self.id);
    }

    /// Answers, with all of the body.
    pub(super) fn respond(&self, head: ResponseHead, body: Bytes) {
        self.conversation().respond(head, body);
        turning::deliver(self.id);
    }

    /// Answers, with a part of a file as all of the body.
    pub(super) fn respond_file(&self, head: ResponseHead, part: FilePart) {
        self.conversation().respond_file(head, part);
        turning::deliver(self.id);
    }

    /// Begins the answer with a part of its body, and says what is wanted then: [`Delivered::Room`], `Enough` or `Gone`.
    ///
    /// # Errors
    /// What was thrown into the greenlet while it waited for the client.
    pub(crate) fn begin(&self, py: Python<'_>, head: ResponseHead, first: Bytes) -> PyResult<Delivered> {
        self.conversation().begin(head, first);
        self.flow(py)
    }

    /// Goes on with the body, and says what is wanted then, as [`Outlet::begin`].
    ///
    /// # Errors
    /// As [`Outlet::begin`].
    pub(crate) fn push(&self, py: Python<'_>, piece: Bytes) -> PyResult<Delivered> {
        self.conversation().push(piece);
        self.flow(py)
    }

    /// The rest of the body, which is in memory already: nobody waits for the client to take it.
    pub(super) fn push_rest(&self, pieces: impl Iterator<Item = Bytes>) {
        let mut conversation = self.conversation();
        pieces.for_each(|piece| conversation.push(piece));
        conversation.end();
        drop(conversation);
        turning::deliver(self.id);
    }

    /// Ends the body.
    pub(super) fn end(&self) {
        self.conversation().end();
        turning::deliver(self.id);
    }

    /// Gives up: 500 where nothing was answered, else the connection is cut.
    pub(super) fn break_off(&self) {
        self.conversation().break_off();
        turning::deliver(self.id);
    }

    /// The greenlet is killed because its client has waited for too long.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Is that how an application ends that was given up?
    pub(super) fn is_expected(&self, py: Python<'_>, error: &PyErr) -> bool {
        self.is_given_up.load(Ordering::Relaxed) && self.hub.is_exit(py, error)
    }

    /// Something has happened at the client's side: who waits is to look again.
    pub(super) fn wake(&self, py: Python<'_>) {
        for waiter in std::mem::take(&mut *lock(&self.waiting)) {
            self.hub.wake(waiter.bind(py));
        }
    }

    /// Has what was left sent, and waits until the client has room for more.
    fn flow(&self, py: Python<'_>) -> PyResult<Delivered> {
        loop {
            match turning::deliver(self.id) {
                Delivered::Full => {}
                // Amidst a turn, which will send it, or on a thread that is not the loop's.
                Delivered::Later => return Ok(Delivered::Room),
                wanted => return Ok(wanted),
            }
            let waiter = self.hub.waiter(py)?;
            lock(&self.waiting).push(waiter.clone().unbind());
            self.conversation().ask_for_room();
            // So that the wish is known; it may be granted at once.
            if turning::deliver(self.id) == Delivered::Gone {
                return Ok(Delivered::Gone);
            }
            Hub::wait(&waiter)?;
        }
    }

    fn conversation(&self) -> MutexGuard<'_, Conversation> {
        lock(&self.conversation)
    }
}

/// No one panics with one of these locks held, and no greenlet is left with one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
