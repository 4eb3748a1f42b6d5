//! [`Request`]: what was asked, the same whichever protocol carried it.

use crate::{Span, Text};

/// The HTTP version that the client (not a proxy in between) is said to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2; also HTTP/2.0 as a gateway in front names it
    Http2,
    /// HTTP/3
    Http3,
}

impl Version {
    /// As in SERVER_PROTOCOL: `HTTP/1.1`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
            Self::Http3 => "HTTP/3.0",
        }
    }
}

/// How long the body is, as the head announces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none: neither a length nor a transfer coding was given.
    #[default]
    None,
    /// Content-Length, bytes; 0 where the client said `0`.
    Length(u64),
    /// Chunked: known when it ends.
    Chunked,
}

/// The head of a request. Texts are bytes as received unless said otherwise; whoever hands them to Python
/// decodes them as latin-1 (PEP 3333, "A Note on String Types").
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What all the spans below point into.
    pub text: Text,
    /// `GET`
    pub method: Span,
    /// The target as received: `/a%20b?c=d` (REQUEST_URI). For absolute-form the whole URI.
    pub target: Span,
    /// The path, percent-decoded once (PATH_INFO).
    pub path: Span,
    /// The path as received, without the query (ASGI's `raw_path`).
    pub raw_path: Span,
    /// What follows `?`, as received.
    pub query: Span,
    /// What a gateway protocol says of SCRIPT_NAME; empty for HTTP.
    pub script_name: Span,
    /// Client's HTTP version.
    pub version: Version,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// Fields behind the answer's body reach the client, and it takes them (RFC 9110 §6.5.1, `TE: trailers`).
    pub takes_trailers: bool,
    /// Header fields in order of arrival: name in lower case with dashes (`x-forwarded-for`), value without
    /// surrounding blanks. Fields that a policy dropped (names with `_`, `Proxy`) are not here.
    pub fields: Vec<(Span, Span)>,
    /// Variables of a gateway protocol (uwsgi, FastCGI) that are not header fields, in order, the last of a
    /// repeated name last: `DOCUMENT_ROOT`, `HTTPS`, `REMOTE_USER`, whatever `uwsgi_param` sets. Those
    /// with a place above (REQUEST_METHOD, PATH_INFO, …) are not repeated here.
    pub variables: Vec<(Span, Span)>,
    /// `https` where a gateway protocol says that the client used TLS, else `http` or empty.
    pub scheme: Span,
    /// REMOTE_ADDR as a gateway protocol gives it; empty: the connection's peer.
    pub remote_addr: Span,
    /// REMOTE_PORT, likewise.
    pub remote_port: Span,
    /// SERVER_NAME, likewise; empty: the listener's.
    pub server_name: Span,
    /// SERVER_PORT, likewise.
    pub server_port: Span,
    /// Bytes of the head as it arrived, for the access log.
    pub head_bytes: usize,
}

impl Request {
    /// Bytes of text, and fields, whose memory is kept for the next request.
    const SPARE_TEXT: usize = 4096;
    const SPARE_FIELDS: usize = 64;

    /// Forgets everything, keeps a usual head's memory.
    pub fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear_to(Self::SPARE_TEXT);
        let [fields, variables] = [&mut self.fields, &mut self.variables].map(|list| {
            let mut list = std::mem::take(list);
            list.clear();
            list.shrink_to(Self::SPARE_FIELDS);
            list
        });
        *self = Self {
            text,
            fields,
            variables,
            ..Self::default()
        };
    }

    /// `GET /path?query`, safe for a log.
    pub fn line(&self) -> String {
        format!(
            "{} {}",
            self.method().escape_ascii(),
            self.target().escape_ascii()
        )
    }

    /// The bytes at a span of this request.
    pub fn get(&self, span: Span) -> &[u8] {
        self.text.get(span)
    }

    /// `GET`
    pub fn method(&self) -> &[u8] {
        self.get(self.method)
    }

    /// The target as received.
    pub fn target(&self) -> &[u8] {
        self.get(self.target)
    }

    /// The decoded path.
    pub fn path(&self) -> &[u8] {
        self.get(self.path)
    }

    /// Header fields: name in lower case, value.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|&(name, value)| (self.get(name), self.get(value)))
    }

    /// Gateway variables that are not header fields.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables
            .iter()
            .map(|&(name, value)| (self.get(name), self.get(value)))
    }

    /// The first field of that (lower-case) name.
    pub fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields()
            .find(|(have, _)| *have == name)
            .map(|(_, value)| value)
    }

    /// The last variable of that name.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables()
            .filter(|(have, _)| *have == name)
            .last()
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_request_says_nothing_and_keeps_little_memory() {
        let mut request = Request::default();
        let span = request.text.push(&[b'x'; 9000]);
        request.method = span;
        request.framing = BodyFraming::Chunked;
        request.version = Version::Http10;
        request.fields = vec![(span, span); 500];
        request.variables.push((span, span));
        request.head_bytes = 9000;
        request.clear();
        assert_eq!(format!("{request:?}"), format!("{:?}", Request::default()));
        assert!(request.fields.capacity() < 500);
    }
}
