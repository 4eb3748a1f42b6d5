//! What goes to the client before an application has come to the end of its call: interim answers, and what it writes
//! (PEP 3333: handed to the kernel before `write()` returns).

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use uwrs_api::{Bytes, ExchangeId, Reply};

use super::{Connection, Phase, Source};
use crate::server::exchange::Record;
use crate::server::services::{Means, Services};
use crate::sys;

/// How it stands with what was to be sent at once.
#[derive(Debug)]
pub(crate) enum Sending {
    /// The kernel has it.
    Done,
    /// The client has to take some of it first: this is writable then.
    Waits(OwnedFd),
    /// The client is gone.
    Gone,
}

impl Connection {
    /// Is an application at work on that exchange, its answer begun or not?
    pub(super) fn is_in_hand(&self, id: ExchangeId) -> bool {
        match &self.phase {
            Phase::Handling { record } => record.id == id,
            Phase::Answering { record, source } => record.id == id && matches!(source, Source::Pushed),
            _ => false,
        }
    }

    /// Sends a part of a body that is pushed; more follows.
    pub(super) fn send_pushed(&mut self, bytes: Bytes, mut record: Record) {
        self.send(bytes, &mut record);
        let source = Source::Pushed;
        self.phase = Phase::Answering { record, source };
    }

    /// Sends what was left for the exchange `id`, on this thread and amidst a call of its application. Waits until the
    /// kernel has all of it. `false`: the client is gone.
    pub(super) fn send_amidst(&mut self, id: ExchangeId, means: &mut Means<'_>) -> bool {
        while let Some(reply) = means.mailbox.take_one(id) {
            self.forerun(reply, means);
        }
        let mut since = Instant::now();
        while !self.outbound.is_empty() {
            match self.stream.write(&mut self.outbound) {
                Ok(_) => since = Instant::now(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = means.patience.saturating_sub(since.elapsed());
                    let waited = sys::wait_writable(self.stream.as_fd(), left);
                    if waited.is_err() || left == Duration::ZERO {
                        return self.lose();
                    }
                }
                Err(error) => {
                    log::debug!("connection from {}: write: {error}", self.info.peer);
                    return self.lose();
                }
            }
        }
        self.since = means.clock.update();
        true
    }

    fn forerun(&mut self, reply: Reply, means: &mut Means<'_>) {
        match reply {
            Reply::Interim(head) => self.protocol.reply_interim(&head, &mut self.outbound),
            Reply::Response { head, body } => {
                let record = self.begin_answer(&head, &body, means.clock.date());
                if let (Some(record), uwrs_api::ReplyBody::Pushed(first)) = (record, body) {
                    self.send_pushed(first, record);
                }
            }
            Reply::Piece(bytes) => {
                let phase = std::mem::replace(&mut self.phase, Phase::Reading);
                match phase {
                    Phase::Answering {
                        record,
                        source: Source::Pushed,
                    } => self.send_pushed(bytes, record),
                    phase => self.phase = phase,
                }
            }
            // Nothing else goes before the end.
            _ => {}
        }
    }

    /// Nothing that is sent from now on reaches the client.
    fn lose(&mut self) -> bool {
        self.readiness.hung_up = true;
        false
    }

    /// How it stands with what was left for the exchange `id`.
    pub(crate) fn sending(&self, id: ExchangeId) -> Sending {
        if self.readiness.hung_up || !self.is_in_hand(id) {
            return Sending::Gone;
        }
        if self.outbound.is_empty() {
            return Sending::Done;
        }
        match self.stream.as_fd().try_clone_to_owned() {
            Ok(fd) => Sending::Waits(fd),
            Err(_) => Sending::Gone,
        }
    }

    /// A thread that waited for it says that more can be written; the loop may not have heard yet.
    pub(crate) fn note_writable(&mut self, services: &mut Services) {
        self.readiness.writable = true;
        services.clock.update();
    }
}
