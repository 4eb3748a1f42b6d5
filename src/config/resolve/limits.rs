//! What a client may send, how long it may take, and what is logged of it.

use std::time::Duration;

use super::{Resolver, definition};
use crate::config::resolved::{Limits, LoggingConfig};
use crate::config::value;

impl Resolver<'_> {
    /// Limits and timeouts.
    pub(super) fn limits(&mut self) -> Option<Limits> {
        let head_bytes = self.count("buffer-size");
        let pairs = self.count("max-vars");
        let body_bytes = self.number("limit-post");
        let head_timeout = self.number("http-headers-timeout");
        let pause = self.pause();
        let body_timeout = self.timeout("body-timeout", pause);
        let send_timeout = self.timeout("so-send-timeout", pause);
        let keep_alive = self.amount("http-keepalive");
        let harakiri = self.harakiri();
        let slow_callback = self.seconds("slow-callback", 86_400);
        let concurrency = self.said_count("limit-concurrency")?;
        let backpressure = self.said_count("backpressure")?;
        let max_connections = self.said_count("max-connections")?;
        Some(Limits {
            head_bytes: head_bytes?,
            // uWSGI counts names and values; a request there may have twice as many variables as max-vars says.
            fields: pairs? * 2,
            body_bytes: Some(body_bytes?).filter(|bytes| *bytes > 0),
            body_memory: self.body_memory()?,
            head_timeout: Duration::from_secs(head_timeout?),
            body_timeout: body_timeout?,
            send_timeout: send_timeout?,
            keep_alive: Duration::from_secs(keep_alive?),
            harakiri: harakiri?,
            slow_callback: Some(slow_callback?).filter(|limit| !limit.is_zero()),
            concurrency,
            backpressure,
            max_connections,
        })
    }

    /// What is said for all pauses of a client: what cut connections in uWSGI was one option where its HTTP router
    /// spoke and another where a web server did, and files have both. The outer `None`: one is wrong.
    fn pause(&mut self) -> Option<Option<u64>> {
        let everywhere = self.said_number("socket-timeout");
        let http = self.said_number("http-timeout");
        Some(everywhere?.max(http?))
    }

    /// A timeout of its own, else `pause`, else its default.
    fn timeout(&mut self, name: &str, pause: Option<Option<u64>>) -> Option<Duration> {
        let own = self.said_number(name)?;
        let seconds = match own.or(pause?) {
            Some(seconds) => seconds,
            None => self.number(name)?,
        };
        Some(Duration::from_secs(seconds))
    }

    /// Bodies are complete before they are handed on, whatever is said: none in memory is as much as ever.
    fn body_memory(&mut self) -> Option<usize> {
        let said = self.amount("post-buffering")?;
        let bytes = match said {
            0 => {
                value::number(definition("post-buffering").default, 0, u64::MAX)
                    .ok()?
                    .value
            }
            bytes => bytes,
        };
        usize::try_from(bytes).ok()
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
