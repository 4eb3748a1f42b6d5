//! Strings that come again and again: names of header fields and their values, and what a connection says of itself.
//! Made once and kept; all of it bounded, so that no client can fill the memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use uwrs_api::{ConnectionInfo, Peer};

use crate::raw;

/// What becomes of a header field in the environ.
pub(super) enum FieldKey {
    /// Its value goes under this name.
    Name(Py<PyString>),
    /// It is left out: what it says is said otherwise.
    Nothing,
}

/// Names of header fields (`x-forwarded-for`) to names in the environ (`HTTP_X_FORWARDED_FOR`).
pub(super) struct FieldNames {
    known: HashMap<Box<[u8]>, FieldKey, Quick>,
}

impl FieldNames {
    /// Names are kept up to this number; others are made anew each time.
    const LIMIT: usize = 512;
    /// Longer names, in bytes, are not kept.
    const LONGEST: usize = 64;

    pub(super) fn new(py: Python<'_>) -> Self {
        let mut known: HashMap<Box<[u8]>, FieldKey, Quick> = HashMap::default();
        known.insert(
            (*b"content-type").into(),
            FieldKey::Name(intern!(py, "CONTENT_TYPE").clone().unbind()),
        );
        // The environ's CONTENT_LENGTH is the length of the body that is at hand. A transfer coding is undone by
        // then; RFC 3875 §4.1.2 wants the decoded length, and an application that passes the fields of a request on
        // must not pass on both.
        known.insert((*b"content-length").into(), FieldKey::Nothing);
        known.insert((*b"transfer-encoding").into(), FieldKey::Nothing);
        Self { known }
    }

    /// The key for a lower-case name, made and kept if it is new.
    pub(super) fn with<R>(
        &mut self,
        py: Python<'_>,
        name: &[u8],
        work: impl FnOnce(&FieldKey) -> PyResult<R>,
    ) -> PyResult<R> {
        if let Some(key) = self.known.get(name) {
            return work(key);
        }
        let key = FieldKey::Name(header_key(py, name)?);
        let result = work(&key);
        if self.known.len() < Self::LIMIT && name.len() <= Self::LONGEST {
            self.known.insert(name.into(), key);
        }
        result
    }
}

/// `x-forwarded-for` → `HTTP_X_FORWARDED_FOR`
fn header_key(py: Python<'_>, name: &[u8]) -> PyResult<Py<PyString>> {
    let mut key = Vec::with_capacity(5 + name.len());
    key.extend_from_slice(b"HTTP_");
    key.extend(name.iter().map(|byte| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }));
    Ok(raw::latin1(py, &key)?.unbind())
}

/// Short texts, each in the one place that its hash points to: a newcomer takes the place of who was there.
pub(super) struct Texts {
    places: Vec<Option<Py<PyString>>>,
}

impl Texts {
    const PLACES: usize = 512;
    /// Past this many bytes, hashing and comparing cost more than a new string.
    const LONGEST: usize = 64;

    pub(super) fn new() -> Self {
        Self {
            places: (0..Self::PLACES).map(|_| None).collect(),
        }
    }

    /// The native string of these bytes.
    pub(super) fn get<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
        // Python itself keeps the empty string and those of one character.
        if bytes.len() <= 1 || bytes.len() > Self::LONGEST {
            return raw::latin1(py, bytes);
        }
        let mut hasher = QuickHasher::default();
        hasher.write(bytes);
        let place = &mut self.places[hasher.finish() as usize % Self::PLACES];
        if let Some(there) = place {
            let there = there.bind(py);
            if raw::latin1_bytes(there)? == Some(bytes) {
                return Ok(there.clone());
            }
        }
        let text = raw::latin1(py, bytes)?;
        *place = Some(text.clone().unbind());
        Ok(text)
    }
}

/// What a connection says of itself, as native strings.
pub(super) struct ConnectionTexts {
    pub(super) server_name: Py<PyString>,
    /// `None`: to be told by the scheme.
    pub(super) server_port: Option<Py<PyString>>,
    pub(super) remote_addr: Py<PyString>,
    pub(super) remote_port: Py<PyString>,
}

impl ConnectionTexts {
    pub(super) fn new(py: Python<'_>, texts: &mut Texts, connection: &ConnectionInfo) -> PyResult<Self> {
        let (addr, port) = match connection.peer {
            // A socket for both families shows IPv4 clients as ::ffff:192.0.2.1.
            Peer::Inet(address) => (
                address.ip().to_canonical().to_string(),
                address.port().to_string(),
            ),
            Peer::Unix => (String::new(), String::new()),
        };
        let port_of_listener = &connection.server_port;
        Ok(Self {
            server_name: texts
                .get(py, never_empty(connection.server_name.as_bytes()))?
                .unbind(),
            server_port: match port_of_listener.is_empty() {
                true => None,
                false => Some(texts.get(py, port_of_listener.as_bytes())?.unbind()),
            },
            remote_addr: texts.get(py, addr.as_bytes())?.unbind(),
            remote_port: raw::latin1(py, port.as_bytes())?.unbind(),
        })
    }
}

/// PEP 3333: SERVER_NAME can never be empty.
fn never_empty(server_name: &[u8]) -> &[u8] {
    match server_name {
        b"" => b"localhost",
        name => name,
    }
}

type Quick = BuildHasherDefault<QuickHasher>;

/// Multiply and rotate, eight bytes at a time. Not against an adversary: what it places is bounded.
#[derive(Default)]
struct QuickHasher(u64);

impl QuickHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length tells `a` from `a\0`.
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn finish(&self) -> u64 {
        // The high bits are the well-mixed ones; tables look at the low ones.
        self.0.rotate_left(26)
    }
}
