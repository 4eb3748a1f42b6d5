//! Answering: from a gateway's reply to the bytes of an answer, as quickly as the client takes them.

use std::sync::Arc;

use uwrs_api::{BodyLength, Bytes, FilePart, Pull, Reply, ReplyBody, Request, ResponseHead};

use super::{Connection, Farewell, Phase, Source, Step};
use crate::server::batch::{Batch, Batcher};
use crate::server::dispatch::Asked;
use crate::server::exchange::Record;
use crate::server::services::Services;

impl Connection {
    /// The gateway said something.
    pub(super) fn answer(&mut self, reply: Reply, services: &mut Services) {
        self.touch(services.clock.now());
        let (head, body) = match reply {
            Reply::Interim(head) => {
                self.protocol.reply_interim(&head, &mut self.outbound);
                return;
            }
            Reply::Response { head, body } => (head, body),
            Reply::Abort if matches!(self.phase, Phase::Handling { .. }) => {
                services.slot.exception();
                internal_error()
            }
            Reply::Piece(_)
            | Reply::End
            | Reply::Trailers(_)
            | Reply::Rest(_)
            | Reply::Break
            | Reply::Abort => return self.take_pushed(reply, services),
            Reply::ReadOn | Reply::AskForRoom => return self.note_wish(&reply),
            Reply::Switch(head) => return self.switch(&head, services),
        };
        let Some(record) = self.begin_answer(&head, &body, services.clock.date()) else {
            return;
        };
        self.begin_body(record, body, services);
    }

    /// There are too many requests: this one is not for the application.
    pub(super) fn send_away(&mut self, request: Arc<Request>, services: &mut Services) {
        let id = services.next_exchange(self.slot);
        let record = Record::new(id, request, services.now());
        services.slot.begin();
        services.note_shed();
        self.phase = Phase::Handling { record };
        self.answer(unavailable(), services);
    }

    /// Sends the head of an answer, if one is due.
    pub(super) fn begin_answer(
        &mut self,
        head: &ResponseHead,
        body: &ReplyBody,
        date: &[u8],
    ) -> Option<Record> {
        if !matches!(self.phase, Phase::Handling { .. }) {
            return None;
        }
        let Phase::Handling { mut record } = std::mem::replace(&mut self.phase, Phase::Reading) else {
            return None;
        };
        record.answered(head);
        let length = match body {
            ReplyBody::Empty => BodyLength::Known(0),
            ReplyBody::Full(bytes) => BodyLength::Known(bytes.len() as u64),
            ReplyBody::File { part, .. } => BodyLength::Known(part.len()),
            ReplyBody::Source { .. } | ReplyBody::Pushed(_) => BodyLength::Unknown,
        };
        self.protocol.reply_head(head, length, date, &mut self.outbound);
        Some(record)
    }

    /// Sends what is at hand of a body.
    pub(super) fn begin_body(&mut self, mut record: Record, body: ReplyBody, services: &mut Services) {
        match body {
            ReplyBody::Empty => self.conclude(record, services),
            ReplyBody::Full(bytes) => {
                self.send(bytes, &mut record);
                self.conclude(record, services);
            }
            ReplyBody::File { part, owner } => {
                self.send_file(part, &mut record);
                match owner {
                    Some(owner) => {
                        self.phase = Phase::Answering {
                            record,
                            source: Source::Here(Batcher::new(owner, None)),
                        };
                    }
                    None => self.conclude(record, services),
                }
            }
            ReplyBody::Source { first, rest } => {
                self.send(first, &mut record);
                let owner = services.dispatch.attach(record.id);
                self.phase = Phase::Answering {
                    record,
                    source: Source::Here(Batcher::new(rest, owner)),
                };
            }
            ReplyBody::Pushed(first) => self.send_pushed(first, record),
        }
    }

