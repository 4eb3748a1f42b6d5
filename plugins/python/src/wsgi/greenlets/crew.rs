//! [`Crew`]: the greenlets that call the application. One that is done with a request takes the next, or waits for it: as
//! few are made as are needed at once.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{Body, ConnectionInfo, Exchange, ExchangeId, Request};

use super::delivery::Delivery;
use super::hub::Hub;
use super::outlet::Outlet;
use crate::mounts::{Mounts, Place};
use crate::wsgi::WsgiGateway;
use crate::wsgi::current::CurrentExchange;
use crate::wsgi::early_hints::EarlyHints;
use crate::wsgi::environ::{EnvironBuilder, Facts};
use crate::wsgi::response::{broken, nothing_mounted};
use crate::wsgi::start_response::Starters;
use crate::{Settings, failure, raw, turning};

/// Greenlets, what waits for them and what they have in hand.
pub(super) struct Crew {
    hub: Arc<Hub>,
    mounts: Arc<Mounts<Py<PyAny>>>,
    /// Those that nobody builds with at present; more are made from the settings.
    environs: Mutex<Vec<EnvironBuilder>>,
    settings: Settings,
    /// How many greenlets there may be.
    most: usize,
    members: AtomicUsize,
    idle: Mutex<Vec<Arc<Member>>>,
    pending: Mutex<VecDeque<Exchange>>,
    in_hand: Mutex<HashMap<u64, InHand>>,
}

/// An exchange that a greenlet has begun with.
#[derive(Clone)]
struct InHand {
    id: ExchangeId,
    member: Arc<Member>,
    outlet: Arc<Outlet>,
    request: Arc<Request>,
}

/// One of the greenlets.
#[derive(Default)]
struct Member {
    greenlet: OnceLock<Py<PyAny>>,
    /// It is switched to because there is something to do, and not by mistake.
    is_called: AtomicBool,
}

impl Crew {
    /// Nobody yet, and at most so many.
    pub(super) fn new(hub: Arc<Hub>, wsgi: WsgiGateway, most: usize, settings: &Settings) -> Self {
        Self {
            hub,
            mounts: wsgi.mounts,
            environs: Mutex::new(vec![wsgi.environ.into_inner()]),
            settings: settings.clone(),
            most,
            members: AtomicUsize::new(0),
            idle: Mutex::default(),
            pending: Mutex::default(),
            in_hand: Mutex::default(),
        }
    }

    /// How many greenlets there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// gevent's hub.
    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Keeps an exchange for a greenlet.
    pub(super) fn take_on(&self, exchange: Exchange) {
        lock(&self.pending).push_back(exchange);
    }

    /// The exchange that the calling greenlet has in hand.
    pub(super) fn exchange_of_current(&self, py: Python<'_>) -> Option<ExchangeId> {
        let current = self.hub.current(py).ok()?;
        let in_hand = lock(&self.in_hand);
        let its = in_hand.values().find(|in_hand| {
            let greenlet = in_hand.member.greenlet.get();
            greenlet.is_some_and(|greenlet| greenlet.is(&current))
        });
        its.map(|in_hand| in_hand.id)
    }

    /// Something has happened to the client of that exchange.
    pub(super) fn wake(&self, py: Python<'_>, id: ExchangeId) {
        let in_hand = lock(&self.in_hand).get(&id.serial).cloned();
        if let Some(in_hand) = in_hand {
            in_hand.outlet.wake(py);
        }
    }

    /// The client of that exchange need not wait for it any longer: its greenlet is killed, where it waits. `is_shown`: the
    /// log is to say where that is. One that waits for a greenlet finds nobody to answer when it has one.
    pub(super) fn give_up(self: &Arc<Self>, py: Python<'_>, id: ExchangeId, is_shown: bool) {
        let in_hand = lock(&self.in_hand).get(&id.serial).cloned();
        let Some(in_hand) = in_hand else { return };
        in_hand.outlet.give_up();
        let InHand { member, request, .. } = in_hand;
        let Some(greenlet) = member.greenlet.get() else {
            return;
        };
        if is_shown {
            let frame = || greenlet.bind(py).getattr(intern!(py, "gr_frame"));
            log::error!(
                "\"{}\": its greenlet is killed, where it waits (most recent call last):\n{}",
                request.line(),
                failure::stack(py, "format_stack", frame)
            );
        }
        let kill = Kill {
            crew: Arc::clone(self),
            id: id.serial,
        };
        if let Err(error) = self.hub.call_soon(py, (kill,)) {
            log::error!(
                "\"{}\": its greenlet could not be killed: {error}",
                request.line()
            );
        }
    }

