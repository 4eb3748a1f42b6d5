//! Python inside uwrs: the interpreter, the loader, the WSGI gateway. All of pyo3 is here, nothing else has it.

use std::path::PathBuf;

use uwrs_api::{LoadError, Runtime};

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
    /// Give PATH_INFO's mountpoint to SCRIPT_NAME (`manage-script-name`).
    pub manage_script_name: bool,
    /// `wsgi.multiprocess`: more than one worker.
    pub multiprocess: bool,
    /// `wsgi.multithread`: more than one thread a worker.
    pub multithread: bool,
    /// Entered after loading, in each worker (`chdir2`).
    pub chdir2: Option<PathBuf>,
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

/// Starts the interpreter. Once per process.
pub fn start(settings: Settings) -> Result<Box<dyn Runtime>, LoadError> {
    let _ = settings;
    Err(LoadError {
        message: "python is not there yet".into(),
        traceback: None,
        exit_status: None,
    })
}
