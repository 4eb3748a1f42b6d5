//! WSGI on greenlets (`gevent = N`): up to N requests side by side on the worker's main thread, which gevent's hub owns.
//!
//! The hub watches the server's loop as asyncio does for ASGI and turns it ([`driver`]). In a turn the gateway only takes
//! exchanges; behind the turn the greenlets of the [`crew`] call the application, iterate what it returns and close it,
//! so that whatever of this waits, for a database, a sleep or the client ([`outlet`]), lets the hub go on.
//!
//! Greenlets share one C stack, of which each has its part only while it runs. So nothing here keeps a pointer into its
//! stack where another greenlet can reach it, and no lock or borrow is held where Python code may run.

mod crew;
mod delivery;
mod driver;
mod hub;
mod outlet;

pub(crate) use outlet::Outlet;

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use uwrs_api::{Appetite, BodyMode, Driver, Exchange, ExchangeId, Gateway, Heard, Request};

use super::WsgiGateway;
use crate::{Greenlets, Settings, raw};

use crew::Crew;
use driver::GeventDriver;
use hub::Hub;

thread_local! {
    /// The crew of this thread's hub.
    static CREW: RefCell<Weak<Crew>> = const { RefCell::new(Weak::new()) };
}

/// The exchange that the greenlet which runs on this thread has in hand.
pub(crate) fn exchange_of_current_greenlet(py: Python<'_>) -> Option<ExchangeId> {
    let crew = CREW.with_borrow(Weak::upgrade)?;
    crew.exchange_of_current(py)
}

/// What answers requests with WSGI applications that run on greenlets.
pub(crate) struct GeventGateway {
    crew: Arc<Crew>,
    waits_for_hub: bool,
}

impl GeventGateway {
    /// A gateway to the applications of `wsgi`, on the calling thread's hub.
    ///
    /// # Errors
    /// gevent has no hub.
    pub(crate) fn start(
        py: Python<'_>,
        wsgi: WsgiGateway,
        greenlets: &Greenlets,
        settings: &Settings,
    ) -> PyResult<Self> {
        let hub = Arc::new(Hub::new(py)?);
        let crew = Arc::new(Crew::new(hub, wsgi, greenlets.most, settings));
        CREW.set(Arc::downgrade(&crew));
        Ok(Self {
            crew,
            waits_for_hub: greenlets.wait_for_hub,
        })
    }
}

impl Gateway for GeventGateway {
    fn body_mode(&self, _: &Request) -> BodyMode {
        BodyMode::Collected
    }

    fn handle(&self, exchange: Exchange) {
        self.crew.take_on(exchange);
    }

    fn hear(&self, id: ExchangeId, heard: Heard<'_>) -> Appetite {
        match heard {
            Heard::Room | Heard::Gone => raw::with_interpreter(|py| self.crew.wake(py, id)),
            Heard::Overdue { is_shown } => {
                raw::with_interpreter(|py| self.crew.give_up(py, id, is_shown));
            }
            Heard::Body(_) | Heard::BodyEnd | Heard::Leaving { .. } => {}
        }
        Appetite::Full
    }

    fn capacity(&self) -> Option<usize> {
        Some(self.crew.most())
    }

    fn rest(&self) {
        raw::drop_discarded();
    }

    fn driver(&self) -> Option<Box<dyn Driver>> {
        Some(Box::new(GeventDriver::new(
            Arc::clone(&self.crew),
            self.waits_for_hub,
        )))
    }
}
