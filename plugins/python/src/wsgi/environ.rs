//! The environ: what a request says, as the dictionary of PEP 3333 and RFC 3875.
//!
//! Every request gets a copy of one template that already has all the keys which every request sets, so that the
//! copy is one `memcpy` and the dictionary does not grow.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use uwrs_api::{Body, BodyFraming, ConnectionInfo, Request, Version};

use super::caches::{Connections, FieldKey, FieldNames, Texts};
use super::early_hints::{CurrentExchange, EarlyHints};
use super::file_wrapper::FileWrapper;
use super::input;
use crate::{Settings, raw, uwsgi_module};

/// What an environ is made from.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request,
    pub(super) connection: &'a Arc<ConnectionInfo>,
    /// As the application's place has it, which need not be the request's.
    pub(super) script_name: &'a [u8],
    pub(super) path_info: &'a [u8],
}

/// Makes environs.
pub(super) struct EnvironBuilder {
    template: Py<PyDict>,
    names: FieldNames,
    texts: Texts,
    connections: Connections,
}

impl EnvironBuilder {
    pub(super) fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        Ok(Self {
            template: template(py, settings)?.unbind(),
            names: FieldNames::new(py),
            texts: Texts::new(),
            connections: Connections::new(),
        })
    }

    /// Puts `wsgi.early_hints` into the environs.
    pub(super) fn offer_early_hints(
        &self,
        py: Python<'_>,
        current: Option<&CurrentExchange>,
    ) -> PyResult<()> {
        let Some(current) = current else { return Ok(()) };
        let callable = Bound::new(py, EarlyHints(current.clone()))?;
        self.template
            .bind(py)
            .set_item(intern!(py, "wsgi.early_hints"), callable)
    }

    /// One that makes the same environs, with caches of its own.
    pub(super) fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            template: self.template.bind(py).copy()?.unbind(),
            names: FieldNames::new(py),
            texts: Texts::new(),
            connections: Connections::new(),
        })
    }

    /// The environ of one request.
    pub(super) fn build<'py>(
        &mut self,
        py: Python<'py>,
        facts: &Facts<'_>,
        body: Body,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.template.bind(py).copy()?;
        self.put_request_line(&environ, facts)?;
        let is_https = is_https(facts);
        if is_https {
            environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
        }
        self.put_variables(&environ, facts.request)?;
        self.put_addresses(&environ, facts, is_https)?;
        self.put_fields(&environ, facts.request)?;
        put_body(&environ, facts.request.framing, body)?;
        Ok(environ)
    }

    /// What differs from the template only.
    fn put_request_line(&mut self, environ: &Bound<'_, PyDict>, facts: &Facts<'_>) -> PyResult<()> {
        let py = environ.py();
        let request = facts.request;
        if request.method() != b"GET" {
            let method = self.texts.get(py, request.method())?;
            environ.set_item(intern!(py, "REQUEST_METHOD"), method)?;
        }
        if request.version != Version::Http11 {
            let version = self.texts.get(py, request.version.as_str().as_bytes())?;
            environ.set_item(intern!(py, "SERVER_PROTOCOL"), version)?;
        }
        if !facts.script_name.is_empty() {
            environ.set_item(intern!(py, "SCRIPT_NAME"), self.texts.get(py, facts.script_name)?)?;
        }
        let query = request.get(request.query);
        if !query.is_empty() {
            environ.set_item(intern!(py, "QUERY_STRING"), raw::latin1(py, query)?)?;
        }
        let path = self.texts.get(py, facts.path_info)?;
        environ.set_item(intern!(py, "PATH_INFO"), &path)?;
        let target = match request.target() {
            target if target == facts.path_info => path,
            target => raw::latin1(py, target)?,
        };
        environ.set_item(intern!(py, "REQUEST_URI"), target)
    }

    /// What a front says besides, `uwsgi_param` by `uwsgi_param`. Not the server's own keys: those are objects.
    fn put_variables(&mut self, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        for (name, value) in request.variables() {
            if name.starts_with(b"wsgi.") {
                continue;
            }
            let py = environ.py();
            environ.set_item(self.texts.get(py, name)?, self.texts.get(py, value)?)?;
        }
        Ok(())
    }

    fn put_addresses(
        &mut self,
        environ: &Bound<'_, PyDict>,
        facts: &Facts<'_>,
        is_https: bool,
    ) -> PyResult<()> {
        let py = environ.py();
        let request = facts.request;
        let own = self.connections.get(py, &mut self.texts, facts.connection)?;
        let said = |bytes: &[u8]| (!bytes.is_empty()).then(|| raw::latin1(py, bytes)).transpose();

        let server_name = said(request.get(request.server_name))?;
        environ.set_item(
            intern!(py, "SERVER_NAME"),
            or_own(server_name.as_ref(), &own.server_name),
        )?;
        match (said(request.get(request.server_port))?, &own.server_port) {
            (Some(port), _) => environ.set_item(intern!(py, "SERVER_PORT"), port)?,
            (None, Some(port)) => environ.set_item(intern!(py, "SERVER_PORT"), port)?,
            // A unix socket has none, and PEP 3333 wants one.
            (None, None) if is_https => environ.set_item(intern!(py, "SERVER_PORT"), intern!(py, "443"))?,
            (None, None) => environ.set_item(intern!(py, "SERVER_PORT"), intern!(py, "80"))?,
        }
        // Whoever names the address names the port, or nobody does: a front's address beside the front's own port
        // would name a client that does not exist.
        let remote_addr = said(request.get(request.remote_addr))?;
        environ.set_item(
            intern!(py, "REMOTE_ADDR"),
            or_own(remote_addr.as_ref(), &own.remote_addr),
        )?;
        match (said(request.get(request.remote_port))?, remote_addr) {
            (Some(port), _) => environ.set_item(intern!(py, "REMOTE_PORT"), port),
            (None, Some(_)) => Ok(()),
            (None, None) => environ.set_item(intern!(py, "REMOTE_PORT"), &own.remote_port),
        }
    }

    fn put_fields(&mut self, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let py = environ.py();
        let texts = &mut self.texts;
        for (name, value) in request.fields() {
            self.names.with(py, name, |key| {
                let FieldKey::Name(key) = key else { return Ok(()) };
                if value.is_empty() && name == b"content-type" {
                    return Ok(());
                }
                let key = key.bind(py);
                let text = texts.get(py, value)?;
                match raw::insert_or_existing(environ, key, &text)? {
                    None => Ok(()),
                    Some(before) => environ.set_item(key, joined(&before, name, &text)?),
                }
            })?;
        }
        Ok(())
    }
}

