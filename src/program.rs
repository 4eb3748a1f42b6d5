//! [`Program`]: what the process model drives but does not know: the interpreter, the loop, the reader of the
//! configuration. `main` gives the real ones, tests others.

use uwrs_api::{Gateway, LoadError, Runtime};

use crate::config::Config;
use crate::sys::Pid;
use crate::worker::{Departure, Seat};

/// Starts an interpreter, without loading applications. The process id is the master's, where there is one.
pub type StartRuntime = fn(&Config, Option<Pid>) -> Result<Box<dyn Runtime>, LoadError>;

/// Serves until told to leave: a worker's life.
pub type Serve = fn(Seat, Box<dyn Gateway>, &dyn Runtime) -> Departure;

/// Reads the configuration again; every error begins with its place.
pub type Reread<'a> = &'a dyn Fn() -> Result<Config, Vec<String>>;

/// What the process model drives.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// Called in each mold, and in a single process.
    pub start_runtime: StartRuntime,
    /// Called in each worker.
    pub serve: Serve,
    /// Called in the master when it is asked to reload.
    pub reread: Reread<'a>,
}
