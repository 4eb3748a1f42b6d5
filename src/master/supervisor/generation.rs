//! [`Generation`]: one loading of the application, the mold it lives in and the seats of its workers. Who
//! asks for what when is the supervisor's business.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::scaler::Scaler;
use super::{MoldId, Settings, SlotIndex, TRACE_TIME, Ticket, Urge};
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
    /// Who says how many of the seats are open; `None`: all are.
    pub(super) scaler: Option<Scaler>,
    /// When it was last seen that someone asks for something.
    pub(super) last_use: Instant,
    /// How it takes over from the one before.
    pub(super) manner: Manner,
    /// When its first mold was asked for.
    pub(super) since: Instant,
    /// When it last came forward; in a chain reload only, else as `since`.
    pub(super) progressed: Instant,
    /// It took too long since it had come forward then, and has been asked where it is.
    pub(super) traced: Option<Instant>,
    /// Workers that died before they were ready, and molds that died before all were.
    pub(super) failures: u32,
    /// A successor did not come up: nobody is replaced for wear before.
    pub(super) no_wear_before: Instant,
}

/// How a generation takes over from the one before: the later one is the stronger wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manner {
    /// Worker by worker: each leaves when its successor serves, and the next one's turn comes when it has left.
    Chain,
    /// All at once, when all new ones are ready.
    Graceful,
    /// The same, and the old ones are cut off.
    Brutal,
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
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// 1, 2, …
    pub(super) number: usize,
    pub(super) state: SeatState,
    /// Who is being got ready to take over from the one who serves.
    pub(super) successor: Option<Successor>,
    pub(super) backoff: Backoff,
    /// What is known of the one who died here, until it can be said who replaced it.
    pub(super) obituary: Option<Obituary>,
}

/// Someone who is to take over from a worker that serves: the old one leaves when this one is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    pub(super) occasion: Occasion,
    /// How the old one is told to leave.
    pub(super) urge: Urge,
    /// Until it serves, and so is no successor any more.
    pub(super) state: SeatState,
}

/// What a worker is replaced for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// An operator wants new workers. Where one does not come up, the others are not replaced either.
    Renewal,
    /// It has reached a limit. Where the new one does not come up, that is tried again later.
    Wear,
    /// One of its requests is stuck. Where the new one does not come up, the old one is killed all the same.
    Stuck {
        /// How long it may take to finish what else it has.
        grace: Duration,
    },
}

impl Occasion {
    /// Is there no time to wait for others that are replaced?
    fn is_urgent(&self) -> bool {
        matches!(self, Self::Stuck { .. })
    }
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
    /// Nobody, for the seat of the same number in the other generation has somebody (chain reload).
    Aside,
    /// Nobody, for nobody is needed.
    Closed,
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

impl SeatState {
    /// The process there.
    pub(super) fn sitter(self) -> Option<Sitter> {
        match self {
            Self::Starting(sitter) | Self::Serving(sitter) => Some(sitter),
            Self::Vacant { .. } | Self::Aside | Self::Closed | Self::Requested { .. } => None,
        }
    }

    /// The ticket which it waits by, or which its process came by.
    fn ticket(self) -> Option<Ticket> {
        match self {
            Self::Vacant { .. } | Self::Aside | Self::Closed => None,
            Self::Requested { ticket, .. } => Some(ticket),
            Self::Starting(sitter) | Self::Serving(sitter) => Some(sitter.ticket),
        }
    }

    /// Has it been asked for, and is not ready yet?
    fn is_under_way(self) -> bool {
        matches!(self, Self::Requested { .. } | Self::Starting(_))
    }

    fn is_due(self, now: Instant) -> bool {
        matches!(self, Self::Vacant { due } if due <= now)
    }

    fn has_pid(self, pid: Pid) -> bool {
        self.sitter().is_some_and(|sitter| sitter.pid == pid)
    }
}

impl Seat {
    pub(super) fn new(number: usize, now: Instant) -> Self {
        let state = SeatState::Vacant { due: now };
        Self {
            number,
            state,
            successor: None,
            backoff: Backoff::default(),
            obituary: None,
        }
    }

    /// The place of who sits here, and that of who comes after.
    pub(super) fn places(&self) -> impl Iterator<Item = SeatState> {
        let successor = self.successor.iter().map(|successor| successor.state);
        std::iter::once(self.state).chain(successor)
    }

    /// As [`Seat::places`], to be changed.
    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = &mut SeatState> {
        let successor = self.successor.iter_mut().map(|successor| &mut successor.state);
        std::iter::once(&mut self.state).chain(successor)
    }

    /// Its place that goes by that ticket.
    pub(super) fn place_of(&mut self, ticket: Ticket) -> Option<&mut SeatState> {
        self.places_mut().find(|place| place.ticket() == Some(ticket))
    }

    /// Does one of its places go by that ticket?
    pub(super) fn has_ticket(&self, ticket: Ticket) -> bool {
        self.places().any(|place| place.ticket() == Some(ticket))
    }

    /// Does its process serve?
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.state, SeatState::Serving(_))
    }

    /// Is that the process of the one who comes after?
    pub(super) fn is_successor(&self, pid: Pid) -> bool {
        let successor = self.successor.as_ref();
        successor.is_some_and(|successor| successor.state.has_pid(pid))
    }
}

