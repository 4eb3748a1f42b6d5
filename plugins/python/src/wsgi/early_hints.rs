//! `wsgi.early_hints`: an interim answer, 103 Early Hints (RFC 8297), while the application makes the real one.

use pyo3::prelude::*;
use uwrs_api::ResponseHead;

use super::current::CurrentExchange;
use super::start_response::put_field;
use crate::content_length::ContentLength;

/// What an application calls with a list of header fields.
#[pyclass(frozen, module = "uwrs")]
pub(super) struct EarlyHints(pub(super) CurrentExchange);

#[pymethods]
impl EarlyHints {
    /// Sends the fields. From another thread than the request's, or after it, nothing is sent.
    fn __call__(&self, py: Python<'_>, fields: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut head = ResponseHead::new(103);
        let mut length = ContentLength::default();
        for field in fields.try_iter()? {
            put_field(&mut head, &field?, &mut length)?;
        }
        self.0.interim(py, head);
        Ok(())
    }
}
