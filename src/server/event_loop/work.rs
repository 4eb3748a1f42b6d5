//! What threads in the application take off the loop, and what they bring back.

use std::time::Instant;

use uwrs_api::{ExchangeId, Gateway};

use super::{Admission, EventLoop};
use crate::server::dispatch::{Pulled, Queue, Work};
use crate::server::services::Held;
use crate::server::stints::Stints;

impl EventLoop {
    /// Does work wait for a thread?
    pub fn has_work(&self) -> bool {
        self.services.dispatch.has_work() || !self.services.held.is_empty()
    }

    /// The work that has waited longest, for `thread`, one of those that share the loop. It is to be done without the loop;
    /// then [`EventLoop::take_back`] is due.
    pub fn take_work(&mut self, thread: usize) -> Option<Work> {
        self.release_held();
        self.take_work_at(0, thread)
    }

    /// Whose the work is that waits in that place: any thread's where it is no one's. `None`: there is none.
    pub fn owner_of_work(&self, place: usize) -> Option<Option<usize>> {
        self.services.dispatch.as_queue()?.owner(place)
    }

    /// As [`EventLoop::take_work`], from that place of the queue.
    #[inline]
    pub fn take_work_at(&mut self, place: usize, thread: usize) -> Option<Work> {
        let work = self.services.take_work(place, thread)?;
        if let Work::Pull(asked) = &work {
            let id = asked.id;
            let entry = self.connections.get(id.slot as usize);
            let by = entry.and_then(|entry| entry.connection.asked_by(id));
            if let Some(asked) = by {
                self.services.begin_stint(id, asked);
            }
        }
        Some(work)
    }

    /// `thread` has done work for `exchange` ([`Work::exchange`]), just `now`: sends what came of it.
    pub fn take_back(
        &mut self,
        thread: usize,
        exchange: Option<ExchangeId>,
        pulled: Option<Pulled>,
        now: Instant,
    ) {
        self.services.clock.set(now);
        if let Some(id) = exchange {
            self.services.end_stint(id);
        }
        if let Some(pulled) = pulled {
            self.services.dispatch.done(thread, exchange);
            // Whoever has waited meanwhile comes before the next piece, if that is one to wait for.
            self.release_held();
            if pulled.batcher.is_none() {
                self.services.dispatch.detach(thread);
            }
            self.take_piece(pulled);
            self.deliver_mail();
        } else {
            self.deliver_mail();
            self.services.dispatch.done(thread, exchange);
        }
        self.services.told.retain(|told| Some(*told) != exchange);
        self.tell_unheard();
        // Those that were held come before those that speak now.
        self.release_held();
    }

    /// Sends what threads in the application hold back of bodies and should have sent by `now`. Gives when there will be
    /// more of that; `None`: nothing is held back.
    pub(crate) fn flush_held(&mut self, now: Instant) -> Option<Instant> {
        self.services.clock.set(now);
        let ids: Vec<ExchangeId> = self.services.stints.iter().map(|stint| stint.id).collect();
        let due = ids.into_iter().filter_map(|id| {
            let slot = id.slot as usize;
            let connection = &mut self.connections.get_mut(slot)?.connection;
            match connection.take_held(id, now)? {
                Ok(bytes) => {
                    let verdict = connection.send_held(bytes, &mut self.services);
                    self.settle(slot, verdict);
                    None
                }
                Err(due) => Some(due),
            }
        });
        due.min()
    }

    /// The gateway is done with one of those that it answers later: those that were held for want of room go on.
    pub fn take_leave(&mut self) {
        self.services.clock.update();
        self.deliver_mail();
        self.services.dispatch.leave();
        self.release_held();
        if !self.ready.is_empty() {
            self.rouse();
        }
    }

    /// Is there no room for another request?
    pub fn is_full(&self) -> bool {
        self.services.dispatch.is_full()
    }

    /// Requests that the gateway answers later and is not done with, where it counts them.
    pub fn in_hand(&self) -> usize {
        self.services.dispatch.in_hand()
    }

    /// The threads that are in the application with work of this loop, as far as it is for an exchange that is not over.
    pub fn stints(&self) -> &Stints {
        &self.services.stints
    }

    /// The threads that have an answer which is streamed, and do nothing else until that is over.
    pub fn attached(&self) -> &[usize] {
        self.services.dispatch.as_queue().map_or(&[], Queue::attached)
    }

    /// Can't there be a thread for another request, because others have an answer which is streamed?
    pub fn is_out_of_threads(&self) -> bool {
        let queue = self.services.dispatch.as_queue();
        queue.is_some_and(Queue::is_out_of_threads)
    }

    /// There can't be more threads than that.
    pub fn limit_threads(&mut self, most: usize) {
        if let Some(queue) = self.services.dispatch.as_queue_mut() {
            queue.limit_threads(most);
        }
    }

    /// The calling thread is not to run other applications while it has an answer which is streamed. From when one has to
    /// wait, for its client or because others have their turn, work is taken off the loop, as from one that was made
    /// [with a queue](EventLoop::with_queue) for one application at a time and `most` threads, of which the calling one is
    /// number 0: see [`EventLoop::take_gateway`].
    pub fn part_at_need(&mut self, most: usize) {
        self.services.dispatch.part_at_need(most);
    }

    /// What ran applications in this loop's turns, and no longer does. Given once.
    pub fn take_gateway(&mut self) -> Option<Box<dyn Gateway>> {
        self.services.dispatch.take_gateway()
    }

    pub(super) fn take_piece(&mut self, pulled: Pulled) {
        let slot = pulled.id.slot as usize;
        let entry = self.connections.get_mut(slot);
        match entry.filter(|entry| entry.connection.awaits_piece(pulled.id)) {
            Some(entry) => {
                let verdict = entry.connection.take_piece(pulled, &mut self.services);
                self.settle(slot, verdict);
            }
            None => pulled
                .batcher
                .into_iter()
                .for_each(|batcher| self.services.dispatch.discard(batcher)),
        }
    }

    /// Lets those that were held go on, as long as there is room for their requests.
    #[inline]
    pub fn release_held(&mut self) {
        if !self.services.held.is_empty() {
            self.release_some();
        }
    }

    fn release_some(&mut self) {
        while !self.services.held.is_empty() && !self.services.dispatch.is_full() {
            match self.services.held.pop_front() {
                Some(Held::Connection(slot)) => {
                    if let Some(entry) = self.connections.get_mut(slot) {
                        entry.connection.let_go_on(self.services.clock.now());
                    }
                    self.advance(slot);
                }
                Some(Held::Listener(index)) => {
                    if let Some(listener) = self.listeners.get_mut(index) {
                        listener.is_held = false;
                    }
                    if self.admission == Admission::Open {
                        self.accept(index, self.services.dispatch.capacity());
                    }
                }
                None => return,
            }
        }
    }
}