impl Generation {
    /// `open`: how many of its seats are open.
    pub(super) fn new(id: u64, settings: Settings, open: usize, manner: Manner, now: Instant) -> Self {
        let seat = |number| match number <= open {
            true => Seat::new(number, now),
            false => Seat::closed(number, now),
        };
        let mut seats: Vec<Seat> = (1..=settings.workers).map(seat).collect();
        if manner == Manner::Chain {
            let open = seats.iter_mut().filter(|seat| seat.is_open());
            open.for_each(|seat| seat.state = SeatState::Aside);
        }
        Self {
            id,
            settings,
            mold: Mold::Due(now),
            mold_backoff: Backoff::default(),
            seats,
            scaler: settings.scaling.cheaper.map(Scaler::new),
            last_use: now,
            manner,
            since: now,
            progressed: now,
            traced: None,
            failures: 0,
            no_wear_before: now,
        }
    }

    /// Do all its workers serve, or could they, if there are to be none?
    pub(super) fn is_complete(&self) -> bool {
        let is_loaded = !self.is_asleep() || self.mold.ready_id().is_some();
        is_loaded && self.seats.iter().all(|seat| seat.is_serving() || !seat.is_open())
    }

    /// Is nothing under way: no mold loading, no worker starting?
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = |seat: &Seat| seat.successor.is_none() && !seat.state.is_under_way();
        matches!(self.mold, Mold::Ready { .. } | Mold::Lost) && self.seats.iter().all(is_settled)
    }

    /// The seat of that process.
    pub(super) fn seat_of(&mut self, pid: Pid) -> Option<&mut Seat> {
        self.seats
            .iter_mut()
            .find(|seat| seat.places().any(|place| place.has_pid(pid)))
    }

    /// The seat that goes by that ticket.
    pub(super) fn seat_by_ticket(&mut self, ticket: Ticket) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.has_ticket(ticket))
    }

    /// The places that are to be filled now, with the numbers of their seats. Successors come one at a time, so that there
    /// is but one worker too many; those of workers that are stuck, which are of no use, wait for nobody.
    pub(super) fn vacancies(&mut self, now: Instant) -> impl Iterator<Item = (usize, &mut SeatState)> {
        let successor = |seat: &Seat| seat.successor.as_ref().map(|successor| successor.state);
        let comes = |seat: &Seat| successor(seat).is_some_and(SeatState::is_under_way);
        let is_wanted = |seat: &Seat| successor(seat).is_some_and(|state| state.is_due(now));
        let next = match self.seats.iter().any(comes) {
            true => None,
            false => self
                .seats
                .iter()
                .find(|seat| is_wanted(seat))
                .map(|seat| seat.number),
        };
        self.seats.iter_mut().flat_map(move |seat| {
            let number = seat.number;
            let successor = seat
                .successor
                .as_mut()
                .filter(|successor| next == Some(number) || successor.occasion.is_urgent());
            let places =
                std::iter::once(&mut seat.state).chain(successor.map(|successor| &mut successor.state));
            places
                .filter(move |place| place.is_due(now))
                .map(move |place| (number, place))
        })
    }

    /// Is a fork overdue? Each is told once.
    pub(super) fn take_overdue_fork(&mut self, patience: Duration, now: Instant) -> bool {
        let mut is_overdue = false;
        for place in self.seats.iter_mut().flat_map(Seat::places_mut) {
            if let SeatState::Requested { since, .. } = place
                && *since + patience <= now
            {
                *since = now;
                is_overdue = true;
            }
        }
        is_overdue
    }

    /// When it is asked where it is, or, after that, given up, unless it is ready.
    pub(super) fn boot_deadline(&self) -> Instant {
        let due = self.progressed + self.settings.boot_limit;
        if self.traced == Some(self.progressed) {
            due + TRACE_TIME
        } else {
            due
        }
    }

    /// The processes that are not ready.
    pub(super) fn starting(&self) -> Vec<Pid> {
        let mold = match self.mold {
            Mold::Loading { pid, .. } => Some(pid),
            _ => None,
        };
        let workers = self.seats.iter().filter_map(|seat| match seat.state {
            SeatState::Starting(sitter) => Some(sitter.pid),
            _ => None,
        });
        mold.into_iter().chain(workers).collect()
    }

    /// When something here is due by the clock. `patience`: how long a mold may take to fork.
    pub(super) fn next_deadline(&self, patience: Duration) -> Option<Instant> {
        let limit = self.settings.boot_limit;
        let can_fork = self.mold.ready_id().is_some();
        let is_under_way = |seat: &Seat| {
            let successor = seat.successor.as_ref();
            successor.is_some_and(|successor| successor.state.is_under_way())
        };
        let relief_is_under_way = self.seats.iter().any(is_under_way);
        let due = |place: SeatState, can_fork: bool| match place {
            SeatState::Vacant { due } if can_fork => Some(due),
            SeatState::Requested { since, .. } => Some(since + patience),
            _ => None,
        };
        let seats = self.seats.iter().filter_map(|seat| due(seat.state, can_fork));
        // The others wait for the one that comes.
        let successors = self
            .seats
            .iter()
            .filter_map(|seat| seat.successor.as_ref())
            .filter_map(|successor| match successor.state {
                SeatState::Starting(sitter) => Some(sitter.since + limit),
                state => {
                    let is_its_turn = !relief_is_under_way || successor.occasion.is_urgent();
                    due(state, can_fork && is_its_turn)
                }
            });
        let mold = match self.mold {
            Mold::Due(due) => Some(due),
            _ => None,
        };
        seats.chain(successors).chain(mold).min()
    }
}
