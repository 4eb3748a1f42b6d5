//! [`Template`]: the dictionary that every environ begins as a copy of.
//!
//! It has all keys that every request sets, with what the last request said of them. Most of that (the method, the
//! server's name, a front's address) is what the next one says as well, so little is left to be set before the copy, which
//! is one `memcpy`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// A key that every request sets, in the order of [`Template::KEYS`].
#[derive(Clone, Copy)]
pub(super) enum Key {
    Method,
    ScriptName,
    PathInfo,
    QueryString,
    RequestUri,
    Protocol,
    ServerName,
    ServerPort,
    RemoteAddr,
    RemotePort,
    Scheme,
}

/// One of these keys, and what the template has under it.
struct Said {
    key: Py<PyString>,
    value: Py<PyString>,
}

/// The beginning of an environ.
pub(super) struct Template {
    dict: Py<PyDict>,
    said: [Said; Self::KEYS.len()],
}

impl Template {
    const KEYS: [&str; 11] = [
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "REQUEST_URI",
        "SERVER_PROTOCOL",
        "SERVER_NAME",
        "SERVER_PORT",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "wsgi.url_scheme",
    ];

    /// A template that has these keys, and nothing under them, and beside them what `constants` has.
    pub(super) fn new(py: Python<'_>, constants: &Bound<'_, PyDict>) -> PyResult<Self> {
        let dict = PyDict::new(py);
        let said = Self::KEYS.map(|key| Said {
            key: PyString::intern(py, key).unbind(),
            value: PyString::intern(py, "").unbind(),
        });
        for Said { key, value } in &said {
            dict.set_item(key, value)?;
        }
        dict.update(constants.as_mapping())?;
        Ok(Self {
            dict: dict.unbind(),
            said,
        })
    }

    /// Another one like this.
    pub(super) fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            dict: self.environ(py)?.unbind(),
            said: self.said.each_ref().map(|said| Said {
                key: said.key.clone_ref(py),
                value: said.value.clone_ref(py),
            }),
        })
    }

    /// Every environ from now on has `value` under `key`.
    pub(super) fn set(&self, key: &Bound<'_, PyString>, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.dict.bind(key.py()).set_item(key, value)
    }

    /// The request that is at hand says `value`.
    pub(super) fn say(&mut self, key: Key, value: &Bound<'_, PyString>) -> PyResult<()> {
        let said = &mut self.said[key as usize];
        if !said.value.is(value) {
            self.dict.bind(value.py()).set_item(&said.key, value)?;
            said.value = value.clone().unbind();
        }
        Ok(())
    }

    /// A copy, which is the environ's beginning.
    pub(super) fn environ<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.dict.bind(py).copy()
    }
}