    /// Kills the greenlet that has that exchange in hand, unless it is done with it by now. In the hub.
    fn kill(&self, py: Python<'_>, serial: u64) -> PyResult<()> {
        let in_hand = lock(&self.in_hand).get(&serial).cloned();
        match in_hand.as_ref().and_then(|in_hand| in_hand.member.greenlet.get()) {
            Some(greenlet) => {
                let exit = self.hub.exit(py, "harakiri")?;
                greenlet
                    .bind(py)
                    .call_method1(intern!(py, "throw"), (exit,))
                    .map(drop)
            }
            None => Ok(()),
        }
    }

    /// Lets greenlets begin with what waits for them, as long as there are any. In the hub.
    pub(super) fn set_to_work(self: &Arc<Self>, py: Python<'_>) {
        while self.has_pending() {
            let idle = lock(&self.idle).pop();
            let member = match idle {
                Some(member) => member,
                None if self.members.load(Ordering::Relaxed) >= self.most => return,
                None => match self.hire(py) {
                    Ok(member) => member,
                    Err(error) => {
                        log::error!("no greenlet can be made: {}", failure::traceback(py, &error));
                        return;
                    }
                },
            };
            let Some(greenlet) = member.greenlet.get() else {
                continue;
            };
            member.is_called.store(true, Ordering::Relaxed);
            // Back when it waits for something, or has nothing more to do.
            if let Err(error) = greenlet.bind(py).call_method0(intern!(py, "switch")) {
                log::error!("a greenlet ended: {}", failure::traceback(py, &error));
            }
        }
    }

    fn hire(self: &Arc<Self>, py: Python<'_>) -> PyResult<Arc<Member>> {
        let member = Arc::new(Member::default());
        let work = Work {
            crew: Arc::clone(self),
            member: Arc::clone(&member),
        };
        let greenlet = self.hub.greenlet(py, work)?;
        let _ = member.greenlet.set(greenlet.unbind());
        self.members.fetch_add(1, Ordering::Relaxed);
        Ok(member)
    }

    fn has_pending(&self) -> bool {
        !lock(&self.pending).is_empty()
    }

    fn next(&self) -> Option<Exchange> {
        lock(&self.pending).pop_front()
    }

    /// What a greenlet does from beginning to end.
    fn serve(&self, py: Python<'_>, member: &Arc<Member>) -> PyResult<()> {
        let mut desk = Desk::new(py, &self.settings)?;
        loop {
            while let Some(exchange) = self.next() {
                let _done = Done;
                self.answer(py, exchange, member, &mut desk)?;
            }
            lock(&self.idle).push(Arc::clone(member));
            if let Err(error) = self.rest(py, member) {
                lock(&self.idle).retain(|idle| !Arc::ptr_eq(idle, member));
                return Err(error);
            }
        }
    }

    /// Waits for a call. What an application has left behind, such as a timeout that nobody has cancelled, ends no
    /// greenlet; to kill it does.
    fn rest(&self, py: Python<'_>, member: &Member) -> PyResult<()> {
        loop {
            let back = self.hub.switch(py);
            if member.is_called.swap(false, Ordering::Relaxed) {
                return Ok(());
            }
            match back {
                Ok(()) => {}
                Err(error) if self.hub.is_exit(py, &error) => return Err(error),
                Err(error) => log::debug!("an idle greenlet: {}", failure::one_line(py, &error)),
            }
        }
    }

