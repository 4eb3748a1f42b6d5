//! The `uwsgi` module that applications import: what they ask of the server, by the names that uWSGI gave it.
//! There is what works; what is not there raises AttributeError and not a lie.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicIsize, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyModule};
use uwrs_api::{ExchangeId, WorkerFacts};

use crate::{Settings, asgi, failure, interpreter, raw, wsgi};

/// This worker's number; 0 in the mold.
static WORKER: AtomicUsize = AtomicUsize::new(0);
/// The master's pid; 0 without one.
static MASTER: AtomicI32 = AtomicI32::new(0);

/// References to the module when nothing had imported it: its own functions' most of them.
static OWN_REFERENCES: AtomicIsize = AtomicIsize::new(0);

/// What sets a deadline.
static SET_DEADLINE: OnceLock<fn(Option<ExchangeId>, Option<Duration>)> = OnceLock::new();

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes `import uwsgi` work.
pub(crate) fn install(py: Python<'_>, settings: &Settings) -> PyResult<()> {
    MASTER.store(settings.master.unwrap_or(0), Ordering::Relaxed);
    if let Some(set_deadline) = settings.set_deadline {
        SET_DEADLINE.get_or_init(|| set_deadline);
    }
    let module = PyModule::new(py, "uwsgi")?;
    module.add("version", version(py))?;
    module.add("hostname", PyBytes::new(py, host_name().as_bytes()))?;
    module.add("numproc", settings.workers.max(1))?;
    module.add("started_on", seconds_since_the_epoch())?;
    module.add("has_threads", true)?;
    module.add("opt", options(py, &settings.options)?)?;
    module.add_function(wrap_pyfunction!(worker_id, &module)?)?;
    module.add_function(wrap_pyfunction!(mule_id, &module)?)?;
    module.add_function(wrap_pyfunction!(masterpid, &module)?)?;
    module.add_function(wrap_pyfunction!(reload, &module)?)?;
    module.add_function(wrap_pyfunction!(stop, &module)?)?;
    module.add_function(wrap_pyfunction!(log_line, &module)?)?;
    module.add_function(wrap_pyfunction!(set_user_harakiri, &module)?)?;
    interpreter::modules(py)?.set_item("uwsgi", module)?;
    OWN_REFERENCES.store(references(py), Ordering::Relaxed);
    Ok(())
}

/// How many references there are to the module; 0: it is not there.
fn references(py: Python<'_>) -> isize {
    let module = py.import("uwsgi").map(Bound::unbind);
    module.map_or(0, |module| raw::reference_count(&module, py))
}

/// Has anything imported the module? What imports it later is not known here.
pub(crate) fn is_imported(py: Python<'_>) -> bool {
    references(py) > OWN_REFERENCES.load(Ordering::Relaxed)
}

/// Tells the module which worker it lives in, and calls the application's `uwsgi.post_fork_hook`, if it set one.
pub(crate) fn enter_worker(py: Python<'_>, facts: WorkerFacts) {
    WORKER.store(facts.number, Ordering::Relaxed);
    MASTER.store(facts.master.unwrap_or(0), Ordering::Relaxed);
    let hook = py
        .import("uwsgi")
        .and_then(|module| module.getattr("post_fork_hook"));
    let Ok(hook) = hook else { return };
    if hook.is_none() {
        return;
    }
    if let Err(error) = hook.call0() {
        log::error!(
            "worker {}: uwsgi.post_fork_hook raised\n{}",
            facts.number,
            failure::traceback(py, &error)
        );
    }
}

/// Names the calling thread of Python's, as `threading` shows it: `uwrsWorker1Core0`.
pub(crate) fn name_thread(py: Python<'_>, core: usize) -> PyResult<()> {
    let thread = py.import("threading")?.call_method0("current_thread")?;
    thread.setattr(
        "name",
        format!("uwrsWorker{}Core{core}", WORKER.load(Ordering::Relaxed)),
    )
}

/// `uwsgi.version`, `environ["uwsgi.version"]`: bytes, as uWSGI has it on Python 3.
pub(crate) fn version(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, VERSION.as_bytes())
}

/// This machine's name.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// `uwsgi.opt`: bytes, or `True` for a key without a value, or a list of them for a repeated key.
fn options<'py>(py: Python<'py>, options: &[(String, Option<String>)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    // What uWSGI has to be told and uwrs always does: libraries look whether background threads live.
    dict.set_item("enable-threads", true)?;
    dict.set_item("py-call-uwsgi-fork-hooks", true)?;
    let mut given: Vec<&str> = Vec::new();
    for (name, value) in options {
        let value = match value {
            Some(value) => PyBytes::new(py, value.as_bytes()).into_any(),
            None => true.into_pyobject(py)?.to_owned().into_any(),
        };
        if !given.contains(&name.as_str()) {
            given.push(name);
            dict.set_item(name, value)?;
            continue;
        }
        let Some(before) = dict.get_item(name)? else {
            continue;
        };
        match before.cast_into::<PyList>() {
            Ok(list) => list.append(value)?,
            Err(error) => dict.set_item(name, [error.into_inner(), value])?,
        }
    }
    Ok(dict)
}

fn seconds_since_the_epoch() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The number of this worker, counted from 1; 0 while the application is loaded before the workers are forked.
#[pyfunction]
fn worker_id() -> usize {
    WORKER.load(Ordering::Relaxed)
}

/// 0: there are no mules.
#[pyfunction]
fn mule_id() -> usize {
    0
}

/// The process id of the master; 0 without one.
#[pyfunction]
fn masterpid() -> i32 {
    MASTER.load(Ordering::Relaxed)
}

/// Asks the master for a graceful reload. True, or None where there is no master.
#[pyfunction]
fn reload(py: Python<'_>) -> PyResult<Option<bool>> {
    signal_master(py, "SIGHUP")
}

/// Asks the master to stop gracefully. True, or None where there is no master.
#[pyfunction]
fn stop(py: Python<'_>) -> PyResult<Option<bool>> {
    signal_master(py, "SIGINT")
}

fn signal_master(py: Python<'_>, name: &str) -> PyResult<Option<bool>> {
    let master = masterpid();
    if master <= 0 {
        return Ok(None);
    }
    let signal = py.import("signal")?.getattr(name)?;
    py.import("os")?.call_method1("kill", (master, signal))?;
    Ok(Some(true))
}

/// Has another worker take this one's place if so many seconds pass before this is called again; 0 takes that back. The
/// client of the request gets 504. In a task of an ASGI request, or a greenlet: has that cancelled, and another worker take
/// over where it takes no notice.
#[pyfunction]
fn set_user_harakiri(py: Python<'_>, seconds: u32) {
    if let Some(set_deadline) = SET_DEADLINE.get() {
        let exchange = asgi::exchange_of_current_task(py).or_else(|| wsgi::exchange_of_current_greenlet(py));
        set_deadline(
            exchange,
            (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        );
    }
}

/// Writes a line to the server's log. True.
#[pyfunction(name = "log")]
fn log_line(message: &Bound<'_, PyAny>) -> PyResult<bool> {
    let line = match message.cast::<PyBytes>() {
        Ok(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
        Err(_) => message.str()?.to_string_lossy().into_owned(),
    };
    log::info!("{}", line.trim_end());
    Ok(true)
}
