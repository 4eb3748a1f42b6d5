//! What the gateway does with objects many times a request.

use std::ffi::c_char;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The `str` whose code points are these bytes: PEP 3333's native strings.
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: the pointer and the length are one slice's; the result is a new reference to a `str` or null with
    // an exception set.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(
            bytes.as_ptr().cast::<c_char>(),
            bytes.len() as ffi::Py_ssize_t,
            std::ptr::null(),
        );
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked())
    }
}

/// The bytes of a native string; `None` where a code point is above 255.
#[inline]
pub(crate) fn latin1_bytes<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Option<&'a [u8]>> {
    let object = text.as_ptr();
    // SAFETY: reads the string's own representation, which never changes once it is ready: one byte for each of `length`
    // code points, where the kind says so. It lives as long as the string, which is borrowed.
    unsafe {
        if ffi::PyUnicode_READY(object) != 0 {
            return Err(PyErr::fetch(text.py()));
        }
        if ffi::PyUnicode_KIND(object) != ffi::PyUnicode_1BYTE_KIND {
            return Ok(None);
        }
        let length = ffi::PyUnicode_GET_LENGTH(object) as usize;
        let bytes = ffi::PyUnicode_1BYTE_DATA(object);
        Ok(Some(std::slice::from_raw_parts(bytes, length)))
    }
}

/// How many references to an object there are, this one among them.
pub(crate) fn reference_count<T>(object: &Py<T>, _py: Python<'_>) -> isize {
    // SAFETY: a live object, and the interpreter is held.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) as isize }
}

/// Empties the cache of attribute lookups, which holds a reference to every name in it. A process that was forked from this
/// one would let go of names of the import, one by one as it puts in its own, and so write to the pages that they lie
/// on. From Python 3.12 on such names are immortal, and nothing is written: there the cache is worth keeping.
pub(crate) fn forget_lookups(_py: Python<'_>) {
    // SAFETY: the interpreter is held; what is forgotten is looked up again.
    #[cfg(not(Py_3_12))]
    unsafe {
        ffi::PyType_ClearCache();
    }
}

/// Puts `value` under `key` unless there is one already, which is then returned.
pub(crate) fn insert_or_existing<'py>(
    dict: &Bound<'py, PyDict>,
    key: &Bound<'py, PyString>,
    value: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let before = dict.len();
    // SAFETY: three live objects, the first a dict; the result is borrowed from the dict, or null with an
    // exception set.
    let there = unsafe {
        let there = ffi::PyDict_SetDefault(dict.as_ptr(), key.as_ptr(), value.as_ptr());
        Bound::from_borrowed_ptr_or_err(dict.py(), there)?
    };
    // Not by identity: the same object may come twice.
    Ok((dict.len() == before).then_some(there))
}

/// A copy of the present context (PEP 567): what it has now, and what is set in it from now on.
pub(crate) fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: gives a new reference to a context, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Runs `work` inside a context. Greenlets, each of which has its present context, may be switched meanwhile.
///
/// # Errors
/// The interpreter refuses to enter it (it is entered already, on whatever thread, or is no context), or to leave it.
pub(crate) fn in_context<R>(context: &Bound<'_, PyAny>, work: impl FnOnce() -> R) -> PyResult<R> {
    // SAFETY: a live object; anything but a context that no one has entered is refused with an exception.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(context.py()));
    }
    let entered = Entered(Some(context));
    let result = work();
    entered.leave()?;
    Ok(result)
}

/// A context that was entered on this thread, by the greenlet that leaves it.
struct Entered<'a, 'py>(Option<&'a Bound<'py, PyAny>>);

impl Entered<'_, '_> {
    fn leave(mut self) -> PyResult<()> {
        self.exit()
    }

    fn exit(&mut self) -> PyResult<()> {
        let Some(context) = self.0.take() else {
            return Ok(());
        };
        // SAFETY: a live context, which this greenlet has entered; another than the present one is refused.
        match unsafe { ffi::PyContext_Exit(context.as_ptr()) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(context.py())),
        }
    }
}

impl Drop for Entered<'_, '_> {
    fn drop(&mut self) {
        // After a panic.
        if let Err(error) = self.exit() {
            log::debug!("a context could not be left: {error}");
        }
    }
}
