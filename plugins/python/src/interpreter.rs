//! The interpreter's start: which Python, `sys.path`, `sys.argv`, the standard streams. What is loaded into it is the
//! loader's business.

use std::io;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use uwrs_api::LoadError;

use crate::Settings;
use crate::failure;
use crate::home::{self, Home, PythonVersion};
use crate::raw::{self, Launch};

/// The Python that this program was built with, the one behind its virtualenv. `sys.executable` where no `home` is
/// set, so that `multiprocessing` and `subprocess` find a Python and not this server.
const BASE_PYTHON: &str = env!("UWRS_BASE_PYTHON");

/// The version of the libpython that this program is linked to.
pub(crate) const OURS: PythonVersion = PythonVersion {
    major: 3,
    minor: if cfg!(Py_3_15) {
        15
    } else if cfg!(Py_3_14) {
        14
    } else if cfg!(Py_3_13) {
        13
    } else if cfg!(Py_3_12) {
        12
    } else if cfg!(Py_3_11) {
        11
    } else if cfg!(Py_3_10) {
        10
    } else {
        9
    },
};

/// Starts the interpreter in `settings.home`; the calling thread holds it then.
pub(crate) fn start(settings: &Settings) -> Result<(), LoadError> {
    let launch = plan(settings).map_err(|reason| failure::plain(format!("home: {reason}")))?;
    raw::launch(&launch).map_err(|reason| failure::plain(cannot_start(settings, &reason)))?;
    raw::with_interpreter(|py| prepare(py, settings))
        .map_err(|error| raw::with_interpreter(|py| failure::load_error(py, "python", &error, None)))
}

/// `sys.modules`
pub(crate) fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    Ok(py.import("sys")?.getattr("modules")?.cast_into()?)
}

/// Do threads run Python side by side: has it no global lock (PEP 703), or was that let go of?
pub(crate) fn is_parallel(py: Python<'_>) -> bool {
    let is_locked = py
        .import("sys")
        .and_then(|sys| sys.call_method0("_is_gil_enabled"))
        .and_then(|is_locked| is_locked.is_truthy());
    // Before Python 3.13 nobody could ask.
    is_locked.is_ok_and(|is_locked| !is_locked)
}

fn plan(settings: &Settings) -> Result<Launch, String> {
    let mut launch = Launch {
        argv: std::iter::once("uwrs".to_owned())
            .chain(settings.argv.iter().cloned())
            .collect(),
        ..Launch::default()
    };
    match &settings.home {
        Some(home) => match home::inspect(home, OURS)? {
            Home::Virtualenv(python) => launch.executable = Some(python),
            Home::Installation { prefix, python } => {
                launch.executable = python;
                launch.home = Some(prefix);
            }
        },
        None if Path::new(BASE_PYTHON).is_file() => launch.executable = Some(PathBuf::from(BASE_PYTHON)),
        None => {}
    }
    Ok(launch)
}

fn cannot_start(settings: &Settings, reason: &str) -> String {
    // The usual cause where `uid` is set and Python is installed in someone's home.
    let denied = |path: &Path| matches!(path.metadata(), Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
    if denied(Path::new(BASE_PYTHON)) {
        return format!(
            "python: Python {OURS} does not start: this user may not read {BASE_PYTHON}: give it the right to, or build uwrs \
             for a Python that everyone may read"
        );
    }
    match &settings.home {
        Some(home) => format!(
            "home: Python {OURS} does not start in {}: {reason}",
            home.display()
        ),
        None => format!("python: Python {OURS} does not start: {reason}: say where it is with home"),
    }
}

fn prepare(py: Python<'_>, settings: &Settings) -> PyResult<()> {
    let sys = py.import("sys")?;
    let path = sys.getattr("path")?.cast_into::<PyList>()?;
    // As `python app.py` and uWSGI have it: the current directory before the standard library, but by its name,
    // so that a later chdir does not change what an import finds.
    if let Ok(directory) = std::env::current_dir() {
        path.insert(0, directory.as_os_str())?;
    }
    for entry in &settings.pythonpath {
        for entry in expand(py, entry)? {
            path.insert(0, entry.as_os_str())?;
        }
    }
    for name in ["stdout", "stderr"] {
        let stream = sys.getattr(name)?;
        // None where the descriptor is closed.
        if !stream.is_none() {
            let options = PyDict::new(py);
            options.set_item("line_buffering", true)?;
            // Also where PYTHONUNBUFFERED asks for none: the words of one `print` are one write, or the lines of
            // several processes end up in one another.
            options.set_item("write_through", false)?;
            stream.call_method("reconfigure", (), Some(&options))?;
        }
    }
    Ok(())
}

/// The paths that a `pythonpath` stands for: itself, or what its `*`, `?` and `[…]` match.
fn expand(py: Python<'_>, entry: &Path) -> PyResult<Vec<PathBuf>> {
    let shown = entry.to_string_lossy();
    if !shown.contains(['*', '?', '[']) {
        return Ok(vec![
            std::path::absolute(entry).unwrap_or_else(|_| entry.to_owned()),
        ]);
    }
    let mut found: Vec<PathBuf> = py
        .import("glob")?
        .call_method1("glob", (entry.as_os_str(),))?
        .extract()?;
    found.sort();
    if found.is_empty() {
        log::warn!("pythonpath: nothing matches {shown}");
    }
    Ok(found)
}

/// `Python 3.11.7 (/srv/app/.venv)`
pub(crate) fn describe(py: Python<'_>) -> String {
    let version = py.version_info();
    let prefix = py
        .import("sys")
        .and_then(|sys| sys.getattr("prefix")?.extract::<PathBuf>())
        .unwrap_or_default();
    format!(
        "Python {}.{}.{}{} ({})",
        version.major,
        version.minor,
        version.patch,
        version.suffix.unwrap_or_default(),
        prefix.display()
    )
}

/// Writes out what `sys.stdout` and `sys.stderr` hold back. A stream that is broken is not our worry.
pub(crate) fn flush_streams(py: Python<'_>) {
    let Ok(sys) = py.import("sys") else { return };
    for name in ["stdout", "stderr"] {
        if let Ok(stream) = sys.getattr(name) {
            let _ = stream.call_method0("flush");
        }
    }
}
