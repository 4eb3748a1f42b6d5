//! [`Runtime`]: a language's interpreter with applications in it, as the process model drives it.
//!
//! The order of calls: `load` in the mold (or in each worker, with `lazy-apps`), `freeze` once before the first
//! fork, `fork` around every fork, `enter_worker` in the child, `leave` before it exits.

use std::path::PathBuf;
use std::time::Duration;

use crate::Gateway;

/// An application that was loaded, for the banner and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedApp {
    /// Where it is mounted; empty for the default one.
    pub mountpoint: String,
    /// What was asked for: `config.wsgi:application`.
    pub target: String,
    /// The interface it speaks: `WSGI`.
    pub interface: &'static str,
    /// How long the import took.
    pub took: Duration,
}

/// Why an application could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// One sentence: what, where, and the way out where there is one.
    pub message: String,
    /// The traceback, where the application raised; many lines.
    pub traceback: Option<String>,
    /// The status that the application asked the process to end with (`sys.exit(3)` at import).
    pub exit_status: Option<i32>,
}

impl LoadError {
    /// The message and, where there is one, the traceback, for a log.
    pub fn in_full(&self) -> String {
        match &self.traceback {
            Some(traceback) => format!("{}\n{}", self.message, traceback.trim_end()),
            None => self.message.clone(),
        }
    }
}

/// The moment of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkStage {
    /// Just before, in the parent.
    Before,
    /// Just after, in the parent; also when the fork failed.
    Parent,
    /// Just after, in the child.
    Child,
}

/// What a worker is told about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerFacts {
    /// 1, 2, …; 1 in a single process.
    pub number: usize,
    /// The master's pid; `None` in a single process.
    pub master: Option<i32>,
}

/// An interpreter, started.
pub trait Runtime {
    /// What it is, for the banner: `Python 3.11.7 (/srv/app/.venv)`.
    fn describe(&self) -> String;

    /// Imports the applications. An empty list: nothing was asked for.
    fn load(&mut self) -> Result<Vec<LoadedApp>, LoadError>;

    /// Makes what is loaded cheap to share with forked children, and moves it where the collector does not touch it. Before
    /// that `warm_up` is called with the gateway that workers will have, on this thread, unless it works in workers only.
    fn freeze(&mut self, warm_up: &mut dyn FnMut(&dyn Gateway));

    /// Brackets a fork of this process.
    fn fork(&mut self, stage: ForkStage);

    /// This process serves from now on: the gateway to the applications, and what a worker does before its
    /// first request (`chdir2`, hooks). The calling thread is the one that will run the loop; the interpreter
    /// is let go of.
    fn enter_worker(&mut self, facts: WorkerFacts) -> Result<Box<dyn Gateway>, LoadError>;

    /// May applications set deadlines themselves, as far as can be told? Where they may, a thread is needed that can tell their
    /// clients while they are stuck.
    fn may_set_deadlines(&self) -> bool {
        false
    }

    /// Files whose change calls for a reload while developing: the sources of all modules imported so far.
    fn source_files(&self) -> Vec<PathBuf>;

    /// The process ends: runs what the application registered for that (`atexit`), flushes its streams.
    fn leave(&mut self);
}
