//! [`HeadReader`]: the head of one request, line by line as it arrives.
//!
//! Every line is checked when its end arrives and copied once, into the request's text. What the fields mean for this
//! connection and for the body is in [`Terms`] and [`BodyFraming`].

use uwrs_api::{BodyFraming, Inbound, Refusal, Request, Span, Text, Version};

use super::field::FieldLine;
use super::line::{Line, Lines};
use crate::protocol::syntax::{NumberError, is_authority, is_token, is_token_byte, list, number};
use crate::protocol::target::{Target, decode_path};
use crate::protocol::{HeadLimits, policy};

/// Empty lines tolerated before a request line (RFC 9112 §2.2): old clients send one after a POST.
const BLANK_LINES: usize = 2;

/// Room for a head's text that is taken at once, bytes: most heads fit, and a client that pipelines doesn't make each of its
/// requests reserve room for all of them.
const TEXT_ROOM: usize = 2048;

/// What a request says of the connection and of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// HTTP/1.0 or 1.1.
    pub(super) version: Version,
    /// It is a HEAD request: the answer has no body.
    pub(super) is_head: bool,
    /// The client would use the connection again (RFC 9112 §9.3).
    pub(super) persistent: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

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
    request: Box<Request>,
    seen: Seen,
}

#[derive(Debug)]
enum Stage {
    /// The request line is next; so many empty lines came before it.
    RequestLine { blank_lines: usize },
    /// So many field lines have come.
    Fields(usize),
}

