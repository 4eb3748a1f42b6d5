//! Python inside uwrs: the interpreter, the loader, the gateways of WSGI and ASGI. All of pyo3 is here, nothing else has it.
//!
//! [`start`] gives the [`Runtime`] that the process model drives: `home` is looked at and the interpreter started in it,
//! `load` imports the applications, `freeze` and `fork` make workers of the mold, `enter_worker` gives the gateway.
//! Whoever holds the interpreter does so for as long as there is work and lets go before waiting: the runtime when
//! one of its calls returns, the gateway in `rest`. Between `ForkStage::Before` and the stage after it the
//! calling thread keeps hold.

#![deny(unsafe_code)]

mod apart;
mod asgi;
mod by_connection;
mod content_length;
mod failure;
mod gevent;
mod home;
mod inheritance;
mod interface;
mod interpreter;
mod loader;
mod mounts;
#[expect(
    unsafe_code,
    reason = "the one place that speaks to CPython without pyo3's help"
)]
mod raw;
mod runtime;
mod scheme;
mod target;
mod turning;
mod uwsgi_module;
mod wsgi;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uwrs_api::{ExchangeId, LoadError, Runtime};

pub use crate::interface::Interface;
use crate::runtime::PythonRuntime;
pub use uwrs_websocket::{DeflateSettings, Settings as WebSocketSettings};

/// What the interpreter is started and the applications are loaded with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The virtualenv or Python home (`home`, `virtualenv`); `None`: the Python that uwrs was built against.
    pub home: Option<PathBuf>,
    /// Put in front of `sys.path`, the last one first (`pythonpath`).
    pub pythonpath: Vec<PathBuf>,
    /// `sys.argv[1..]` (`pyargv`, split on blanks).
    pub argv: Vec<String>,
    /// Imported before the applications (`import`); a failure is printed, not fatal.
    pub imports: Vec<String>,
    /// The applications.
    pub apps: Vec<AppSpec>,
    /// Name of the callable where a target names none (`callable`); default `application`.
    pub callable: Option<String>,
    /// How applications are called (`interface`); `None`: as each of them looks.
    pub interface: Option<Interface>,
    /// Whose loop ASGI applications run in (`loop`).
    pub event_loop: LoopChoice,
    /// Whether they are told that the server starts and ends (`lifespan`).
    pub lifespan: LifespanChoice,
    /// What WebSockets may bring and how they are kept.
    pub websockets: WebSocketSettings,
    /// WSGI applications run on greenlets (`gevent`); `None`: on threads.
    pub greenlets: Option<Greenlets>,
    /// Give PATH_INFO's mountpoint to SCRIPT_NAME (`manage-script-name`).
    pub manage_script_name: bool,
    /// Offer no `wsgi.file_wrapper` (`wsgi-disable-file-wrapper`).
    pub disable_file_wrapper: bool,
    /// `write` raises nothing when the client is gone (`disable-write-exception`).
    pub disable_write_exception: bool,
    /// `wsgi.multiprocess`: more than one worker.
    pub multiprocess: bool,
    /// `wsgi.multithread`: more than one thread a worker.
    pub multithread: bool,
    /// Entered after loading, in each worker (`chdir2`).
    pub chdir2: Option<PathBuf>,
    /// How many workers there are (`uwsgi.numproc`); 0 counts as 1.
    pub workers: usize,
    /// The master's pid (`uwsgi.masterpid()`, also at import); `None` without one.
    pub master: Option<i32>,
    /// A signal at which a traceback of each thread is written to standard error, also while C code holds the interpreter.
    pub traceback_signal: Option<i32>,
    /// What `uwsgi.set_user_harakiri` does: has another worker take over if this one has not come back to take that back
    /// when so much time has passed; `None`: takes it back. For which exchange, where that is not the one that the calling
    /// thread has in hand.
    pub set_deadline: Option<fn(Option<ExchangeId>, Option<Duration>)>,
    /// What was said, in order, for `uwsgi.opt`; `None`: a key without a value.
    pub options: Vec<(String, Option<String>)>,
}

/// How WSGI applications run on gevent's greenlets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greenlets {
    /// Requests that run side by side in a worker, at most.
    pub most: usize,
    /// Python's library is made to wait as greenlets do, before the applications are loaded (`gevent-monkey-patch`).
    pub monkey_patch: bool,
    /// A worker that leaves waits for greenlets that the applications have spawned, too (`gevent-wait-for-hub`).
    pub wait_for_hub: bool,
}

/// A loop for ASGI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopChoice {
    /// uvloop where it is installed, else asyncio's own.
    #[default]
    Auto,
    /// asyncio's own.
    Asyncio,
    /// uvloop's.
    Uvloop,
}

/// Whether applications have an ASGI lifespan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifespanChoice {
    /// Those that take part in it.
    #[default]
    Auto,
    /// All of them; one that does not is an error.
    On,
    /// None: they are not asked.
    Off,
}

/// One application to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSpec {
    /// Where it is mounted (`/api`); empty: the default application.
    pub mountpoint: String,
    /// What to load.
    pub target: AppTarget,
}

/// Where an application comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppTarget {
    /// `pkg.mod`, `pkg.mod:callable`, `pkg.mod:factory()` (`module`, `wsgi`).
    Module(String),
    /// A file to run as a module (`wsgi-file`), with the callable's name where one was given behind a colon.
    File(PathBuf, Option<String>),
}

/// Starts the interpreter, once per process, in the current directory (`chdir` is done before). The calling thread is
/// the one that calls the runtime and runs the loop; it has let go of the interpreter when this returns.
pub fn start(settings: Settings) -> Result<Box<dyn Runtime>, LoadError> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::Relaxed) {
        return Err(failure::plain(
            "python: it is started already, and once is all a process can".to_owned(),
        ));
    }
    Ok(Box::new(PythonRuntime::start(settings)?))
}