    /// Asks for the next pieces of an answer's body.
    pub(super) fn pull(&mut self, services: &mut Services) -> Step {
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        let Phase::Answering {
            mut record,
            source: Source::Here(batcher),
        } = phase
        else {
            self.phase = phase;
            return Step::Stuck;
        };
        let room = self.protocol.reply_room();
        if room == 0 {
            services.dispatch.discard(batcher);
            self.conclude(record, services);
            return Step::More;
        }
        services.begin_pull(&record, &self.info.peer);
        let (id, held) = (record.id, batcher.held());
        let asked = Asked {
            id,
            batcher,
            room,
            is_behind: !self.outbound.is_empty(),
        };
        let pulled = services.pull(asked, &mut |now| self.flush_held(&held, &mut record, now));
        match pulled {
            Some((batch, batcher)) => self.go_on(record, batch, Some(batcher), services),
            None => {
                self.phase = Phase::Answering {
                    record,
                    source: Source::Away(held),
                };
            }
        }
        Step::More
    }

    /// The next pieces of an answer's body are here, and what gives those after them.
    pub(super) fn go_on(
        &mut self,
        mut record: Record,
        batch: Batch,
        batcher: Option<Batcher>,
        services: &mut Services,
    ) {
        self.send(batch.bytes, &mut record);
        match (batch.next, batcher) {
            (Pull::Data(bytes), Some(batcher)) => {
                self.send(bytes, &mut record);
                self.phase = Phase::Answering {
                    record,
                    source: Source::Here(batcher),
                };
            }
            (Pull::File(part), Some(batcher)) => {
                self.send_file(part, &mut record);
                self.phase = Phase::Answering {
                    record,
                    source: Source::Here(batcher),
                };
            }
            (Pull::End, batcher) => {
                drop(batcher);
                self.conclude(record, services);
            }
            (Pull::Failed | Pull::Data(_) | Pull::File(_), batcher) => {
                services.slot.exception();
                drop(batcher);
                self.cut(&record, services);
            }
        }
    }

    /// The answer breaks off.
    pub(super) fn cut(&mut self, record: &Record, services: &mut Services) {
        self.account(record, services);
        // Where what is out would look whole, a reset tells the client that it is not.
        let farewell = match self.protocol.is_end_hidden() {
            true => Farewell::Reset,
            false => Farewell::Prompt,
        };
        self.phase = Phase::Closing { farewell };
    }

    pub(super) fn send(&mut self, bytes: Bytes, record: &mut Record) {
        if bytes.is_empty() {
            return;
        }
        record.body_bytes += bytes.len() as u64;
        self.protocol.reply_data(bytes, &mut self.outbound);
    }

    pub(super) fn send_file(&mut self, part: FilePart, record: &mut Record) {
        record.body_bytes += part.len();
        self.protocol.reply_file(part, &mut self.outbound);
    }

    /// The answer is complete.
    pub(super) fn conclude(&mut self, record: Record, services: &mut Services) {
        if let Err(problem) = self.protocol.reply_end(&mut self.outbound) {
            log::warn!(
                "answer to \"{}\": {problem}",
                record.request.target().escape_ascii()
            );
        }
        self.account(&record, services);
        services.recycle(record.request);
        self.since = services.now();
    }

    pub(super) fn account(&mut self, record: &Record, services: &mut Services) {
        self.streamed = None;
        self.served += 1;
        services.slot.end(record.status, record.body_bytes);
        services
            .access_log
            .record(record, &self.info.peer, services.clock.now(), &services.slot);
    }
}

/// What a client gets where the gateway gave no answer.
fn internal_error() -> (ResponseHead, ReplyBody) {
    error_page(500, b"Internal Server Error\n")
}

/// What a client gets for whom there is no room: it may ask again.
pub(crate) fn unavailable() -> Reply {
    let (mut head, body) = error_page(503, b"Service Unavailable\n");
    head.push(b"Retry-After", b"1");
    Reply::Response { head, body }
}

pub(super) fn error_page(status: u16, text: &'static [u8]) -> (ResponseHead, ReplyBody) {
    let mut head = ResponseHead::new(status);
    head.push(b"Content-Type", b"text/plain; charset=utf-8");
    (head, ReplyBody::Full(Bytes::from_static(text)))
}
