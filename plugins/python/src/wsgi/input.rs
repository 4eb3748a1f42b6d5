//! `wsgi.input`: a body that is complete, as a stream. Reading never blocks and ends where the body does.

use std::os::fd::IntoRawFd;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList};
use uwrs_api::Body;

/// The stream of a body; `None` for an empty one, for which the template has [`Empty`].
pub(super) fn open(py: Python<'_>, body: Body) -> PyResult<Option<Bound<'_, PyAny>>> {
    match body {
        Body::Empty => Ok(None),
        Body::Memory(bytes) if bytes.is_empty() => Ok(None),
        // BytesIO keeps the bytes object as it is, without a copy.
        // What is begun is not given to WSGI: it asks for whole bodies.
        Body::Memory(bytes) | Body::Begun(bytes) => {
            static BYTES_IO: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            BYTES_IO
                .import(py, "io", "BytesIO")?
                .call1((PyBytes::new(py, &bytes),))
                .map(Some)
        }
        Body::File { length: 0, .. } => Ok(None),
        Body::File { file, .. } => {
            static OPEN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            // The stream owns the descriptor from here on.
            OPEN.import(py, "io", "open")?
                .call1((file.into_raw_fd(), "rb"))
                .map(Some)
        }
    }
}

/// The stream of no body, one for all requests.
pub(super) fn empty(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(Bound::new(py, Empty)?.into_any())
}

/// A stream at its end. It has no state that one request could leave to another.
#[pyclass(frozen, module = "uwrs", name = "EmptyInput")]
struct Empty;

#[pymethods]
impl Empty {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyBytes> {
        let _ = size;
        PyBytes::new(py, b"")
    }

    #[pyo3(signature = (size=None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyBytes> {
        self.read(py, size)
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyBytes> {
        self.read(py, size)
    }

    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyList> {
        let _ = hint;
        PyList::empty(py)
    }

    fn readinto(&self, buffer: &Bound<'_, PyAny>) -> usize {
        let _ = buffer;
        0
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }

    #[pyo3(signature = (offset, whence=0, /))]
    fn seek(&self, offset: i64, whence: i32) -> u64 {
        let _ = (offset, whence);
        0
    }

    fn tell(&self) -> u64 {
        0
    }

    fn readable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        false
    }

    fn flush(&self) {}

    fn close(&self) {}

    #[getter]
    fn closed(&self) -> bool {
        false
    }
}
