//! Cancelling the task of a request that keeps its client waiting for too long, and saying what a task is doing.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::registry;
use super::talk::Talk;
use crate::failure;

/// How deep a chain of coroutines and tasks is followed.
const DEEPEST: usize = 100;

/// Where a coroutine, a generator or an asynchronous generator stands, and what it waits for.
const KINDS: [(&str, &str, &str); 3] = [
    ("cr_frame", "cr_code", "cr_await"),
    ("gi_frame", "gi_code", "gi_yieldfrom"),
    ("ag_frame", "ag_code", "ag_await"),
];

/// Has CancelledError raised in the task of that exchange, where it waits. `is_shown`: the log is to say where that is.
pub(super) fn cancel(py: Python<'_>, talk: &dyn Talk, is_shown: bool) {
    let Some(task) = registry::task(py, talk.id()) else {
        return;
    };
    let task = task.bind(py);
    if is_shown {
        log::error!(
            "\"{}\": its task is cancelled, where it waits (most recent call last):\n{}",
            talk.request().line(),
            place(task)
        );
    }
    if let Err(error) = task.call_method0(intern!(py, "cancel")) {
        log::error!(
            "\"{}\": its task could not be cancelled: {error}",
            talk.request().line()
        );
    }
}

/// Where a task waits, as a traceback has it.
pub(super) fn place(task: &Bound<'_, PyAny>) -> String {
    failure::stack(task.py(), "format_list", || frames(task))
}

/// The frames of a task that waits, as `traceback.format_list` takes them: through all coroutines that wait for one another, and on
/// through the tasks that they wait for. `asyncio.Task.get_stack` gives the first frame only.
fn frames<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let py = task.py();
    let frames = PyList::empty(py);
    let mut next = Some(task.call_method0(intern!(py, "get_coro"))?);
    let mut waiter = task.clone();
    for _ in 0..DEEPEST {
        let Some(awaited) = next.take() else { break };
        match step(&awaited) {
            Some((frame, then)) => {
                frame.map_or(Ok(()), |frame| frames.append(frame))?;
                next = Some(then);
            }
            // A future, or its iterator: where it is a task, that one is waited for.
            None => {
                let Ok(future) = waiter.getattr(intern!(py, "_fut_waiter")) else {
                    break;
                };
                next = future.call_method0(intern!(py, "get_coro")).ok();
                waiter = future;
            }
        }
    }
    Ok(frames)
}

/// Where that stands, unless it is at its end, and what it waits for. `None`: it is nothing that has frames.
fn step<'py>(awaited: &Bound<'py, PyAny>) -> Option<(Option<Bound<'py, PyTuple>>, Bound<'py, PyAny>)> {
    let (frame, code, awaits) = KINDS.iter().find_map(|(frame, code, awaits)| {
        let frame = awaited.getattr(*frame).ok()?;
        Some((frame, awaited.getattr(*code).ok()?, *awaits))
    })?;
    let read = || -> PyResult<_> {
        let (file, name) = (code.getattr("co_filename")?, code.getattr("co_name")?);
        let source = awaited.py().None();
        (file, frame.getattr("f_lineno")?, name, source).into_pyobject(awaited.py())
    };
    Some((read().ok(), awaited.getattr(awaits).ok()?))
}
