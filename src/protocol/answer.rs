//! Answers as every HTTP-like protocol writes them: the fields that are passed on, how the body is framed,
//! and the text of a refusal.
//!
//! Status line and connection fields are each protocol's own.

use std::borrow::Cow;
use std::io::Write;

use uwrs_api::{BodyLength, Bytes, FieldLine, FilePart, Outbound, Refusal, ResponseHead, list};

use super::policy;
use super::status::reason_phrase;
use super::syntax::number;

/// What the application said through fields that are not, or not simply, passed on.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Content-Length, where it is a number, the same one each time.
    pub(super) content_length: Option<u64>,
    /// `Connection: close`
    pub(super) close: bool,
    /// There is a Date.
    pub(super) date: bool,
    /// There is a Server.
    pub(super) server: bool,
}

/// Appends a status line that begins with `version` (`HTTP/1.1`).
pub(super) fn put_status_line(version: &str, head: &ResponseHead, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(version.as_bytes());
    buffer.push(b' ');
    put_number(u64::from(head.status), buffer);
    buffer.push(b' ');
    match head.reason() {
        [] => buffer.extend_from_slice(reason_phrase(head.status).as_bytes()),
        reason => buffer.extend_from_slice(reason),
    }
    buffer.extend_from_slice(b"\r\n");
}

/// Appends the whole head with which a connection leaves its protocol: fields about the hop are the point of it.
pub(super) fn put_switch(version: &str, head: &ResponseHead, output: &mut Outbound) {
    output.put_with(|buffer| {
        put_status_line(version, head, buffer);
        for field in head.lines() {
            buffer.extend_from_slice(field.line);
        }
        buffer.extend_from_slice(b"\r\n");
    });
}

/// Appends the fields of `head` that are passed on, and says what the others told. Content-Length is left to
/// the caller, who knows whether it holds; fields that are about one hop are the protocol's (RFC 9110
/// §7.6.1).
pub(super) fn put_fields(head: &ResponseHead, buffer: &mut Vec<u8>) -> Told {
    let mut told = Told::default();
    let mut lengths = Lengths::None;
    for FieldLine { name, value, line } in head.lines() {
        match OwnField::of(name) {
            Some(OwnField::Date) => told.date = true,
            Some(OwnField::Server) => told.server = true,
            Some(OwnField::Connection) => {
                told.close |= list(value).any(|option| option.eq_ignore_ascii_case(b"close"));
                continue;
            }
            Some(OwnField::ContentLength) => {
                lengths = lengths.and(value);
                continue;
            }
            // The one answer whose point it is (RFC 9110 §15.5.22), with the option that §7.8 wants beside it.
            Some(OwnField::OneHop) if head.status == 426 && name.eq_ignore_ascii_case(b"upgrade") => {
                buffer.extend_from_slice(b"Connection: Upgrade\r\n");
            }
            // It announces what will follow the body.
            Some(OwnField::OneHop) if head.has_trailers && name.eq_ignore_ascii_case(b"trailer") => {}
            Some(OwnField::OneHop) => continue,
            None => {}
        }
        buffer.extend_from_slice(line);
    }
    if let Lengths::One(length) = lengths
        && !head.has_trailers
    {
        told.content_length = Some(length);
    }
    told
}

/// Appends `Content-Length: N`.
pub(super) fn put_content_length(length: u64, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(b"Content-Length: ");
    put_number(length, buffer);
    buffer.extend_from_slice(b"\r\n");
}

/// Appends type, length and text of a refusal's body, with `fields` (whole lines) in between. The text is
/// left out for HEAD.
pub(super) fn put_refusal(refusal: &Refusal, fields: &[&[u8]], is_head: bool, buffer: &mut Vec<u8>) {
    let phrase = reason_phrase(refusal.status);
    let text = format!("{} {phrase}: {}\n", refusal.status, refusal.reason);
    buffer.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    put_content_length(text.len() as u64, buffer);
    for field in fields {
        buffer.extend_from_slice(field);
    }
    buffer.extend_from_slice(b"\r\n");
    if !is_head {
        buffer.extend_from_slice(text.as_bytes());
    }
}

fn put_number(number: u64, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A field that the server has its own say in.
enum OwnField {
    Date,
    Server,
    Connection,
    ContentLength,
    /// About this hop alone.
    OneHop,
}

impl OwnField {
    fn of(name: &[u8]) -> Option<Self> {
        // The length first: most fields are ruled out by it alone.
        let (known, field): (&[u8], Self) = match name.len() {
            2 => (b"te", Self::OneHop),
            4 => (b"date", Self::Date),
            6 => (b"server", Self::Server),
            7 if name[0] | 0x20 == b't' => (b"trailer", Self::OneHop),
            7 => (b"upgrade", Self::OneHop),
            10 if name[0] | 0x20 == b'k' => (b"keep-alive", Self::OneHop),
            10 => (b"connection", Self::Connection),
            14 => (b"content-length", Self::ContentLength),
            16 => (b"proxy-connection", Self::OneHop),
            17 => (b"transfer-encoding", Self::OneHop),
            _ => return None,
        };
        is_name(name, known).then_some(field)
    }
}

/// Is the token `name` this one of small letters and dashes, whatever its case? Setting that bit makes no other byte of a
/// token one of these. Without an early exit, so that it becomes vector instructions.
fn is_name(name: &[u8], known: &[u8]) -> bool {
    let pairs = name.iter().zip(known);
    name.len() == known.len() && pairs.fold(true, |same, (byte, known)| same & (byte | 0x20 == *known))
}

/// What Content-Length fields an application gave.
enum Lengths {
    None,
    One(u64),
    /// Not a number, or different ones: framing that can't be trusted.
    Useless,
}

impl Lengths {
    fn and(self, value: &[u8]) -> Self {
        match (self, number(value)) {
            (Self::None, Ok(length)) => Self::One(length),
            // RFC 9110 §8.6: sent once, however often it was said.
            (Self::One(before), Ok(length)) if before == length => Self::One(length),
            _ => Self::Useless,
        }
    }
}

/// How an answer's body reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Not at all: HEAD, 1xx, 204, 205, 304.
    Bodiless,
    /// So many bytes are left to send.
    Length(u64),
    /// The application gave more than it had announced.
    Exceeded,
    /// In chunks (RFC 9112 §7.1).
    Chunked,
    /// The last chunk is sent, and so are the fields that follow it.
    Trailed,
    /// Until the connection closes.
    UntilClose,
}