/// A field that came more than once is one list (RFC 9110 §5.3); cookies have their own mark (RFC 6265 §5.4).
fn joined<'py>(
    before: &Bound<'py, PyAny>,
    name: &[u8],
    value: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let mark = match name {
        b"cookie" => intern!(py, "; "),
        _ => intern!(py, ", "),
    };
    before.add(mark)?.add(value)
}

fn or_own<'a, 'py>(said: Option<&'a Bound<'py, PyString>>, own: &'a Py<PyString>) -> &'a Py<PyString> {
    said.map_or(own, Bound::as_unbound)
}

/// Did the client use TLS? As far as a trusted front, or the listener itself, says so. `X-Forwarded-Proto` is a
/// header that any client can send: a front that means it says so by `uwsgi_param`.
fn is_https(facts: &Facts<'_>) -> bool {
    let request = facts.request;
    if facts.connection.tls || request.get(request.scheme) == b"https" {
        return true;
    }
    if request.variables.is_empty() {
        return false;
    }
    let says_on = |value: &[u8]| value == b"1" || value.eq_ignore_ascii_case(b"on");
    request.variable(b"HTTPS").is_some_and(says_on) || request.variable(b"UWSGI_SCHEME") == Some(b"https")
}

fn put_body(environ: &Bound<'_, PyDict>, framing: BodyFraming, body: Body) -> PyResult<()> {
    let py = environ.py();
    // Also for a chunked body: it is whole by now, so its length is known.
    if framing != BodyFraming::None {
        environ.set_item(intern!(py, "CONTENT_LENGTH"), body.len().to_string())?;
    }
    match input::open(py, body)? {
        Some(input) => environ.set_item(intern!(py, "wsgi.input"), input),
        None => Ok(()),
    }
}

/// What every environ has. Keys that every request sets are there with what most requests say.
fn template<'py>(py: Python<'py>, settings: &Settings) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    for (name, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", ""),
        ("QUERY_STRING", ""),
        ("REQUEST_URI", ""),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", ""),
        ("SERVER_PORT", ""),
        ("REMOTE_ADDR", ""),
        ("REMOTE_PORT", ""),
        ("SERVER_SOFTWARE", concat!("uwrs/", env!("CARGO_PKG_VERSION"))),
        ("wsgi.url_scheme", "http"),
    ] {
        environ.set_item(PyString::intern(py, name), PyString::intern(py, value))?;
    }
    environ.set_item(intern!(py, "wsgi.version"), (1, 0))?;
    environ.set_item(intern!(py, "wsgi.input"), input::empty(py)?)?;
    environ.set_item(intern!(py, "wsgi.input_terminated"), true)?;
    environ.set_item(intern!(py, "wsgi.errors"), errors(py)?)?;
    environ.set_item(intern!(py, "wsgi.multithread"), settings.multithread)?;
    environ.set_item(intern!(py, "wsgi.multiprocess"), settings.multiprocess)?;
    environ.set_item(intern!(py, "wsgi.run_once"), false)?;
    if !settings.disable_file_wrapper {
        environ.set_item(intern!(py, "wsgi.file_wrapper"), py.get_type::<FileWrapper>())?;
    }
    environ.set_item(intern!(py, "uwsgi.version"), uwsgi_module::version(py))?;
    let node = uwsgi_module::host_name();
    environ.set_item(
        intern!(py, "uwsgi.node"),
        pyo3::types::PyBytes::new(py, node.as_bytes()),
    )?;
    Ok(environ)
}

/// `wsgi.errors`: standard error, or where that is closed a stream that forgets.
fn errors(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let stderr = py.import("sys")?.getattr("stderr")?;
    if !stderr.is_none() {
        return Ok(stderr);
    }
    py.import("io")?.call_method1("open", ("/dev/null", "w"))
}
