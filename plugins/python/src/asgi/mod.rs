//! ASGI 3.0 (<https://asgi.readthedocs.io>): from an exchange to a coroutine, and from the events it sends to an answer.
//!
//! asyncio's loop, or uvloop's, owns the thread and turns the server's ([`driver`]). Every request is a task of that loop
//! ([`tasks`]), begun at once: an application that does not have to wait is done when the turn goes on. What the two
//! sides say to one another passes through a [`channel`]; what the application awaits finishes at once where it can
//! ([`awaitable`]).

mod awaitable;
mod cancellation;
mod channel;
mod driver;
mod events;
mod lifespan;
mod outflow;
mod registry;
mod scope;
mod sibling;
mod socket;
mod talk;
mod tasks;
mod websocket_events;

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::prelude::*;
use uwrs_api::{
    Appetite, BodyMode, Conversation, Driver, Exchange, ExchangeId, Gateway, Heard, LoadError, Request,
};
use uwrs_websocket::{Handshake, Rejection};

use crate::interface::Interface;
use crate::mounts::{Mounts, Place};
use crate::wsgi::{self, WsgiGateway};
use crate::{Settings, apart, failure, raw};

use awaitable::{Receive, Send};
use channel::Channel;
use driver::AsyncioDriver;
use lifespan::Lifespans;
use scope::{Facts, ScopeBuilder};
use sibling::Sibling;
use socket::Socket;
use talk::Talk;
use tasks::Starter;

/// An application and how it is called.
pub(crate) struct App {
    pub(crate) callable: Py<PyAny>,
    pub(crate) interface: Interface,
    /// What its lifespan left for its requests (`scope["state"]`).
    state: Option<Py<pyo3::types::PyDict>>,
}

/// What the gateways of all threads are made of.
pub(crate) struct Cast {
    /// Mountpoint, callable, and how it is called.
    pub(crate) applications: Vec<(String, Py<PyAny>, Interface)>,
    pub(crate) settings: Settings,
    /// Threads run Python side by side: there may be more loops than one.
    pub(crate) is_parallel: bool,
}

/// What answers requests with ASGI applications, and with WSGI ones that are mounted beside them.
pub(crate) struct AsgiGateway {
    cast: Arc<Cast>,
    mounts: Mounts<App>,
    wsgi: WsgiGateway,
    scopes: RefCell<ScopeBuilder>,
    starter: Starter,
    event_loop: Py<PyAny>,
    websockets: Arc<uwrs_websocket::Settings>,
    lifespans: RefCell<Option<Lifespans>>,
}

impl AsgiGateway {
    /// Starts the loop in this process and lets the applications begin their lives.
    ///
    /// # Errors
    /// The loop that was asked for is not there, or an application says that it cannot start.
    pub(crate) fn start(py: Python<'_>, cast: Arc<Cast>, wsgi: WsgiGateway) -> Result<Self, LoadError> {
        let settings = &cast.settings;
        let event_loop = driver::make_loop(py, settings.event_loop)?;
        let mut lifespans = Lifespans::new(&event_loop);
        let mut mounted = Vec::new();
        for (mountpoint, callable, interface) in &cast.applications {
            let state = match interface {
                Interface::Wsgi => None,
                Interface::Asgi | Interface::Asgi2 => {
                    lifespans.start(py, callable.bind(py), *interface, settings.lifespan)?
                }
            };
            let app = App {
                callable: callable.clone_ref(py),
                interface: *interface,
                state,
            };
            mounted.push((mountpoint.clone(), app));
        }
        let told = |error: PyErr| failure::load_error(py, "asgi", &error, None);
        Ok(Self {
            mounts: Mounts::new(mounted, settings.manage_script_name),
            wsgi,
            scopes: RefCell::new(ScopeBuilder::new(py).map_err(told)?),
            starter: Starter::new(py, &event_loop).map_err(told)?,
            event_loop: event_loop.unbind(),
            websockets: Arc::new(settings.websockets.clone()),
            lifespans: RefCell::new(Some(lifespans)),
            cast,
        })
    }

    fn place<'a>(&'a self, request: &'a Request) -> Option<Place<'a, App>> {
        self.mounts
            .choose(request.get(request.script_name), request.path())
    }