    /// Answers a request, on the calling greenlet.
    ///
    /// # Errors
    /// The greenlet was killed meanwhile. The request is answered.
    fn answer(
        &self,
        py: Python<'_>,
        exchange: Exchange,
        member: &Arc<Member>,
        desk: &mut Desk,
    ) -> PyResult<()> {
        let id = exchange.responder.id();
        let request = Arc::clone(&exchange.request);
        let place = self
            .mounts
            .choose(request.get(request.script_name), request.path());
        let Some(place) = place else {
            nothing_mounted(exchange.responder, &request, !self.mounts.is_empty());
            turning::deliver(id);
            return Ok(());
        };
        let environ = match self.environ(py, &place, &request, &exchange.connection, id, exchange.body) {
            Ok(environ) => environ,
            Err(error) => {
                broken(
                    py,
                    exchange.responder,
                    &request,
                    "making the environ failed",
                    &error,
                );
                turning::deliver(id);
                return Ok(());
            }
        };
        let Some(conversation) = exchange.responder.into_conversation() else {
            return Ok(());
        };
        let outlet = Arc::new(Outlet::new(conversation, &self.hub));
        let in_hand = InHand {
            id,
            member: Arc::clone(member),
            outlet: Arc::clone(&outlet),
            request: Arc::clone(&request),
        };
        lock(&self.in_hand).insert(id.serial, in_hand);
        let _forgotten = Forgotten(self, id);
        let called = raw::copy_context(py).and_then(|context| {
            raw::in_context(&context, || {
                self.call(py, &place, environ, &request, &outlet, desk)
            })?
        });
        match called {
            Err(error) if !self.hub.is_exit(py, &error) => Ok(()),
            ended => ended,
        }
    }

    fn environ<'py>(
        &self,
        py: Python<'py>,
        place: &Place<'_, Py<PyAny>>,
        request: &Request,
        connection: &Arc<ConnectionInfo>,
        id: ExchangeId,
        body: Body,
    ) -> PyResult<Bound<'py, PyDict>> {
        let facts = Facts {
            request,
            connection,
            slot: id.slot,
            script_name: place.script_name,
            path_info: place.path_info,
        };
        // Not behind a lock: what the collector finalizes while it is built may let another greenlet run.
        let kept = lock(&self.environs).pop();
        let mut builder = match kept {
            Some(builder) => builder,
            None => EnvironBuilder::new(py, &self.settings)?,
        };
        let environ = builder.build(py, &facts, body);
        lock(&self.environs).push(builder);
        environ
    }

    /// Calls the application and sends what it says.
    ///
    /// # Errors
    /// What it raised; its client has been told.
    fn call(
        &self,
        py: Python<'_>,
        place: &Place<'_, Py<PyAny>>,
        environ: Bound<'_, PyDict>,
        request: &Arc<Request>,
        outlet: &Arc<Outlet>,
        desk: &mut Desk,
    ) -> PyResult<()> {
        environ.set_item(intern!(py, "wsgi.early_hints"), &desk.early_hints)?;
        let starter = desk.starters.take(py)?;
        let _in_hand = desk.current.set_outlet(outlet);
        let returned = place.app.bind(py).call1((environ, starter.callable(py)));
        let delivery = Delivery {
            outlet,
            request,
            answer: starter.answer(),
        };
        let delivered = match returned {
            Ok(returned) => delivery.deliver(py, &returned),
            Err(error) => Err(delivery.fail(py, "the application raised", error)),
        };
        if delivered.is_err() {
            outlet.break_off();
        }
        desk.starters.put_back(py, starter);
        delivered
    }
}

/// What a greenlet needs to call applications, one after the other.
struct Desk {
    current: CurrentExchange,
    starters: Starters,
    early_hints: Py<EarlyHints>,
}

impl Desk {
    fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        let current = CurrentExchange::default();
        Ok(Self {
            starters: Starters::new(&current, settings.disable_write_exception),
            early_hints: Py::new(py, EarlyHints(current.clone()))?,
            current,
        })
    }
}

/// When it is dropped the exchange is over, for the crew.
struct Forgotten<'a>(&'a Crew, ExchangeId);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        lock(&self.0.in_hand).remove(&self.1.serial);
    }
}

/// When it is dropped the server hears that there is room for another request.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(turns) = turning::turns() {
            turns.done();
        }
    }
}

/// What a greenlet runs.
#[pyclass(frozen, module = "uwrs")]
struct Work {
    crew: Arc<Crew>,
    member: Arc<Member>,
}

#[pymethods]
impl Work {
    fn __call__(&self, py: Python<'_>) {
        if let Err(error) = self.crew.serve(py, &self.member) {
            log::debug!("a greenlet ended: {}", failure::one_line(py, &error));
        }
        self.crew.members.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the hub calls to kill the greenlet that has an exchange in hand.
#[pyclass(frozen, module = "uwrs")]
struct Kill {
    crew: Arc<Crew>,
    id: u64,
}

#[pymethods]
impl Kill {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.crew.kill(py, self.id)
    }
}

/// No greenlet is left with one of these locks held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
