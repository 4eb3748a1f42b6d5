//! What Python code raised, told to people: one line for a message, the traceback for the log.

use pyo3::call::PyCallArgs;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use uwrs_api::LoadError;

/// `ModuleNotFoundError: No module named 'config'`
pub(crate) fn one_line(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).qualname().map_or_else(
        |_| "an exception".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let text = error
        .value(py)
        .str()
        .map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match lines.next() {
        Some(first) => format!("{name}: {first}"),
        None => name,
    }
}

/// The traceback as Python prints it, with its last line, without a final newline.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    format_exception(py, error).unwrap_or_else(|_| one_line(py, error))
}

fn format_exception(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    format(
        py,
        "format_exception",
        (error.get_type(py), error.value(py), error.traceback(py)),
    )
}

/// What that function of `traceback` gives, without a final newline.
fn format<'py>(py: Python<'py>, function: &str, arguments: impl PyCallArgs<'py>) -> PyResult<String> {
    // Imported when it is needed only: it drags a dozen modules along.
    let lines = py.import("traceback")?.call_method1(function, arguments)?;
    let mut text = String::new();
    for line in lines.try_iter()? {
        text.push_str(&line?.str()?.to_string_lossy());
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// Where something stands that waits: by that function of `traceback` from what `stack` finds.
pub(crate) fn stack<'py, T>(py: Python<'py>, function: &str, stack: impl FnOnce() -> PyResult<T>) -> String
where
    (T,): PyCallArgs<'py>,
{
    let text = stack().and_then(|stack| format(py, function, (stack,)));
    text.unwrap_or_else(|error| format!("  (not to be seen: {error})"))
}

/// The error of loading `place`, where `error` was raised. `sys.exit()` is taken as the wish to end with that status.
pub(crate) fn load_error(py: Python<'_>, place: &str, error: &PyErr, way_out: Option<String>) -> LoadError {
    let mut message = format!("{place}: {}", one_line(py, error));
    if let Some(way_out) = way_out {
        message = format!("{message}: {way_out}");
    }
    LoadError {
        message,
        traceback: Some(traceback(py, error)),
        exit_status: exit_status(py, error),
    }
}

/// A [`LoadError`] that is a sentence and nothing else.
pub(crate) fn plain(message: String) -> LoadError {
    LoadError {
        message,
        traceback: None,
        exit_status: None,
    }
}

/// What `sys.exit(…)` asks for: its number, 0 for nothing, 1 for anything else.
fn exit_status(py: Python<'_>, error: &PyErr) -> Option<i32> {
    if !error.is_instance_of::<PySystemExit>(py) {
        return None;
    }
    let Ok(code) = error.value(py).getattr("code") else {
        return Some(1);
    };
    if code.is_none() {
        return Some(0);
    }
    Some(code.extract().unwrap_or(1))
}
