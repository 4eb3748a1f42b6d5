//! gevent before there is a worker: whether it is there, the patching of Python's library, and what a fork leaves of it. The
//! greenlets that answer requests are [`crate::wsgi`]'s.

use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;
use uwrs_api::LoadError;

use crate::interface::Interface;
use crate::loader::Application;
use crate::{Greenlets, failure, interpreter};

/// Makes gevent ready, before anything of the applications is imported.
///
/// # Errors
/// It is not installed, or can't be used.
pub(crate) fn prepare(py: Python<'_>, greenlets: &Greenlets) -> Result<(), LoadError> {
    if let Err(error) = py.import("gevent") {
        if error.is_instance_of::<PyModuleNotFoundError>(py) {
            return Err(failure::plain(format!(
                "gevent = {}: it is not installed in {}: pip install gevent there, or have threads = N instead",
                greenlets.most,
                prefix(py)
            )));
        }
        return Err(failure::load_error(py, "gevent", &error, None));
    }
    if !greenlets.monkey_patch {
        return Ok(());
    }
    let patched = py
        .import("gevent.monkey")
        .and_then(|monkey| monkey.call_method0("patch_all"));
    patched
        .map(drop)
        .map_err(|error| failure::load_error(py, "gevent-monkey-patch", &error, None))
}

/// `/srv/app/.venv (Python 3.11.7)`
fn prefix(py: Python<'_>) -> String {
    let prefix = py
        .import("sys")
        .and_then(|sys| sys.getattr("prefix")?.extract::<String>());
    let version = py.version_info();
    format!(
        "{} (Python {}.{}.{})",
        prefix.unwrap_or_default(),
        version.major,
        version.minor,
        version.patch
    )
}

/// Refuses applications that have no use for greenlets.
///
/// # Errors
/// One of them speaks ASGI.
pub(crate) fn check(applications: &[Application]) -> Result<(), LoadError> {
    let other = applications.iter().find(|app| app.interface != Interface::Wsgi);
    match other {
        Some(app) => Err(failure::plain(format!(
            "gevent: {} speaks {}, whose requests are tasks of asyncio's loop and no greenlets: leave gevent out, or name \
             the WSGI application",
            app.target,
            app.interface.name()
        ))),
        None => Ok(()),
    }
}

/// After a fork, in the child: a hub that was made before, with its epoll and its threads, becomes the child's own.
pub(crate) fn adopt_hub(py: Python<'_>) {
    let adopted = py
        .import("gevent")
        .and_then(|gevent| gevent.call_method0("reinit"));
    if let Err(error) = adopted {
        log::error!("gevent.reinit: {}", failure::traceback(py, &error));
    }
}

/// How many threads the hub of this thread has for what can't wait as greenlets do; `None`: there is no hub. After a fork
/// it makes others.
pub(crate) fn hub_threads(py: Python<'_>) -> Option<usize> {
    let hub = py
        .import("gevent._hub_local")
        .and_then(|local| local.call_method0("get_hub_if_exists"));
    let hub = hub.ok().filter(|hub| !hub.is_none())?;
    let pool = hub.getattr("_threadpool").ok().filter(|pool| !pool.is_none());
    let size = pool.and_then(|pool| pool.getattr("size").ok()?.extract().ok());
    Some(size.unwrap_or(0))
}

/// Are `threading`'s threads greenlets? Without importing gevent where nobody did.
pub(crate) fn is_threading_patched(py: Python<'_>) -> bool {
    let patched = || -> PyResult<bool> {
        match interpreter::modules(py)?.get_item("gevent.monkey")? {
            Some(monkey) => monkey
                .call_method1("is_module_patched", ("threading",))?
                .is_truthy(),
            None => Ok(false),
        }
    };
    patched().unwrap_or(false)
}
