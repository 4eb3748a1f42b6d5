//! [`Slots`]: which places of the scoreboard are taken.

use super::SlotIndex;

/// A set of small numbers.
#[derive(Debug)]
pub(super) struct Slots {
    taken: Vec<bool>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self {
            taken: vec![false; count],
        }
    }

    pub(super) fn count(&self) -> usize {
        self.taken.len()
    }

    /// Takes the first that is free; `None`: all are taken.
    pub(super) fn take(&mut self) -> Option<SlotIndex> {
        let free = self.taken.iter().position(|taken| !taken)?;
        self.taken[free] = true;
        Some(free)
    }

    /// Takes that one, whoever has it.
    pub(super) fn take_exactly(&mut self, slot: SlotIndex) {
        if let Some(taken) = self.taken.get_mut(slot) {
            *taken = true;
        }
    }

    pub(super) fn release(&mut self, slot: SlotIndex) {
        if let Some(taken) = self.taken.get_mut(slot) {
            *taken = false;
        }
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.iter().filter(|taken| **taken).count()
    }
}
