//! The environ: what a request says, as the dictionary of PEP 3333 and RFC 3875.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use uwrs_api::{Body, BodyFraming, ConnectionInfo, Request, Version};

use super::caches::{ConnectionTexts, FieldKey, FieldNames, Texts};
use super::current::CurrentExchange;
use super::early_hints::EarlyHints;
use super::file_wrapper::FileWrapper;
use super::input;
use super::template::{Key, Template};
use crate::by_connection::ByConnection;
use crate::scheme::is_https;
use crate::{Settings, raw, uwsgi_module};

/// What an environ is made from.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request,
    pub(super) connection: &'a Arc<ConnectionInfo>,
    /// The connection's place in the worker's table.
    pub(super) slot: u32,
    /// As the application's place has it, which need not be the request's.
    pub(super) script_name: &'a [u8],
    pub(super) path_info: &'a [u8],
}

/// Makes environs.
pub(super) struct EnvironBuilder {
    template: Template,
    names: FieldNames,
    texts: Texts,
    connections: ByConnection<ConnectionTexts>,
}

impl EnvironBuilder {
    pub(super) fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        Ok(Self::from(py, Template::new(py, &constants(py, settings)?)?))
    }

    fn from(py: Python<'_>, template: Template) -> Self {
        Self {
            template,
            names: FieldNames::new(py),
            texts: Texts::new(),
            connections: ByConnection::default(),
        }
    }

    /// Puts `wsgi.early_hints` into the environs.
    pub(super) fn offer_early_hints(&self, py: Python<'_>, current: &CurrentExchange) -> PyResult<()> {
        let callable = Bound::new(py, EarlyHints(current.clone()))?;
        self.template
            .set(intern!(py, "wsgi.early_hints"), callable.into_any())
    }

    /// One that makes the same environs, with caches of its own.
    pub(super) fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::from(py, self.template.copy(py)?))
    }

    /// The environ of one request.
    pub(super) fn build<'py>(
        &mut self,
        py: Python<'py>,
        facts: &Facts<'_>,
        body: Body,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.say_request_line(py, facts)?;
        self.say_addresses(py, facts)?;
        let environ = self.template.environ(py)?;
        self.put_variables(&environ, facts.request)?;
        self.put_fields(&environ, facts.request)?;
        put_body(&environ, facts.request.framing, body)?;
        Ok(environ)
    }

    fn say_request_line(&mut self, py: Python<'_>, facts: &Facts<'_>) -> PyResult<()> {
        let (template, texts, request) = (&mut self.template, &mut self.texts, facts.request);
        match request.method() {
            b"GET" => template.say(Key::Method, intern!(py, "GET"))?,
            method => template.say(Key::Method, &texts.get(py, method)?)?,
        }
        match request.version {
            Version::Http11 => template.say(Key::Protocol, intern!(py, "HTTP/1.1"))?,
            version => template.say(Key::Protocol, &texts.get(py, version.as_str().as_bytes())?)?,
        }
        template.say(Key::ScriptName, &texts.get(py, facts.script_name)?)?;
        // These two are rarely said again: they don't go through the cache of those that are.
        template.say(Key::QueryString, &raw::latin1(py, request.get(request.query))?)?;
        let path = texts.get(py, facts.path_info)?;
        template.say(Key::PathInfo, &path)?;
        let target = match request.target() {
            target if target == facts.path_info => path,
            target => raw::latin1(py, target)?,
        };
        template.say(Key::RequestUri, &target)
    }

    fn say_addresses(&mut self, py: Python<'_>, facts: &Facts<'_>) -> PyResult<()> {
        let (template, texts, request) = (&mut self.template, &mut self.texts, facts.request);
        let make = || ConnectionTexts::new(py, texts, facts.connection);
        let own = self.connections.get(facts.slot, facts.connection, make)?;
        let is_https = is_https(facts.request, facts.connection);
        let scheme = match is_https {
            true => intern!(py, "https"),
            false => intern!(py, "http"),
        };
        template.say(Key::Scheme, scheme)?;

        match request.get(request.server_name) {
            b"" => template.say(Key::ServerName, own.server_name.bind(py))?,
            name => template.say(Key::ServerName, &texts.get(py, name)?)?,
        }
        match (request.get(request.server_port), &own.server_port) {
            (b"", Some(port)) => template.say(Key::ServerPort, port.bind(py))?,
            // A unix socket has none, and PEP 3333 wants one.
            (b"", None) if is_https => template.say(Key::ServerPort, intern!(py, "443"))?,
            (b"", None) => template.say(Key::ServerPort, intern!(py, "80"))?,
            (port, _) => template.say(Key::ServerPort, &texts.get(py, port)?)?,
        }
        // Whoever names the address names the port, or nobody does: a front's address beside the front's own port
        // would name a client that does not exist.
        let (addr, port) = (request.get(request.remote_addr), request.get(request.remote_port));
        match addr {
            b"" => template.say(Key::RemoteAddr, own.remote_addr.bind(py))?,
            addr => template.say(Key::RemoteAddr, &texts.get(py, addr)?)?,
        }
        match (addr, port) {
            (b"", b"") => template.say(Key::RemotePort, own.remote_port.bind(py)),
            (_, port) => template.say(Key::RemotePort, &texts.get(py, port)?),
        }
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

/// What every environ has, whatever the request says.
fn constants<'py>(py: Python<'py>, settings: &Settings) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    environ.set_item(
        intern!(py, "SERVER_SOFTWARE"),
        concat!("uwrs/", env!("CARGO_PKG_VERSION")),
    )?;
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