impl Framing {
    /// How the answer to a request is framed, and the Content-Length to send along. `unknown` is how the
    /// protocol sends a body whose length isn't known.
    pub(super) fn choose(
        status: u16,
        is_head: bool,
        told: &Told,
        length: BodyLength,
        unknown: Self,
    ) -> (Self, Option<u64>) {
        match (status, length) {
            // RFC 9110 §8.6: none with these.
            (100..=199 | 204, _) => (Self::Bodiless, None),
            // The length that the body would have had, which only the application can know.
            (304, _) => (Self::Bodiless, told.content_length),
            _ if is_head => (Self::Bodiless, told.content_length),
            // RFC 9110 §15.3.6: no content, but framed like any other.
            (205, _) => (Self::Bodiless, Some(0)),
            (_, BodyLength::Known(length)) => {
                let announced = told.content_length.unwrap_or(length);
                (Self::Length(announced), Some(announced))
            }
            (_, BodyLength::Unknown) => match told.content_length {
                Some(announced) => (Self::Length(announced), Some(announced)),
                None => (unknown, None),
            },
        }
    }

    /// Does only the connection's end tell where the body ends?
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// How many bytes of the body can still be sent.
    pub(super) fn room(self) -> u64 {
        match self {
            Self::Bodiless | Self::Exceeded | Self::Trailed => 0,
            Self::Length(left) => left,
            Self::Chunked | Self::UntilClose => u64::MAX,
        }
    }

    /// Appends a part of the body.
    pub(super) fn put(&mut self, mut data: Bytes, output: &mut Outbound) {
        match self {
            Self::Bodiless | Self::Exceeded | Self::Trailed => {}
            Self::UntilClose => output.push(data),
            Self::Chunked => put_chunk(data, output),
            Self::Length(left) => {
                let room = usize::try_from(*left).unwrap_or(usize::MAX);
                let exceeded = data.len() > room;
                data.truncate(room);
                *left -= data.len() as u64;
                output.push(data);
                if exceeded {
                    *self = Self::Exceeded;
                }
            }
        }
    }

    /// Appends a part of the body that is in a file.
    pub(super) fn put_file(&mut self, mut part: FilePart, output: &mut Outbound) {
        match self {
            Self::Bodiless | Self::Exceeded | Self::Trailed => {}
            Self::UntilClose => output.push_file(part),
            Self::Chunked => put_file_chunk(part, output),
            Self::Length(left) => {
                let exceeded = part.len() > *left;
                part.truncate(*left);
                *left -= part.len();
                output.push_file(part);
                if exceeded {
                    *self = Self::Exceeded;
                }
            }
        }
    }

    /// Appends fields that follow the body, where there is a place for them: behind the last chunk (RFC 9112 §7.1.2). Those
    /// that mean something in a head alone are left out.
    pub(super) fn put_trailers(&mut self, trailers: &ResponseHead, output: &mut Outbound) {
        if *self != Self::Chunked {
            return;
        }
        *self = Self::Trailed;
        output.put_with(|buffer| {
            buffer.extend_from_slice(b"0\r\n");
            for field in trailers.lines() {
                if policy::is_allowed_in_trailers(&field.name.to_ascii_lowercase()) {
                    buffer.extend_from_slice(field.line);
                }
            }
        });
    }

    /// Appends what ends the body.
    ///
    /// # Errors
    ///
    /// What was sent isn't what was announced.
    pub(super) fn finish(self, output: &mut Outbound) -> Result<(), Cow<'static, str>> {
        match self {
            Self::Bodiless | Self::Length(0) | Self::UntilClose => Ok(()),
            Self::Chunked => {
                output.put(b"0\r\n\r\n");
                Ok(())
            }
            Self::Trailed => {
                output.put(b"\r\n");
                Ok(())
            }
            Self::Length(left) => Err(format!("answer: {left} bytes short of its Content-Length").into()),
            Self::Exceeded => Err("answer: longer than its Content-Length, the rest was dropped".into()),
        }
    }
}

fn put_chunk(data: Bytes, output: &mut Outbound) {
    // An empty chunk would be the last one.
    if data.is_empty() {
        return;
    }
    put_chunk_size(data.len() as u64, output);
    output.push(data);
    output.put(b"\r\n");
}

fn put_file_chunk(part: FilePart, output: &mut Outbound) {
    if part.is_empty() {
        return;
    }
    put_chunk_size(part.len(), output);
    output.push_file(part);
    output.put(b"\r\n");
}

fn put_chunk_size(size: u64, output: &mut Outbound) {
    output.put_with(|buffer| {
        write!(buffer, "{size:x}\r\n").expect("a Vec takes whatever is written");
    });
}
