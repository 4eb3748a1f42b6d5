//! `start_response` and the `write` that it returns: what an application says of its answer's head, checked.
//!
//! Both are made once and serve one request after the other, as long as no application keeps them.

use std::sync::Arc;

use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use uwrs_api::{ResponseHead, is_field_value, is_token};

use super::answer::{Answer, Misstep, StartedHead};
use super::body;
use super::current::CurrentExchange;
use crate::content_length::ContentLength;
use crate::raw;

/// The callables that one exchange needs.
pub(super) struct Starter {
    /// `StartResponse.start_response`, bound.
    callable: Py<PyAny>,
    object: Py<StartResponse>,
    write: Py<Write>,
    answer: Arc<Answer>,
}

impl Starter {
    fn new(py: Python<'_>, current: &CurrentExchange, is_write_quiet: bool) -> PyResult<Self> {
        let answer = Arc::new(Answer::default());
        let write = Write {
            answer: Arc::clone(&answer),
            current: current.clone(),
            is_quiet: is_write_quiet,
        };
        let write = Py::new(py, write)?;
        let object = StartResponse {
            answer: Arc::clone(&answer),
            write: write.clone_ref(py),
        };
        let object = Bound::new(py, object)?;
        let callable = object.getattr(intern!(py, "start_response"))?.unbind();
        Ok(Self {
            callable,
            object: object.unbind(),
            write,
            answer,
        })
    }

    /// What the application is given.
    pub(super) fn callable<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.callable.bind(py)
    }

    /// What it says with it.
    pub(super) fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// Does no one else hold any of it? The counts are this struct's own references, one for another.
    fn is_ours_alone(&self, py: Python<'_>) -> bool {
        raw::reference_count(&self.callable, py) == 1
            && raw::reference_count(&self.object, py) == 2
            && raw::reference_count(&self.write, py) == 2
            && Arc::strong_count(&self.answer) == 3
    }
}

/// Keeps a [`Starter`] for the next exchange.
pub(super) struct Starters {
    kept: Option<Starter>,
    current: CurrentExchange,
    is_write_quiet: bool,
}

impl Starters {
    /// Those of a gateway, whose exchange in hand is `current`. `is_write_quiet`: their `write` raises nothing when the
    /// client is gone.
    pub(super) fn new(current: &CurrentExchange, is_write_quiet: bool) -> Self {
        Self {
            kept: None,
            current: current.clone(),
            is_write_quiet,
        }
    }

    /// The like, for another exchange in hand.
    pub(super) fn others(&self, current: &CurrentExchange) -> Self {
        Self::new(current, self.is_write_quiet)
    }

    /// One that is ready.
    pub(super) fn take(&mut self, py: Python<'_>) -> PyResult<Starter> {
        match self.kept.take() {
            Some(starter) => Ok(starter),
            None => Starter::new(py, &self.current, self.is_write_quiet),
        }
    }

    /// Back for the next exchange, if it can serve it.
    pub(super) fn put_back(&mut self, py: Python<'_>, starter: Starter) {
        if starter.is_ours_alone(py) {
            starter.answer.reset();
            self.kept = Some(starter);
        }
    }
}

/// Takes an answer's head.
#[pyclass(frozen, module = "uwrs")]
struct StartResponse {
    answer: Arc<Answer>,
    write: Py<Write>,
}

#[pymethods]
impl StartResponse {
    /// Begins the answer (PEP 3333, "The start_response() Callable").
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn start_response(
        &self,
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Write>> {
        let exc_info = exc_info.filter(|info| info.is_truthy().unwrap_or(true));
        if let Some(exc_info) = exc_info
            && self.answer.is_head_gone()
        {
            return Err(reported(exc_info)?);
        }
        let head = head(status, headers)?;
        match (self.answer.start(head, exc_info.is_some()), exc_info) {
            (Ok(()), _) => Ok(self.write.clone_ref(py)),
            (Err(Misstep::HeadGone), Some(exc_info)) => Err(reported(exc_info)?),
            (Err(misstep), _) => Err(refusal(misstep)),
        }
    }
}

/// Takes a part of an answer's body from applications that push.
#[pyclass(frozen, module = "uwrs", name = "write")]
struct Write {
    answer: Arc<Answer>,
    current: CurrentExchange,
    /// Raises nothing when the client is gone.
    is_quiet: bool,
}

#[pymethods]
impl Write {
    /// Hands the bytes to the kernel before it returns (PEP 3333, "The write() Callable").
    #[pyo3(signature = (data, /))]
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(data) = data.cast::<PyBytes>() else {
            return Err(wrong_type("write", "bytes", data));
        };
        let Some(head) = self.answer.write(data.as_bytes().len()).map_err(refusal)? else {
            return Ok(());
        };
        let bytes = body::chunk(data)?;
        if self.current.write(py, head, bytes)? {
            return Ok(());
        }
        self.answer.lose();
        match self.is_quiet {
            true => Ok(()),
            false => Err(PyBrokenPipeError::new_err("write: the client is gone")),
        }
    }
}

