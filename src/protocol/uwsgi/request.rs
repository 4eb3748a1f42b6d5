//! A [`Request`] from the variables of a uwsgi packet.
//!
//! Variables that uWSGI loads code by (`UWSGI_FILE`, `UWSGI_MODULE`, `UWSGI_PYHOME`, `UWSGI_CHDIR`, …: every
//! `UWSGI_*` but `UWSGI_SCHEME`) are dropped: whoever reaches the socket could run what he likes.

use std::sync::Arc;

use uwrs_api::{
    BodyFraming, Refusal, Request, Span, Text, Version, has_nul, is_field_value, is_token, is_token_byte,
    trim,
};

use super::packet::{Header, Modifier, pairs};
use crate::protocol::syntax::{NumberError, is_authority, number};
use crate::protocol::target::{Target, decode_path};
use crate::protocol::{HeadLimits, policy};

/// Room behind the packet for texts that are made of its own: a decoded path, a scheme.
const EXTRA_ROOM: usize = 64;

/// Makes a request of `packet`, whose header was `header`, in the empty `request`.
///
/// # Errors
///
/// 400, 411, 413 or 431: which variable is wrong, or which limit is exceeded.
pub(super) fn read(
    mut request: Arc<Request>,
    packet: &[u8],
    header: Header,
    limits: &HeadLimits,
) -> Result<Arc<Request>, Refusal> {
    let mut assembly = Assembly::new(Arc::make_mut(&mut request), packet);
    for (count, pair) in pairs(packet).enumerate() {
        if count >= limits.fields {
            return Err(Refusal::new(431, "too many uwsgi variables").limited_by("max-vars"));
        }
        let (key, value) = pair?;
        assembly.add(key, value)?;
    }
    assembly.finish(packet.len(), header.modifier, limits)?;
    Ok(request)
}

/// A request on its way together. The request's text begins with the packet, so that nearly every part of it
/// is a place in the packet.
struct Assembly<'a> {
    request: &'a mut Request,
    target: Option<Span>,
    path: Option<Span>,
    query: Option<Span>,
    content_length: Option<u64>,
    scheme: Scheme,
    host: Option<Span>,
    has_transfer_encoding: bool,
}

/// What is said of the scheme; the first of these that is there counts.
#[derive(Default)]
struct Scheme {
    uwsgi_scheme: Option<Span>,
    https: bool,
    request_scheme: Option<Span>,
}

impl<'a> Assembly<'a> {
    fn new(request: &'a mut Request, packet: &[u8]) -> Self {
        request.text.reserve(packet.len() + EXTRA_ROOM);
        request.text.push(packet);
        Self {
            request,
            target: None,
            path: None,
            query: None,
            content_length: None,
            scheme: Scheme::default(),
            host: None,
            has_transfer_encoding: false,
        }
    }

    /// Takes in one variable. Of a name that comes again the last value counts, except that header fields add
    /// up.
    fn add(&mut self, key: Span, value: Span) -> Result<(), Refusal> {
        let request = &mut *self.request;
        let (name, text) = (request.text.get(key), request.text.get(value));
        if has_nul(text) || has_nul(name) {
            return Err(Refusal::new(400, "a NUL in a uwsgi variable"));
        }
        match name {
            b"REQUEST_METHOD" if is_token(text) => request.method = value,
            b"REQUEST_METHOD" => return Err(Refusal::new(400, "a malformed REQUEST_METHOD")),
            b"REQUEST_URI" if !text.iter().any(u8::is_ascii_control) => self.target = Some(value),
            b"REQUEST_URI" => return Err(Refusal::new(400, "a control byte in REQUEST_URI")),
            b"PATH_INFO" => self.path = Some(value),
            b"QUERY_STRING" => self.query = Some(value),
            b"SCRIPT_NAME" => request.script_name = value,
            b"SERVER_PROTOCOL" => request.version = version(text),
            b"SERVER_NAME" => request.server_name = value,
            b"SERVER_PORT" => request.server_port = value,
            b"REMOTE_ADDR" => request.remote_addr = value,
            b"REMOTE_PORT" => request.remote_port = value,
            b"UWSGI_SCHEME" => self.scheme.uwsgi_scheme = Some(value),
            b"CONTENT_LENGTH" => return self.content_length(key, value),
            b"CONTENT_TYPE" => {
                if !text.is_empty() {
                    self.replace_field(key, value)?;
                }
            }
            [b'H', b'T', b'T', b'P', b'_', field @ ..] if is_field_name(field) => {
                return self.field(key.from(5), value);
            }
            _ if name.starts_with(b"HTTP_") && !is_field_value(text) => {
                return Err(Refusal::new(400, "a control byte in a field value"));
            }
            _ if name.starts_with(b"UWSGI_") => {}
            _ => {
                match name {
                    b"HTTPS" => self.scheme.https = text.eq_ignore_ascii_case(b"on") || text == b"1",
                    b"REQUEST_SCHEME" => self.scheme.request_scheme = Some(value),
                    _ => {}
                }
                request.variables.push((key, value));
            }
        }
        Ok(())
    }

