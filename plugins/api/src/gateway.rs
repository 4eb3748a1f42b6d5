//! [`Gateway`]: what answers requests.

use crate::{Driver, Exchange, ExchangeId, Request};

/// How a gateway wants the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Whole, before [`Gateway::handle`] is called: a slow sender never holds an interpreter.
    Complete,
    /// As it comes: what there is already with the exchange, the rest through [`Gateway::hear`]. The answer may be
    /// pushed, see [`Conversation`](crate::Conversation).
    Streamed,
    /// Whole, as [`BodyMode::Complete`]; the answer may be pushed, and the gateway hears of the client, as with
    /// [`BodyMode::Streamed`].
    Collected,
}

/// What a gateway hears of an exchange whose body is [`BodyMode::Streamed`] or [`BodyMode::Collected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Some of the body.
    Body(&'a [u8]),
    /// The body is complete.
    BodyEnd,
    /// The client has taken enough of the answer for more of it: said once for each
    /// [`Conversation::ask_for_room`](crate::Conversation::ask_for_room).
    Room,
    /// The worker leaves: a connection that has left its protocol should come to its end.
    Leaving {
        /// Another one takes its place, so that the client may come again at once.
        has_successor: bool,
    },
    /// It has kept its client waiting for too long: the client has been told so, and what is sent to it reaches nobody. The
    /// application is to give up.
    Overdue {
        /// The log is to say what the application is doing.
        is_shown: bool,
    },
    /// The client says nothing more: it is gone, or has closed its side. Nothing more of the body comes. What is
    /// answered is sent as long as the kernel takes it.
    Gone,
}

/// Whether a gateway wants more of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// It does.
    Hungry,
    /// Not before it says so with [`Conversation::read_on`](crate::Conversation::read_on).
    Full,
}

/// What answers requests: an application behind WSGI or ASGI, static files, a metrics page. It belongs to one thread;
/// a worker with several asks it for others like it.
pub trait Gateway: Send {
    /// How it wants the body of `request`. A worker with several threads gives whole ones in any case.
    fn body_mode(&self, request: &Request) -> BodyMode;

    /// Answers, now or later, through [`Exchange::responder`]. What takes long holds up the calling thread: in a
    /// worker with one thread that is the loop's. A panic, or a responder dropped unanswered, is a 500.
    fn handle(&self, exchange: Exchange);

    /// Something has happened to an exchange that is streamed, on the thread that [`Gateway::handle`] was called
    /// on. Not called once the answer is complete, but for [`Heard::Overdue`].
    fn hear(&self, id: ExchangeId, heard: Heard<'_>) -> Appetite {
        let _ = (id, heard);
        Appetite::Hungry
    }

    /// How many exchanges it can have in hand at once, where [`Gateway::handle`] returns before they are answered: each of
    /// them until [`Turns::done`](crate::Turns::done) is called. `None`: as many as come, or one after the other.
    fn capacity(&self) -> Option<usize> {
        None
    }

    /// What turns the server's loop, where that is not for the worker's thread to do by itself. Asked for once.
    fn driver(&self) -> Option<Box<dyn Driver>> {
        None
    }

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
