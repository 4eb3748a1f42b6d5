//! [`AccessLog`]: a line for every exchange, in uWSGI's default format, and one for every refused request.
//!
//! Lines are gathered and written together: by the end of a turn when they are many, within [`DELAY`] when few.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uwrs_api::{ConnectionInfo, Peer, Refusal};

use super::outlet;
use crate::config::LoggingConfig;
use crate::scoreboard::Slot;
use crate::server::Record;
use crate::sys::{self, LocalTime};

/// A line waits at most this long.
const DELAY: Duration = Duration::from_millis(200);
/// Bytes at which the lines are written at once.
const BATCH: usize = 32 * 1024;
/// Refusals told one by one in a second; more are counted.
const REFUSALS_A_SECOND: u32 = 20;

/// Which exchanges are logged.
#[derive(Clone, Copy, Debug)]
struct Selection {
    all: bool,
    client_errors: bool,
    server_errors: bool,
    slow: Option<Duration>,
}

impl Selection {
    fn wants(&self, status: u16, took: Duration) -> bool {
        self.all
            || (self.client_errors && (400..500).contains(&status))
            || (self.server_errors && status >= 500)
            || self.slow.is_some_and(|limit| took >= limit)
    }

    fn is_empty(&self) -> bool {
        !self.all && !self.client_errors && !self.server_errors && self.slow.is_none()
    }
}

/// The access log of one worker.
#[derive(Debug)]
pub struct AccessLog {
    selection: Selection,
    lines: Vec<u8>,
    /// When the first of `lines` was written.
    oldest: Option<Instant>,
    /// `[Sat Nov 21 01:22:08 2026]` and the second it is of.
    stamp: (u64, String),
    refusals: Refusals,
    pid: u32,
}

/// Refusals of the present second.
#[derive(Debug, Default)]
struct Refusals {
    second: u64,
    told: u32,
    kept_back: u32,
}

impl AccessLog {
    /// The log that the configuration asks for.
    pub fn new(config: &LoggingConfig) -> Self {
        let selection = Selection {
            all: config.requests,
            client_errors: config.client_errors,
            server_errors: config.server_errors,
            slow: config.slow,
        };
        Self {
            selection,
            lines: Vec::new(),
            oldest: None,
            stamp: (0, String::new()),
            refusals: Refusals::default(),
            pid: std::process::id(),
        }
    }

    /// Notes an exchange that ended at `now`.
    pub(crate) fn record(&mut self, record: &Record, peer: &Peer, now: Instant, slot: &Slot) {
        if self.selection.is_empty() {
            return;
        }
        let took = now.duration_since(record.started);
        if self.selection.wants(record.status, took) {
            self.refresh_stamp();
            let (requests, total) = (slot.requests(), slot.board().total_requests());
            let origin = Origin {
                pid: self.pid,
                requests,
                total,
                peer,
            };
            line(&mut self.lines, record, took, &origin, &self.stamp.1);
            self.gathered(now);
        }
    }

    /// Notes a request that was refused before any application saw it: one line with the likely cause.
    pub(crate) fn refused(&mut self, connection: &ConnectionInfo, refusal: &Refusal, now: Instant) {
        self.refresh_stamp();
        let second = self.stamp.0;
        if self.refusals.second != second {
            self.refusals_told();
            self.refusals.second = second;
        }
        if self.refusals.told >= REFUSALS_A_SECOND {
            self.refusals.kept_back += 1;
            return;
        }
        self.refusals.told += 1;
        let _ = writeln!(
            self.lines,
            "[pid: {}] {} () {{}} [{}] refused with {}: {}{}",
            self.pid,
            peer_text(&connection.peer),
            self.stamp.1,
            refusal.status,
            on_one_line(&refusal.reason),
            refusal
                .option
                .map_or_else(String::new, |option| format!(" (raise {option} to allow it)"))
        );
        self.gathered(now);
    }

    /// When the lines must be written at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.oldest.map(|oldest| oldest + DELAY)
    }

    /// Writes the lines if they are many or old.
    pub(crate) fn flush_if_due(&mut self, now: Instant) {
        if self.lines.len() >= BATCH || self.due().is_some_and(|due| now >= due) {
            self.flush();
        }
    }

    /// Writes the lines. A log that can't be written (a full disk) loses them; serving goes on.
    pub(crate) fn flush(&mut self) {
        self.refusals_told();
        if !self.lines.is_empty() {
            outlet::write(&self.lines);
        }
        self.lines.clear();
        self.lines.shrink_to(BATCH);
        self.oldest = None;
    }

    fn gathered(&mut self, now: Instant) {
        self.oldest.get_or_insert(now);
    }

    fn refusals_told(&mut self) {
        if self.refusals.kept_back > 0 {
            let _ = writeln!(
                self.lines,
                "[pid: {}] {} more requests were refused in that second",
                self.pid, self.refusals.kept_back
            );
        }
        self.refusals.told = 0;
        self.refusals.kept_back = 0;
    }

    fn refresh_stamp(&mut self) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.stamp.0 != second {
            self.stamp = (second, ctime(&sys::local_time(now)));
        }
    }
}

