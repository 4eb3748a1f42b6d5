//! [`Leaver`]: a process that was told to leave and has not ended yet.

use std::time::{Duration, Instant};

use super::{MoldId, SlotIndex, Urge};
use crate::sys::Pid;

/// What a leaving process was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A worker. Its slot is not known where its mold died while forking it.
    Worker { number: usize, slot: Option<SlotIndex> },
    /// A mold.
    Mold { id: MoldId },
}

/// A process on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaver {
    pub(super) pid: Pid,
    pub(super) role: Role,
    pub(super) generation: u64,
    /// What it was told last.
    pub(super) urge: Urge,
    /// How long it was given.
    pub(super) mercy: Duration,
    /// How long it is given if it turns out to serve; `None`: nothing changes then.
    pub(super) once_ready: Option<Duration>,
    pub(super) deadline: Instant,
}

impl Leaver {
    pub(super) fn is_mold(&self) -> bool {
        matches!(self.role, Role::Mold { .. })
    }

    /// When something must be done about it; `None` once it was killed.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (self.urge != Urge::Kill).then_some(self.deadline)
    }
}
