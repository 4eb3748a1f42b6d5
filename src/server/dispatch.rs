//! [`Dispatch`]: who runs applications: the loop's own thread, at once, or whichever thread takes the [`Work`] off a
//! queue, or the loop's own when it has let go of the loop. Which threads there are and when they come is the worker's business.

mod deferred;
mod queue;
mod room;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use uwrs_api::{Appetite, BodyMode, BodySource, Exchange, ExchangeId, Gateway, Heard, Request};

use crate::sys::{self, Handed, Handover};

use super::batch::{Batch, Batcher, PATIENCE};
use super::deadlines::within;
use super::flusher::Flusher;
use deferred::Deferred;
pub(crate) use deferred::take_charge;
pub(super) use deferred::{Unheard, gateway};
pub(crate) use queue::Queue;
use room::Room;

/// Something that calls the application, and so may take long.
pub enum Work {
    /// A request to be answered.
    Answer(Exchange),
    /// A piece of an answer's body to be asked for, or several.
    Pull(Asked),
    /// A body that no one wants any more: dropping it tells the application. On that thread, where it is one's.
    Discard(Box<dyn BodySource>, Option<usize>),
}

/// What is asked for by [`Work::Pull`].
pub struct Asked {
    pub(super) id: ExchangeId,
    pub(super) batcher: Batcher,
    /// How many bytes are wanted, at most.
    pub(super) room: u64,
    /// The client has not taken all of the last pieces: it may do so while the application makes the next.
    pub(super) is_behind: bool,
}

impl Asked {
    pub(super) fn pull(mut self, flusher: &Flusher) -> Pulled {
        let batch = within(self.id, || self.batcher.pull(self.room, flusher));
        // A body that is over is dropped here, not by the loop: that may call the application as well.
        let batcher = batch.has_more().then_some(self.batcher);
        Pulled {
            id: self.id,
            batch,
            batcher,
        }
    }
}

/// What came of [`Work::Pull`], on its way back to the loop.
pub struct Pulled {
    pub(super) id: ExchangeId,
    pub(super) batch: Batch,
    /// For the next piece; `None` after the last.
    pub(super) batcher: Option<Batcher>,
}

impl Work {
    /// The exchange that it is for; `None` where that is over.
    pub fn exchange(&self) -> Option<ExchangeId> {
        match self {
            Self::Answer(exchange) => Some(exchange.responder.id()),
            Self::Pull(asked) => Some(asked.id),
            Self::Discard(..) => None,
        }
    }

    /// The only thread that may do it; `None`: each that serves may.
    fn owner(&self) -> Option<usize> {
        match self {
            Self::Answer(_) => None,
            Self::Pull(asked) => asked.batcher.owner(),
            Self::Discard(_, owner) => *owner,
        }
    }

    /// Does that exchange begin with it?
    fn begins(&self, id: ExchangeId) -> bool {
        matches!(self, Self::Answer(exchange) if exchange.responder.id() == id)
    }

    /// Does it, on the calling thread. The answer to a request goes to the mailbox. `flusher` is what sends meanwhile
    /// what is held back of a body, by [`EventLoop::flush_held`](super::EventLoop::flush_held).
    pub(crate) fn run(self, gateway: &dyn Gateway, flusher: &Flusher) -> Option<Pulled> {
        match self {
            Self::Answer(exchange) => {
                answer(gateway, exchange);
                None
            }
            Self::Pull(asked) => Some(asked.pull(flusher)),
            Self::Discard(source, _) => {
                discard(source);
                None
            }
        }
    }
}

/// Who runs applications.
pub(crate) enum Dispatch {
    /// The loop's thread, at once.
    Inline(Inline),
    /// Whoever takes it off the queue.
    Queued(Queue),
    /// The loop's thread, after its turn.
    Deferred(Deferred),
}

/// What runs applications on the loop's thread.
pub(crate) struct Inline {
    gateway: Box<dyn Gateway>,
    room: Room,
    /// Where the connection that waits for a piece is lent to the flusher.
    handover: Arc<Handover>,
    flusher: Flusher,
    /// Threads that there may be, where others are to serve as long as an answer of this one waits for its client.
    most: Option<usize>,
}

impl Dispatch {
    /// `gateway`, on the loop's own thread.
    pub(super) fn inline(gateway: Box<dyn Gateway>) -> Self {
        let handover = Arc::new(Handover::default());
        let shared = Arc::clone(&handover);
        Self::Inline(Inline {
            room: Room::of(&*gateway),
            gateway,
            handover,
            flusher: Flusher::new(move |now| shared.call(now)),
            most: None,
        })
    }

    /// A queue for so many applications at a time, at least one, and `most` threads.
    pub(super) fn queue(capacity: usize, most: usize) -> Self {
        Self::Queued(Queue::new(capacity, most))
    }

