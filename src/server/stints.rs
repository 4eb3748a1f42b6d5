//! [`Stints`]: the threads that are in the application, for which exchange and since when. The scoreboard shows the one
//! that has been there longest: a worker that is stuck can't tell about itself.
//!
//! A stint is a thread's stay for one call or one batch of a body. The time in which an exchange waits for its client is
//! nobody's stint. What is done about one that lasts too long is decided elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;

use uwrs_api::{ConnectionInfo, ExchangeId, Peer, Request};

use crate::scoreboard::{ShownStint, Slot};

/// A thread's stay in the application.
#[derive(Debug)]
pub struct Stint {
    /// For which exchange.
    pub id: ExchangeId,
    /// Since when: milliseconds of [`crate::sys::monotonic_milliseconds`].
    pub began: u64,
    /// What was asked and by whom, to be shown when it is the oldest; `None`: it is shown already.
    unshown: Option<(Arc<Request>, Arc<ConnectionInfo>)>,
}

/// Shows a stint on the scoreboard.
pub(super) fn show(id: ExchangeId, request: &Request, peer: &Peer, began: u64, slot: &Slot) {
    slot.show(&ShownStint {
        serial: id.serial,
        method: request.method(),
        target: request.target(),
        peer,
        began,
    });
}

/// Those of several threads, oldest first.
#[derive(Debug, Default)]
pub struct Stints {
    under_way: VecDeque<Stint>,
}

impl Stints {
    /// A thread goes into the application for that exchange, at `began`. Stints begin in the order of their times.
    pub(super) fn begin(
        &mut self,
        id: ExchangeId,
        (request, connection): (&Arc<Request>, &Arc<ConnectionInfo>),
        began: u64,
        slot: &Slot,
    ) {
        let unshown = if self.under_way.is_empty() {
            show(id, request, &connection.peer, began, slot);
            None
        } else {
            Some((Arc::clone(request), Arc::clone(connection)))
        };
        self.under_way.push_back(Stint { id, began, unshown });
    }

    /// A thread has come back from what it did for that exchange.
    pub(super) fn end(&mut self, id: ExchangeId, slot: &Slot) {
        let Some(index) = self.under_way.iter().position(|stint| stint.id == id) else {
            return;
        };
        self.under_way.remove(index);
        match self.under_way.front_mut() {
            Some(oldest) => {
                if let Some((request, connection)) = oldest.unshown.take_if(|_| index == 0) {
                    show(oldest.id, &request, &connection.peer, oldest.began, slot);
                }
            }
            None => slot.rest(),
        }
    }

    /// All that are under way, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Stint> {
        self.under_way.iter()
    }
}
