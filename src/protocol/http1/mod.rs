//! HTTP/1.1 and 1.0 as a state machine, the server's side. Bytes in, events out; sockets and time are the
//! server's business.
//!
//! Requests are read by [`head`] and [`body`], answers are written by [`encode`]; this module joins the two
//! sides: which request an answer belongs to, and whether another may follow on the same connection.

mod body;
mod chunked;
mod control;
mod encode;
mod field;
mod head;
mod line;

use std::borrow::Cow;

use uwrs_api::{
    BodyLength, Bytes, Event, FilePart, Inbound, Outbound, Protocol, ProtocolState, Refusal, ResponseHead,
    Version,
};

use self::body::{BodyReader, Piece};
use self::control::Terms;
use self::encode::Written;
use self::head::{HeadReader, Progress};
use super::{HeadLimits, answer};

/// How a connection behaves beyond its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http1Options {
    /// More than one request on a connection.
    pub keep_alive: bool,
}

impl Default for Http1Options {
    fn default() -> Self {
        Self { keep_alive: true }
    }
}

/// One HTTP/1 connection.
#[derive(Debug)]
pub struct Http1 {
    limits: HeadLimits,
    options: Http1Options,
    reading: Reading,
    writing: Writing,
    draining: bool,
}

/// Where requests are.
#[derive(Debug)]
enum Reading {
    /// Nothing has arrived of the next one.
    Between,
    Head(HeadReader),
    Body(BodyReader),
    /// The request is complete; the next one is read when its answer is complete, too.
    Complete,
    /// Nothing more is read.
    Closed,
}

/// Where the answer is.
#[derive(Debug)]
enum Writing {
    /// There is no request to answer.
    Nothing,
    /// A request awaits its answer.
    Due(Terms),
    /// The answer's head is written.
    Body(Written),
    /// The last answer is written, or cut short.
    Closed,
}

impl Http1 {
    /// A new connection.
    pub fn new(limits: HeadLimits, options: Http1Options) -> Self {
        Self {
            limits: HeadLimits {
                head_bytes: limits.head_bytes.max(64),
                ..limits
            },
            options,
            reading: Reading::Between,
            writing: Writing::Nothing,
            draining: false,
        }
    }

    /// The head is complete.
    fn accept(&mut self, terms: Terms) -> Event<'static> {
        let Reading::Head(reader) = std::mem::replace(&mut self.reading, Reading::Complete) else {
            return Event::Starved;
        };
        let request = reader.into_request();
        if let Some(body) = BodyReader::new(request.framing) {
            self.reading = Reading::Body(body);
        }
        self.writing = Writing::Due(terms);
        Event::Request(request)
    }

    fn fail(&mut self, refusal: Refusal) -> Event<'static> {
        if let Reading::Head(reader) = &self.reading {
            // Not all is known of this request, but an answer to HEAD has no body in any case.
            self.writing = Writing::Due(Terms {
                is_head: reader.is_head_request(),
                ..Terms::default()
            });
        }
        self.reading = Reading::Closed;
        Event::Refused(refusal)
    }
}