    /// The loop's own thread is not to run other applications while it has an answer which is streamed: from when that has
    /// to wait for the first time there is a queue, for `most` threads.
    pub(super) fn part_at_need(&mut self, most: usize) {
        if let Self::Inline(inline) = self {
            inline.most = Some(most);
        }
    }

    /// An answer which is streamed has to wait.
    pub(super) fn note_wait(&mut self) {
        if let Self::Inline(inline) = self
            && let Some(most) = inline.most
        {
            let before = std::mem::replace(self, Self::queue(1, most));
            if let Self::Inline(inline) = before {
                *self = Self::Queued(Queue::of_a_single(inline.gateway, most));
            }
        }
    }

    /// What ran applications on the calling thread, which from now on takes them off a queue, as others may. Once.
    pub(super) fn take_gateway(&mut self) -> Option<Box<dyn Gateway>> {
        self.as_queue_mut()?.take_gateway()
    }

    pub(super) fn as_queue(&self) -> Option<&Queue> {
        match self {
            Self::Queued(queue) => Some(queue),
            _ => None,
        }
    }

    pub(super) fn as_queue_mut(&mut self) -> Option<&mut Queue> {
        match self {
            Self::Queued(queue) => Some(queue),
            _ => None,
        }
    }

    /// The answer to that exchange is going to be streamed. The thread that does that, and nothing else meanwhile.
    pub(super) fn attach(&mut self, id: ExchangeId) -> Option<usize> {
        match self {
            Self::Inline(inline) => inline.most.map(|_| 0),
            Self::Queued(queue) => queue.attach(id),
            Self::Deferred(_) => None,
        }
    }

    /// An answer is over that `thread` has streamed.
    pub(super) fn detach(&mut self, thread: usize) {
        if let Self::Queued(queue) = self {
            queue.detach(thread);
        }
    }

    /// Work for the calling thread, which has [taken charge](take_charge) of a gateway, after its turns.
    pub(super) fn deferred(gateway: &dyn Gateway) -> Self {
        Self::Deferred(Deferred::new(Room::of(gateway)))
    }

    /// Is the application called at once?
    pub(super) fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    /// Is the thread blocked whose work is deferred, and another one has the loop?
    pub(super) fn is_minded(&self) -> bool {
        matches!(self, Self::Deferred(deferred) if deferred.is_minded())
    }

    /// Says so.
    pub(super) fn set_minded(&mut self, is_minded: bool) {
        if let Self::Deferred(deferred) = self {
            deferred.set_minded(is_minded);
        }
    }

    /// Is there something that the gateway has not heard, and that its thread, which is the calling one, can tell it now?
    pub(super) fn has_unheard(&self) -> bool {
        matches!(self, Self::Deferred(deferred) if !deferred.is_minded() && deferred.has_unheard())
    }

    /// What the gateway has not heard.
    pub(super) fn take_unheard(&mut self) -> VecDeque<(ExchangeId, Unheard)> {
        match self {
            Self::Deferred(deferred) => deferred.take_unheard(),
            _ => VecDeque::new(),
        }
    }

    /// Requests that wait for a thread.
    pub(super) fn waiting(&self) -> usize {
        match self {
            Self::Inline(_) => 0,
            Self::Queued(queue) => queue.waiting(),
            Self::Deferred(deferred) => deferred.work.len(),
        }
    }

