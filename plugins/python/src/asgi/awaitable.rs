//! `receive` and `send`, and what they return to be awaited: finished at once where there is nothing to wait for.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::talk::{Progress, Talk};

/// `await receive()`
#[pyclass(frozen, module = "uwrs", freelist = 64)]
pub(super) struct Receive {
    talk: Arc<dyn Talk>,
    event_loop: Py<PyAny>,
}

impl Receive {
    pub(super) fn new(talk: &Arc<dyn Talk>, event_loop: &Py<PyAny>, py: Python<'_>) -> Self {
        Self {
            talk: Arc::clone(talk),
            event_loop: event_loop.clone_ref(py),
        }
    }
}

#[pymethods]
impl Receive {
    fn __call__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.talk.next_event(py)? {
            Some(event) => Ok(Py::new(py, Event(Mutex::new(Some(event.into_any().unbind()))))?.into_any()),
            None => Wait::object(py, &self.talk, &self.event_loop, For::Event),
        }
    }
}

/// `await send(event)`
#[pyclass(frozen, module = "uwrs", freelist = 64)]
pub(super) struct Send {
    talk: Arc<dyn Talk>,
    event_loop: Py<PyAny>,
}

impl Send {
    pub(super) fn new(talk: &Arc<dyn Talk>, event_loop: &Py<PyAny>, py: Python<'_>) -> Self {
        Self {
            talk: Arc::clone(talk),
            event_loop: event_loop.clone_ref(py),
        }
    }
}

#[pymethods]
impl Send {
    fn __call__(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.talk.send(message)? {
            Progress::Done => done(py),
            Progress::Wait => Wait::object(py, &self.talk, &self.event_loop, For::Room),
        }
    }
}

/// Nothing to wait for and nothing to give: one for all.
#[pyclass(frozen, module = "uwrs")]
struct Done;

fn done(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static DONE: PyOnceLock<Py<Done>> = PyOnceLock::new();
    let done = DONE.get_or_try_init(py, || Py::new(py, Done))?;
    Ok(done.clone_ref(py).into_any())
}

#[pymethods]
impl Done {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<()> {
        None
    }
}

/// An event that is here.
#[pyclass(frozen, module = "uwrs", freelist = 64)]
struct Event(Mutex<Option<Py<PyAny>>>);

#[pymethods]
impl Event {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> PyResult<Option<()>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(event) => Err(PyStopIteration::new_err((event,))),
            None => Ok(None),
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Event,
    Room,
}

/// Waits by a future of the loop, as often as it takes.
#[pyclass(frozen, module = "uwrs")]
struct Wait {
    talk: Arc<dyn Talk>,
    event_loop: Py<PyAny>,
    purpose: For,
    /// The future's iterator, while one is waited for.
    waiting: Mutex<Option<Py<PyAny>>>,
}

impl Wait {
    fn object(
        py: Python<'_>,
        talk: &Arc<dyn Talk>,
        event_loop: &Py<PyAny>,
        purpose: For,
    ) -> PyResult<Py<PyAny>> {
        let wait = Self {
            talk: Arc::clone(talk),
            event_loop: event_loop.clone_ref(py),
            purpose,
            waiting: Mutex::default(),
        };
        Ok(Py::new(py, wait)?.into_any())
    }

    /// What was waited for, by the value that ends the wait; `None`: it is not here.
    fn outcome(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.purpose {
            For::Event => Ok(self.talk.next_event(py)?.map(|event| event.into_any().unbind())),
            For::Room if self.talk.has_room() => Ok(Some(py.None())),
            For::Room => Ok(None),
        }
    }

    /// A new future, which will be set when it is worth looking again.
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let future = self
            .event_loop
            .bind(py)
            .call_method0(intern!(py, "create_future"))?;
        let iterator = future.call_method0(intern!(py, "__await__"))?;
        match self.purpose {
            For::Event => self.talk.wait_for_event(py, future.unbind()),
            For::Room => self.talk.wait_for_room(py, future.unbind()),
        }
        Ok(iterator)
    }
}

#[pymethods]
impl Wait {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// What the loop waits for next; at the end, StopIteration with what was awaited.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        loop {
            if let Some(iterator) = waiting.take() {
                match iterator.bind(py).call_method0(intern!(py, "__next__")) {
                    Ok(yielded) => {
                        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(iterator);
                        return Ok(Some(yielded.unbind()));
                    }
                    Err(error) if error.is_instance_of::<PyStopIteration>(py) => {}
                    Err(error) => return Err(error),
                }
            }
            match self.outcome(py)? {
                Some(value) if value.is_none(py) => return Ok(None),
                Some(value) => return Err(PyStopIteration::new_err((value,))),
                None => waiting = Some(self.begin(py)?.unbind()),
            }
        }
    }
}
