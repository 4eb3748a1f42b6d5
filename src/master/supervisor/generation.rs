//! [`Generation`]: one loading of the application, the mold it lives in and the seats of its workers. Who
//! asks for what when is the supervisor's business.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::{MoldId, Settings, SlotIndex, Ticket};
use crate::sys::Pid;

/// One generation.
#[derive(Debug)]
pub(super) struct Generation {
    /// 1, 2, …
    pub(super) id: u64,
    pub(super) settings: Settings,
    pub(super) mold: Mold,
    /// Deaths of its molds.
    pub(super) mold_backoff: Backoff,
    pub(super) seats: Vec<Seat>,
    /// When its first mold was asked for.
    pub(super) since: Instant,
    /// Workers that died before they were ready, and molds that died before all were.
    pub(super) failures: u32,
}

/// The mold of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mold {
    /// To be started then.
    Due(Instant),
    /// Asked for, not forked yet.
    Asked(MoldId),
    /// Loading the application.
    Loading { id: MoldId, pid: Pid, since: Instant },
    /// Forks workers.
    Ready { id: MoldId, pid: Pid, since: Instant },
    /// There is none and there will be none: it did not survive a re-execution.
    Lost,
}

impl Mold {
    /// The process, once it is known.
    pub(super) fn pid(self) -> Option<Pid> {
        match self {
            Self::Loading { pid, .. } | Self::Ready { pid, .. } => Some(pid),
            Self::Due(_) | Self::Asked(_) | Self::Lost => None,
        }
    }

    /// Which mold.
    pub(super) fn id(self) -> Option<MoldId> {
        match self {
            Self::Asked(id) | Self::Loading { id, .. } | Self::Ready { id, .. } => Some(id),
            Self::Due(_) | Self::Lost => None,
        }
    }

    /// Which mold, if it can fork.
    pub(super) fn ready_id(self) -> Option<MoldId> {
        match self {
            Self::Ready { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// The place of one worker: who dies is replaced in it.
#[derive(Debug)]
pub(super) struct Seat {
    /// 1, 2, …
    pub(super) number: usize,
    pub(super) state: SeatState,
    pub(super) backoff: Backoff,
    /// What is known of the one who died here, until it can be said who replaced it.
    pub(super) obituary: Option<Obituary>,
}

/// A death that is not logged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obituary {
    pub(super) level: log::Level,
    pub(super) text: String,
}

/// Who sits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeatState {
    /// Nobody; to be filled from then on.
    Vacant { due: Instant },
    /// The mold was asked to fork.
    Requested {
        ticket: Ticket,
        slot: SlotIndex,
        since: Instant,
    },
    /// A process which is not ready yet.
    Starting(Sitter),
    /// A process which serves.
    Serving(Sitter),
}

/// A process in a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sitter {
    pub(super) ticket: Ticket,
    pub(super) pid: Pid,
    pub(super) slot: SlotIndex,
    pub(super) since: Instant,
}

impl Seat {
    pub(super) fn new(number: usize, now: Instant) -> Self {
        let state = SeatState::Vacant { due: now };
        Self {
            number,
            state,
            backoff: Backoff::default(),
            obituary: None,
        }
    }

    /// The process there.
    pub(super) fn sitter(&self) -> Option<Sitter> {
        match self.state {
            SeatState::Starting(sitter) | SeatState::Serving(sitter) => Some(sitter),
            SeatState::Vacant { .. } | SeatState::Requested { .. } => None,
        }
    }

    /// Is that the ticket which it waits by, or which its process came by?
    pub(super) fn has_ticket(&self, asked: Ticket) -> bool {
        match self.state {
            SeatState::Vacant { .. } => false,
            SeatState::Requested { ticket, .. } => ticket == asked,
            SeatState::Starting(sitter) | SeatState::Serving(sitter) => sitter.ticket == asked,
        }
    }

    /// Does its process serve?
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.state, SeatState::Serving(_))
    }
}

impl Generation {
    pub(super) fn new(id: u64, settings: Settings, now: Instant) -> Self {
        Self {
            id,
            settings,
            mold: Mold::Due(now),
            mold_backoff: Backoff::default(),
            seats: (1..=settings.workers)
                .map(|number| Seat::new(number, now))
                .collect(),
            since: now,
            failures: 0,
        }
    }

    /// Do all its workers serve?
    pub(super) fn is_complete(&self) -> bool {
        self.seats.iter().all(Seat::is_serving)
    }

    /// Is nothing under way: no mold loading, no worker starting?
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = |seat: &Seat| matches!(seat.state, SeatState::Serving(_) | SeatState::Vacant { .. });
        matches!(self.mold, Mold::Ready { .. } | Mold::Lost) && self.seats.iter().all(is_settled)
    }

    /// The seat of that process.
    pub(super) fn seat_of(&mut self, pid: Pid) -> Option<&mut Seat> {
        self.seats
            .iter_mut()
            .find(|seat| seat.sitter().is_some_and(|sitter| sitter.pid == pid))
    }

    /// The seat that goes by that ticket.
    pub(super) fn seat_by_ticket(&mut self, ticket: Ticket) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.has_ticket(ticket))
    }

    /// Is a fork overdue? Each is told once.
    pub(super) fn take_overdue_fork(&mut self, patience: Duration, now: Instant) -> bool {
        let mut is_overdue = false;
        for seat in &mut self.seats {
            if let SeatState::Requested { since, .. } = &mut seat.state
                && *since + patience <= now
            {
                *since = now;
                is_overdue = true;
            }
        }
        is_overdue
    }

    /// When something here is due by the clock. `patience`: how long a mold may take to fork.
    pub(super) fn next_deadline(&self, patience: Duration) -> Option<Instant> {
        let can_fork = self.mold.ready_id().is_some();
        let seats = self.seats.iter().filter_map(|seat| match seat.state {
            SeatState::Vacant { due } if can_fork => Some(due),
            SeatState::Requested { since, .. } => Some(since + patience),
            _ => None,
        });
        let mold = match self.mold {
            Mold::Due(due) => Some(due),
            _ => None,
        };
        seats.chain(mold).min()
    }
}
