//! [`Protocol`]: a state machine without sockets. Bytes in, events out; replies in, bytes out.
//!
//! The server reads, hands over what came as an [`Inbound`], and calls [`Protocol::receive`] until it is
//! starved. What a protocol wants to send it puts into an [`Outbound`]; when and how that reaches the
//! socket is not its business.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::{BodyLength, FilePart, Request, ResponseHead};

/// Bytes that have arrived and are not yet consumed: a cursor over a slice that the server owns. What is left
/// when `receive` is starved comes again, with more behind it.
#[derive(Debug)]
pub struct Inbound<'a> {
    bytes: &'a [u8],
    consumed: usize,
    spare: Option<Arc<Request>>,
}

impl<'a> Inbound<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            consumed: 0,
            spare: None,
        }
    }

    /// The same, with an empty request whose memory [`Inbound::take_request`] is to use again.
    pub fn with_spare(bytes: &'a [u8], spare: Option<Arc<Request>>) -> Self {
        Self {
            spare,
            ..Self::new(bytes)
        }
    }

    /// A request to be filled, which nobody else has: the spare one, or a new one.
    pub fn take_request(&mut self) -> Arc<Request> {
        self.spare.take().unwrap_or_default()
    }

    /// The spare request, if it was not taken.
    pub fn into_spare(self) -> Option<Arc<Request>> {
        self.spare
    }

    /// What is not consumed yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.consumed..]
    }

    /// Consumes `count` bytes (at most what is there) and gives them.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let rest = self.rest();
        let taken = &rest[..count.min(rest.len())];
        self.consumed += taken.len();
        taken
    }

    /// Bytes consumed so far.
    pub fn consumed(&self) -> usize {
        self.consumed
    }
}

/// A run of bytes on its way out.
#[derive(Clone, Debug)]
pub enum Segment {
    /// So many bytes of the outbound's own buffer.
    Buffered(usize),
    /// Bytes that live elsewhere: not copied.
    Shared(Bytes),
    /// Bytes of a file: not read.
    File(FilePart),
}

/// Bytes on their way out, in order. Small ones are copied into one buffer, large ones are kept by reference, those of
/// files stay where they are.
#[derive(Debug, Default)]
pub struct Outbound {
    buffer: Vec<u8>,
    segments: VecDeque<Segment>,
}

impl Outbound {
    /// Bodies up to this many bytes are copied beside their head: one write, and the body's memory is free at
    /// once. Past it the copy costs more than a second `iovec`.
    pub const COPY_LIMIT: usize = 16 * 1024;

