//! The events of ASGI's WebSocket protocol, as dictionaries: those that the application gets, made; those that it sends,
//! read.

use bytes::Bytes;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyString};
use uwrs_api::{Outbound, ResponseHead};
use uwrs_websocket::MessageKind;

use crate::raw::GrowingBytes;
use crate::wsgi::lend;

use super::events::{flag, kind_and_message, kind_of, put_fields, read_head, to_bytes};

/// What comes from a client.
pub(super) enum Arrival {
    Connect,
    /// UTF-8.
    Text(GrowingBytes),
    Binary(GrowingBytes),
    /// Close code and reason.
    Disconnect(u16, String),
}

impl Arrival {
    /// Bytes of its payload.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
            Self::Connect | Self::Disconnect(..) => 0,
        }
    }
}

/// The event that tells of it, and takes a message with it.
pub(super) fn arrival<'py>(py: Python<'py>, arrival: &mut Arrival) -> PyResult<Bound<'py, PyDict>> {
    let event = PyDict::new(py);
    let kind = match arrival {
        Arrival::Connect => intern!(py, "websocket.connect"),
        Arrival::Text(_) | Arrival::Binary(_) => intern!(py, "websocket.receive"),
        Arrival::Disconnect(..) => intern!(py, "websocket.disconnect"),
    };
    event.set_item(intern!(py, "type"), kind)?;
    match arrival {
        Arrival::Connect => {}
        Arrival::Text(text) => {
            event.set_item(intern!(py, "text"), PyString::from_bytes(py, text.as_ref())?)?;
        }
        Arrival::Binary(bytes) => {
            event.set_item(intern!(py, "bytes"), std::mem::take(bytes).into_object(py))?;
        }
        Arrival::Disconnect(code, reason) => {
            event.set_item(intern!(py, "code"), *code)?;
            event.set_item(intern!(py, "reason"), &*reason)?;
        }
    }
    Ok(event)
}

/// What an application sends.
pub(super) enum Sent {
    /// `websocket.accept`
    Accept {
        subprotocol: Option<String>,
        fields: ResponseHead,
    },
    /// `websocket.send`
    Message(MessageKind, Bytes),
    /// `websocket.close`
    Close { code: u16, reason: String },
    /// `websocket.http.response.start`
    Deny(ResponseHead),
    /// `websocket.http.response.body`
    DenyBody { data: Bytes, more: bool },
}

/// Reads what an application sends.
///
/// # Errors
/// It is no event of this protocol, or a field of it has not the type that the specification wants.
pub(super) fn read(message: &Bound<'_, PyAny>) -> PyResult<Sent> {
    let py = message.py();
    let (kind, message) = kind_and_message(message)?;
    match kind.to_str()? {
        "websocket.send" => {
            let (text, bytes) = (
                given(message, intern!(py, "text"))?,
                given(message, intern!(py, "bytes"))?,
            );
            match (bytes, text) {
                (Some(bytes), None) => Ok(Sent::Message(
                    MessageKind::Binary,
                    to_bytes(&bytes, "websocket.send: \"bytes\"")?,
                )),
                (None, Some(text)) => {
                    let text = text.cast::<PyString>().map_err(|_| {
                        PyTypeError::new_err(format!(
                            "websocket.send: \"text\" must be a str, not {}",
                            kind_of(&text)
                        ))
                    })?;
                    Ok(Sent::Message(MessageKind::Text, text_to_bytes(text)?))
                }
                _ => Err(PyValueError::new_err(
                    "websocket.send: needs one of \"text\" and \"bytes\"",
                )),
            }
        }
        "websocket.accept" => {
            let mut fields = ResponseHead::new(101);
            if let Some(headers) = given(message, intern!(py, "headers"))? {
                put_fields(&mut fields, &headers)?;
            }
            let subprotocol = given(message, intern!(py, "subprotocol"))?;
            let subprotocol = subprotocol.map(|text| text.extract()).transpose()?;
            Ok(Sent::Accept { subprotocol, fields })
        }
        "websocket.close" => {
            let code = given(message, intern!(py, "code"))?
                .map(|code| code.extract())
                .transpose()?;
            let reason = given(message, intern!(py, "reason"))?
                .map(|text| text.extract())
                .transpose()?;
            Ok(Sent::Close {
                code: code.unwrap_or(1000),
                reason: reason.unwrap_or_default(),
            })
        }
        "websocket.http.response.start" => read_head(message).map(Sent::Deny),
        "websocket.http.response.body" => {
            let data = match given(message, intern!(py, "body"))? {
                Some(body) => to_bytes(&body, "websocket.http.response.body: \"body\"")?,
                None => Bytes::new(),
            };
            let more = flag(message, intern!(py, "more_body"))?;
            Ok(Sent::DenyBody { data, more })
        }
        other => Err(PyValueError::new_err(format!(
            "send: \"{other}\" is no event that can be sent here"
        ))),
    }
}

/// Small ones are copied, so that the object is free at once; large ones are lent.
fn text_to_bytes(text: &Bound<'_, PyString>) -> PyResult<Bytes> {
    let utf8 = text.to_str()?.as_bytes();
    Ok(match utf8.len() <= Outbound::COPY_LIMIT {
        true => Bytes::copy_from_slice(utf8),
        false => lend(PyBackedStr::try_from(text.clone())?),
    })
}

/// A field of an event that is not None.
fn given<'py>(
    message: &Bound<'py, PyDict>,
    key: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(message.get_item(key)?.filter(|value| !value.is_none()))
}
