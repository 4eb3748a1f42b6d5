//! [`Clock`]: the time as the loop sees it, read once a turn, and the Date field made once a second.

use std::time::{Duration, Instant, SystemTime};

use crate::sys;

/// Bytes of an IMF-fixdate (RFC 9110 §5.6.7).
const DATE_BYTES: usize = 29;

/// The loop's time.
#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
    /// The same moment of two clocks: this process's and the one that all processes share.
    start: (Instant, u64),
    /// When the Date is to be made anew.
    date_until: Option<Instant>,
    date: [u8; DATE_BYTES],
}

impl Clock {
    pub(crate) fn new() -> Self {
        let start = (Instant::now(), sys::monotonic_milliseconds());
        Self {
            now: start.0,
            start,
            date_until: None,
            date: [b' '; DATE_BYTES],
        }
    }

    /// Reads the time anew.
    pub(crate) fn update(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    /// Someone else has read the time, `now`, or a little earlier than the last update: it does not go back.
    pub(crate) fn set(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The time of the last update.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// The time of the last update on the clock that all processes share: milliseconds of
    /// [`sys::monotonic_milliseconds`].
    pub(crate) fn shared(&self) -> u64 {
        self.start.1 + self.now.duration_since(self.start.0).as_millis() as u64
    }

    /// The Date of now.
    pub(crate) fn date(&mut self) -> &[u8] {
        if self.date_until.is_none_or(|until| self.now >= until) {
            let text = httpdate::fmt_http_date(SystemTime::now());
            if let Ok(date) = text.as_bytes().try_into() {
                self.date = date;
            }
            self.date_until = Some(self.now + Duration::from_millis(500));
        }
        &self.date
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_an_imf_fixdate_of_now() {
        let mut clock = Clock::new();
        let text = std::str::from_utf8(clock.date()).unwrap().to_owned();
        let date = httpdate::parse_http_date(&text).unwrap();
        let off = SystemTime::now().duration_since(date).unwrap();
        assert!(off < Duration::from_secs(2), "{text} is {off:?} ago");
    }
}