    /// Appends a copy of `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        self.put_with(|buffer| buffer.extend_from_slice(bytes));
    }

    /// Appends what `write` appends to the buffer; it must not touch what is there already.
    pub fn put_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.buffer.len();
        write(&mut self.buffer);
        let added = self.buffer.len().saturating_sub(before);
        // Without segments the whole buffer is what there is to send: the common case keeps no list.
        if let Some(last) = self.segments.back_mut() {
            match last {
                Segment::Buffered(count) => *count += added,
                Segment::Shared(_) | Segment::File(_) => self.segments.push_back(Segment::Buffered(added)),
            }
        }
    }

    /// Appends `bytes`, by reference where they are many.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= Self::COPY_LIMIT {
            self.put(&bytes);
            return;
        }
        self.push_segment(Segment::Shared(bytes));
    }

    /// Appends a part of a file.
    pub fn push_file(&mut self, part: FilePart) {
        if !part.is_empty() {
            self.push_segment(Segment::File(part));
        }
    }

    fn push_segment(&mut self, segment: Segment) {
        if self.segments.is_empty() && !self.buffer.is_empty() {
            self.segments.push_back(Segment::Buffered(self.buffer.len()));
        }
        self.segments.push_back(segment);
    }

    /// Is there nothing to send?
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.segments.is_empty()
    }

    /// Bytes to send.
    pub fn len(&self) -> usize {
        let elsewhere = self.segments.iter().map(|segment| match segment {
            Segment::Buffered(_) => 0,
            Segment::Shared(bytes) => bytes.len(),
            Segment::File(part) => usize::try_from(part.len()).unwrap_or(usize::MAX),
        });
        elsewhere.fold(self.buffer.len(), usize::saturating_add)
    }

    /// The part of a file that is to be sent before anything else.
    pub fn first_file(&self) -> Option<&FilePart> {
        match self.segments.front() {
            Some(Segment::File(part)) => Some(part),
            _ => None,
        }
    }

    /// Is there a part of a file, at whatever place?
    pub fn has_file(&self) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| matches!(segment, Segment::File(_)))
    }

    /// All that there is to send, where it is one run.
    pub fn as_one(&self) -> Option<&[u8]> {
        self.segments.is_empty().then_some(&self.buffer[..])
    }

    /// The runs to write, in order, at most `limit` of them: up to the first part of a file.
    pub fn slices(&self, limit: usize) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        let whole = self
            .segments
            .is_empty()
            .then_some(&self.buffer[..])
            .filter(|buffer| !buffer.is_empty());
        let parts = self.segments.iter().map_while(move |segment| match segment {
            Segment::Buffered(count) => {
                at += count;
                Some(&self.buffer[at - count..at])
            }
            Segment::Shared(bytes) => Some(&bytes[..]),
            Segment::File(_) => None,
        });
        whole.into_iter().chain(parts).take(limit)
    }

    /// Forgets the first `count` bytes: they are written.
    pub fn advance(&mut self, mut count: usize) {
        if self.segments.is_empty() {
            if count >= self.buffer.len() {
                self.buffer.clear();
            } else {
                self.buffer.drain(..count);
            }
            return;
        }
        let mut from_buffer = 0;
        while count > 0 {
            let Some(first) = self.segments.front_mut() else {
                break;
            };
            match first {
                Segment::Buffered(have) if *have > count => {
                    *have -= count;
                    from_buffer += count;
                    count = 0;
                }
                Segment::Shared(bytes) if bytes.len() > count => {
                    bytes::Buf::advance(bytes, count);
                    count = 0;
                }
                Segment::File(part) if part.len() > count as u64 => {
                    part.advance(count as u64);
                    count = 0;
                }
                Segment::Buffered(have) => {
                    count -= *have;
                    from_buffer += *have;
                    self.segments.pop_front();
                }
                Segment::Shared(bytes) => {
                    count -= bytes.len();
                    self.segments.pop_front();
                }
                Segment::File(part) => {
                    count -= part.len() as usize;
                    self.segments.pop_front();
                }
            }
        }
        self.buffer.drain(..from_buffer.min(self.buffer.len()));
    }

    /// Takes the bytes out, in order; those that live elsewhere are not copied. Files are left out: they are not in memory.
    pub fn take_pieces(&mut self) -> Vec<Bytes> {
        let mut buffered = Bytes::from(std::mem::take(&mut self.buffer));
        let segments = std::mem::take(&mut self.segments);
        if segments.is_empty() {
            return match buffered.is_empty() {
                true => Vec::new(),
                false => vec![buffered],
            };
        }
        let pieces = segments.into_iter().filter_map(|segment| match segment {
            Segment::Buffered(count) => Some(buffered.split_to(count.min(buffered.len()))),
            Segment::Shared(bytes) => Some(bytes),
            Segment::File(_) => None,
        });
        pieces.collect()
    }

    /// Drops everything and gives memory back beyond `keep` bytes of capacity.
    #[inline]
    pub fn reset(&mut self, keep: usize) {
        self.buffer.clear();
        self.segments.clear();
        if self.buffer.capacity() > keep {
            self.buffer.shrink_to(keep);
        }
    }
}

/// A request that is not served: the peer broke a rule, or a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer: 400, 408, 413, 414, 417, 431, 501, 505.
    pub status: u16,
    /// What was wrong, for the log and the answer's body; lower case, no user data that could fill a log.
    pub reason: Cow<'static, str>,
    /// The option whose limit was passed, for the log: whoever reads it can raise it.
    pub option: Option<&'static str>,
}

impl Refusal {
    /// A refusal with that status and reason.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: reason.into(),
            option: None,
        }
    }

    /// The limit that was passed is that of an option.
    pub fn limited_by(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }
}

/// What [`Protocol::receive`] found.
#[derive(Debug)]
pub enum Event<'a> {
    /// Nothing without more bytes (or without the reply that is due).
    Starved,
    /// A head is complete. [`Request::framing`] says what follows: `None` and `Length(0)` are followed by no
    /// body events at all, the others by `Body`s and one `BodyEnd`.
    Request(Arc<Request>),
    /// Some of the body, decoded.
    Body(&'a [u8]),
    /// The body is complete.
    BodyEnd,
    /// The peer will be told so and the connection closes; nothing more of what it sends is read as requests.
    Refused(Refusal),
    /// The protocol answered by itself (a uwsgi ping): the answer is in the outbound.
    Answered,
    /// There is nothing to answer and nothing to expect: close, and log why.
    Close(Cow<'static, str>),
}

/// Where a protocol is, as far as deadlines and draining care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolState {
    /// Between requests, nothing received of the next.
    Idle,
    /// Part of a head has arrived.
    Head,
    /// A head is complete, its body is not.
    Body,
    /// A request is complete; its answer is due or under way.
    Handling,
    /// The connection has left its protocol; the gateway has it.
    Switched,
    /// No further request will be read. Once everything is sent, the connection closes.
    Closed,
}