    /// Takes in a header field: `X_FOO`.
    fn field(&mut self, name: Span, value: Span) -> Result<(), Refusal> {
        let request = &mut *self.request;
        let value = trimmed(&request.text, value);
        let text = request.text.get(value);
        if !is_field_value(text) {
            return Err(Refusal::new(400, "a control byte in a field value"));
        }
        match request.text.get(name) {
            // What CONTENT_TYPE and CONTENT_LENGTH say already.
            b"CONTENT_TYPE" | b"CONTENT_LENGTH" => return Ok(()),
            b"HOST" => {
                if !is_authority(text) {
                    return Err(Refusal::new(400, "a malformed HTTP_HOST"));
                }
                match self.host.replace(value) {
                    Some(other) if request.text.get(other) == text => return Ok(()),
                    Some(_) => return Err(Refusal::new(400, "more than one HTTP_HOST")),
                    None => {}
                }
            }
            b"TRANSFER_ENCODING" => self.has_transfer_encoding = true,
            _ => {}
        }
        to_field_name(request.text.get_mut(name));
        if policy::is_passed_on(request.text.get(name)) {
            request.fields.push((name, value));
        }
        Ok(())
    }

    /// An empty one says nothing: nginx sends it with every GET.
    fn content_length(&mut self, key: Span, value: Span) -> Result<(), Refusal> {
        let text = self.request.get(value);
        if text.is_empty() {
            return Ok(());
        }
        let length = match number(text) {
            Ok(length) => length,
            Err(NumberError::Malformed) => return Err(Refusal::new(400, "a malformed CONTENT_LENGTH")),
            Err(NumberError::Overflow) => return Err(Refusal::new(413, "the body is longer than allowed")),
        };
        if self
            .content_length
            .replace(length)
            .is_some_and(|other| other != length)
        {
            return Err(Refusal::new(400, "two different CONTENT_LENGTH"));
        }
        self.replace_field(key, value)
    }

    /// Adds a field of which there is only one.
    fn replace_field(&mut self, key: Span, value: Span) -> Result<(), Refusal> {
        let request = &mut *self.request;
        if !is_field_value(request.text.get(value)) {
            return Err(Refusal::new(400, "a control byte in a field value"));
        }
        to_field_name(request.text.get_mut(key));
        let text = &request.text;
        request
            .fields
            .retain(|&(name, _)| text.get(name) != text.get(key));
        request.fields.push((key, value));
        Ok(())
    }

    /// All variables are in: what do they mean together?
    fn finish(mut self, packet_bytes: usize, modifier: Modifier, limits: &HeadLimits) -> Result<(), Refusal> {
        if self.request.method.is_empty() {
            return Err(Refusal::new(
                400,
                "no REQUEST_METHOD: include uwsgi_params where uwsgi_pass is",
            ));
        }
        self.request.head_bytes = super::HEADER_BYTES + packet_bytes;
        self.framing(limits)?;
        self.target()?;
        if modifier == Modifier::ManagePathInfo {
            self.strip_script_name();
        }
        self.scheme();
        Ok(())
    }