    fn answer(&self, py: Python<'_>, exchange: Exchange) {
        let request = Arc::clone(&exchange.request);
        let Some(place) = self.place(&request) else {
            return wsgi::nothing_mounted(exchange.responder, &request, !self.mounts.is_empty());
        };
        let app = place.app;
        if app.interface == Interface::Wsgi {
            // It is no coroutine of the loop: what it calls may start a loop of its own.
            let _apart = apart::apart(py);
            return self.wsgi.handle(exchange);
        }
        let Some(conversation) = exchange.responder.into_conversation() else {
            return;
        };
        let facts = Facts {
            request: &request,
            connection: &exchange.connection,
            slot: conversation.id().slot,
            root_path: place.script_name,
            path_info: place.path_info,
            state: app.state.as_ref(),
        };
        let (scope, talk): (_, Arc<dyn Talk>) = match self.find_handshake(&request) {
            None => (
                self.scopes.borrow_mut().http(py, &facts),
                Arc::new(Channel::new(Arc::clone(&request), exchange.body, conversation)),
            ),
            Some(Err(rejection)) => return reject(conversation, &rejection),
            Some(Ok(handshake)) => {
                let scope = self
                    .scopes
                    .borrow_mut()
                    .websocket(py, &facts, handshake.subprotocols());
                let event_loop = self.event_loop.clone_ref(py);
                let socket = Socket::new(Arc::clone(&request), handshake, conversation, event_loop);
                let socket = Arc::new(socket);
                // It may outlive its task.
                registry::insert(socket.clone(), None);
                (scope, socket)
            }
        };
        let begun = scope.and_then(|scope| self.begin(py, app, scope.into_any(), &talk));
        match begun {
            Ok(task) => tasks::follow(py, task, talk),
            Err(error) => {
                talk.finish(py, Some(&error));
                registry::remove(talk.id());
            }
        }
    }

    /// Does the client ask for a WebSocket?
    fn find_handshake(&self, request: &Request) -> Option<Result<Handshake, Rejection>> {
        request.field(b"upgrade")?;
        Handshake::find(request, &self.websockets)
    }

    /// Calls the application and begins with what it returned.
    fn begin<'py>(
        &self,
        py: Python<'py>,
        app: &App,
        scope: Bound<'py, PyAny>,
        talk: &Arc<dyn Talk>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let receive = Bound::new(py, Receive::new(talk, &self.event_loop, py))?;
        let send = Bound::new(py, Send::new(talk, &self.event_loop, py))?;
        let callable = app.callable.bind(py);
        let coroutine = match app.interface {
            Interface::Asgi2 => callable.call1((scope,))?.call1((receive, send))?,
            _ => callable.call1((scope, receive, send))?,
        };
        self.starter.start(py, &coroutine)
    }
}

/// The exchange whose task runs on this thread, if that has begun before.
pub(crate) fn exchange_of_current_task(py: Python<'_>) -> Option<ExchangeId> {
    if registry::is_empty() {
        return None;
    }
    let asyncio = py.import("asyncio").ok()?;
    let task = asyncio.call_method0("current_task").ok()?;
    registry::exchange_of(&task)
}

/// Answers a client that asks for a WebSocket in a way that there is none.
fn reject(mut conversation: Conversation, rejection: &Rejection) {
    let body = format!("{}\n", rejection.reason());
    conversation.respond(rejection.head(), body.into());
}

impl Gateway for AsgiGateway {
    fn body_mode(&self, request: &Request) -> BodyMode {
        match self.place(request) {
            Some(place) if place.app.interface != Interface::Wsgi => BodyMode::Streamed,
            _ => BodyMode::Complete,
        }
    }

    fn handle(&self, exchange: Exchange) {
        raw::with_interpreter(|py| self.answer(py, exchange));
    }

    fn hear(&self, id: ExchangeId, heard: Heard<'_>) -> Appetite {
        let Some(talk) = registry::talk(id) else {
            return Appetite::Hungry;
        };
        raw::with_interpreter(|py| {
            let appetite = talk.hear(py, heard);
            if let Heard::Overdue { is_shown } = heard {
                cancellation::cancel(py, &*talk, is_shown);
            }
            appetite
        })
    }

    fn driver(&self) -> Option<Box<dyn Driver>> {
        let lifespans = self.lifespans.borrow_mut().take()?;
        let event_loop = raw::with_interpreter(|py| self.event_loop.clone_ref(py));
        Some(Box::new(AsyncioDriver::new(event_loop, lifespans)))
    }

    fn rouse(&self) {
        raw::unpark();
    }

    fn rest(&self) {
        raw::rest();
    }

    fn sibling(&self) -> Option<Box<dyn Gateway>> {
        if !self.cast.is_parallel {
            return None;
        }
        let wsgi = self.wsgi.another()?;
        Some(Box::new(Sibling::new(Arc::clone(&self.cast), wsgi)))
    }
}
