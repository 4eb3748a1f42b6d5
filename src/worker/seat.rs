//! [`Seat`]: what a worker is given when it is forked.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use uwrs_api::WorkerFacts;

use crate::config::{Config, ListenerConfig};
use crate::scoreboard::Slot;
use crate::server::Ferry;

/// A listening socket, bound.
#[derive(Debug)]
pub struct BoundListener {
    /// The socket: listening, non-blocking, close-on-exec.
    pub fd: OwnedFd,
    /// What was asked for.
    pub config: ListenerConfig,
    /// Where it is bound, as shown to people: `127.0.0.1:8000`, `/run/app.sock`, `@name`.
    pub address: String,
    /// The TCP port; `None` for unix sockets.
    pub port: Option<u16>,
}

/// Tells the master that a worker accepts connections.
pub type Announcement = Box<dyn FnOnce() + Send>;

/// What a worker is given.
pub struct Seat {
    /// Its number and its master.
    pub facts: WorkerFacts,
    /// Which generation of the application it serves.
    pub generation: u64,
    /// The configuration of its generation.
    pub config: Arc<Config>,
    /// The sockets to accept from, shared with every other worker.
    pub listeners: Vec<Arc<BoundListener>>,
    /// Takes connections to other workers while this one's threads are all busy. `None`: there are no others.
    pub ferry: Option<Arc<Ferry>>,
    /// The worker's place in the shared table, occupied, `Starting`; `slot.board().is_paused()` says whether to accept.
    pub slot: Slot,
    /// Becomes readable when a signal asked this worker something; the byte is the signal's number. Non-blocking.
    /// TERM and INT: drain and leave (again: nothing more). QUIT: leave at once. USR1: reopen the log
    /// (`logging::reopen`; the master shows everyone's state). WINCH: look at `slot.board().is_paused()` again.
    pub signals: OwnedFd,
    /// To be called once connections are accepted: until then nobody relies on this worker, and an old generation goes on
    /// serving. `None`: nobody waits to hear it.
    pub ready: Option<Announcement>,
    /// At its end when the master is gone: the worker drains and leaves. `None` in a single process.
    pub lifeline: Option<OwnedFd>,
}

/// Why a worker returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Asked to leave: everything in hand was finished.
    Drained,
    /// The master vanished: everything in hand was finished.
    Orphaned,
    /// The loop broke (an error of epoll); logged.
    Failed,
}