    /// Is there no room for another request?
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Inline(inline) => inline.room.is_full(),
            Self::Deferred(deferred) => deferred.is_minded() || deferred.room.is_full(),
            Self::Queued(queue) => queue.is_full(),
        }
    }

    /// Exchanges that a gateway which answers later has in hand, where it counts them.
    pub(super) fn in_hand(&self) -> usize {
        match self {
            Self::Inline(inline) => inline.room.in_hand(),
            Self::Deferred(deferred) => deferred.room.in_hand(),
            Self::Queued(_) => 0,
        }
    }

    /// It is done with one of them.
    pub(super) fn leave(&mut self) {
        match self {
            Self::Inline(inline) => inline.room.leave(),
            Self::Deferred(deferred) => deferred.room.leave(),
            Self::Queued(_) => {}
        }
    }

    /// How many requests may be in hand at once; 0 where they are answered as they come.
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Inline(inline) => inline.room.capacity(),
            Self::Deferred(deferred) => deferred.room.capacity(),
            Self::Queued(queue) => queue.capacity(),
        }
    }

    /// Does work wait for a thread?
    pub(super) fn has_work(&self) -> bool {
        match self {
            Self::Inline(_) => false,
            Self::Queued(queue) => queue.has_work(),
            Self::Deferred(deferred) => !deferred.work.is_empty(),
        }
    }

    /// Gives the work in that place of the queue to `thread`, one of those that share it. 0 is the work that has waited
    /// longest.
    pub(super) fn take(&mut self, place: usize, thread: usize) -> Option<Work> {
        match self {
            Self::Inline(_) => None,
            Self::Deferred(deferred) => deferred.take(),
            Self::Queued(queue) => queue.take(place, thread),
        }
    }

    /// `thread` has brought back what it took, for that exchange.
    pub(super) fn done(&mut self, thread: usize, exchange: Option<ExchangeId>) {
        match self {
            Self::Inline(_) => {}
            Self::Queued(queue) => queue.done(thread),
            Self::Deferred(deferred) => deferred.done(exchange),
        }
    }

    /// How the body of `request` is wanted.
    pub(super) fn body_mode(&self, request: &Request) -> BodyMode {
        match self {
            Self::Inline(inline) => inline.gateway.body_mode(request),
            // No request begins while the gateway's thread is blocked.
            Self::Deferred(_) => gateway().map_or(BodyMode::Complete, |gateway| gateway.body_mode(request)),
            Self::Queued(_) => BodyMode::Complete,
        }
    }

    /// Tells the gateway what has happened to an exchange that is streamed.
    pub(super) fn hear(&self, id: ExchangeId, heard: Heard<'_>) -> Appetite {
        match self {
            Self::Inline(inline) => inline.gateway.hear(id, heard),
            Self::Deferred(deferred) => deferred.hear(id, heard),
            Self::Queued(_) => Appetite::Full,
        }
    }

    /// Has a request answered. `true`: the application has been called.
    pub(super) fn answer(&mut self, exchange: Exchange) -> bool {
        match self {
            Self::Inline(inline) => {
                inline.room.enter();
                answer(&*inline.gateway, exchange);
                true
            }
            Self::Deferred(deferred) => {
                deferred.room.enter();
                deferred.work.push_back(Work::Answer(exchange));
                false
            }
            Self::Queued(queue) => {
                queue.push_answer(Work::Answer(exchange));
                false
            }
        }
    }

    /// Asks for the next pieces of a body. `None`: they come later, and the batcher with them. `flush` is lent to the
    /// thread that sends what is held back while the application is at work.
    pub(super) fn pull(&mut self, mut asked: Asked, flush: &mut Handed<'_>) -> Option<(Batch, Batcher)> {
        match self {
            Self::Inline(inline) => {
                let (batcher, flusher) = (&mut asked.batcher, &inline.flusher);
                let pull = || {
                    if asked.is_behind {
                        flusher.expect(Instant::now() + PATIENCE);
                    }
                    batcher.pull(asked.room, flusher)
                };
                let batch = inline.handover.lend(flush, || within(asked.id, pull));
                Some((batch, asked.batcher))
            }
            Self::Deferred(deferred) => {
                deferred.work.push_back(Work::Pull(asked));
                None
            }
            Self::Queued(queue) => {
                queue.push_pull(asked);
                None
            }
        }
    }

    /// Drops a body.
    pub(super) fn discard(&mut self, batcher: Batcher) {
        let owner = batcher.owner();
        self.discard_source(batcher.into_source(), owner);
    }

    /// Drops the body of an answer to that exchange, which has not begun.
    pub(super) fn discard_unbegun(&mut self, id: ExchangeId, source: Box<dyn BodySource>) {
        let owner = self.attach(id);
        self.discard_source(source, owner);
    }

    /// Drops a body, on the thread `owner` where it is one's.
    pub(super) fn discard_source(&mut self, source: Box<dyn BodySource>, owner: Option<usize>) {
        match self {
            Self::Inline(_) => discard(source),
            Self::Deferred(deferred) => deferred.work.push_back(Work::Discard(source, owner)),
            Self::Queued(queue) => queue.push_discard(source, owner),
        }
    }

    /// The loop's thread, one of several with loops of their own, is about to end.
    pub(super) fn leave_thread(&self) {
        if let Self::Inline(inline) = self {
            inline.gateway.leave_thread();
        }
    }

    /// The loop's thread is about to wait.
    pub(super) fn rest(&self) {
        if let Self::Inline(inline) = self {
            inline.gateway.rest();
        }
    }
}

/// Calls the application, by `work`. `None`: that panicked.
pub(super) fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(work));
    sys::end_forked_copy("its request");
    result.ok()
}

/// A panic drops the responder, which answers 500 in its stead.
fn answer(gateway: &dyn Gateway, exchange: Exchange) {
    let id = exchange.responder.id();
    if guarded(|| within(id, || gateway.handle(exchange))).is_none() {
        log::error!("the gateway panicked; its request is answered with 500");
    }
}

fn discard(source: Box<dyn BodySource>) {
    if guarded(|| drop(source)).is_none() {
        log::error!("a response body panicked when it was dropped");
    }
}
