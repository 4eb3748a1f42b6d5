//! `wsgi.file_wrapper`: a file-like object as an iterable of blocks, and where it is a plain file as a part of that, which
//! is sent without being read (PEP 3333, "Optional Platform-Specific File Handling").

use std::fs::File;

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyType};
use uwrs_api::FilePart;

use crate::raw;

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

impl FileWrapper {
    /// What reading would give, as a part of a file: from its present position to its end. `None`: it is to be read,
    /// because what it gives need not be what a file holds, or because it has nothing to give. The descriptor is one of
    /// our own, so that no early `close()` can put another file in its place.
    pub(super) fn part(&self, py: Python<'_>) -> Option<FilePart> {
        // Whatever is wrong with the file, reading it will tell.
        self.try_part(py).ok().flatten()
    }

    fn try_part(&self, py: Python<'_>) -> PyResult<Option<FilePart>> {
        let Some(plain) = plain_file(self.filelike.bind(py))? else {
            return Ok(None);
        };
        // What was written and is held back.
        plain.call_method0(intern!(py, "flush"))?;
        let offset: u64 = plain.call_method0(intern!(py, "tell"))?.extract()?;
        let fd: i32 = plain.call_method0(intern!(py, "fileno"))?.extract()?;
        let file = File::from(raw::duplicate_descriptor(fd)?);
        let metadata = file.metadata()?;
        // A pipe can't be sent from an offset, and files of the kernel's (/proc) do not know their length.
        if !metadata.is_file() || metadata.len() <= offset {
            return Ok(None);
        }
        Ok(Some(FilePart::new(file, offset, metadata.len() - offset)))
    }
}

/// The file that gives its bytes as they are to who reads from `filelike`: a file of the `io` module's, itself or behind
/// an object that hands its `read` out (as Django's `File`, `tempfile.NamedTemporaryFile`). A subclass, or whatever has a
/// `read` of its own (`gzip.GzipFile`, which has a `fileno` as well), may give anything.
fn plain_file<'py>(filelike: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = filelike.py();
    let filelike = match is_temporary(filelike)? {
        true => filelike.getattr(intern!(py, "file"))?,
        false => filelike.clone(),
    };
    let read = filelike.getattr(intern!(py, "read"))?;
    if !read.is_instance_of::<PyCFunction>() {
        return Ok(None);
    }
    let file = read.getattr(intern!(py, "__self__"))?;
    let [file_io, buffered @ ..] = file_types(py)?;
    if file.get_type().is(file_io) {
        return Ok(Some(file));
    }
    if !buffered.iter().any(|buffered| file.get_type().is(buffered)) {
        return Ok(None);
    }
    let is_plain = file.getattr(intern!(py, "raw"))?.get_type().is(file_io);
    Ok(is_plain.then_some(file))
}

/// Is it what `tempfile.NamedTemporaryFile` gives? It wraps every method in a function.
fn is_temporary(filelike: &Bound<'_, PyAny>) -> PyResult<bool> {
    let kind = filelike.get_type();
    Ok(kind.name()? == "_TemporaryFileWrapper" && kind.module()? == "tempfile")
}

/// `FileIO`, and what buffers it.
fn file_types(py: Python<'_>) -> PyResult<[&Bound<'_, PyType>; 3]> {
    static FILE_IO: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static READER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static RANDOM: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok([
        FILE_IO.import(py, "io", "FileIO")?,
        READER.import(py, "io", "BufferedReader")?,
        RANDOM.import(py, "io", "BufferedRandom")?,
    ])
}
