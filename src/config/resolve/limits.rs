//! What a client may send, how long it may take, and what is logged of it.

use std::time::Duration;

use super::Resolver;
use crate::config::resolved::{Limits, LoggingConfig};

/// Bytes of a body kept in memory: most forms fit, and a hundred uploads at once do no harm.
const BODY_MEMORY: usize = 256 * 1024;

/// From a request's first byte to the end of its head: what a bad line needs, and no more for those who send slowly
/// on purpose.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Between two requests: longer than the 60 seconds after which most proxies let go first.
const KEEP_ALIVE: Duration = Duration::from_secs(65);

impl Resolver<'_> {
    /// Limits and timeouts.
    pub(super) fn limits(&mut self) -> Option<Limits> {
        let head_bytes = self.count("buffer-size");
        let pairs = self.count("max-vars");
        let body_bytes = self.number("limit-post");
        let pause = self.number("socket-timeout");
        let pause = Duration::from_secs(pause?);
        Some(Limits {
            head_bytes: head_bytes?,
            // uWSGI counts names and values; a request there may have twice as many variables as max-vars says.
            fields: pairs? * 2,
            body_bytes: Some(body_bytes?).filter(|bytes| *bytes > 0),
            body_memory: BODY_MEMORY,
            head_timeout: HEAD_TIMEOUT,
            body_timeout: pause,
            send_timeout: pause,
            keep_alive: KEEP_ALIVE,
        })
    }

    /// Where the log goes and what is in it.
    pub(super) fn logging(&mut self) -> Option<LoggingConfig> {
        let start = self.start_directory();
        let slow = self.number("log-slow");
        Some(LoggingConfig {
            file: self.written_file("logto", &start),
            requests: !self.flag("disable-logging"),
            client_errors: self.flag("log-4xx"),
            server_errors: self.flag("log-5xx"),
            slow: Some(slow?).filter(|slow| *slow > 0).map(Duration::from_millis),
        })
    }
}
