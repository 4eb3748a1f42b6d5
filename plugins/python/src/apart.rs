//! [`Apart`]: a synchronous application amidst a loop of asyncio, of which it is not to know: it may run one of its own.

use std::cell::RefCell;

use pyo3::intern;
use pyo3::prelude::*;

struct Loops {
    /// The one that turns the server.
    ours: Py<PyAny>,
    /// What `asyncio.get_event_loop()` gives the application; made when there is one.
    theirs: Option<Py<PyAny>>,
    is_hidden: bool,
}

thread_local! {
    static LOOPS: RefCell<Option<Loops>> = const { RefCell::new(None) };
}

/// From now on `event_loop` runs on this thread.
pub(crate) fn enter_loop(event_loop: Py<PyAny>) {
    let loops = Loops {
        ours: event_loop,
        theirs: None,
        is_hidden: false,
    };
    LOOPS.set(Some(loops));
}

/// It does no more.
pub(crate) fn leave_loop(py: Python<'_>) {
    let theirs = LOOPS.take().and_then(|loops| loops.theirs);
    if let Some(Err(error)) = theirs.map(|theirs| theirs.call_method0(py, intern!(py, "close"))) {
        log::debug!("closing the loop of synchronous applications: {error}");
    }
}

/// While it lives this thread runs no loop, as far as asyncio knows.
pub(crate) struct Apart<'py> {
    py: Python<'py>,
    ours: Py<PyAny>,
}

/// For a call of a synchronous application. `None`: no loop runs on this thread, as far as asyncio knows already.
pub(crate) fn apart(py: Python<'_>) -> Option<Apart<'_>> {
    let (ours, theirs) = LOOPS.with_borrow_mut(|loops| {
        let loops = loops.as_mut().filter(|loops| !loops.is_hidden)?;
        loops.is_hidden = true;
        let theirs = loops.theirs.as_ref().map(|theirs| theirs.clone_ref(py));
        Some((loops.ours.clone_ref(py), theirs))
    })?;
    if let Err(error) = show(py, None, theirs) {
        log::debug!("asyncio's running loop: {error}");
    }
    Some(Apart { py, ours })
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        LOOPS.with_borrow_mut(|loops| {
            if let Some(loops) = loops {
                loops.is_hidden = false;
            }
        });
        let ours = &self.ours;
        if let Err(error) = show(self.py, Some(ours), Some(ours.clone_ref(self.py))) {
            log::debug!("asyncio's running loop: {error}");
        }
    }
}

/// Has asyncio see `running` as the loop that runs, and `current` as the one of this thread.
fn show(py: Python<'_>, running: Option<&Py<PyAny>>, current: Option<Py<PyAny>>) -> PyResult<()> {
    let asyncio = py.import(intern!(py, "asyncio"))?;
    let events = py.import(intern!(py, "asyncio.events"))?;
    events.call_method1(intern!(py, "_set_running_loop"), (running,))?;
    let current = match current {
        Some(current) => current,
        None => {
            let made = asyncio.call_method0(intern!(py, "new_event_loop"))?.unbind();
            LOOPS.with_borrow_mut(|loops| {
                if let Some(loops) = loops {
                    loops.theirs = Some(made.clone_ref(py));
                }
            });
            made
        }
    };
    asyncio.call_method1(intern!(py, "set_event_loop"), (current,))?;
    Ok(())
}
