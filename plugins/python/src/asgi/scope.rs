//! The scope: what a request says, as the dictionary of ASGI's HTTP specification.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use uwrs_api::{ConnectionInfo, Peer, Request, Version};

use crate::by_connection::ByConnection;
use crate::raw;
use crate::scheme::is_https;

/// The version of the specification of HTTP and WebSocket that is spoken.
const SPEC_VERSION: &str = "2.5";

/// What a scope is made from.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request,
    pub(super) connection: &'a Arc<ConnectionInfo>,
    /// The connection's place in the worker's table.
    pub(super) slot: u32,
    /// Where the application is mounted.
    pub(super) root_path: &'a [u8],
    /// The path below that.
    pub(super) path_info: &'a [u8],
    /// What the lifespan has left for requests.
    pub(super) state: Option<&'a Py<PyDict>>,
}

/// Makes scopes.
pub(super) struct ScopeBuilder {
    /// A scope with all keys, of which each gets a copy.
    http: Py<PyDict>,
    asgi: Py<PyDict>,
    extensions: Py<PyDict>,
    names: FieldNames,
    addresses: ByConnection<Addresses>,
}

impl ScopeBuilder {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let asgi = PyDict::new(py);
        asgi.set_item(intern!(py, "version"), "3.0")?;
        asgi.set_item(intern!(py, "spec_version"), SPEC_VERSION)?;
        let extensions = PyDict::new(py);
        extensions.set_item("http.response.early_hint", PyDict::new(py))?;
        extensions.set_item("http.response.pathsend", PyDict::new(py))?;
        let http = PyDict::new(py);
        http.set_item(intern!(py, "type"), intern!(py, "http"))?;
        for key in [
            intern!(py, "asgi"),
            intern!(py, "server"),
            intern!(py, "client"),
            intern!(py, "path"),
            intern!(py, "raw_path"),
            intern!(py, "headers"),
            intern!(py, "extensions"),
        ] {
            http.set_item(key, py.None())?;
        }
        http.set_item(intern!(py, "http_version"), intern!(py, "1.1"))?;
        http.set_item(intern!(py, "method"), intern!(py, "GET"))?;
        http.set_item(intern!(py, "scheme"), intern!(py, "http"))?;
        http.set_item(intern!(py, "query_string"), PyBytes::new(py, b""))?;
        http.set_item(intern!(py, "root_path"), intern!(py, ""))?;
        Ok(Self {
            http: http.unbind(),
            asgi: asgi.unbind(),
            extensions: extensions.unbind(),
            names: FieldNames::default(),
            addresses: ByConnection::default(),
        })
    }

    /// The scope of one request.
    pub(super) fn http<'py>(&mut self, py: Python<'py>, facts: &Facts<'_>) -> PyResult<Bound<'py, PyDict>> {
        let request = facts.request;
        let scope = self.http.bind(py).copy()?;
        scope.set_item(intern!(py, "asgi"), self.asgi.bind(py).copy()?)?;
        let extensions = self.extensions.bind(py).copy()?;
        if request.takes_trailers {
            extensions.set_item(intern!(py, "http.response.trailers"), PyDict::new(py))?;
        }
        scope.set_item(intern!(py, "extensions"), extensions)?;
        match request.version {
            Version::Http11 => {}
            Version::Http10 => scope.set_item(intern!(py, "http_version"), intern!(py, "1.0"))?,
            Version::Http2 => scope.set_item(intern!(py, "http_version"), intern!(py, "2"))?,
            Version::Http3 => scope.set_item(intern!(py, "http_version"), intern!(py, "3"))?,
        }
        if request.method() != b"GET" {
            let method = raw::latin1(py, &request.method().to_ascii_uppercase())?;
            scope.set_item(intern!(py, "method"), method)?;
        }
        if is_https(facts.request, facts.connection) {
            scope.set_item(intern!(py, "scheme"), intern!(py, "https"))?;
        }
        put_path(&scope, facts)?;
        let query = request.get(request.query);
        if !query.is_empty() {
            scope.set_item(intern!(py, "query_string"), PyBytes::new(py, query))?;
        }
        scope.set_item(intern!(py, "headers"), self.headers(py, request)?)?;
        self.put_addresses(&scope, facts)?;
        if let Some(state) = facts.state {
            scope.set_item(intern!(py, "state"), state.bind(py).copy()?)?;
        }
        Ok(scope)
    }

    /// The scope of a WebSocket.
    pub(super) fn websocket<'py>(
        &mut self,
        py: Python<'py>,
        facts: &Facts<'_>,
        subprotocols: &[String],
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = self.http(py, facts)?;
        scope.set_item(intern!(py, "type"), intern!(py, "websocket"))?;
        scope.del_item(intern!(py, "method"))?;
        let scheme = match is_https(facts.request, facts.connection) {
            true => intern!(py, "wss"),
            false => intern!(py, "ws"),
        };
        scope.set_item(intern!(py, "scheme"), scheme)?;
        scope.set_item(intern!(py, "subprotocols"), PyList::new(py, subprotocols)?)?;
        let extensions = PyDict::new(py);
        extensions.set_item(intern!(py, "websocket.http.response"), PyDict::new(py))?;
        scope.set_item(intern!(py, "extensions"), extensions)?;
        Ok(scope)
    }

    fn headers<'py>(&mut self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyList>> {
        let names = &mut self.names;
        let pairs: PyResult<Vec<Bound<'_, PyTuple>>> = request
            .fields()
            .map(|(name, value)| {
                let name = names.get(py, name);
                PyTuple::new(py, [name.into_any(), PyBytes::new(py, value).into_any()])
            })
            .collect();
        PyList::new(py, pairs?)
    }

    fn put_addresses(&mut self, scope: &Bound<'_, PyDict>, facts: &Facts<'_>) -> PyResult<()> {
        let py = scope.py();
        let request = facts.request;
        let make = || Addresses::new(py, facts.connection);
        let own = self.addresses.get(facts.slot, facts.connection, make)?;
        let said_server = request.get(request.server_name);
        let server = match said_server.is_empty() {
            true => own.server.bind(py).clone(),
            false => {
                let port = number(request.get(request.server_port));
                (raw::latin1(py, said_server)?, port)
                    .into_pyobject(py)?
                    .into_any()
            }
        };
        scope.set_item(intern!(py, "server"), server)?;
        let said_client = request.get(request.remote_addr);
        let client = match said_client.is_empty() {
            true => own.client.bind(py).clone(),
            // A front that names no port: 0, for it must be a number.
            false => {
                let port = number(request.get(request.remote_port)).unwrap_or(0);
                (raw::latin1(py, said_client)?, port)
                    .into_pyobject(py)?
                    .into_any()
            }
        };
        scope.set_item(intern!(py, "client"), client)
    }
}

