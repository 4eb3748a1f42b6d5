//! What an application returns or yields, as bytes for the server.

use bytes::{Bytes, BytesMut};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyTuple};
use uwrs_api::{BodySource, Outbound, Pull};

use crate::raw;

/// A body of several pieces is joined up to this many bytes; past it, copying costs more than another `iovec`.
const JOIN_LIMIT: usize = 4 * Outbound::COPY_LIMIT;

/// A body that is whole.
pub(super) enum Whole {
    One(Bytes),
    /// Pieces that are too much to join, and the sum of their lengths.
    Pieces(Pieces, u64),
}

/// The body, where the application returned all of it: a list or a tuple of bytes, or, as uWSGI allows, bytes. `None`:
/// it returned something to iterate over. Subclasses too: they may iterate as they like.
pub(super) fn whole(returned: &Bound<'_, PyAny>) -> PyResult<Option<Whole>> {
    if let Ok(list) = returned.cast_exact::<PyList>() {
        return gather(list.len(), || list.iter()).map(Some);
    }
    if let Ok(tuple) = returned.cast_exact::<PyTuple>() {
        return gather(tuple.len(), || tuple.iter()).map(Some);
    }
    match returned.cast::<PyBytes>() {
        Ok(bytes) => Ok(Some(Whole::One(to_bytes(bytes)))),
        Err(_) => Ok(None),
    }
}

fn gather<'py, I: Iterator<Item = Bound<'py, PyAny>>>(
    count: usize,
    items: impl Fn() -> I,
) -> PyResult<Whole> {
    if count == 1
        && let Some(item) = items().next()
    {
        return Ok(Whole::One(chunk(&item)?));
    }
    let mut total = 0;
    for item in items() {
        total += as_bytes(&item)?.as_bytes().len();
    }
    if total <= JOIN_LIMIT {
        let mut joined = BytesMut::with_capacity(total);
        for item in items() {
            joined.extend_from_slice(as_bytes(&item)?.as_bytes());
        }
        return Ok(Whole::One(joined.freeze()));
    }
    let pieces: PyResult<Vec<Bytes>> = items().map(|item| chunk(&item)).collect();
    Ok(Whole::Pieces(Pieces(pieces?.into_iter()), total as u64))
}

/// One piece of a body.
pub(super) fn chunk(item: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    as_bytes(item).map(to_bytes)
}

fn as_bytes<'a, 'py>(item: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyBytes>> {
    item.cast::<PyBytes>().map_err(|_| {
        let kind = item
            .get_type()
            .qualname()
            .map_or_else(|_| "something else".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("the body must be made of bytes, not {kind}"))
    })
}

/// Small ones are copied, so that the object is free at once; large ones are lent.
fn to_bytes(bytes: &Bound<'_, PyBytes>) -> Bytes {
    let slice = bytes.as_bytes();
    if slice.len() <= Outbound::COPY_LIMIT {
        return Bytes::copy_from_slice(slice);
    }
    lend(PyBackedBytes::from(bytes.clone()))
}

/// The server writes from the object's own memory, and gives it back.
pub(crate) fn lend(object: impl AsRef<[u8]> + Send + 'static) -> Bytes {
    Bytes::from_owner(Lent(Some(object)))
}

/// A bytes object, or a text, whose memory the server writes from. It is given back with the interpreter held.
struct Lent<T: Send + 'static>(Option<T>);

impl<T: AsRef<[u8]> + Send> AsRef<[u8]> for Lent<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], AsRef::as_ref)
    }
}

impl<T: Send> Drop for Lent<T> {
    fn drop(&mut self) {
        // Written by a thread that need not hold the interpreter, and must not wait for it amidst its writing. Not left
        // to pyo3's list of things to drop later: an idle worker would keep a large answer until its next request.
        if let Some(object) = self.0.take() {
            raw::discard(object);
        }
    }
}

/// Pieces of a body, one after the other.
pub(super) struct Pieces(std::vec::IntoIter<Bytes>);

impl Pieces {
    /// All that are left.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Bytes> {
        self.0
    }
}

impl BodySource for Pieces {
    fn pull(&mut self) -> Pull {
        self.0.next().map_or(Pull::End, Pull::Data)
    }
}
