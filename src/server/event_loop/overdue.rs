//! Requests that keep a thread in the application past `harakiri`: their clients hear so at once. What becomes of the
//! worker is its master's to decide.

use std::time::{Duration, Instant};

use uwrs_api::ExchangeId;

use super::EventLoop;

impl EventLoop {
    /// When the next of the requests under way is due.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        let limit = self.services.limits.harakiri.limit?;
        let now = self.services.clock.shared();
        let began = self.services.untold_stints().map(|stint| stint.began).next()?;
        let left = (began + milliseconds(limit)).saturating_sub(now);
        Some(self.services.now() + Duration::from_millis(left))
    }

    /// Tells the clients of those that are: 504, or the end of the connection where an answer is under way.
    pub(super) fn tell_overdue(&mut self) {
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
            let slot = id.slot as usize;
            if let Some(entry) = self.connections.get_mut(slot)
                && let Some(verdict) = entry.connection.time_out(id, &mut self.services)
            {
                self.settle(slot, verdict);
            }
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