/// What a line says of where its exchange took place.
struct Origin<'a> {
    pid: u32,
    /// Requests of this worker.
    requests: u64,
    /// Requests of all workers.
    total: u64,
    peer: &'a Peer,
}

/// One line in uWSGI's default format (reference: its `log-format` documentation). `vars` counts names and values,
/// as uWSGI does.
fn line(lines: &mut Vec<u8>, record: &Record, took: Duration, origin: &Origin<'_>, stamp: &str) {
    let request = &record.request;
    let remote_user = request.variable(b"REMOTE_USER").unwrap_or_default();
    let variables = 2 * (request.fields.len() + request.variables.len() + CGI_VARIABLES);
    let mut text = String::with_capacity(256);
    let _ = write!(
        text,
        "[pid: {}|app: 0|req: {}/{}] ",
        origin.pid, origin.requests, origin.total
    );
    match request.get(request.remote_addr) {
        b"" => text.push_str(&peer_text(origin.peer)),
        address => push_escaped(&mut text, address),
    }
    text.push_str(" (");
    push_escaped(&mut text, remote_user);
    let _ = write!(
        text,
        ") {{{variables} vars in {} bytes}} [{stamp}] ",
        request.head_bytes
    );
    push_escaped(&mut text, request.method());
    text.push(' ');
    push_escaped(&mut text, request.target());
    let _ = writeln!(
        text,
        " => generated {} bytes in {} msecs ({} {}) {} headers in {} bytes (1 switches on core 0)",
        record.body_bytes,
        took.as_millis(),
        request.version.as_str(),
        record.status,
        record.header_count,
        record.header_bytes,
    );
    lines.extend_from_slice(text.as_bytes());
}

/// As ctime(3) writes it: `Sat Nov 21 01:22:08 2026`.
fn ctime(time: &LocalTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let day = DAYS.get(time.weekday as usize).unwrap_or(&"???");
    let month = MONTHS
        .get((time.month as usize).wrapping_sub(1))
        .unwrap_or(&"???");
    format!(
        "{day} {month} {:>2} {:02}:{:02}:{:02} {}",
        time.day, time.hour, time.minute, time.second, time.year
    )
}

/// Variables that every environ has besides header fields.
const CGI_VARIABLES: usize = 10;

/// The address alone, as in REMOTE_ADDR.
fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => address.ip().to_string(),
        Peer::Unix => "-".to_owned(),
    }
}

/// Appends bytes that a client chose: what is not plain ASCII, and what could forge a line or colour a terminal, is
/// written as `\xNN`.
fn push_escaped(text: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                let _ = write!(text, "\\x{byte:02x}");
            }
            0x20..=0x7e => text.push(byte as char),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
}

/// As it is, but for what could end the line or say something to a terminal.
fn on_one_line(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { '?' } else { letter };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use uwrs_api::{ExchangeId, Request};

    fn record(target: &[u8]) -> Record {
        let mut request = Request::default();
        request.method = request.text.push(b"GET");
        request.target = request.text.push(target);
        request.head_bytes = 42;
        let id = ExchangeId { slot: 0, serial: 1 };
        let mut record = Record::new(id, Arc::new(request), Instant::now());
        (
            record.status,
            record.header_count,
            record.header_bytes,
            record.body_bytes,
        ) = (200, 2, 80, 13);
        record
    }

    fn line_of(target: &[u8]) -> String {
        let mut lines = Vec::new();
        let peer = Peer::Inet(([127, 0, 0, 1], 5000).into());
        let origin = Origin {
            pid: 7,
            requests: 3,
            total: 9,
            peer: &peer,
        };
        line(
            &mut lines,
            &record(target),
            Duration::from_millis(12),
            &origin,
            "Sat Nov 21 01:22:08 2026",
        );
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn a_line_is_in_uwsgis_default_format() {
        assert_eq!(
            line_of(b"/a?b=c"),
            "[pid: 7|app: 0|req: 3/9] 127.0.0.1 () {20 vars in 42 bytes} [Sat Nov 21 01:22:08 2026] GET /a?b=c => \
             generated 13 bytes in 12 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core 0)\n"
        );
    }

    #[test]
    fn a_target_can_neither_forge_a_line_nor_speak_to_a_terminal() {
        let line = line_of(b"/\x1b[31m\r\nFAKE\"\xff");
        assert!(line.contains("/\\x1b[31m\\x0d\\x0aFAKE\\x22\\xff"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn without_all_requests_only_the_selected_ones_are_logged() {
        let selection = Selection {
            all: false,
            client_errors: true,
            server_errors: false,
            slow: Some(Duration::from_secs(1)),
        };
        let brief = Duration::from_millis(1);
        assert!(selection.wants(404, brief) && selection.wants(200, Duration::from_secs(2)));
        assert!(!selection.wants(500, brief) && !selection.wants(200, brief));
    }
}
