//! Requests that keep a thread in the application past `harakiri`: their clients hear so at once. What becomes of the
//! worker is its master's to decide.

use std::time::{Duration, Instant};

use uwrs_api::{ExchangeId, Heard};

use super::EventLoop;
use crate::server::connection::unavailable;
use crate::server::stints::Stint;

/// Of so many requests that are overdue at once the log says what the application is doing: more of them most likely wait
/// for the same.
const SHOWN_AT_ONCE: usize = 5;

impl EventLoop {
    /// When the next of the requests under way is due.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        let services = &self.services;
        let until = |at: u64| {
            let left = at.saturating_sub(services.clock.shared());
            services.now() + Duration::from_millis(left)
        };
        let own = services.deadlines.next().map(until);
        let Some(limit) = services.limits.harakiri.limit else {
            return own;
        };
        let began = services.untold_stints().map(|stint| stint.began).next();
        let of_stints = began.map(|began| until(began + milliseconds(limit)));
        let of_strays = services.strays.oldest_left().map(|since| since + limit);
        [own, of_stints, of_strays].into_iter().flatten().min()
    }

    /// Tells the clients of those that are: 504, or the end of the connection where an answer is under way.
    pub(super) fn tell_overdue(&mut self) {
        self.tell_of_own_deadlines();
        let Some(limit) = self.services.limits.harakiri.limit else {
            return;
        };
        let now = self.services.clock.shared();
        let overdue = self
            .services
            .untold_stints()
            .take_while(|stint| stint.began + milliseconds(limit) <= now);
        let overdue: Vec<ExchangeId> = overdue.map(|stint| stint.id).collect();
        for id in overdue {
            self.services.told.push(id);
            self.time_out(id, &format!("harakiri = {}", limit.as_secs()));
        }
        let now = self.services.now();
        for (request, since) in self.services.strays.find_overdue(limit, now) {
            log::error!(
                "\"{}\", whose client is gone, has gone on for {} s (harakiri = {})",
                request.line(),
                now.saturating_duration_since(since).as_secs(),
                limit.as_secs()
            );
        }
    }

    /// Those that wait for a thread, where each is at work on a request that has taken too long: they have been read, so
    /// no other worker can have them, and nobody knows whether a thread will come back before this one has to go.
    pub(super) fn send_away_waiting(&mut self) {
        let services = &mut self.services;
        if services.told.is_empty() {
            return;
        }
        let is_told = |stint: &&Stint| services.told.contains(&stint.id);
        let stuck = services.stints.iter().filter(is_told).count();
        let Some(queue) = services.dispatch.as_queue_mut() else {
            return;
        };
        if stuck < queue.capacity() || queue.waiting() == 0 {
            return;
        }
        let waiting = queue.take_requests();
        log::warn!(
            "each of the {stuck} requests that may be at work in a worker has taken too long; {} more, which waited for one of \
             them, are answered with 503",
            waiting.len()
        );
        for exchange in waiting {
            services.slot.begin();
            exchange.responder.respond(unavailable());
        }
        self.deliver_mail();
    }

    /// Those whose application has set the deadline itself.
    fn tell_of_own_deadlines(&mut self) {
        let now = self.services.clock.shared();
        let due = self.services.deadlines.take_due(now);
        if due.is_empty() {
            return;
        }
        for id in due {
            if self.time_out(id, "set_user_harakiri") {
                self.services.told.push(id);
            }
        }
        // A loop that turns sees to its tasks; in every other case the master does.
        if self.services.slot.last_beat() > 0 && !self.services.dispatch.is_minded() {
            self.services.deadlines.show(&self.services.slot);
        }
    }

    /// `true`: the client of that exchange has waited for the application, and has been told.
    fn time_out(&mut self, id: ExchangeId, why: &str) -> bool {
        let slot = id.slot as usize;
        let entry = self.connections.get_mut(slot);
        let verdict = entry.and_then(|entry| entry.connection.time_out(id, why, &mut self.services));
        if let Some(verdict) = verdict {
            self.settle(slot, verdict);
        }
        verdict.is_some()
    }

    /// Tells the gateway of exchanges that are streamed and have taken too long. On the thread that the gateway belongs to.
    pub(super) fn give_up_overdue(&mut self) {
        if !self.services.strays.has_overdue() {
            return;
        }
        let overdue = self.services.strays.give_up(self.services.now());
        for (index, id) in overdue.into_iter().enumerate() {
            let is_shown = index < SHOWN_AT_ONCE;
            self.services.dispatch.hear(id, Heard::Overdue { is_shown });
        }
        self.show_overstayed();
    }

    /// The application is done with an exchange that is over for its client. `true`: it was told to give it up.
    pub(super) fn end_stray(&mut self, id: ExchangeId) -> bool {
        let was_given_up = self.services.strays.end(id);
        if was_given_up {
            self.services.told.retain(|told| *told != id);
            self.show_overstayed();
        }
        was_given_up
    }

    /// Lets the scoreboard know since when the application has gone on with what it was told to give up.
    fn show_overstayed(&self) {
        let clock = &self.services.clock;
        let since = self.services.strays.oldest_given_up().map(|at| {
            let age = clock.now().saturating_duration_since(at);
            clock.shared().saturating_sub(milliseconds(age))
        });
        self.services.slot.set_overstayed(since);
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
