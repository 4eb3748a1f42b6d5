//! [`Timer`]: the one thing that a connection waits for, and until when. The clock is the server's.

use std::time::Instant;

use crate::Settings;

/// What is due, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Nothing.
    Never,
    /// A ping is to be sent.
    Ping(Instant),
    /// A ping was sent then, and nothing has come since.
    Pong(Instant),
    /// The peer's close frame is given up.
    Close(Instant),
}

/// What is to be done about a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    GiveUp,
    Close,
}

impl Timer {
    /// Of a connection that has begun.
    pub(crate) fn begin(settings: &Settings, now: Instant) -> Self {
        // A moment beyond the clock's range never comes.
        let at = settings
            .ping_interval
            .and_then(|interval| now.checked_add(interval));
        at.map_or(Self::Never, Self::Ping)
    }

    /// Of a connection that we close.
    pub(crate) fn closing(settings: &Settings, now: Instant) -> Self {
        now.checked_add(settings.close_timeout)
            .map_or(Self::Never, Self::Close)
    }

    /// Something came: whatever it is, the peer is there. A long message holds up the pong behind it.
    pub(crate) fn hear(&mut self, settings: &Settings) {
        if let Self::Pong(since) = *self {
            *self = Self::begin(settings, since);
        }
    }

    /// When [`Timer::lapse`] is to be called.
    pub(crate) fn deadline(self, settings: &Settings) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::Ping(at) | Self::Close(at) => Some(at),
            Self::Pong(since) => since.checked_add(settings.ping_timeout),
        }
    }

    /// What is due at `now`.
    pub(crate) fn lapse(&mut self, settings: &Settings, now: Instant) -> Due {
        if self.deadline(settings).is_none_or(|deadline| now < deadline) {
            return Due::Nothing;
        }
        match *self {
            Self::Never => Due::Nothing,
            Self::Ping(_) => {
                *self = Self::Pong(now);
                Due::Ping
            }
            Self::Pong(_) => Due::GiveUp,
            Self::Close(_) => Due::Close,
        }
    }
}
