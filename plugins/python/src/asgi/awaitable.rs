//! `receive` and `send`, and what they return to be awaited: finished at once where there is nothing to wait for.
//!
//! It is no coroutine, but can do all that asyncio asks of one: `asyncio.create_task(receive())` works.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

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
        // The event is taken when it is waited for: a task that is cancelled before it begins loses none.
        Wait::object(py, &self.talk, &self.event_loop, For::Event)
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

/// What `receive()` and `send()` return. `None`: it is over, with nothing to give.
#[pyclass(frozen, module = "uwrs", freelist = 64)]
struct Awaited(Mutex<Option<Wait>>);

/// Nothing to wait for and nothing to give: one for all.
fn done(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static DONE: PyOnceLock<Py<Awaited>> = PyOnceLock::new();
    let done = DONE.get_or_try_init(py, || Py::new(py, Awaited(Mutex::new(None))))?;
    Ok(done.clone_ref(py).into_any())
}

impl Awaited {
    /// Not held while Python code runs: that may come back here.
    fn replace(&self, wait: Option<Wait>) -> Option<Wait> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), wait)
    }
}

#[pymethods]
impl Awaited {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// What the loop waits for next; at the end, StopIteration with what was awaited.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(mut wait) = self.replace(None) else {
            return Ok(None);
        };
        let step = wait.step(py);
        if let Ok(Some(_)) = step {
            self.replace(Some(wait));
        }
        step
    }

    /// As a coroutine's: the value goes to nobody.
    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let _ = value;
        self.__next__(py)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// As a coroutine's: the wait ends with that.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.close();
        let error = match (value.filter(|value| !value.is_none()), kind.cast::<PyType>()) {
            (Some(value), _) if value.is_instance_of::<PyBaseException>() => value.clone(),
            (Some(value), Ok(kind)) => kind.call1((value,))?,
            (None, Ok(kind)) => kind.call0()?,
            (_, Err(_)) => kind.clone(),
        };
        if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
            error.setattr(intern!(error.py(), "__traceback__"), traceback)?;
        }
        Err(PyErr::from_value(error))
    }

    /// As a coroutine's: nobody waits any more.
    fn close(&self) {
        drop(self.replace(None));
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Event,
    Room,
}

/// Waits by a future of the loop, as often as it takes.
struct Wait {
    talk: Arc<dyn Talk>,
    event_loop: Py<PyAny>,
    purpose: For,
    /// The future's iterator, while one is waited for.
    waiting: Option<Py<PyAny>>,
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
            waiting: None,
        };
        Ok(Py::new(py, Awaited(Mutex::new(Some(wait))))?.into_any())
    }

    /// See [`Awaited::__next__`].
    fn step(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        loop {
            if let Some(iterator) = self.waiting.take() {
                match iterator.bind(py).call_method0(intern!(py, "__next__")) {
                    Ok(yielded) => {
                        self.waiting = Some(iterator);
                        return Ok(Some(yielded.unbind()));
                    }
                    Err(error) if error.is_instance_of::<PyStopIteration>(py) => {}
                    Err(error) => return Err(error),
                }
            }
            match self.outcome(py)? {
                Some(value) if value.is_none(py) => return Ok(None),
                Some(value) => return Err(PyStopIteration::new_err((value,))),
                None => self.waiting = Some(self.begin(py)?.unbind()),
            }
        }
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