    fn framing(&mut self, limits: &HeadLimits) -> Result<(), Refusal> {
        let request = &mut *self.request;
        let Some(length) = self.content_length else {
            if self.has_transfer_encoding {
                return Err(Refusal::new(411, "a transfer coding without CONTENT_LENGTH"));
            }
            return Ok(());
        };
        if limits.is_too_long(length) {
            return Err(Refusal::new(413, "the body is longer than allowed").limited_by("limit-post"));
        }
        request.framing = BodyFraming::Length(length);
        if self.has_transfer_encoding {
            // The server in front has taken the coding off.
            let text = &request.text;
            request
                .fields
                .retain(|&(name, _)| text.get(name) != b"transfer-encoding");
        }
        Ok(())
    }

    /// Target, path and query, each from the variable that says it, or else from one of the others.
    fn target(&mut self) -> Result<(), Refusal> {
        let request = &mut *self.request;
        if let Some(target) = self.target {
            let parts = Target::split(request.get(target));
            request.target = target;
            request.raw_path = target.part(parts.path.start, parts.path.end);
            request.query = target.part(parts.query.start, parts.query.end);
        }
        if let Some(query) = self.query {
            request.query = query;
        }
        if let Some(path) = self.path {
            request.path = path;
        } else {
            let raw_path = request.get(request.raw_path).to_vec();
            let mut decoded = Ok(());
            request.path = request
                .text
                .push_with(|text| decoded = decode_path(&raw_path, text));
            decoded?;
        }
        if self.target.is_none() {
            request.raw_path = request.path;
            request.target = put_target(request);
        }
        Ok(())
    }

    /// Takes SCRIPT_NAME off the front of PATH_INFO, where it is there and whole.
    fn strip_script_name(&mut self) {
        let request = &mut *self.request;
        let script_name = request.get(request.script_name);
        let script_name = script_name.strip_suffix(b"/").unwrap_or(script_name);
        if let Some(rest) = request.path().strip_prefix(script_name)
            && matches!(rest, [] | [b'/', ..])
        {
            request.path = request.path.from(script_name.len());
        }
    }

    fn scheme(&mut self) {
        let request = &mut *self.request;
        let known = |span: &Span| matches!(request.get(*span), b"http" | b"https");
        let uwsgi_scheme = self.scheme.uwsgi_scheme.filter(known);
        let request_scheme = self.scheme.request_scheme.filter(known);
        request.scheme = match (uwsgi_scheme, self.scheme.https, request_scheme) {
            (Some(scheme), _, _) | (None, false, Some(scheme)) => scheme,
            (None, true, _) => request.text.push(b"https"),
            (None, false, None) => Span::EMPTY,
        };
    }
}

/// What the target may have been: script name, path and query put together.
fn put_target(request: &mut Request) -> Span {
    let mut target = [request.get(request.script_name), request.path()].concat();
    if !request.query.is_empty() {
        target.push(b'?');
        target.extend_from_slice(request.get(request.query));
    }
    request.text.push(&target)
}

/// Could it be what a header field's name becomes in an environ? One in lower case or with a dash could pass
/// for another field; it stays a variable.
fn is_field_name(name: &[u8]) -> bool {
    let is_field_byte = |byte: &u8| is_token_byte(*byte) && !byte.is_ascii_lowercase() && *byte != b'-';
    !name.is_empty() && name.iter().all(is_field_byte)
}

/// `X_FOO` becomes `x-foo`.
fn to_field_name(name: &mut [u8]) {
    for byte in name {
        *byte = match *byte {
            b'_' => b'-',
            other => other.to_ascii_lowercase(),
        };
    }
}

/// `span` without blanks on either side.
fn trimmed(text: &Text, span: Span) -> Span {
    let place = trim(text.get(span));
    span.part(place.start, place.end)
}

/// SERVER_PROTOCOL; what isn't known counts as HTTP/1.1.
fn version(protocol: &[u8]) -> Version {
    match protocol {
        b"HTTP/1.0" => Version::Http10,
        b"HTTP/2.0" | b"HTTP/2" => Version::Http2,
        b"HTTP/3.0" | b"HTTP/3" => Version::Http3,
        _ => Version::Http11,
    }
}
