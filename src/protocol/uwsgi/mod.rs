//! The uwsgi protocol as a state machine, the server's side: one packet of variables in, an HTTP-like answer
//! out, then the connection closes.
//!
//! [`packet`] takes a packet apart, [`request`] makes a [`Request`](uwrs_api::Request) of its variables,
//! [`mod@sniff`] recognizes peers that speak something else. Of the packet types only requests (modifier1 0 and
//! 30) and pings (100) are served.

mod packet;
mod request;
mod sniff;

use std::borrow::Cow;
use std::sync::Arc;

use uwrs_api::{
    BodyFraming, BodyLength, Bytes, Event, FilePart, Inbound, Outbound, Protocol, ProtocolState, Refusal,
    Request, ResponseHead, Version,
};

use self::packet::{HEADER_BYTES, Header, Modifier};
use self::sniff::{Sniffed, sniff};
use super::HeadLimits;
use super::answer::{self, Framing};

/// What a ping is answered with: itself, modifier2 1.
const PONG: [u8; 4] = [100, 0, 0, 1];

/// One connection of the uwsgi protocol.
#[derive(Debug)]
pub struct Uwsgi {
    limits: HeadLimits,
    reading: Reading,
    writing: Writing,
}

/// Where the request is.
#[derive(Debug)]
enum Reading {
    /// In the packet's header, of which so many bytes have arrived.
    Header(usize),
    /// In the packet's variables.
    Packet(Header),
    /// So much of the body is left.
    Body(u64),
    /// The request is complete; what follows it is ignored.
    Complete,
    /// Nothing more is read.
    Closed,
}

/// Where the answer is.
#[derive(Debug)]
enum Writing {
    /// There is no request to answer.
    Nothing,
    /// The request awaits its answer.
    Due(Terms),
    /// The answer's head is written.
    Body(Framing),
    /// The answer is written, or cut short.
    Closed,
}

/// What a request says of its answer.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    version: Version,
    is_head: bool,
}

impl Uwsgi {
    /// A new connection.
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            reading: Reading::Header(0),
            writing: Writing::Nothing,
        }
    }

    /// Reads the packet's header.
    fn header(&mut self, input: &mut Inbound<'_>, output: &mut Outbound) -> Option<Event<'static>> {
        let rest = input.rest();
        self.reading = Reading::Header(rest.len());
        match sniff(rest) {
            Sniffed::Uwsgi if rest.len() >= HEADER_BYTES => {}
            Sniffed::Uwsgi | Sniffed::Undecided => return Some(Event::Starved),
            Sniffed::Other(reason) => return Some(self.fail(Refusal::new(400, reason))),
        }
        let header = Header::read(input.take(HEADER_BYTES));
        match header.modifier {
            Modifier::Ping => {
                self.reading = Reading::Closed;
                output.put(&PONG);
                Some(Event::Answered)
            }
            Modifier::Other(number) => Some(self.fail(Refusal::new(
                400,
                format!("uwsgi modifier1 {number} is not served, only requests (0, 30) and pings (100)"),
            ))),
            Modifier::Request | Modifier::ManagePathInfo if header.size == 0 => {
                self.reading = Reading::Closed;
                Some(Event::Close(
                    "an empty uwsgi packet: no variables, no request".into(),
                ))
            }
            Modifier::Request | Modifier::ManagePathInfo if header.size > self.limits.head_bytes => {
                Some(self.fail(Refusal::new(431, "the uwsgi packet is too long").limited_by("buffer-size")))
            }
            Modifier::Request | Modifier::ManagePathInfo => {
                self.reading = Reading::Packet(header);
                None
            }
        }
    }

    /// All variables have arrived.
    fn packet(&mut self, packet: &[u8], header: Header, spare: Arc<Request>) -> Event<'static> {
        match request::read(spare, packet, header, &self.limits) {
            Ok(request) => {
                self.reading = match request.framing {
                    BodyFraming::Length(left @ 1..) => Reading::Body(left),
                    _ => Reading::Complete,
                };
                self.writing = Writing::Due(Terms {
                    version: request.version,
                    is_head: request.method() == b"HEAD",
                });
                Event::Request(request)
            }
            Err(refusal) => self.fail(refusal),
        }
    }

    fn fail(&mut self, refusal: Refusal) -> Event<'static> {
        self.reading = Reading::Closed;
        Event::Refused(refusal)
    }
}

