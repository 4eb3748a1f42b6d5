//! [`Hub`]: gevent's hub, which owns the worker's thread, and what is asked of it.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// libev's word for readable.
const READ: i32 = 1;

/// The hub of the worker's main thread.
pub(super) struct Hub {
    hub: Py<PyAny>,
    event_loop: Py<PyAny>,
    waiter: Py<PyAny>,
    greenlet: Py<PyAny>,
    current: Py<PyAny>,
    exit: Py<PyAny>,
}

impl Hub {
    /// The calling thread's.
    ///
    /// # Errors
    /// gevent is not there, or not as it is known here.
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let gevent = py.import("gevent")?;
        let hub = gevent.call_method0("get_hub")?;
        Ok(Self {
            event_loop: hub.getattr("loop")?.unbind(),
            hub: hub.unbind(),
            waiter: py.import("gevent.hub")?.getattr("Waiter")?.unbind(),
            greenlet: gevent.getattr("Greenlet")?.unbind(),
            exit: gevent.getattr("GreenletExit")?.unbind(),
            current: gevent.getattr("getcurrent")?.unbind(),
        })
    }

    /// Goes on with whatever is ready, until something switches back to the calling greenlet.
    ///
    /// # Errors
    /// What was thrown into it.
    pub(super) fn switch(&self, py: Python<'_>) -> PyResult<()> {
        self.hub.bind(py).call_method0(intern!(py, "switch")).map(drop)
    }

    /// Has its loop ended for good?
    pub(super) fn is_dead(&self, py: Python<'_>) -> bool {
        let dead = self.hub.bind(py).getattr(intern!(py, "dead"));
        dead.and_then(|dead| dead.is_truthy()).unwrap_or(true)
    }

    /// What kills a greenlet, with the reason.
    pub(super) fn exit<'py>(&self, py: Python<'py>, why: &str) -> PyResult<Bound<'py, PyAny>> {
        self.exit.bind(py).call1((why,))
    }

    /// Is it what kills a greenlet?
    pub(super) fn is_exit(&self, py: Python<'_>, error: &PyErr) -> bool {
        error.is_instance(py, self.exit.bind(py))
    }

    /// The greenlet that calls this.
    pub(super) fn current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.current.bind(py).call0()
    }

    /// A greenlet that will run `work`, and has not begun.
    pub(super) fn greenlet<'py>(
        &self,
        py: Python<'py>,
        work: impl IntoPyObject<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.greenlet.bind(py).call1((work,))
    }

    /// Calls `callback` with these arguments soon, in the hub.
    pub(super) fn call_soon<'py>(
        &self,
        py: Python<'py>,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> PyResult<()> {
        let event_loop = self.event_loop.bind(py);
        event_loop
            .call_method1(intern!(py, "run_callback"), arguments)
            .map(drop)
    }

    /// Calls `callback` in the hub whenever that descriptor is readable, until the watcher that is returned is closed.
    pub(super) fn watch<'py>(
        &self,
        descriptor: i32,
        callback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = callback.py();
        let event_loop = self.event_loop.bind(py);
        let watcher = event_loop.call_method1(intern!(py, "io"), (descriptor, READ))?;
        watcher.call_method1(intern!(py, "start"), (callback,))?;
        Ok(watcher)
    }

    /// Calls `callback` in the hub after that time, once, with the timer, to be closed.
    pub(super) fn call_later(&self, after: Duration, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = callback.py();
        let event_loop = self.event_loop.bind(py);
        let timer = event_loop.call_method1(intern!(py, "timer"), (after.as_secs_f64(),))?;
        let keywords = PyDict::new(py);
        // libev's time is that of the last poll.
        keywords.set_item(intern!(py, "update"), true)?;
        timer
            .call_method(intern!(py, "start"), (callback, &timer), Some(&keywords))
            .map(drop)
    }

    /// What a greenlet waits with.
    pub(super) fn waiter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.waiter.bind(py).call1((&self.hub,))
    }

    /// The calling greenlet waits until `waiter` is woken, or has been.
    ///
    /// # Errors
    /// What was thrown into it meanwhile.
    pub(super) fn wait(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        waiter.call_method0(intern!(waiter.py(), "get")).map(drop)
    }

    /// Wakes who waits with `waiter`, soon.
    pub(super) fn wake(&self, waiter: &Bound<'_, PyAny>) {
        let py = waiter.py();
        let woken = waiter
            .getattr(intern!(py, "switch"))
            .and_then(|switch| self.call_soon(py, (switch, py.None())));
        if let Err(error) = woken {
            log::error!("a greenlet that waits for its client could not be woken: {error}");
        }
    }

    /// Waits until everything in it has ended: greenlets, timers, watchers.
    ///
    /// # Errors
    /// What comes out of it.
    pub(super) fn join(&self, py: Python<'_>) -> PyResult<()> {
        self.hub.bind(py).call_method0(intern!(py, "join")).map(drop)
    }
}