/// What is known of the fields that govern connection and framing.
#[derive(Debug, Default)]
struct Seen {
    /// The target's authority, which stands in for Host (RFC 9112 §3.2.2).
    authority: Option<Span>,
    /// Which of the fields is Host.
    host: Option<usize>,
    content_length: Option<u64>,
    transfer_encoding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl HeadReader {
    /// A reader that has seen nothing.
    pub(super) fn new() -> Self {
        Self {
            lines: Lines::default(),
            stage: Stage::RequestLine { blank_lines: 0 },
            request: Box::default(),
            seen: Seen::default(),
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
    pub(super) fn into_request(self) -> Box<Request> {
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
        loop {
            if let Stage::RequestLine { .. } = self.stage {
                refuse_other_protocols(input.rest())?;
            }
            match (self.lines.next(input, limits.head_bytes), &mut self.stage) {
                (Line::Partial, _) => return Ok(Progress::Partial),
                (Line::BareLf, _) => return Err(Refusal::new(400, "a line that ends with LF alone")),
                (Line::TooLong, Stage::RequestLine { .. }) => {
                    return Err(Refusal::new(414, "the request line is too long"));
                }
                (Line::TooLong, Stage::Fields(_)) => return Err(Refusal::new(431, "the head is too long")),
                (Line::Whole(b""), Stage::RequestLine { blank_lines }) => {
                    *blank_lines += 1;
                    if *blank_lines > BLANK_LINES {
                        return Err(Refusal::new(400, "too many empty lines before a request"));
                    }
                }
                (Line::Whole(line), Stage::RequestLine { .. }) => {
                    self.reserve(line.len() + input.rest().len());
                    self.request_line(line)?;
                    self.stage = Stage::Fields(0);
                }
                (Line::Whole(b""), Stage::Fields(_)) => return self.finish(limits),
                (Line::Whole(line), Stage::Fields(count)) => {
                    *count += 1;
                    if *count > limits.fields {
                        return Err(Refusal::new(431, "too many fields"));
                    }
                    self.field_line(line)?;
                }
            }
        }
    }

    /// Makes room for what is at hand, so that a head that arrived whole costs one allocation of text.
    fn reserve(&mut self, at_hand: usize) {
        self.request.text = Text::with_capacity(at_hand.min(TEXT_ROOM));
        self.request.fields.reserve(12);
    }

    /// `method SP target SP version` (RFC 9112 §3), each space exactly one.
    fn request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let method_end = line
            .iter()
            .position(|&byte| !is_token_byte(byte))
            .unwrap_or(line.len());
        let method = &line[..method_end];
        if method.is_empty() || line.get(method_end) != Some(&b' ') {
            return Err(Refusal::new(400, "a request line without a method"));
        }
        let version_start = memchr::memrchr(b' ', line).unwrap_or(method_end) + 1;
        if version_start == method_end + 1 {
            return Err(Refusal::new(
                400,
                "a request line without a version (HTTP/0.9 is not spoken)",
            ));
        }
        self.request.version = version(line, &line[version_start..])?;
        if method == b"CONNECT" {
            return Err(Refusal::new(501, "CONNECT asks for a proxy, which this is not"));
        }
        let target_start = method_end + 1;
        let target = &line[target_start..version_start - 1];
        let parts = Target::parse(method, target)?;

        let request = &mut *self.request;
        request.text.push(line);
        request.method = Span::new(0, method_end);
        request.target = Span::new(target_start, version_start - 1);
        request.query = Span::new(target_start + parts.query.start, target_start + parts.query.end);
        self.seen.authority = parts
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

    fn field_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let request = &mut *self.request;
        let span = request.text.push(line);
        let field = FieldLine::parse(request.text.get_mut(span))?;
        let name = span.part(field.name.start, field.name.end);
        let value = span.part(field.value.start, field.value.end);
        // A dropped field's bytes stay in the text, where nothing points at them.
        if !policy::is_passed_on(request.text.get(name)) {
            return Ok(());
        }
        request.fields.push((name, value));
        self.seen.note(request)
    }

    /// The head is complete: what do its fields mean together?
    fn finish(&mut self, limits: &HeadLimits) -> Result<Progress, Refusal> {
        let request = &mut *self.request;
        let seen = &self.seen;
        let is_old = request.version == Version::Http10;
        if seen.host.is_none() && !is_old {
            return Err(Refusal::new(400, "no Host"));
        }
        request.framing = seen.framing(request)?;
        if let BodyFraming::Length(length) = request.framing
            && limits.is_too_long(length)
        {
            return Err(Refusal::new(413, "the body is longer than allowed"));
        }
        match (seen.authority, seen.host) {
            (Some(authority), Some(host)) => request.fields[host].1 = authority,
            (Some(authority), None) => {
                let name = request.text.push(b"host");
                request.fields.push((name, authority));
            }
            (None, _) => {}
        }
        request.head_bytes = self.lines.consumed();
        let terms = Terms {
            version: request.version,
            is_head: request.method() == b"HEAD",
            persistent: !seen.close && (!is_old || seen.keep_alive),
            // RFC 9110 §10.1.1: not for HTTP/1.0, and not without a body.
            expects_continue: seen.expects_continue && !is_old,
        };
        Ok(Progress::Complete(terms))
    }
}

impl Seen {
    /// Notes the field that was added last, if it governs connection or framing.
    fn note(&mut self, request: &Request) -> Result<(), Refusal> {
        let Some(&(name, value)) = request.fields.last() else {
            return Ok(());
        };
        let value = request.get(value);
        match request.get(name) {
            b"host" => {
                if self.host.replace(request.fields.len() - 1).is_some() {
                    return Err(Refusal::new(400, "more than one Host"));
                }
                if !is_authority(value) {
                    return Err(Refusal::new(400, "a malformed Host"));
                }
            }
            b"content-length" => {
                let length = match number(value) {
                    Ok(length) => length,
                    Err(NumberError::Malformed) => {
                        return Err(Refusal::new(400, "a malformed Content-Length"));
                    }
                    Err(NumberError::Overflow) => {
                        return Err(Refusal::new(413, "the body is longer than allowed"));
                    }
                };
                if self.content_length.replace(length).is_some() {
                    return Err(Refusal::new(400, "more than one Content-Length"));
                }
            }
            b"transfer-encoding" => self.transfer_encoding = true,
            b"connection" => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            b"expect" => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                if !self.expects_continue && request.version != Version::Http10 {
                    return Err(Refusal::new(417, "an expectation other than 100-continue"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How the body is framed (RFC 9112 §6.3); whatever two readers could understand differently is refused.
    fn framing(&self, request: &Request) -> Result<BodyFraming, Refusal> {
        if !self.transfer_encoding {
            return Ok(self.content_length.map_or(BodyFraming::None, BodyFraming::Length));
        }
        if self.content_length.is_some() {
            return Err(Refusal::new(400, "both Content-Length and Transfer-Encoding"));
        }
        if request.version == Version::Http10 {
            return Err(Refusal::new(400, "Transfer-Encoding in HTTP/1.0"));
        }
        let values = request.fields().filter(|(name, _)| *name == b"transfer-encoding");
        let codings: Vec<&[u8]> = values.flat_map(|(_, value)| list(value)).collect();
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        match &codings[..] {
            [only] if is_chunked(only) => Ok(BodyFraming::Chunked),
            [others @ .., last]
                if is_chunked(last)
                    && others
                        .iter()
                        .all(|coding| is_token(coding) && !is_chunked(coding)) =>
            {
                Err(Refusal::new(501, "a transfer coding other than chunked"))
            }
            _ => Err(Refusal::new(
                400,
                "a Transfer-Encoding that does not end with one chunked",
            )),
        }
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

/// Recognizes, by what comes instead of a request line, those who talk something else: they wouldn't send the line end that
/// one would wait for.
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
