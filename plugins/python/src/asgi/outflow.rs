//! [`Outflow`]: what an application sends on its way to the client, and how much of it there may be.

use bytes::Bytes;
use pyo3::prelude::*;
use uwrs_api::{Conversation, Delivered, ResponseHead};

use super::channel::gone;
use super::driver;
use super::talk::{self, Progress};

/// Bytes that may be left amidst a turn, before the application waits for the turn to send them.
const UNSENT: usize = 64 * 1024;

/// The way to the client.
pub(super) struct Outflow {
    pub(super) conversation: Conversation,
    /// Bytes left since the server last sent some.
    unsent: usize,
    /// Futures of those who wait for room.
    waiting: Vec<Py<PyAny>>,
}

impl Outflow {
    pub(super) fn new(conversation: Conversation) -> Self {
        Self {
            conversation,
            unsent: 0,
            waiting: Vec::new(),
        }
    }

    /// Leaves a part of a response: with `head` its first, without `more` all that there is to it.
    pub(super) fn answer(&mut self, head: Option<ResponseHead>, data: Bytes, more: bool) {
        self.left(data.len());
        match head {
            Some(head) if more => self.conversation.begin(head, data),
            Some(head) => self.conversation.respond(head, data),
            None => {
                self.conversation.push(data);
                if !more {
                    self.conversation.end();
                }
            }
        }
    }

    /// So many bytes were left.
    pub(super) fn left(&mut self, bytes: usize) {
        self.unsent += bytes;
    }

    /// May more be left?
    pub(super) fn has_room(&self) -> bool {
        self.unsent < UNSENT
    }

    /// `future` is to be set when there is room.
    pub(super) fn wait(&mut self, py: Python<'_>, future: Py<PyAny>) {
        talk::wait(py, &mut self.waiting, future);
    }

    /// There is room, or no need of it: who waited for it is to be woken.
    pub(super) fn open(&mut self) -> Vec<Py<PyAny>> {
        self.unsent = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Makes of what the server said whether the next event may follow. `None`: room was asked for, see again.
    fn judge(&mut self, delivered: Delivered) -> PyResult<Option<Progress>> {
        match delivered {
            Delivered::Room | Delivered::Enough => {
                self.unsent = 0;
                return Ok(Some(Progress::Done));
            }
            Delivered::Later if self.unsent < UNSENT => return Ok(Some(Progress::Done)),
            Delivered::Gone => return Err(gone()),
            Delivered::Later | Delivered::Full => {}
        }
        self.unsent = self.unsent.max(UNSENT);
        self.conversation.ask_for_room();
        Ok((delivered == Delivered::Later).then_some(Progress::Wait))
    }
}

/// Has what was left sent, by an exchange whose outflow `with` reaches under its lock.
///
/// # Errors
/// The client is gone.
pub(super) fn deliver(
    id: uwrs_api::ExchangeId,
    with: impl Fn(&mut dyn FnMut(&mut Outflow)),
) -> PyResult<Progress> {
    let delivered = driver::deliver(id);
    let mut judged = Ok(None);
    with(&mut |outflow| judged = outflow.judge(delivered));
    if let Some(progress) = judged? {
        return Ok(progress);
    }
    // So that the wish is known; it may be granted at once.
    driver::deliver(id);
    let mut has_room = false;
    with(&mut |outflow| has_room = outflow.has_room());
    Ok(match has_room {
        true => Progress::Done,
        false => Progress::Wait,
    })
}
