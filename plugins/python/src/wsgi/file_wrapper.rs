//! `wsgi.file_wrapper`: a file-like object as an iterable of blocks (PEP 3333, "Optional Platform-Specific File
//! Handling").

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;

/// Blocks of a file-like object.
#[pyclass(frozen, module = "uwrs")]
pub(super) struct FileWrapper {
    /// The file-like object.
    #[pyo3(get)]
    filelike: Py<PyAny>,
    /// Bytes of a block.
    #[pyo3(get)]
    blksize: Py<PyAny>,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=None))]
    fn new(py: Python<'_>, filelike: Py<PyAny>, blksize: Option<Py<PyAny>>) -> PyResult<Self> {
        let blksize = match blksize {
            Some(size) => size,
            None => 8192_i32.into_pyobject(py)?.into_any().unbind(),
        };
        Ok(Self { filelike, blksize })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let filelike = self.filelike.bind(py);
        let block = filelike.call_method1(intern!(py, "read"), (&self.blksize,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    /// Closes the file-like object, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr(intern!(py, "close")) {
            Ok(close) => close.call0().map(drop),
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
