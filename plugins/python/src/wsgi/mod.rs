//! WSGI: from an [`Exchange`] to a call of the application, and from what it returns to a reply. PEP 3333 is the
//! contract.
//!
//! The application runs on the calling thread, and every thread has a gateway of its own: only the mounts and the
//! applications are shared. What is answered leaves whole where it is whole, and piece by piece, pulled by the server,
//! where it is an iterator.

mod answer;
mod body;
mod caches;
mod contexts;
mod current;
mod early_hints;
mod environ;
mod file_wrapper;
mod greenlets;
mod input;
mod response;
mod start_response;
mod stream;
mod template;

pub(crate) use body::lend;
pub(crate) use greenlets::{GeventGateway, exchange_of_current_greenlet};
pub(crate) use response::{log_failure, nothing_mounted};

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::prelude::*;
use uwrs_api::{BodyMode, Exchange, Gateway, Request};

use crate::mounts::{Mounts, Place};
use crate::{Settings, failure, raw, uwsgi_module};

use contexts::Contexts;
use current::CurrentExchange;
use environ::{EnvironBuilder, Facts};
use response::{Delivery, Unsent};
use start_response::Starters;

/// What answers requests with WSGI applications.
pub(crate) struct WsgiGateway {
    mounts: Arc<Mounts<Py<PyAny>>>,
    environ: RefCell<EnvironBuilder>,
    starters: RefCell<Starters>,
    contexts: Contexts,
    /// Where early hints go, and what is written.
    current: CurrentExchange,
}

impl WsgiGateway {
    /// A gateway to these applications.
    pub(crate) fn new(py: Python<'_>, mounts: Mounts<Py<PyAny>>, settings: &Settings) -> PyResult<Self> {
        let current = CurrentExchange::default();
        let mut starters = Starters::new(&current, settings.disable_write_exception);
        let starter = starters.take(py)?;
        starters.put_back(py, starter);
        let environ = EnvironBuilder::new(py, settings)?;
        environ.offer_early_hints(py, &current)?;
        Ok(Self {
            mounts: Arc::new(mounts),
            environ: RefCell::new(environ),
            starters: RefCell::new(starters),
            contexts: Contexts::default(),
            current,
        })
    }

    /// One to the same applications, for another thread. What went wrong is in the log.
    pub(crate) fn another(&self) -> Option<Self> {
        let copy = raw::with_interpreter(|py| {
            self.copy(py).inspect_err(|error| {
                log::error!("one more thread: {}", failure::traceback(py, error));
            })
        });
        copy.ok()
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let current = CurrentExchange::default();
        let environ = self.environ.borrow().copy(py)?;
        environ.offer_early_hints(py, &current)?;
        Ok(Self {
            mounts: Arc::clone(&self.mounts),
            environ: RefCell::new(environ),
            starters: RefCell::new(self.starters.borrow().others(&current)),
            contexts: Contexts::default(),
            current,
        })
    }

    fn answer(&self, py: Python<'_>, exchange: Exchange) {
        let Exchange {
            request,
            body,
            connection,
            responder,
        } = exchange;
        let place = self
            .mounts
            .choose(request.get(request.script_name), request.path());
        let Some(Place {
            app,
            script_name,
            path_info,
        }) = place
        else {
            return nothing_mounted(responder, &request, !self.mounts.is_empty());
        };
        let facts = Facts {
            request: &request,
            connection: &connection,
            slot: responder.id().slot,
            script_name,
            path_info,
        };
        let built = self.environ.borrow_mut().build(py, &facts, body);
        let environ = match built {
            Ok(environ) => environ,
            Err(error) => {
                return response::broken(py, responder, &request, "making the environ failed", &error);
            }
        };
        let taken = self.starters.borrow_mut().take(py);
        let starter = match taken {
            Ok(starter) => starter,
            Err(error) => {
                return response::broken(py, responder, &request, "making start_response failed", &error);
            }
        };
        let call = || {
            let in_hand = self.current.set(responder.forerunner());
            let returned = app.bind(py).call1((environ, starter.callable(py)));
            drop(in_hand);
            let delivery = Delivery {
                responder,
                request: &request,
                answer: starter.answer(),
            };
            match returned {
                Ok(returned) => delivery.deliver(py, returned),
                Err(error) => {
                    delivery.fail(py, "the application raised", &error);
                    None
                }
            }
        };
        // Whoever sends the rest of it may begin at once, on another thread.
        if let Err(error) = self.contexts.run(py, call, Unsent::send) {
            log_failure(py, &request, "its context is refused", &error);
        }
        self.starters.borrow_mut().put_back(py, starter);
    }
}

impl Gateway for WsgiGateway {
    fn body_mode(&self, _: &Request) -> BodyMode {
        BodyMode::Complete
    }

    fn handle(&self, exchange: Exchange) {
        raw::with_interpreter(|py| self.answer(py, exchange));
    }

    fn rouse(&self) {
        raw::unpark();
    }

    fn rest(&self) {
        raw::rest();
    }

    fn sibling(&self) -> Option<Box<dyn Gateway>> {
        Some(Box::new(self.another()?))
    }

    fn enter_thread(&self, core: usize) {
        raw::enter_thread();
        raw::with_interpreter(|py| {
            if let Err(error) = uwsgi_module::name_thread(py, core) {
                log::debug!("the name of thread {core}: {}", failure::traceback(py, &error));
            }
        });
    }

    fn leave_thread(&self) {
        raw::leave_thread();
    }
}