impl Protocol for Uwsgi {
    fn receive<'a>(&mut self, input: &mut Inbound<'a>, output: &mut Outbound) -> Event<'a> {
        if let Reading::Header(_) = self.reading
            && let Some(event) = self.header(input, output)
        {
            return event;
        }
        match &mut self.reading {
            Reading::Header(_) => Event::Starved,
            Reading::Packet(header) if input.rest().len() < header.size => Event::Starved,
            Reading::Packet(header) => {
                let header = *header;
                self.packet(input.take(header.size), header, input.take_request())
            }
            Reading::Body(0) => {
                self.reading = Reading::Complete;
                Event::BodyEnd
            }
            Reading::Body(left) => match input.take(usize::try_from(*left).unwrap_or(usize::MAX)) {
                [] => Event::Starved,
                data => {
                    *left -= data.len() as u64;
                    Event::Body(data)
                }
            },
            Reading::Complete | Reading::Closed => {
                // Taken, so that closing the socket doesn't reset what the peer has not read yet.
                input.take(usize::MAX);
                Event::Starved
            }
        }
    }

    /// Nothing: it is the server in front that answers `Expect`.
    fn invite_body(&mut self, _output: &mut Outbound) {}

    /// Adds neither Date nor Server: the server in front does.
    fn reply_head(&mut self, head: &ResponseHead, length: BodyLength, _date: &[u8], output: &mut Outbound) {
        let Writing::Due(terms) = self.writing else {
            return;
        };
        output.put_with(|buffer| {
            buffer.reserve(64 + head.text.len());
            answer::put_status_line(terms.version.as_str(), head, buffer);
            let told = answer::put_fields(head, buffer);
            // Never in chunks: nginx would pass them on as data.
            let (framing, announced) =
                Framing::choose(head.status, terms.is_head, &told, length, Framing::UntilClose);
            if let Some(announced) = announced {
                answer::put_content_length(announced, buffer);
            }
            buffer.extend_from_slice(b"\r\n");
            self.writing = Writing::Body(framing);
        });
    }

    /// nginx knows the 101 and passes on what follows it in both directions.
    fn reply_switch(&mut self, head: &ResponseHead, output: &mut Outbound) -> bool {
        let is_due = matches!(self.writing, Writing::Due(_)) && matches!(self.reading, Reading::Complete);
        if is_due {
            answer::put_switch("HTTP/1.1", head, output);
        }
        is_due
    }

    /// Nothing: nginx takes the first head that comes for the final one.
    fn reply_interim(&mut self, _head: &ResponseHead, _output: &mut Outbound) {}

    fn reply_data(&mut self, data: Bytes, output: &mut Outbound) {
        if let Writing::Body(framing) = &mut self.writing {
            framing.put(data, output);
        }
    }

    fn reply_file(&mut self, part: FilePart, output: &mut Outbound) {
        if let Writing::Body(framing) = &mut self.writing {
            framing.put_file(part, output);
        }
    }

    fn reply_end(&mut self, output: &mut Outbound) -> Result<(), Cow<'static, str>> {
        self.reading = Reading::Closed;
        match std::mem::replace(&mut self.writing, Writing::Closed) {
            Writing::Body(framing) => framing.finish(output),
            _ => Err("answer: ended before its head".into()),
        }
    }

    fn reply_room(&self) -> u64 {
        match &self.writing {
            Writing::Body(framing) => framing.room(),
            Writing::Nothing | Writing::Due(_) | Writing::Closed => 0,
        }
    }

    fn is_end_hidden(&self) -> bool {
        matches!(&self.writing, Writing::Body(framing) if framing.ends_with_connection())
    }

    fn refuse(&mut self, refusal: &Refusal, _date: &[u8], output: &mut Outbound) {
        let terms = match self.writing {
            Writing::Nothing => Some(Terms::default()),
            Writing::Due(terms) => Some(terms),
            // An answer is on its way; a second one in the middle of it would be read as its body.
            Writing::Body(_) | Writing::Closed => None,
        };
        if let Some(terms) = terms {
            output.put_with(|buffer| {
                let head = ResponseHead::new(refusal.status);
                answer::put_status_line(terms.version.as_str(), &head, buffer);
                answer::put_refusal(refusal, &[], terms.is_head, buffer);
            });
        }
        self.reading = Reading::Closed;
        self.writing = Writing::Closed;
    }

    /// Nothing: there is never a second request.
    fn drain(&mut self) {}

    fn state(&self) -> ProtocolState {
        match &self.reading {
            Reading::Header(0) => ProtocolState::Idle,
            Reading::Header(_) | Reading::Packet(_) => ProtocolState::Head,
            Reading::Body(_) => ProtocolState::Body,
            Reading::Complete => ProtocolState::Handling,
            Reading::Closed => ProtocolState::Closed,
        }
    }
}
