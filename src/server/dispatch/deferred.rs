//! [`Deferred`]: work for the thread that turns the loop, to be done after its turn and without the loop in hand, so that
//! another thread can have that while an application blocks it (the watchman).
//!
//! The gateway belongs to the one thread. What another one has to tell it waits here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use uwrs_api::{Appetite, ExchangeId, Gateway, Heard};

use super::Work;
use super::room::Room;

thread_local! {
    /// The gateway that belongs to this thread.
    static GATEWAY: RefCell<Option<Rc<dyn Gateway>>> = const { RefCell::new(None) };
}

/// From now on work that is deferred is the calling thread's, with that gateway.
pub(crate) fn take_charge(gateway: Rc<dyn Gateway>) {
    GATEWAY.set(Some(gateway));
}

/// The gateway, on the thread that it belongs to.
pub(crate) fn gateway() -> Option<Rc<dyn Gateway>> {
    GATEWAY.with_borrow(Clone::clone)
}

/// What a gateway is to hear, once its thread is back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    Body(Vec<u8>),
    BodyEnd,
    Room,
    Leaving { has_successor: bool },
    Overdue { is_shown: bool },
    Gone,
}

impl Unheard {
    fn keep(heard: Heard<'_>) -> Self {
        match heard {
            Heard::Body(part) => Self::Body(part.to_vec()),
            Heard::BodyEnd => Self::BodyEnd,
            Heard::Room => Self::Room,
            Heard::Leaving { has_successor } => Self::Leaving { has_successor },
            Heard::Overdue { is_shown } => Self::Overdue { is_shown },
            Heard::Gone => Self::Gone,
        }
    }

    /// As it is to be heard.
    pub(crate) fn to_heard(&self) -> Heard<'_> {
        match self {
            Self::Body(part) => Heard::Body(part),
            Self::BodyEnd => Heard::BodyEnd,
            Self::Room => Heard::Room,
            Self::Leaving { has_successor } => Heard::Leaving {
                has_successor: *has_successor,
            },
            Self::Overdue { is_shown } => Heard::Overdue { is_shown: *is_shown },
            Self::Gone => Heard::Gone,
        }
    }
}

/// Work that is deferred.
pub(crate) struct Deferred {
    pub(super) work: VecDeque<Work>,
    pub(super) room: Room,
    /// Exchanges whose work the thread has taken: the gateway may not know of them yet.
    beginning: Vec<ExchangeId>,
    unheard: RefCell<VecDeque<(ExchangeId, Unheard)>>,
    /// The thread is blocked, and another one has the loop.
    is_minded: bool,
}

impl Deferred {
    /// None yet, for a gateway that has this room.
    pub(super) fn new(room: Room) -> Self {
        Self {
            work: VecDeque::new(),
            room,
            beginning: Vec::new(),
            unheard: RefCell::default(),
            is_minded: false,
        }
    }

    /// Is the thread blocked, and another one has the loop?
    pub(super) fn is_minded(&self) -> bool {
        self.is_minded
    }

    /// Says so.
    pub(super) fn set_minded(&mut self, is_minded: bool) {
        self.is_minded = is_minded;
    }

    /// The work that has waited longest.
    pub(super) fn take(&mut self) -> Option<Work> {
        let work = self.work.pop_front()?;
        if let Work::Answer(exchange) = &work {
            self.beginning.push(exchange.responder.id());
        }
        Some(work)
    }

    /// It is done.
    pub(super) fn done(&mut self, exchange: Option<ExchangeId>) {
        self.beginning.retain(|beginning| Some(*beginning) != exchange);
    }

    /// Has the gateway hear that: now, or when its thread is back, or when it knows of the exchange.
    pub(super) fn hear(&self, id: ExchangeId, heard: Heard<'_>) -> Appetite {
        let is_known = !self.beginning.contains(&id) && !self.work.iter().any(|work| work.begins(id));
        if is_known && let Some(gateway) = gateway() {
            return gateway.hear(id, heard);
        }
        self.unheard.borrow_mut().push_back((id, Unheard::keep(heard)));
        Appetite::Full
    }

    /// Is there something that the gateway has not heard?
    pub(super) fn has_unheard(&self) -> bool {
        !self.unheard.borrow().is_empty()
    }

    /// What the gateway has not heard.
    pub(super) fn take_unheard(&mut self) -> VecDeque<(ExchangeId, Unheard)> {
        std::mem::take(self.unheard.get_mut())
    }
}