/// A protocol's side of one connection, one exchange at a time.
pub trait Protocol: Send {
    /// Consumes what it can of `input` and says what it found. Called again and again until `Starved`, `Refused`
    /// or `Close`. While an answer is due it consumes nothing of the next request. What the protocol has to
    /// send by itself goes to `output`.
    fn receive<'a>(&mut self, input: &mut Inbound<'a>, output: &mut Outbound) -> Event<'a>;

    /// The body of the current request is wanted: answers `Expect: 100-continue` where it was asked (RFC 9110
    /// §10.1.1) and no part of the body has come.
    fn invite_body(&mut self, output: &mut Outbound);

    /// Starts the answer. `date` is the current Date (RFC 9110 §5.6.7), 29 bytes.
    fn reply_head(&mut self, head: &ResponseHead, length: BodyLength, date: &[u8], output: &mut Outbound);

    /// Writes the head with which the connection leaves the protocol, fields of the hop included. `false`: no request
    /// waits for that, and nothing is written.
    fn reply_switch(&mut self, head: &ResponseHead, output: &mut Outbound) -> bool {
        let _ = (head, output);
        false
    }

    /// An interim answer (1xx). Left out where the protocol has none.
    fn reply_interim(&mut self, head: &ResponseHead, output: &mut Outbound);

    /// A part of the answer's body. What exceeds an announced Content-Length, or what a HEAD, 204 or 304
    /// must not have, is left out.
    fn reply_data(&mut self, data: Bytes, output: &mut Outbound);

    /// A part of the answer's body that is in a file. As with [`Protocol::reply_data`].
    fn reply_file(&mut self, part: FilePart, output: &mut Outbound);

    /// Fields that follow the answer's body, all of which was given; the answer is complete, but for
    /// [`Protocol::reply_end`]. Left out where the protocol has no place for them.
    fn reply_trailers(&mut self, trailers: &ResponseHead, output: &mut Outbound) {
        let _ = (trailers, output);
    }

    /// The answer is complete. Where it is shorter than announced, the protocol goes to `Closed` and
    /// returns what is wrong.
    fn reply_end(&mut self, output: &mut Outbound) -> Result<(), Cow<'static, str>>;

    /// How many bytes of the answer's body will still reach the client, at most: 0 for HEAD, 204, 304 and when the
    /// announced length is reached; `u64::MAX` where no length was announced.
    fn reply_room(&self) -> u64;

    /// Will more of the answer's body reach the client? If not, a source need not be pulled to its end.
    fn wants_reply_data(&self) -> bool {
        self.reply_room() > 0
    }

    /// The answer under way breaks off: would a client that sees the connection close now take what it has for the
    /// whole? Then the server resets the connection.
    fn is_end_hidden(&self) -> bool;

    /// Answers a refused request and goes to `Closed`. Also called by the server for its own refusals
    /// (408 on a deadline, 413, 503).
    fn refuse(&mut self, refusal: &Refusal, date: &[u8], output: &mut Outbound);

    /// No request after the current one: from now on answers say so (`Connection: close`) where the protocol
    /// can. When idle it stays open for a request that may be on its way, until the server closes it.
    fn drain(&mut self);

    /// Where it is now.
    fn state(&self) -> ProtocolState;
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    use super::*;

    /// What the next write would send, at most `limit` bytes.
    fn peek(outbound: &Outbound, limit: usize) -> Vec<u8> {
        let mut bytes = match outbound.first_file() {
            Some(part) => {
                let mut bytes = vec![0; part.len() as usize];
                let read = part.file().read_exact_at(&mut bytes, part.offset());
                read.expect("the file has them");
                bytes
            }
            None => outbound.slices(usize::MAX).flatten().copied().collect(),
        };
        bytes.truncate(limit);
        bytes
    }

    #[test]
    fn bytes_of_files_keep_their_place_however_much_is_written_at_once() {
        let path = std::env::temp_dir().join(format!("uwrs-outbound-{}", std::process::id()));
        std::fs::write(&path, "0123456789").expect("a file");
        let file = Arc::new(File::open(&path).expect("the file"));
        std::fs::remove_file(&path).expect("the file");
        let shared = vec![b'x'; Outbound::COPY_LIMIT + 1];
        for limit in 1..40 {
            let mut outbound = Outbound::default();
            outbound.put(b"head ");
            outbound.push_file(FilePart::new(Arc::clone(&file), 2, 3));
            outbound.put(b" amidst ");
            outbound.push(Bytes::from(shared.clone()));
            outbound.push_file(FilePart::new(Arc::clone(&file), 9, 0));
            outbound.push_file(FilePart::new(Arc::clone(&file), 0, 10));
            outbound.push_file(FilePart::new(Arc::clone(&file), 5, 5));
            outbound.put(b" tail");
            let expected = [
                b"head 234 amidst ",
                &shared[..],
                b"0123456789",
                b"56789",
                b" tail",
            ]
            .concat();
            assert_eq!(outbound.len(), expected.len());
            let mut written = Vec::new();
            while !outbound.is_empty() {
                let some = peek(&outbound, limit * limit * 16);
                outbound.advance(some.len());
                written.extend_from_slice(&some);
                assert_eq!(outbound.len(), expected.len() - written.len());
            }
            assert!(written == expected, "{limit}");
        }
    }
}
