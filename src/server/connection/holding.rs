//! What is held back of an answer's body, because more was to come at once, and is sent by another thread when it does not.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use uwrs_api::{Bytes, ExchangeId};

use super::{Connection, Phase, Source, Verdict};
use crate::server::batch::Held;
use crate::server::exchange::Record;
use crate::server::services::Services;

/// While the client takes nothing: when that is tried again. No one hears of it from the kernel, since the thread that
/// does is in the application.
const AGAIN: Duration = Duration::from_millis(5);

impl Connection {
    /// Sends what has been held back for too long, and what else there is to send. The loop's thread waits for the
    /// application and has lent this connection to the one that calls. Gives when to look again.
    pub(super) fn flush_held(&mut self, held: &Held, record: &mut Record, now: Instant) -> Option<Instant> {
        let due = match held.take_due(now) {
            Ok(bytes) => {
                self.send(bytes, record);
                None
            }
            Err(due) => due,
        };
        self.write_amidst(now).or(due)
    }

    fn write_amidst(&mut self, now: Instant) -> Option<Instant> {
        while !self.outbound.is_empty() && !self.readiness.hung_up {
            let was_file = self.outbound.first_file().is_some();
            match self.stream.write(&mut self.outbound) {
                Ok(_) => {
                    self.readiness.writable = true;
                    self.since = now;
                    // A file can be of any size, and the loop's thread waits for this one.
                    if was_file {
                        return Some(now);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readiness.writable = false;
                    return Some(now + AGAIN);
                }
                Err(error) => {
                    self.blame(&error);
                    self.readiness.hung_up = true;
                }
            }
        }
        None
    }

    /// What the thread that has the body of exchange `id` holds back, if it has for too long; or when it will have.
    /// `None`: nothing is held back.
    pub(crate) fn take_held(&self, id: ExchangeId, now: Instant) -> Option<Result<Bytes, Instant>> {
        match &self.phase {
            Phase::Answering {
                record,
                source: Source::Away(held),
            } if record.id == id => match held.take_due(now) {
                Ok(bytes) => Some(Ok(bytes)),
                Err(due) => due.map(Err),
            },
            _ => None,
        }
    }

    /// Sends what [`Connection::take_held`] gave.
    pub(crate) fn send_held(&mut self, bytes: Bytes, services: &mut Services) -> Verdict {
        self.with_memory(services, |connection, services| {
            let phase = std::mem::replace(&mut connection.phase, Phase::Reading);
            match phase {
                Phase::Answering { mut record, source } => {
                    connection.send(bytes, &mut record);
                    connection.phase = Phase::Answering { record, source };
                }
                phase => connection.phase = phase,
            }
            connection.take_steps(services)
        })
    }
}
