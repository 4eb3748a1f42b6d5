//! The head of an answer, written in one pass.

use uwrs_api::{BodyLength, Refusal, ResponseHead, Version};

use super::control::Terms;
use crate::protocol::answer::{self, Framing};

/// Always our own version, whatever the client's (RFC 9110 §6.2).
const VERSION: &str = "HTTP/1.1";

/// Room that a head needs besides the application's texts: status line, Server, Date, framing, Connection.
const OWN_BYTES: usize = 192;

/// What was decided while a head was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// How the body is to be sent.
    pub(super) framing: Framing,
    /// The connection stays open, and the client was told so.
    pub(super) persistent: bool,
    /// The head said that fields may follow the body.
    pub(super) takes_trailers: bool,
}

/// Appends the head of the final answer. `may_persist`: nothing on our side keeps the connection from serving
/// another request.
pub(super) fn put_head(
    head: &ResponseHead,
    length: BodyLength,
    terms: &Terms,
    may_persist: bool,
    date: &[u8],
    buffer: &mut Vec<u8>,
) -> Written {
    buffer.reserve(OWN_BYTES + head.text.len());
    answer::put_status_line(VERSION, head, buffer);
    let told = answer::put_fields(head, buffer);
    if !told.server {
        buffer.extend_from_slice(b"Server: uwrs\r\n");
    }
    if !told.date {
        put_date(date, buffer);
    }
    let is_old = terms.version == Version::Http10;
    let unknown = if is_old {
        Framing::UntilClose
    } else {
        Framing::Chunked
    };
    let (framing, announced) = Framing::choose(head.status, terms.is_head, &told, length, unknown);
    if let Some(announced) = announced {
        answer::put_content_length(announced, buffer);
    }
    if framing == Framing::Chunked {
        buffer.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    // An interim status as the final one leaves the client waiting: the connection's end tells it.
    let persistent = may_persist
        && terms.persistent
        && !told.close
        && framing != Framing::UntilClose
        && head.status >= 200;
    match (persistent, is_old) {
        (true, false) => buffer.extend_from_slice(b"\r\n"),
        (true, true) => buffer.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        (false, _) => buffer.extend_from_slice(b"Connection: close\r\n\r\n"),
    }
    Written {
        framing,
        persistent,
        takes_trailers: head.has_trailers,
    }
}

/// Appends an interim answer.
pub(super) fn put_interim(head: &ResponseHead, buffer: &mut Vec<u8>) {
    answer::put_status_line(VERSION, head, buffer);
    answer::put_fields(head, buffer);
    buffer.extend_from_slice(b"\r\n");
}

/// Appends the answer to a refused request.
pub(super) fn put_refusal(refusal: &Refusal, is_head: bool, date: &[u8], buffer: &mut Vec<u8>) {
    answer::put_status_line(VERSION, &ResponseHead::new(refusal.status), buffer);
    buffer.extend_from_slice(b"Server: uwrs\r\n");
    put_date(date, buffer);
    answer::put_refusal(refusal, &[b"Connection: close\r\n"], is_head, buffer);
}

fn put_date(date: &[u8], buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(b"Date: ");
    buffer.extend_from_slice(date);
    buffer.extend_from_slice(b"\r\n");
}