fn put_path(scope: &Bound<'_, PyDict>, facts: &Facts<'_>) -> PyResult<()> {
    let py = scope.py();
    let raw_path = facts.request.get(facts.request.raw_path);
    scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, raw_path))?;
    if facts.root_path.is_empty() {
        return scope.set_item(intern!(py, "path"), text(py, facts.path_info)?);
    }
    // The path is the whole one, with what it is mounted at in front.
    let whole = [facts.root_path, facts.path_info].concat();
    scope.set_item(intern!(py, "root_path"), text(py, facts.root_path)?)?;
    scope.set_item(intern!(py, "path"), text(py, &whole)?)
}

/// UTF-8, with U+FFFD for what is none.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match bytes.is_ascii() {
        true => raw::latin1(py, bytes),
        false => Ok(PyString::new(py, &String::from_utf8_lossy(bytes))),
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Names of header fields, as bytes; bounded, so that no client can fill the memory.
#[derive(Default)]
struct FieldNames(HashMap<Box<[u8]>, Py<PyBytes>>);

impl FieldNames {
    const LIMIT: usize = 512;
    const LONGEST: usize = 64;

    fn get<'py>(&mut self, py: Python<'py>, name: &[u8]) -> Bound<'py, PyBytes> {
        if let Some(known) = self.0.get(name) {
            return known.bind(py).clone();
        }
        let made = PyBytes::new(py, name);
        if self.0.len() < Self::LIMIT && name.len() <= Self::LONGEST {
            self.0.insert(name.into(), made.clone().unbind());
        }
        made
    }
}

/// `server` and `client` of a connection.
struct Addresses {
    server: Py<PyAny>,
    client: Py<PyAny>,
}

impl Addresses {
    fn new(py: Python<'_>, connection: &ConnectionInfo) -> PyResult<Self> {
        let client = match connection.peer {
            // A socket for both families shows IPv4 clients as ::ffff:192.0.2.1.
            Peer::Inet(address) => (address.ip().to_canonical().to_string(), address.port())
                .into_pyobject(py)?
                .into_any()
                .unbind(),
            Peer::Unix => py.None(),
        };
        let port = number(connection.server_port.as_bytes());
        let server = match &connection.socket_path {
            Some(path) => (path.as_os_str(), py.None()).into_pyobject(py)?,
            None => (&*connection.server_name, port).into_pyobject(py)?,
        };
        Ok(Self {
            server: server.into_any().unbind(),
            client,
        })
    }
}
