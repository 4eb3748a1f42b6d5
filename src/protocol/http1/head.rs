//! [`HeadReader`]: the head of one request, line by line as it arrives.
//!
//! Every line is checked when its end arrives, and copied once, into the request's text. What the fields say
//! about the connection and the body is for [`ControlFields`] to tell.

use std::sync::Arc;

use uwrs_api::{BodyFraming, Inbound, Refusal, Request, Span, Version, is_token_byte};

use super::control::{ControlFields, Terms};
use super::field::FieldLine;
use super::line::{Line, Lines};
use crate::protocol::target::{Target, decode_path};
use crate::protocol::{HeadLimits, policy};

/// Empty lines tolerated before a request line (RFC 9112 §2.2): old clients send one after a POST.
const BLANK_LINES: usize = 2;

/// Room for a head's text that is taken at once, bytes: most heads fit, and a client that pipelines doesn't
/// make each of its requests reserve room for all of them.
const TEXT_ROOM: usize = 2048;

/// Where [`HeadReader::advance`] is.
#[derive(Debug)]
pub(super) enum Progress {
    /// More bytes are needed.
    Partial,
    /// The head is complete: [`HeadReader::into_request`] gives it.
    Complete(Terms),
}

/// A head on its way in.
#[derive(Debug)]
pub(super) struct HeadReader {
    lines: Lines,
    stage: Stage,
    /// Shared with nobody until it is complete.
    request: Arc<Request>,
    meaning: Meaning,
}

/// What a head says of the connection and the body, as far as it has come.
#[derive(Debug, Default)]
struct Meaning {
    /// The target's authority, which stands in for Host (RFC 9112 §3.2.2).
    authority: Option<Span>,
    control: ControlFields,
}

#[derive(Debug)]
enum Stage {
    /// The request line is next; so many empty lines came before it.
    RequestLine { blank_lines: usize },
    /// So many field lines have come.
    Fields(usize),
}

impl HeadReader {
    /// A reader that has seen nothing, and fills `request`, which is empty.
    pub(super) fn new(request: Arc<Request>) -> Self {
        Self {
            lines: Lines::default(),
            stage: Stage::RequestLine { blank_lines: 0 },
            request,
            meaning: Meaning::default(),
        }
    }

    /// Has more arrived than empty lines?
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Fields(_)) || self.lines.is_inside()
    }

    /// Is this known to be a HEAD request?
    pub(super) fn is_head_request(&self) -> bool {
        self.request.method() == b"HEAD"
    }

    /// The request, once it is complete.
    pub(super) fn into_request(self) -> Arc<Request> {
        self.request
    }

    /// Consumes the lines that are complete. After `Complete` and after an error the reader is spent.
    ///
    /// # Errors
    ///
    /// The rule or limit that the head breaks.
    pub(super) fn advance(
        &mut self,
        input: &mut Inbound<'_>,
        limits: &HeadLimits,
    ) -> Result<Progress, Refusal> {
        let request = Arc::make_mut(&mut self.request);
        loop {
            if let Stage::RequestLine { .. } = self.stage {
                refuse_other_protocols(input.rest())?;
            }
            match (self.lines.next(input, limits.head_bytes), &mut self.stage) {
                (Line::Partial, _) => return Ok(Progress::Partial),
                (Line::BareLf, _) => return Err(Refusal::new(400, "a line that ends with LF alone")),
                (Line::TooLong, Stage::RequestLine { .. }) => {
                    return Err(Refusal::new(414, "the request line is too long").limited_by("buffer-size"));
                }
                (Line::TooLong, Stage::Fields(_)) => {
                    return Err(Refusal::new(431, "the head is too long").limited_by("buffer-size"));
                }
                (Line::Whole(b""), Stage::RequestLine { blank_lines }) => {
                    *blank_lines += 1;
                    if *blank_lines > BLANK_LINES {
                        return Err(Refusal::new(400, "too many empty lines before a request"));
                    }
                }
                (Line::Whole(line), Stage::RequestLine { .. }) => {
                    reserve(request, line.len() + input.rest().len());
                    self.meaning.request_line(request, line)?;
                    self.stage = Stage::Fields(0);
                }
                (Line::Whole(b""), Stage::Fields(_)) => {
                    request.head_bytes = self.lines.consumed();
                    return self.meaning.finish(request, limits);
                }
                (Line::Whole(line), Stage::Fields(count)) => {
                    *count += 1;
                    if *count > limits.fields {
                        return Err(Refusal::new(431, "too many fields").limited_by("max-vars"));
                    }
                    self.meaning.field_line(request, line)?;
                }
            }
        }
    }
}

/// Makes room for what is at hand, so that a head that arrived whole costs one allocation of text, or none.
fn reserve(request: &mut Request, at_hand: usize) {
    request.text.reserve(at_hand.min(TEXT_ROOM));
    request.fields.reserve(12);
}

