//! [`Talk`]: one exchange as its application has it, whichever protocol it follows.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{Appetite, ExchangeId, Heard, Request};

/// What has become of an event that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The next may follow.
    Done,
    /// The client has to take some first.
    Wait,
}

/// What `receive` and `send` speak to, and what hears of the client.
///
/// No lock of it is held while the server or Python code runs: both come back to it.
pub(super) trait Talk: Send + Sync {
    /// Which exchange it is.
    fn id(&self) -> ExchangeId;

    /// What was asked.
    fn request(&self) -> &Request;

    /// The next event for the application; `None`: it has to wait.
    fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>>;

    /// Takes what the application sends.
    ///
    /// # Errors
    /// It is no event, it comes at the wrong time, or the client is gone.
    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Progress>;

    /// Has the client taken enough for the next event?
    fn has_room(&self) -> bool;

    /// `future` is to be set when there is an event.
    fn wait_for_event(&self, py: Python<'_>, future: Py<PyAny>);

    /// `future` is to be set when there is room.
    fn wait_for_room(&self, py: Python<'_>, future: Py<PyAny>);

    /// Something has happened at the client's side.
    fn hear(&self, py: Python<'_>, heard: Heard<'_>) -> Appetite;

    /// The application is done; `error`: what it raised.
    fn finish(&self, py: Python<'_>, error: Option<&PyErr>);

    /// Is there nothing to hear any more once the application is done?
    fn ends_with_its_task(&self) -> bool {
        true
    }

    /// Time passes: about once a second.
    fn tick(&self, py: Python<'_>) {
        let _ = py;
    }
}

/// Adds `future` to those that wait, and forgets those that do not wait any more: an application may give up waiting
/// (`asyncio.wait_for`) as often as it likes. Called under a talk's lock: asyncio's futures, and uvloop's, run no Python
/// code here.
pub(super) fn wait(py: Python<'_>, waiting: &mut Vec<Py<PyAny>>, future: Py<PyAny>) {
    waiting.retain(|future| is_pending(py, future));
    waiting.push(future);
}

/// Does someone still wait for it?
pub(super) fn is_pending(py: Python<'_>, future: &Py<PyAny>) -> bool {
    let done = future.bind(py).call_method0(intern!(py, "done"));
    done.and_then(|done| done.is_truthy()).is_ok_and(|done| !done)
}

/// Sets the futures that are not done: whoever waits looks again.
pub(super) fn wake(py: Python<'_>, futures: Vec<Py<PyAny>>) {
    for future in futures {
        let future = future.bind(py);
        let woken = future
            .call_method0(intern!(py, "done"))
            .and_then(|done| done.is_truthy())
            .and_then(|done| match done {
                true => Ok(()),
                false => future
                    .call_method1(intern!(py, "set_result"), (py.None(),))
                    .map(drop),
            });
        if let Err(error) = woken {
            log::error!("a waiting application could not be woken: {error}");
        }
    }
}
