//! [`Driver`]: a loop of its own that turns the server's: asyncio's, or gevent's hub.
//!
//! The server's loop is a descriptor that the driver watches; it becomes readable when a turn has something to do.

use std::fmt;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use crate::ExchangeId;

/// What owns a worker's thread in the server's place.
pub trait Driver {
    /// Turns `turns` until a turn says [`Turned::Stop`]; may be called again after that.
    fn drive(&mut self, turns: Rc<dyn Turns>);

    /// What tells what this driver's thread, which is the calling one, is doing. `None`: that can't be told.
    fn observer(&self) -> Option<Box<dyn Observer>> {
        None
    }

    /// No turn will follow: finishes what the applications have under way beside requests, and tells them that it is
    /// over (ASGI's lifespan).
    fn finish(&mut self);
}

/// What tells, on any thread and without the interpreter, what the thread of a driver is doing.
pub trait Observer: Send {
    /// The calls that it is in, the latest last. Empty: it did not answer.
    fn look(&self) -> Vec<Frame>;
}

/// A call that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The source.
    pub file: String,
    /// Where in it, from 1.
    pub line: u32,
    /// The function's name.
    pub function: String,
}

impl fmt::Display for Frame {
    /// As a traceback has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "File \"{}\", line {}, in {}",
            self.file, self.line, self.function
        )
    }
}

/// The server's loop, to be turned by a [`Driver`], on one thread.
pub trait Turns {
    /// Readable when [`Turns::turn`] has something to do.
    fn descriptor(&self) -> RawFd;

    /// Handles all that is ready, without waiting.
    fn turn(&self) -> Turned;

    /// Has what was left for the exchange `id` sent now, unless this is called amidst a turn.
    fn deliver(&self, id: ExchangeId) -> Delivered;

    /// The application is done with one of the exchanges that [`Gateway::capacity`](crate::Gateway::capacity) counts:
    /// there is room for another, which may be handed to the gateway before this returns. Not amidst a turn.
    fn done(&self);
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The next turn is due when the descriptor is readable, or after that time, whichever is first.
    Wait(Option<Duration>),
    /// The next turn is due at once.
    Again,
    /// The driver is to return.
    Stop,
}

/// What has become of what was left for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The client has room for more.
    Room,
    /// It is on its way, but the client has not taken enough of it: ask for room before more is left.
    Full,
    /// All that the client will ever get of the answer's body is on its way: it asked with HEAD, the status has no body,
    /// or Content-Length is reached. What else is left is dropped.
    Enough,
    /// A turn is under way, which will see to it.
    Later,
    /// The exchange is over.
    Gone,
}
