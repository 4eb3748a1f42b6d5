//! [`Gateway`]: what answers requests.

use crate::Exchange;

/// How a gateway wants request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Whole, before [`Gateway::handle`] is called: a slow sender never holds an interpreter.
    Complete,
}

/// What answers requests: an application behind WSGI or ASGI, static files, a metrics page.
pub trait Gateway {
    /// How it wants bodies.
    fn body_mode(&self) -> BodyMode;

    /// Answers, now or later, through [`Exchange::responder`]. Called on the loop's thread: what takes long
    /// holds everything up. A panic, or a responder dropped unanswered, is a 500.
    fn handle(&self, exchange: Exchange);

    /// The loop is about to wait: let go of what others may need meanwhile (the interpreter's lock).
    fn rest(&self) {}
}
