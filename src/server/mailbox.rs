//! [`Mailbox`]: where gateways leave replies for the loop that owns the connection.
//!
//! An application called on the loop's own thread leaves its reply here as well: an uncontended lock costs a few
//! nanoseconds, and there is one way for an answer to come back, not two.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::Waker;
use uwrs_api::{ExchangeId, Post, Reply};

use crate::sys;

/// Has what was left for an exchange sent, by a thread that does not have the loop in hand. `false`: the client is gone.
pub(crate) type Courier = Box<dyn Fn(ExchangeId) -> bool>;

thread_local! {
    /// How this thread has something sent while an application that it runs goes on.
    static COURIER: RefCell<Option<Courier>> = const { RefCell::new(None) };
    /// Does this thread look after the loop by itself when an application returns?
    static CALLS_IN_PERSON: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread sees to what it left in a mailbox by itself, after every piece of work: no other needs to be woken
/// for an answer. For an interim one yes, because the application goes on behind it.
pub(crate) fn call_in_person() {
    CALLS_IN_PERSON.set(true);
}

/// From now on the calling thread has what its applications push sent by `courier`.
pub(crate) fn employ(courier: Courier) {
    COURIER.set(Some(courier));
}

/// Replies on their way to the loop.
pub(crate) struct Mailbox {
    replies: Mutex<Vec<(ExchangeId, Reply)>>,
    /// The loop is between two polls and will look here before it waits again.
    awake: AtomicBool,
    waker: Waker,
}

impl Mailbox {
    /// A mailbox whose loop is woken by `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            replies: Mutex::default(),
            awake: AtomicBool::new(true),
            waker,
        }
    }

    /// The reply that was just left for `id`, if there is one.
    pub(crate) fn take_one(&self, id: ExchangeId) -> Option<Reply> {
        let mut replies = self.lock();
        let at = replies.iter().position(|(have, _)| *have == id)?;
        Some(replies.remove(at).1)
    }

    /// Puts everything that was left into `replies`, which is empty and whose memory is for those that come.
    pub(crate) fn take_all(&self, replies: &mut Vec<(ExchangeId, Reply)>) {
        std::mem::swap(&mut *self.lock(), replies);
    }

    /// The loop is about to wait: from now on a reply wakes it. `false`: something is here already.
    pub(crate) fn sleep(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        self.lock().is_empty()
    }

    /// The loop is back.
    pub(crate) fn wake_up(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }

    /// Ends the wait of a loop that waits.
    pub(crate) fn rouse(&self) {
        if let Err(error) = self.wake() {
            log::error!("the loop could not be woken: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ExchangeId, Reply)>> {
        // A panic between lock and unlock is impossible to leave half a Vec behind: the list stays usable.
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

impl Post for Mailbox {
    fn post(&self, id: ExchangeId, reply: Reply) {
        let is_seen_to = CALLS_IN_PERSON.get() && !matches!(reply, Reply::Interim(_));
        self.lock().push((id, reply));
        if !is_seen_to
            && !self.awake.load(Ordering::SeqCst)
            && let Err(error) = self.wake()
        {
            log::error!("the loop could not be woken for a reply: {error}");
        }
    }

    fn send_now(&self, id: ExchangeId) -> bool {
        // The loop's own thread, amidst a step of the exchange's connection; or one beside it.
        sys::call_lent().unwrap_or_else(|| {
            COURIER.with_borrow(|courier| courier.as_ref().is_none_or(|courier| courier(id)))
        })
    }
}