impl Meaning {
    /// `method SP target SP version` (RFC 9112 §3), each space exactly one.
    fn request_line(&mut self, request: &mut Request, line: &[u8]) -> Result<(), Refusal> {
        let method_end = line
            .iter()
            .position(|&byte| !is_token_byte(byte))
            .unwrap_or(line.len());
        let method = &line[..method_end];
        if method.is_empty() || line.get(method_end) != Some(&b' ') {
            return Err(Refusal::new(400, "a request line without a method"));
        }
        let version_start = match line {
            // As nearly every line ends: eight bytes of version.
            [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1'] => line.len() - 8,
            _ => memchr::memrchr(b' ', line).unwrap_or(method_end) + 1,
        };
        if version_start == method_end + 1 {
            return Err(Refusal::new(
                400,
                "a request line without a version (HTTP/0.9 is not spoken)",
            ));
        }
        request.version = version(line, &line[version_start..])?;
        if method == b"CONNECT" {
            return Err(Refusal::new(501, "CONNECT asks for a proxy, which this is not"));
        }
        let target_start = method_end + 1;
        let target = &line[target_start..version_start - 1];
        let parts = Target::parse(method, target)?;

        request.text.push(line);
        request.method = Span::new(0, method_end);
        request.target = Span::new(target_start, version_start - 1);
        request.query = Span::new(target_start + parts.query.start, target_start + parts.query.end);
        self.authority = parts
            .authority
            .map(|place| Span::new(target_start + place.start, target_start + place.end));
        request.raw_path = match &target[parts.path.clone()] {
            b"" => request.text.push(b"/"),
            _ => Span::new(target_start + parts.path.start, target_start + parts.path.end),
        };
        request.path = request.raw_path;
        if memchr::memchr(b'%', &target[parts.path.clone()]).is_some() {
            let mut decoded = Ok(());
            request.path = request
                .text
                .push_with(|text| decoded = decode_path(&target[parts.path], text));
            decoded?;
        }
        Ok(())
    }

    fn field_line(&mut self, request: &mut Request, line: &[u8]) -> Result<(), Refusal> {
        let span = request.text.push(line);
        let field = FieldLine::parse(request.text.get_mut(span))?;
        let name = span.part(field.name.start, field.name.end);
        let value = span.part(field.value.start, field.value.end);
        // A dropped field's bytes stay in the text, where nothing points at them.
        if !policy::is_passed_on(request.text.get(name)) {
            return Ok(());
        }
        request.fields.push((name, value));
        self.control.note(request)
    }

    /// The head is complete: what do its fields mean together?
    fn finish(&mut self, request: &mut Request, limits: &HeadLimits) -> Result<Progress, Refusal> {
        request.framing = self.control.framing(request)?;
        request.takes_trailers = self.control.takes_trailers();
        if let BodyFraming::Length(length) = request.framing
            && limits.is_too_long(length)
        {
            return Err(Refusal::new(413, "the body is longer than allowed").limited_by("limit-post"));
        }
        match (self.authority, self.control.host()) {
            (_, None) if request.version != Version::Http10 => return Err(Refusal::new(400, "no Host")),
            (Some(authority), Some(host)) => request.fields[host].1 = authority,
            (Some(authority), None) => {
                let name = request.text.push(b"host");
                request.fields.push((name, authority));
            }
            (None, _) => {}
        }
        Ok(Progress::Complete(self.control.terms(request)))
    }
}

/// The version at the end of the request line.
fn version(line: &[u8], version: &[u8]) -> Result<Version, Refusal> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major] | [b'H', b'T', b'T', b'P', b'/', major, b'.', _]
            if major.is_ascii_digit() && version.last().is_some_and(u8::is_ascii_digit) =>
        {
            Err(Refusal::new(505, "an HTTP version other than 1.1 and 1.0"))
        }
        _ if line.starts_with(b"PROXY ") => Err(Refusal::new(
            400,
            "looks like the PROXY protocol, which is not enabled here",
        )),
        _ => Err(Refusal::new(400, "a malformed HTTP version")),
    }
}

/// Recognizes, by what comes instead of a request line, those who talk something else: they wouldn't send the
/// line end that one would wait for.
fn refuse_other_protocols(rest: &[u8]) -> Result<(), Refusal> {
    match rest {
        // TLS: a handshake record of version 3.x.
        [0x16, 0x03, ..] => Err(Refusal::new(400, "looks like TLS on a plain HTTP port")),
        [0x16] => Ok(()),
        [0x00, ..] => Err(Refusal::new(400, "looks like the uwsgi protocol on an HTTP port")),
        // An empty line, or a LF that is refused as one.
        [b'\r' | b'\n', ..] | [] => Ok(()),
        [first, ..] if is_token_byte(*first) => Ok(()),
        _ => Err(Refusal::new(
            400,
            "a request that begins with a byte that no method has",
        )),
    }
}
