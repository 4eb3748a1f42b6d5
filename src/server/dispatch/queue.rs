//! [`Queue`]: work that waits for one of several threads.
//!
//! An answer that is streamed is one thread's, from the call of the application to the last piece and to its end: database
//! connections, transactions and all else that applications keep for each thread (`threading.local`) are the answer's
//! meanwhile, and no other's. Such a thread is *attached*; it does nothing else, and others stand in for it.

use std::collections::VecDeque;

use uwrs_api::{BodySource, Exchange, ExchangeId, Gateway};

use super::{Asked, Work};

/// Batches of pieces of one body that are asked for before other work has its turn: its connection is in the processor's
/// caches. After a slow batch others have it at once.
const BATCHES_IN_A_ROW: u32 = 16;

/// Work that waits for a thread.
pub(crate) struct Queue {
    work: VecDeque<Work>,
    /// How many of them are requests.
    requests: usize,
    /// What threads have taken and not brought back.
    under_way: Vec<Taken>,
    /// Applications that may be at work at a time. No more requests wait here than that allows to begin; others stay where
    /// they are, unread, from where they can still go to another worker.
    capacity: usize,
    /// Threads that there may be, with those that stand in for attached ones.
    most: usize,
    /// The threads that have an answer which is streamed.
    attached: Vec<usize>,
    /// Whose body a piece was asked of last, and how many in a row.
    row: Option<(ExchangeId, u32)>,
    /// What ran applications on the loop's own thread, until an answer there had to wait.
    gateway: Option<Box<dyn Gateway>>,
}

/// A piece of work, and the thread that has taken it.
struct Taken {
    thread: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A request was answered.
    Answer(ExchangeId),
    /// An answer that the thread was attached to is over.
    End,
    Other,
}

impl Queue {
    /// For so many applications at a time, at least one, and so many threads, no fewer.
    pub(super) fn new(capacity: usize, most: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            work: VecDeque::new(),
            requests: 0,
            under_way: Vec::new(),
            capacity,
            most: most.max(capacity),
            attached: Vec::new(),
            row: None,
            gateway: None,
        }
    }

    /// For one application at a time, and `most` threads: of these number 0, which `gateway` is to go on with, is attached.
    pub(super) fn of_a_single(gateway: Box<dyn Gateway>, most: usize) -> Self {
        Self {
            attached: vec![0],
            gateway: Some(gateway),
            ..Self::new(1, most)
        }
    }

    /// The gateway that this queue began with, once.
    pub(super) fn take_gateway(&mut self) -> Option<Box<dyn Gateway>> {
        self.gateway.take()
    }

    /// Requests that wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.requests
    }

    /// How many applications may be at work at a time.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Is there no room for another request?
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.requests + self.under_way.len() >= self.capacity || !self.attached.is_empty() && self.is_short()
    }

    /// Are there no more threads than the requests that wait are for?
    #[cold]
    fn is_short(&self) -> bool {
        self.requests + self.answers_under_way() >= self.unattached()
    }

    /// Can't there be a thread for another request, because others are attached?
    pub(crate) fn is_out_of_threads(&self) -> bool {
        !self.attached.is_empty() && self.answers_under_way() >= self.unattached()
    }

    fn answers_under_way(&self) -> usize {
        let is_free = |taken: &&Taken| !self.attached.contains(&taken.thread);
        self.under_way.iter().filter(is_free).count()
    }

    /// Threads that there may be and that are not attached.
    fn unattached(&self) -> usize {
        self.most.saturating_sub(self.attached.len())
    }

    /// There can't be more threads than that.
    pub(crate) fn limit_threads(&mut self, most: usize) {
        self.most = most;
    }

    /// The threads that do nothing but their answer.
    pub(crate) fn attached(&self) -> &[usize] {
        &self.attached
    }

    /// The answer to that exchange is going to be streamed: by the thread that has just called the application. `None`: none
    /// of these threads does that.
    pub(super) fn attach(&mut self, id: ExchangeId) -> Option<usize> {
        let taken = self
            .under_way
            .iter()
            .find(|taken| taken.kind == Kind::Answer(id))?;
        let thread = taken.thread;
        if !self.attached.contains(&thread) {
            self.attached.push(thread);
        }
        Some(thread)
    }

    /// The answer that the thread is attached to is over.
    pub(super) fn detach(&mut self, thread: usize) {
        self.attached.retain(|&attached| attached != thread);
    }

    pub(super) fn push_answer(&mut self, work: Work) {
        self.requests += 1;
        self.work.push_back(work);
    }

    pub(super) fn push_pull(&mut self, asked: Asked) {
        let id = asked.id;
        let count = match self.row {
            Some((last, count)) if last == id => count + 1,
            _ => 1,
        };
        self.row = Some((id, count));
        if asked.batcher.is_slow() || count % BATCHES_IN_A_ROW == 0 {
            self.work.push_back(Work::Pull(asked));
        } else {
            self.work.push_front(Work::Pull(asked));
        }
    }

    /// A body to be dropped, by `owner` where it is one's: at once, since that thread does nothing else before.
    pub(super) fn push_discard(&mut self, source: Box<dyn BodySource>, owner: Option<usize>) {
        let work = Work::Discard(source, owner);
        match owner {
            Some(_) => self.work.push_front(work),
            None => self.work.push_back(work),
        }
    }

    /// Takes away the requests that wait for a thread.
    pub(crate) fn take_requests(&mut self) -> Vec<Exchange> {
        self.requests = 0;
        let (requests, others) = self
            .work
            .drain(..)
            .partition::<VecDeque<Work>, _>(|work| matches!(work, Work::Answer(_)));
        self.work = others;
        let exchange = |work| match work {
            Work::Answer(exchange) => Some(exchange),
            _ => None,
        };
        requests.into_iter().filter_map(exchange).collect()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// Whose the piece of work in that place of the queue is: any thread's where it is no one's. `None`: there is none.
    pub(crate) fn owner(&self, place: usize) -> Option<Option<usize>> {
        self.work.get(place).map(Work::owner)
    }

    /// Gives the work in that place of the queue to `thread`.
    pub(super) fn take(&mut self, place: usize, thread: usize) -> Option<Work> {
        let work = match place {
            0 => self.work.pop_front()?,
            _ => self.work.remove(place)?,
        };
        let kind = match &work {
            Work::Answer(exchange) => {
                self.requests -= 1;
                Kind::Answer(exchange.responder.id())
            }
            Work::Discard(_, Some(_)) => Kind::End,
            Work::Discard(_, None) | Work::Pull(_) => Kind::Other,
        };
        self.under_way.push(Taken { thread, kind });
        Some(work)
    }

    /// The thread has brought back what it took.
    pub(super) fn done(&mut self, thread: usize) {
        let taken = self.under_way.iter().position(|taken| taken.thread == thread);
        let Some(taken) = taken.map(|index| self.under_way.swap_remove(index)) else {
            return;
        };
        if taken.kind == Kind::End {
            self.detach(thread);
        }
    }
}
