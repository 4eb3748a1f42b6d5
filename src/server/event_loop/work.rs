//! What threads in the application take off the loop, and what they bring back.

use std::time::Instant;

use uwrs_api::ExchangeId;

use super::{Admission, EventLoop};
use crate::server::dispatch::{Pulled, Work};
use crate::server::services::Held;
use crate::server::stints::Stints;

impl EventLoop {
    /// Does work wait for a thread?
    pub fn has_work(&self) -> bool {
        self.services.dispatch.has_work() || !self.services.held.is_empty()
    }

    /// The work that has waited longest. It is to be done without the loop; then [`EventLoop::take_back`] is due.
    pub fn take_work(&mut self) -> Option<Work> {
        self.release_held();
        let work = self.services.take_work()?;
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

    /// Work for `exchange` ([`Work::exchange`]) is done, just `now`: sends what came of it.
    pub fn take_back(&mut self, exchange: Option<ExchangeId>, pulled: Option<Pulled>, now: Instant) {
        self.services.clock.set(now);
        if let Some(id) = exchange {
            self.services.end_stint(id);
        }
        if let Some(pulled) = pulled {
            self.take_piece(pulled);
        }
        self.deliver_mail();
        self.services.told.retain(|told| Some(*told) != exchange);
        self.services.dispatch.done(exchange);
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
                .for_each(|batcher| self.services.dispatch.discard(batcher.into_source())),
        }
    }

    /// Lets those that were held go on, as long as there is room for their requests.
    #[inline]
    pub(super) fn release_held(&mut self) {
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