impl Protocol for Http1 {
    fn receive<'a>(&mut self, input: &mut Inbound<'a>, _output: &mut Outbound) -> Event<'a> {
        if let Reading::Between = self.reading
            && !input.rest().is_empty()
        {
            self.reading = Reading::Head(HeadReader::new(input.take_request()));
        }
        match &mut self.reading {
            Reading::Between | Reading::Complete => Event::Starved,
            Reading::Head(reader) => match reader.advance(input, &self.limits) {
                Ok(Progress::Partial) => Event::Starved,
                Ok(Progress::Complete(terms)) => self.accept(terms),
                Err(refusal) => self.fail(refusal),
            },
            Reading::Body(reader) => {
                if let Writing::Due(terms) = &mut self.writing {
                    // Who sends the body doesn't wait to be invited.
                    terms.expects_continue &= input.rest().is_empty();
                }
                match reader.next(input, &self.limits) {
                    Ok(Piece::Starved) => Event::Starved,
                    Ok(Piece::Data(data)) => Event::Body(data),
                    Ok(Piece::End) => {
                        self.reading = Reading::Complete;
                        Event::BodyEnd
                    }
                    Err(refusal) => self.fail(refusal),
                }
            }
            Reading::Closed => {
                input.take(usize::MAX);
                Event::Starved
            }
        }
    }

    fn invite_body(&mut self, output: &mut Outbound) {
        if let (Reading::Body(_), Writing::Due(terms)) = (&self.reading, &mut self.writing)
            && terms.expects_continue
        {
            terms.expects_continue = false;
            output.put(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    fn reply_head(&mut self, head: &ResponseHead, length: BodyLength, date: &[u8], output: &mut Outbound) {
        let Writing::Due(terms) = &self.writing else {
            return;
        };
        // Before the request is complete no one knows where the next one would begin, or whether the rest
        // will come.
        let may_persist =
            self.options.keep_alive && !self.draining && matches!(self.reading, Reading::Complete);
        let mut written = None;
        output.put_with(|buffer| {
            written = Some(encode::put_head(head, length, terms, may_persist, date, buffer));
        });
        if let Some(written) = written {
            self.writing = Writing::Body(written);
        }
    }

    fn reply_switch(&mut self, head: &ResponseHead, output: &mut Outbound) -> bool {
        let is_due = matches!(&self.writing, Writing::Due(terms) if terms.version != Version::Http10);
        if is_due && matches!(self.reading, Reading::Complete) {
            answer::put_switch("HTTP/1.1", head, output);
            return true;
        }
        false
    }

    fn reply_interim(&mut self, head: &ResponseHead, output: &mut Outbound) {
        match (&self.writing, head.status) {
            (Writing::Due(_), 100) => self.invite_body(output),
            // HTTP/1.0 knows no interim answers (RFC 9110 §15.2); 101 would end HTTP here.
            (Writing::Due(terms), 102..=199) if terms.version != Version::Http10 => {
                output.put_with(|buffer| encode::put_interim(head, buffer));
            }
            _ => {}
        }
    }

    fn reply_data(&mut self, data: Bytes, output: &mut Outbound) {
        if let Writing::Body(written) = &mut self.writing {
            written.framing.put(data, output);
        }
    }

    fn reply_file(&mut self, part: FilePart, output: &mut Outbound) {
        if let Writing::Body(written) = &mut self.writing {
            written.framing.put_file(part, output);
        }
    }

    fn reply_trailers(&mut self, trailers: &ResponseHead, output: &mut Outbound) {
        if let Writing::Body(written) = &mut self.writing
            && written.takes_trailers
        {
            written.framing.put_trailers(trailers, output);
        }
    }

    fn reply_end(&mut self, output: &mut Outbound) -> Result<(), Cow<'static, str>> {
        let writing = std::mem::replace(&mut self.writing, Writing::Closed);
        let Writing::Body(written) = writing else {
            self.reading = Reading::Closed;
            return Err("answer: ended before its head".into());
        };
        let finished = written.framing.finish(output);
        if finished.is_ok() && written.persistent && matches!(self.reading, Reading::Complete) {
            self.writing = Writing::Nothing;
            self.reading = Reading::Between;
        } else {
            self.reading = Reading::Closed;
        }
        finished
    }

    fn reply_room(&self) -> u64 {
        match &self.writing {
            Writing::Body(written) => written.framing.room(),
            Writing::Nothing | Writing::Due(_) | Writing::Closed => 0,
        }
    }

    fn is_end_hidden(&self) -> bool {
        matches!(&self.writing, Writing::Body(written) if written.framing.ends_with_connection())
    }

    fn refuse(&mut self, refusal: &Refusal, date: &[u8], output: &mut Outbound) {
        let is_head = match &self.writing {
            Writing::Nothing => Some(false),
            Writing::Due(terms) => Some(terms.is_head),
            // An answer is on its way; a second one in the middle of it would be read as its body.
            Writing::Body(_) | Writing::Closed => None,
        };
        if let Some(is_head) = is_head {
            output.put_with(|buffer| encode::put_refusal(refusal, is_head, date, buffer));
        }
        self.reading = Reading::Closed;
        self.writing = Writing::Closed;
    }

    fn drain(&mut self) {
        self.draining = true;
    }

    fn state(&self) -> ProtocolState {
        match &self.reading {
            Reading::Between => ProtocolState::Idle,
            Reading::Head(reader) if reader.has_begun() => ProtocolState::Head,
            Reading::Head(_) => ProtocolState::Idle,
            Reading::Body(_) => ProtocolState::Body,
            Reading::Complete => ProtocolState::Handling,
            Reading::Closed => ProtocolState::Closed,
        }
    }
}
