//! The events of ASGI's HTTP protocol, as dictionaries: those that the application gets, made; those that it sends, read.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use uwrs_api::{FieldLine, FilePart, Outbound, ResponseHead, is_field_value, is_token};

use crate::content_length::ContentLength;
use crate::wsgi::lend;

/// `http.request`: a part of the body.
pub(super) fn request<'py>(py: Python<'py>, body: &[u8], more_body: bool) -> PyResult<Bound<'py, PyDict>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
    event.set_item(intern!(py, "body"), PyBytes::new(py, body))?;
    event.set_item(intern!(py, "more_body"), more_body)?;
    Ok(event)
}

/// `http.disconnect`
pub(super) fn disconnect(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let event = PyDict::new(py);
    event.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?;
    Ok(event)
}

/// What an application sends.
pub(super) enum Sent {
    /// `http.response.start`. `trailers`: fields will follow the body.
    Start { head: ResponseHead, trailers: bool },
    /// `http.response.body`
    Body { data: Bytes, more: bool },
    /// `http.response.pathsend`
    Path(FilePart),
    /// `http.response.early_hint`
    EarlyHint(ResponseHead),
    /// `http.response.trailers`: some of the fields behind the body, as those of a head.
    Trailers { fields: ResponseHead, more: bool },
}

/// Reads what an application sends.
///
/// # Errors
/// It is no event of this protocol, or a field of it has not the type that the specification wants.
pub(super) fn read(message: &Bound<'_, PyAny>) -> PyResult<Sent> {
    let (kind, message) = kind_and_message(message)?;
    match kind.to_str()? {
        "http.response.body" => read_body(message),
        "http.response.start" => Ok(Sent::Start {
            head: read_head(message)?,
            trailers: flag(message, intern!(message.py(), "trailers"))?,
        }),
        "http.response.pathsend" => read_path(message),
        "http.response.early_hint" => read_early_hint(message),
        "http.response.trailers" => read_trailers(message),
        other => Err(PyValueError::new_err(format!(
            "send: \"{other}\" is no event that can be sent here"
        ))),
    }
}

/// An event's type, and the event.
pub(super) fn kind_and_message<'a, 'py>(
    message: &'a Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyString>, &'a Bound<'py, PyDict>)> {
    let py = message.py();
    let Ok(message) = message.cast::<PyDict>() else {
        return Err(PyTypeError::new_err(format!(
            "send: an event must be a dict, not {}",
            kind_of(message)
        )));
    };
    let Some(kind) = message.get_item(intern!(py, "type"))? else {
        return Err(PyKeyError::new_err("send: the event has no \"type\""));
    };
    let kind = kind
        .cast_into::<PyString>()
        .map_err(|_| PyTypeError::new_err("send: an event's \"type\" must be a str"))?;
    Ok((kind, message))
}

/// Status and header fields of an event that begins a response.
pub(super) fn read_head(message: &Bound<'_, PyDict>) -> PyResult<ResponseHead> {
    let py = message.py();
    let Some(status) = message.get_item(intern!(py, "status"))? else {
        return Err(PyKeyError::new_err("http.response.start: \"status\" is missing"));
    };
    let Ok(status) = status.extract::<u16>() else {
        return Err(PyTypeError::new_err(format!(
            "http.response.start: \"status\" must be an int, not {}",
            status.repr()?
        )));
    };
    if !(200..=999).contains(&status) {
        return Err(PyValueError::new_err(format!(
            "http.response.start: \"status\" must be 200 to 999, not {status}"
        )));
    }
    let headers = message.get_item(intern!(py, "headers"))?;
    let count = headers.as_ref().and_then(|headers| headers.len().ok());
    let mut head = ResponseHead::with_capacity(count.unwrap_or(8));
    head.status = status;
    if let Some(headers) = headers {
        put_fields(&mut head, &headers)?;
        check_length(&head)?;
    }
    Ok(head)
}

/// What is said of the body's length must be something that a client can rely on.
fn check_length(head: &ResponseHead) -> PyResult<()> {
    let mut length = ContentLength::default();
    for FieldLine { name, value, .. } in head.lines() {
        if ContentLength::is_in(name) {
            length.say(value).map_err(|why| bad_value(name, value, &why))?;
        }
    }
    Ok(())
}

fn read_body(message: &Bound<'_, PyDict>) -> PyResult<Sent> {
    let py = message.py();
    let data = match message.get_item(intern!(py, "body"))? {
        None => Bytes::new(),
        Some(body) => to_bytes(&body, "http.response.body: \"body\"")?,
    };
    let more = flag(message, intern!(py, "more_body"))?;
    Ok(Sent::Body { data, more })
}

/// Small ones are copied, so that the object is free at once; large ones are lent.
pub(super) fn to_bytes(body: &Bound<'_, PyAny>, what: &str) -> PyResult<Bytes> {
    if let Ok(bytes) = body.cast::<PyBytes>() {
        let slice = bytes.as_bytes();
        return Ok(match slice.len() <= Outbound::COPY_LIMIT {
            true => Bytes::copy_from_slice(slice),
            false => lend(PyBackedBytes::from(bytes.clone())),
        });
    }
    // bytearray, memoryview: what may change while it waits is copied.
    body.py()
        .get_type::<PyBytes>()
        .call1((body,))
        .ok()
        .filter(|_| !body.is_instance_of::<pyo3::types::PyInt>() && !body.is_instance_of::<PyList>())
        .and_then(|copy| Some(Bytes::copy_from_slice(copy.cast::<PyBytes>().ok()?.as_bytes())))
        .ok_or_else(|| PyTypeError::new_err(format!("{what} must be bytes, not {}", kind_of(body))))
}

