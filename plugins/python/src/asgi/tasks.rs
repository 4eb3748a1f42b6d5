//! Tasks of asyncio's loop that begin at once: an application that need not wait is done before the loop is asked again.
//!
//! Python 3.12 has such tasks (`eager_start`). Before, a task asks its loop to call its first step soon: here the request is
//! caught, and the step made at once. It is a task like any other: `asyncio.current_task()`, cancellation, timeouts
//! and task groups see no difference.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::events::kind_of;
use super::registry;
use super::talk::Talk;
use crate::raw;

/// How a task begins.
enum Start {
    /// As Python 3.12 offers it.
    Eager,
    /// By catching what the task asks of its loop.
    Caught {
        catcher: Py<Catcher>,
        /// asyncio's set of tasks: one that is done when it has begun need not enter it.
        all: Option<Py<PyAny>>,
    },
}

/// Begins tasks.
pub(super) struct Starter {
    event_loop: Py<PyAny>,
    /// `asyncio.Task`
    task: Py<PyAny>,
    coroutine: Py<PyAny>,
    keywords: Py<PyDict>,
    ensure_future: Py<PyAny>,
    start: Start,
}

impl Starter {
    /// For tasks of that loop.
    pub(super) fn new(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let asyncio = py.import("asyncio")?;
        let keywords = PyDict::new(py);
        keywords.set_item("loop", event_loop)?;
        keywords.set_item("name", "request")?;
        let start = if py.version_info() >= (3, 12) {
            keywords.set_item("eager_start", true)?;
            Start::Eager
        } else {
            Start::Caught {
                catcher: Py::new(py, Catcher(Mutex::default()))?,
                all: asyncio
                    .getattr("tasks")
                    .and_then(|tasks| tasks.getattr("_all_tasks"))
                    .map(Bound::unbind)
                    .ok(),
            }
        };
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            task: asyncio.getattr("Task")?.unbind(),
            coroutine: py.import("types")?.getattr("CoroutineType")?.unbind(),
            keywords: keywords.unbind(),
            ensure_future: asyncio.getattr("ensure_future")?.unbind(),
            start,
        })
    }

    /// Begins a task that runs `coroutine`. It may be done when this returns.
    ///
    /// # Errors
    /// It is nothing that can be awaited.
    pub(super) fn start<'py>(
        &self,
        py: Python<'py>,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop.bind(py);
        let is_plain = coroutine.get_type().is(&self.coroutine);
        if !is_plain && !coroutine.hasattr(intern!(py, "__await__"))? {
            return Err(PyTypeError::new_err(format!(
                "the application returned {}, not something to be awaited: does it speak WSGI? (interface = wsgi)",
                kind_of(coroutine)
            )));
        }
        // What an application sets to make tasks its own way is to be used.
        let factory = event_loop.call_method0(intern!(py, "get_task_factory"))?;
        if !is_plain || !factory.is_none() {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "loop"), event_loop)?;
            return self.ensure_future.bind(py).call((coroutine,), Some(&keywords));
        }
        let task = self.task.bind(py);
        let keywords = self.keywords.bind(py);
        match &self.start {
            Start::Eager => task.call((coroutine,), Some(keywords)),
            Start::Caught { catcher, all } => {
                let all = all.as_ref().map(|all| all.bind(py));
                let made = {
                    let _caught = Replaced::new(event_loop, intern!(py, "call_soon"), catcher.bind(py))?;
                    let _unseen = all
                        .map(|all| Replaced::new(all, intern!(py, "add"), catcher.bind(py)))
                        .transpose()?;
                    task.call((coroutine,), Some(keywords))
                };
                let caught = catcher.get().take();
                let made = made?;
                if let Some((step, context)) = caught
                    && let Err(error) = raw::in_context(context.bind(py), || step.call0(py))?
                    && !is_done(&made)?
                {
                    return Err(error);
                }
                // A task that is done has what it raised, also where asyncio lets it through (SystemExit).
                if let Some(all) = all
                    && !is_done(&made)?
                {
                    all.call_method1(intern!(py, "add"), (&made,))?;
                }
                Ok(made)
            }
        }
    }
}

/// An attribute of an object that is another for a moment.
struct Replaced<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    name: &'a Bound<'py, pyo3::types::PyString>,
}

impl<'a, 'py> Replaced<'a, 'py> {
    fn new(
        object: &'a Bound<'py, PyAny>,
        name: &'a Bound<'py, pyo3::types::PyString>,
        value: &Bound<'py, Catcher>,
    ) -> PyResult<Self> {
        object.setattr(name, value)?;
        Ok(Self { object, name })
    }
}

impl Drop for Replaced<'_, '_> {
    fn drop(&mut self) {
        if let Err(error) = self.object.delattr(self.name) {
            log::error!("asyncio: {} could not be put back: {error}", self.name);
        }
    }
}

/// What a task asks of its loop when it is made: to call its first step soon, in its context.
#[pyclass(frozen, module = "uwrs")]
struct Catcher(Mutex<Option<(Py<PyAny>, Py<PyAny>)>>);

impl Catcher {
    fn take(&self) -> Option<(Py<PyAny>, Py<PyAny>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Catcher {
    #[pyo3(signature = (step, *_arguments, context=None))]
    fn __call__(&self, step: Py<PyAny>, _arguments: &Bound<'_, PyTuple>, context: Option<Py<PyAny>>) {
        if let Some(context) = context {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((step, context));
        }
    }
}

fn is_done(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    task.call_method0(intern!(task.py(), "done"))?.is_truthy()
}

/// Sees to the end of a task: at once where it is done.
pub(super) fn follow(py: Python<'_>, task: Bound<'_, PyAny>, talk: Arc<dyn Talk>) {
    let followed = match is_done(&task) {
        Ok(true) => {
            conclude(py, &task, &talk);
            if talk.ends_with_its_task() {
                registry::remove(talk.id());
            }
            return;
        }
        Ok(false) => {
            registry::insert(Arc::clone(&talk), Some(task.clone().unbind()));
            task.call_method1(intern!(py, "add_done_callback"), (End(talk),))
        }
        Err(error) => Err(error),
    };
    if let Err(error) = followed {
        log::error!("a request's task cannot be followed: {error}");
    }
}

/// What asyncio calls at a task's end.
#[pyclass(frozen, module = "uwrs")]
struct End(Arc<dyn Talk>);

#[pymethods]
impl End {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        conclude(task.py(), task, &self.0);
        match self.0.ends_with_its_task() {
            true => registry::remove(self.0.id()),
            false => registry::forget_task(self.0.id()),
        }
    }
}

fn conclude(py: Python<'_>, task: &Bound<'_, PyAny>, talk: &Arc<dyn Talk>) {
    match task.call_method0(intern!(py, "exception")) {
        Ok(error) if error.is_none() => talk.finish(py, None),
        Ok(error) => talk.finish(py, Some(&PyErr::from_value(error))),
        // It was cancelled.
        Err(error) => talk.finish(py, Some(&error)),
    }
}
