//! [`Gateway`]: what answers requests.

use crate::Exchange;

/// How a gateway wants request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Whole, before [`Gateway::handle`] is called: a slow sender never holds an interpreter.
    Complete,
}

/// What answers requests: an application behind WSGI or ASGI, static files, a metrics page. It belongs to one thread;
/// a worker with several asks it for others like it.
pub trait Gateway: Send {
    /// How it wants bodies.
    fn body_mode(&self) -> BodyMode;

    /// Answers, now or later, through [`Exchange::responder`]. What takes long holds up the calling thread: in a
    /// worker with one thread that is the loop's. A panic, or a responder dropped unanswered, is a 500.
    fn handle(&self, exchange: Exchange);

    /// The calling thread is about to do work of [`Gateway::handle`]'s kind: take hold of what it needs (the
    /// interpreter's lock), so that the wait for it is not counted as the application's time.
    fn rouse(&self) {}

    /// The calling thread is about to wait: let go of what others may need meanwhile (the interpreter's lock).
    fn rest(&self) {}

    /// A gateway to the same applications for one more thread. `None`: they are not made for more than one.
    fn sibling(&self) -> Option<Box<dyn Gateway>> {
        None
    }

    /// The calling thread is the one that this gateway serves from now on, the worker's thread number `core`, one of
    /// several; 0 is the one that the worker began with. Called before anything else.
    fn enter_thread(&self, core: usize) {
        let _ = core;
    }

    /// The calling thread, which [`Gateway::enter_thread`] was called on, is about to end. Not called on thread 0.
    fn leave_thread(&self) {}
}
