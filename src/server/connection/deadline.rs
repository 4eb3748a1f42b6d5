//! How long a connection waits for its client, and what follows. When it is looked at is the event loop's business.

use std::time::{Duration, Instant};

use uwrs_api::{ExchangeId, ProtocolState, Refusal};

use super::{Connection, Phase, Verdict};
use crate::server::exchange::Record;
use crate::server::services::Services;

/// How long a refused client may go on sending before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);
/// An idle connection stays this long when its worker leaves: a request may be on its way.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// What follows when a wait has lasted too long.
enum Expiry {
    /// The connection closes; nothing was lost.
    Close,
    /// It is reset: an answer was under way.
    Cut(&'static str),
    /// 408 and close: the reason, and the option that allows more.
    Refuse(&'static str, &'static str),
    /// The gateway, which has the exchange already, hears that nothing more comes.
    Lose,
    /// The application is the one who is waited for.
    Overdue(ExchangeId),
}

/// What was found by a look at a wait.
pub(crate) enum Patience {
    /// The wait may last until then; `None`: no one waits for the client.
    Until(Option<Instant>),
    /// It has lasted too long, and this is what follows.
    Over(Verdict),
}

impl Connection {
    /// When the wait that it is in ends, and what follows. `None`: no one waits for the client, and the application
    /// has all the time that it likes.
    fn deadline(&self, services: &Services, draining: bool) -> Option<(Instant, Expiry)> {
        if let Some((limit, expiry)) = self.wait(services, draining) {
            return Some((self.since + limit, expiry));
        }
        match &self.phase {
            Phase::Handling { record } | Phase::Answering { record, .. }
                if self.protocol.state() != ProtocolState::Switched =>
            {
                let limit = services.limits.harakiri.limit?;
                Some((self.touched()? + limit, Expiry::Overdue(record.id)))
            }
            _ => None,
        }
    }

    /// The wait for its client that it is in: how long it may last, and what follows.
    fn wait(&self, services: &Services, draining: bool) -> Option<(Duration, Expiry)> {
        let limits = &services.limits;
        if self.is_held && self.outbound.is_empty() {
            return None;
        }
        if !self.outbound.is_empty() {
            return Some((
                limits.send_timeout,
                Expiry::Cut("the client does not take its answer"),
            ));
        }
        match (&self.phase, self.protocol.state()) {
            // How long is waited there is the gateway's business.
            (_, ProtocolState::Switched) => None,
            (Phase::Handling { .. } | Phase::Answering { .. }, _) if self.reads_on() => {
                Some((limits.body_timeout, Expiry::Lose))
            }
            (Phase::Handling { .. } | Phase::Answering { .. }, _) => None,
            (Phase::Lingering, _) => Some((LINGER, Expiry::Close)),
            (Phase::Collecting { .. }, _) => Some((
                limits.body_timeout,
                Expiry::Refuse("the request's body did not arrive in time", "body-timeout"),
            )),
            (_, ProtocolState::Idle) if draining => Some((DRAIN_IDLE, Expiry::Close)),
            (_, ProtocolState::Idle) if self.served > 0 => Some((services.keep_alive, Expiry::Close)),
            (_, ProtocolState::Idle) => Some((limits.head_timeout, Expiry::Close)),
            _ => Some((
                limits.head_timeout,
                Expiry::Refuse(
                    "the request's head did not arrive in time",
                    "http-headers-timeout",
                ),
            )),
        }
    }

    /// Ends a wait that has lasted too long, unless its client has used its time and the loop, kept away by an application,
    /// has not looked yet.
    pub(crate) fn expire(&mut self, services: &mut Services, draining: bool) -> Patience {
        let Some((end, expiry)) = self.deadline(services, draining) else {
            return Patience::Until(None);
        };
        if services.now() < end {
            return Patience::Until(Some(end));
        }
        if matches!(expiry, Expiry::Overdue(_)) {
            return Patience::Over(self.end_wait(expiry, services));
        }
        match self.look_again(services) {
            Verdict::Wait => {}
            verdict => return Patience::Over(verdict),
        }
        match self.deadline(services, draining) {
            Some((end, expiry)) if services.now() >= end => Patience::Over(self.end_wait(expiry, services)),
            // It has moved: what is due is asked for anew.
            _ => Patience::Over(Verdict::Wait),
        }
    }

    /// The application is to give up an exchange that is streamed, and the log tells of it. Where it is not streamed a thread
    /// is in the application, which the master tells of.
    pub(super) fn note_overdue(&self, record: &Record, why: &str, services: &mut Services) {
        let Some(since) = self.touched() else { return };
        log::error!(
            "\"{}\" from {} has kept its client waiting for {} s ({why})",
            record.request.line(),
            self.info.peer,
            services.now().saturating_duration_since(since).as_secs()
        );
        services.strays.overstay(record.id, record.request.clone(), since);
    }

    fn end_wait(&mut self, expiry: Expiry, services: &mut Services) -> Verdict {
        match expiry {
            Expiry::Close => Verdict::Close,
            Expiry::Cut(why) => {
                log::debug!("connection from {} cut: {why}", self.info.peer);
                self.stream.reset_on_close();
                Verdict::Close
            }
            Expiry::Lose => {
                self.lose_client(services);
                self.advance(services)
            }
            Expiry::Overdue(id) => {
                services.told.push(id);
                let limit = services.limits.harakiri.limit.unwrap_or_default();
                let why = format!("harakiri = {}", limit.as_secs());
                self.time_out(id, &why, services).unwrap_or(Verdict::Wait)
            }
            Expiry::Refuse(why, option) => {
                self.refuse(&Refusal::new(408, why).limited_by(option), services);
                self.advance(services)
            }
        }
    }
}
