//! [`Sibling`]: an [`AsgiGateway`] for one more thread, which begins there: its loop, and the lives of the applications in
//! it.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use uwrs_api::{Appetite, BodyMode, Driver, Exchange, ExchangeId, Gateway, Heard, Request};

use super::{AsgiGateway, Cast};
use crate::raw;
use crate::wsgi::WsgiGateway;

/// A gateway that begins when it is on its thread.
pub(super) struct Sibling {
    cast: Arc<Cast>,
    /// Until it begins.
    wsgi: RefCell<Option<WsgiGateway>>,
    /// From then on, if it could.
    gateway: OnceCell<AsgiGateway>,
}

impl Sibling {
    /// Of the same cast.
    pub(super) fn new(cast: Arc<Cast>, wsgi: WsgiGateway) -> Self {
        Self {
            cast,
            wsgi: RefCell::new(Some(wsgi)),
            gateway: OnceCell::new(),
        }
    }
}

impl Gateway for Sibling {
    fn body_mode(&self, request: &Request) -> BodyMode {
        match self.gateway.get() {
            Some(gateway) => gateway.body_mode(request),
            None => BodyMode::Complete,
        }
    }

    fn handle(&self, exchange: Exchange) {
        if let Some(gateway) = self.gateway.get() {
            gateway.handle(exchange);
        }
    }

    fn hear(&self, id: ExchangeId, heard: Heard<'_>) -> Appetite {
        match self.gateway.get() {
            Some(gateway) => gateway.hear(id, heard),
            None => Appetite::Hungry,
        }
    }

    /// `None` where it could not begin.
    fn driver(&self) -> Option<Box<dyn Driver>> {
        self.gateway.get()?.driver()
    }

    fn rouse(&self) {
        raw::unpark();
    }

    fn rest(&self) {
        raw::rest();
    }

    fn enter_thread(&self, core: usize) {
        let Some(wsgi) = self.wsgi.take() else { return };
        wsgi.enter_thread(core);
        let begun = raw::with_interpreter(|py| AsgiGateway::start(py, Arc::clone(&self.cast), wsgi));
        match begun {
            Ok(gateway) => {
                // It begins once.
                let _ = self.gateway.set(gateway);
            }
            Err(error) => log::error!("thread {core}: {}", error.in_full()),
        }
    }

    fn leave_thread(&self) {
        raw::leave_thread();
    }
}