/// A file as the whole body (ASGI extension `http.response.pathsend`).
fn read_path(message: &Bound<'_, PyDict>) -> PyResult<Sent> {
    let py = message.py();
    let Some(path) = message.get_item(intern!(py, "path"))? else {
        return Err(PyKeyError::new_err("http.response.pathsend: \"path\" is missing"));
    };
    let Ok(path) = path.extract::<PathBuf>() else {
        return Err(PyTypeError::new_err(format!(
            "http.response.pathsend: \"path\" must be a str, not {}",
            kind_of(&path)
        )));
    };
    let opened = open_regular(&path);
    let told = |error: io::Error| {
        let reason = format!("http.response.pathsend: {}: {error}", path.display());
        io::Error::new(error.kind(), reason)
    };
    Ok(Sent::Path(opened.map_err(told)?))
}

fn open_regular(path: &PathBuf) -> io::Result<FilePart> {
    // Before it is opened: to open a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(FilePart::new(file, 0, length))
}

/// 103 Early Hints, one `Link` each (ASGI extension `http.response.early_hint`).
fn read_early_hint(message: &Bound<'_, PyDict>) -> PyResult<Sent> {
    let py = message.py();
    let mut head = ResponseHead::new(103);
    let Some(links) = message.get_item(intern!(py, "links"))? else {
        return Err(PyKeyError::new_err(
            "http.response.early_hint: \"links\" is missing",
        ));
    };
    for link in links.try_iter()? {
        let link = link?;
        let link = octets(&link, "a link")?;
        put_field(&mut head, b"link", link)?;
    }
    Ok(Sent::EarlyHint(head))
}

/// Fields behind the body (ASGI extension `http.response.trailers`).
fn read_trailers(message: &Bound<'_, PyDict>) -> PyResult<Sent> {
    let py = message.py();
    let Some(headers) = message.get_item(intern!(py, "headers"))? else {
        return Err(PyKeyError::new_err(
            "http.response.trailers: \"headers\" is missing",
        ));
    };
    let mut fields = ResponseHead::default();
    put_fields(&mut fields, &headers)?;
    let more = flag(message, intern!(py, "more_trailers"))?;
    Ok(Sent::Trailers { fields, more })
}

pub(super) fn flag(message: &Bound<'_, PyDict>, key: &Bound<'_, PyString>) -> PyResult<bool> {
    match message.get_item(key)? {
        Some(value) => value.is_truthy(),
        None => Ok(false),
    }
}

/// Adds header fields: an iterable of pairs of name and value, both bytes.
pub(super) fn put_fields(head: &mut ResponseHead, headers: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(list) = headers.cast_exact::<PyList>() {
        for pair in list.iter() {
            put_pair(head, &pair)?;
        }
        return Ok(());
    }
    for pair in headers.try_iter()? {
        put_pair(head, &pair?)?;
    }
    Ok(())
}

fn put_pair(head: &mut ResponseHead, pair: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(tuple) = pair.cast_exact::<PyTuple>()
        && tuple.len() == 2
    {
        let (name, value) = (tuple.get_borrowed_item(0)?, tuple.get_borrowed_item(1)?);
        return put_field(
            head,
            octets(&name, "a header's name")?,
            octets(&value, "a header's value")?,
        );
    }
    let items: Vec<Bound<'_, PyAny>> = pair.try_iter()?.collect::<PyResult<_>>()?;
    let [name, value] = &items[..] else {
        return Err(PyValueError::new_err(format!(
            "http.response.start: a header must be a pair of name and value, not {} items",
            items.len()
        )));
    };
    put_field(
        head,
        octets(name, "a header's name")?,
        octets(value, "a header's value")?,
    )
}

fn octets<'a>(item: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a [u8]> {
    match item.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "send: {what} must be bytes, not {}",
            kind_of(item)
        ))),
    }
}

/// A protocol writes what it is given: so it is checked here.
fn put_field(head: &mut ResponseHead, name: &[u8], value: &[u8]) -> PyResult<()> {
    if !is_token(name) {
        return Err(PyValueError::new_err(format!(
            "send: not the name of a header: b\"{}\"",
            name.escape_ascii()
        )));
    }
    if !is_field_value(value) {
        return Err(bad_value(
            name,
            value,
            "a control character such as CR, LF or NUL",
        ));
    }
    head.push(name, value.trim_ascii());
    Ok(())
}

fn bad_value(name: &[u8], value: &[u8], why: &str) -> PyErr {
    let (name, value) = (name.escape_ascii(), value.escape_ascii());
    PyValueError::new_err(format!("send: header {name}: {why}: b\"{value}\""))
}

/// The name of an object's type.
pub(super) fn kind_of(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .qualname()
        .map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}