fn refusal(misstep: Misstep) -> PyErr {
    let text = match misstep {
        Misstep::StartedTwice => "start_response: called a second time without exc_info",
        Misstep::HeadGone => "start_response: the head is sent already",
        Misstep::NotStarted => "write: called before start_response",
        Misstep::Returned => "write: called after the application returned its iterable",
        Misstep::Over => return PyRuntimeError::new_err("the response is over"),
    };
    PyAssertionError::new_err(text)
}

/// The exception that `exc_info` is about, to be raised again as it was.
fn reported(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let (kind, value, traceback): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        exc_info.extract()?;
    // `sys.exc_info()` where nothing was raised.
    if kind.is_none() {
        return Ok(refusal(Misstep::HeadGone));
    }
    let value = if value.is_none() { kind.call0()? } else { value };
    let value = value.call_method1(intern!(exc_info.py(), "with_traceback"), (traceback,))?;
    Ok(PyErr::from_value(value))
}

/// Status and headers, checked: a protocol writes what it is given.
fn head(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<StartedHead> {
    let Ok(status) = status.cast::<PyString>() else {
        return Err(wrong_type("start_response: status", "a str", status));
    };
    let Ok(headers) = headers.cast::<PyList>() else {
        return Err(wrong_type("start_response: headers", "a list", headers));
    };
    let mut head = ResponseHead::with_capacity(headers.len() + 1);
    let reason;
    (head.status, reason) = parse_status(status)?;
    head.reason = head.text.push(reason);
    let mut length = ContentLength::default();
    for field in headers.iter() {
        put_field(&mut head, &field, &mut length)?;
    }
    let content_length = length.bytes();
    Ok(StartedHead { head, content_length })
}

pub(super) fn put_field(
    head: &mut ResponseHead,
    field: &Bound<'_, PyAny>,
    length: &mut ContentLength,
) -> PyResult<()> {
    let Ok(pair) = field.cast::<PyTuple>() else {
        return Err(wrong_type("start_response: a header", "a tuple", field));
    };
    let [name, value] = pair.as_slice() else {
        return Err(PyValueError::new_err(format!(
            "start_response: a header must be a tuple of name and value, not of {} items",
            pair.len()
        )));
    };
    let Ok(name) = name.cast::<PyString>() else {
        return Err(wrong_type("start_response: a header's name", "a str", name));
    };
    let Ok(value) = value.cast::<PyString>() else {
        return Err(wrong_type("start_response: a header's value", "a str", value));
    };
    let name_bytes = raw::latin1_bytes(name)?.unwrap_or_default();
    if !is_token(name_bytes) {
        return Err(PyValueError::new_err(format!(
            "start_response: not the name of a header: {}",
            name.repr()?
        )));
    }
    let value_bytes = match raw::latin1_bytes(value)? {
        Some(bytes) if is_field_value(bytes) => bytes,
        Some(_) => {
            return Err(bad_value(
                name,
                value,
                "a control character such as CR, LF or NUL",
            ));
        }
        None => return Err(bad_value(name, value, "a character that latin-1 has not")),
    };
    if ContentLength::is_in(name_bytes) {
        length
            .say(value_bytes)
            .map_err(|why| bad_value(name, value, &why))?;
    }
    head.push(name_bytes, value_bytes);
    Ok(())
}

fn bad_value(name: &Bound<'_, PyString>, value: &Bound<'_, PyString>, what: &str) -> PyErr {
    let shown = value
        .repr()
        .map_or_else(|_| String::new(), |text| text.to_string());
    PyValueError::new_err(format!("start_response: header {name}: {what}: {shown}"))
}

fn wrong_type(place: &str, wanted: &str, got: &Bound<'_, PyAny>) -> PyErr {
    let got = got
        .get_type()
        .qualname()
        .map_or_else(|_| "something else".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{place} must be {wanted}, not {got}"))
}

/// `404 Not Found`: the number and the phrase. Numbers below 200 are interim answers, after which a client waits on.
fn parse_status<'a>(status: &'a Bound<'_, PyString>) -> PyResult<(u16, &'a [u8])> {
    let refused = |why: &str| -> PyResult<(u16, &'a [u8])> {
        let shown = status.repr()?;
        Err(PyValueError::new_err(format!(
            "start_response: status: {why}: {shown}"
        )))
    };
    let Some(bytes) = raw::latin1_bytes(status)? else {
        return refused("a character that latin-1 has not");
    };
    if !is_field_value(bytes) {
        return refused("a control character such as CR, LF or NUL");
    }
    let Some((digits, rest)) = bytes.split_first_chunk::<3>() else {
        return refused("must begin with three digits");
    };
    if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(|next| *next != b' ') {
        return refused("must begin with three digits and a blank");
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    if number < 200 {
        return refused("must be 200 at least");
    }
    Ok((number, rest.get(1..).unwrap_or_default().trim_ascii()))
}
