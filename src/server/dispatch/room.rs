//! [`Room`]: how many exchanges a gateway that answers later has in hand, and may have ([`Gateway::capacity`]).

use uwrs_api::Gateway;

/// For one gateway.
#[derive(Debug)]
pub(crate) struct Room {
    in_hand: usize,
    /// `None`: they are not counted.
    capacity: Option<usize>,
}

impl Room {
    /// As `gateway` has it.
    pub(super) fn of(gateway: &dyn Gateway) -> Self {
        Self {
            in_hand: 0,
            capacity: gateway.capacity(),
        }
    }

    /// It gets one more.
    pub(super) fn enter(&mut self) {
        self.in_hand += usize::from(self.capacity.is_some());
    }

    /// It is done with one.
    pub(super) fn leave(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
    }

    /// How many it has, where they are counted.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// How many it may have; 0 where they are not counted.
    pub(super) fn capacity(&self) -> usize {
        self.capacity.unwrap_or(0)
    }

    /// Has it as many as it may have?
    pub(super) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.in_hand >= capacity)
    }
}
