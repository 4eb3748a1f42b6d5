//! Places, attached threads and spare ones: who answers requests, and who has a place to do so.

use super::Roster;

impl Roster {
    /// Those threads are attached now.
    pub(in crate::worker) fn set_attached(&mut self, attached: &[usize]) {
        if !(attached.is_empty() && self.attached.is_empty()) {
            attached.clone_into(&mut self.attached);
        }
    }

    /// Is no thread attached, and none called for work that waits for it?
    pub(in crate::worker) fn is_plain(&self) -> bool {
        self.attached.is_empty() && self.expected.is_empty()
    }

    /// Is `thread` one of those that answer requests now?
    pub(in crate::worker) fn serves(&self, thread: usize) -> bool {
        if self.attached.is_empty() {
            return thread < self.places;
        }
        let others = self
            .attached
            .iter()
            .filter(|&&attached| attached < thread)
            .count();
        thread - others < self.places && !self.attached.contains(&thread)
    }

    /// Is there a place for `thread` to work in?
    pub(in crate::worker) fn has_place(&self, thread: usize) -> bool {
        let expected = self
            .expected
            .iter()
            .filter(|&&expected| expected != thread)
            .count();
        self.busy + expected < self.places
    }

    /// Is there a place for somebody?
    pub(super) fn has_room(&self) -> bool {
        self.busy + self.expected.len() < self.places
    }

    /// Are all places taken, and nobody has the loop?
    pub(in crate::worker) fn is_nobodys(&self) -> bool {
        !self.has_room() && !self.is_polling && !self.is_minded()
    }

    pub(super) fn may_watch(&self, thread: usize) -> bool {
        self.serves(thread) && self.has_room()
    }

    /// Work waits for `thread`: a place is kept for it. `true`: it stands by, and is to be called.
    pub(in crate::worker) fn expect(&mut self, thread: usize) -> bool {
        if !self.expected.contains(&thread) {
            self.expected.push(thread);
        }
        let stands_by = self.standing.contains(&thread);
        if stands_by {
            self.step_forward(thread);
        }
        stands_by
    }

    /// `thread` has come, or never will. `true`: a place was kept for it.
    pub(in crate::worker) fn stop_expecting(&mut self, thread: usize) -> bool {
        let expected = self.expected.iter().position(|&expected| expected == thread);
        expected
            .inspect(|&index| {
                self.expected.swap_remove(index);
            })
            .is_some()
    }

    /// Who stands by and answers requests.
    pub(in crate::worker) fn first_to_serve(&self) -> Option<usize> {
        let serves = |thread: &&usize| self.serves(**thread);
        self.standing.iter().rev().find(serves).copied()
    }

    /// The number of a thread that is to be made, for the places which attached ones have left; `None`: there are enough, or
    /// as many as there may be. [`Roster::end_recruiting`] is due when it is there, or can't be.
    pub(in crate::worker) fn recruit(&mut self) -> Option<usize> {
        let is_needed = self.threads - self.attached.len() < self.places && self.threads < self.most;
        if self.is_recruiting || !is_needed {
            return None;
        }
        let number = self.threads;
        self.is_recruiting = true;
        self.threads += 1;
        self.expected.push(number);
        Some(number)
    }

    /// The thread is made; or it can't be, nor will another: the number of those that there are is given.
    pub(in crate::worker) fn end_recruiting(&mut self, is_made: bool) -> Option<usize> {
        self.is_recruiting = false;
        if is_made {
            return None;
        }
        self.threads -= 1;
        self.stop_expecting(self.threads);
        self.most = self.threads;
        Some(self.threads)
    }

    /// Is `thread` one of those that stand in for others?
    pub(in crate::worker) fn is_spare(&self, thread: usize) -> bool {
        thread >= self.places
    }

    /// May `thread`, which has rested for long, leave? The number is the next recruit's.
    pub(in crate::worker) fn dismiss(&mut self, thread: usize) -> bool {
        let is_last = thread + 1 == self.threads && self.is_spare(thread);
        let is_quiet = self.busy == 0 && self.expected.is_empty() && !self.is_recruiting;
        let is_left = is_last && is_quiet && !self.serves(thread) && !self.attached.contains(&thread);
        if is_left {
            self.threads -= 1;
        }
        is_left
    }
}
