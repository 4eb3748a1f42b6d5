//! [`Lifespans`]: the lives of the applications in this process (ASGI's lifespan protocol): begun before the first request,
//! ended after the last.

use std::ffi::CString;

use log::Level;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::LoadError;

use super::cancellation;
use crate::interface::Interface;
use crate::{LifespanChoice, failure};

/// The protocol itself: awaiting is what Python is good at, and it happens once in a process's life.
const SOURCE: &str = include_str!("lifespan.py");

/// The lives that were begun, in order.
pub(super) struct Lifespans {
    event_loop: Py<PyAny>,
    open: Vec<Py<PyAny>>,
}

impl Lifespans {
    /// None yet.
    pub(super) fn new(event_loop: &Bound<'_, PyAny>) -> Self {
        Self {
            event_loop: event_loop.clone().unbind(),
            open: Vec::new(),
        }
    }

    /// Begins an application's life. Returns the state that it wants its requests to share; `None`: it has no lifespan.
    ///
    /// # Errors
    /// It says that it cannot start, or it must have a lifespan (`lifespan = on`) and has none.
    pub(super) fn start(
        &mut self,
        py: Python<'_>,
        application: &Bound<'_, PyAny>,
        interface: Interface,
        choice: LifespanChoice,
    ) -> Result<Option<Py<PyDict>>, LoadError> {
        if choice == LifespanChoice::Off {
            return Ok(None);
        }
        let told = |error: &PyErr| failure::load_error(py, "lifespan", error, None);
        let module = module(py).map_err(|error| told(&error))?;
        let state = PyDict::new(py);
        let begun = module
            .getattr(intern!(py, "Lifespan"))
            .and_then(|class| class.call1((application, interface == Interface::Asgi2, &state, Teller)))
            .and_then(|life| Ok((life.clone(), life.call_method0(intern!(py, "start"))?)))
            .and_then(|(life, coroutine)| self.run(py, &coroutine).map(|_| life));
        let error = match begun {
            Ok(life) => {
                self.open.push(life.unbind());
                return Ok(Some(state.unbind()));
            }
            Err(error) => error,
        };
        let is = |name: &str| {
            let class = module.getattr(name);
            class.is_ok_and(|class| error.is_instance(py, &class))
        };
        if is("Unsupported") {
            // Who raises at the sight of the scope has never heard of it, and nobody need hear of that.
            let arguments = error.value(py).getattr(intern!(py, "args"));
            let has_listened = arguments.and_then(|arguments| arguments.extract::<(bool,)>());
            let cause = error.cause(py);
            let level = match (has_listened, &cause) {
                (Ok((true,)), Some(_)) => Level::Warn,
                (Ok((true,)), None) => Level::Info,
                _ => Level::Debug,
            };
            return unsupported(py, cause, choice, level);
        }
        if is("Failed") {
            let message = error.value(py).str().map(|text| text.to_string());
            return Err(failed(&message.unwrap_or_default()));
        }
        Err(told(&error))
    }

    /// Ends all lives, the last one first.
    pub(super) fn stop(&mut self, py: Python<'_>) {
        while let Some(life) = self.open.pop() {
            let stopped = life
                .bind(py)
                .call_method0(intern!(py, "stop"))
                .and_then(|coroutine| self.run(py, &coroutine));
            if let Err(error) = stopped {
                log::error!(
                    "lifespan: the shutdown failed\n{}",
                    failure::traceback(py, &error)
                );
            }
        }
    }

    fn run<'py>(&self, py: Python<'py>, coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop.bind(py);
        event_loop.call_method1(intern!(py, "run_until_complete"), (coroutine,))
    }
}

/// Says for what everyone waits.
#[pyclass(frozen, module = "uwrs")]
struct Teller;

#[pymethods]
impl Teller {
    fn __call__(&self, doing: &str, task: &Bound<'_, PyAny>) {
        log::warn!(
            "lifespan: the application has been {doing}; it is here (most recent call last):\n{}",
            cancellation::place(task)
        );
    }
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let source = CString::new(SOURCE)?;
    PyModule::from_code(py, &source, c"uwrs/lifespan.py", c"uwrs_lifespan")
}

/// What `startup.failed` says: a traceback in Starlette's case, a sentence in others'.
fn failed(message: &str) -> LoadError {
    let mut lines = message.trim_end().lines().rev();
    let last = lines.next().unwrap_or("no reason was given").trim();
    LoadError {
        message: format!("lifespan: the application cannot start: {last}"),
        traceback: (message.trim_end().lines().count() > 1).then(|| message.to_owned()),
        exit_status: None,
    }
}

fn unsupported(
    py: Python<'_>,
    cause: Option<PyErr>,
    choice: LifespanChoice,
    level: Level,
) -> Result<Option<Py<PyDict>>, LoadError> {
    let reason = cause.as_ref().map_or_else(
        || "it returned".to_owned(),
        |cause| format!("it raised {}", failure::one_line(py, cause)),
    );
    if choice == LifespanChoice::On {
        return Err(LoadError {
            message: format!(
                "lifespan = on: the application has no lifespan: {reason} before its start was complete"
            ),
            traceback: cause.map(|cause| failure::traceback(py, &cause)),
            exit_status: None,
        });
    }
    log::log!(
        level,
        "the application has no lifespan: {reason} (lifespan = off does not ask, on makes it an error)"
    );
    Ok(None)
}
