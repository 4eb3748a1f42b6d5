//! [`Lines`]: CRLF-terminated lines out of bytes that arrive in any pieces.

use uwrs_api::Inbound;

/// Finds lines, remembers how far it has looked and counts what it consumed: byte-by-byte arrival costs no
/// more than arrival at once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    scanned: usize,
    consumed: usize,
}

/// What [`Lines::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line without its CRLF. It may hold a CR that no LF follows.
    Whole(&'a [u8]),
    /// No line end has arrived.
    Partial,
    /// A LF without a CR before it: never a line end here (RFC 9112 §2.2 would allow it, and smugglers use
    /// it).
    BareLf,
    /// The limit is reached, and no line end.
    TooLong,
}

impl Lines {
    /// Consumes the next line. `limit` is the number of bytes that all lines together may have.
    pub(super) fn next<'a>(&mut self, input: &mut Inbound<'a>, limit: usize) -> Line<'a> {
        let rest = input.rest();
        let room = limit.saturating_sub(self.consumed);
        let window = &rest[..room.min(rest.len())];
        let unseen = window.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unseen) else {
            self.scanned = window.len();
            return if window.len() == room {
                Line::TooLong
            } else {
                Line::Partial
            };
        };
        let end = self.scanned + found;
        let [line @ .., b'\r'] = &window[..end] else {
            return Line::BareLf;
        };
        input.take(end + 1);
        self.scanned = 0;
        self.consumed += end + 1;
        Line::Whole(line)
    }

    /// Has part of a line arrived?
    pub(super) fn is_inside(&self) -> bool {
        self.scanned > 0
    }

    /// Bytes of all lines so far, line ends included.
    pub(super) fn consumed(&self) -> usize {
        self.consumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_crlf_however_it_arrives() {
        let bytes = b"ab\r\n\r\nc";
        let mut lines = Lines::default();
        let mut input = Inbound::new(&bytes[..3]);
        assert_eq!(lines.next(&mut input, 100), Line::Partial);
        assert!(lines.is_inside());
        let mut input = Inbound::new(bytes);
        assert_eq!(lines.next(&mut input, 100), Line::Whole(b"ab"));
        assert_eq!(lines.next(&mut input, 100), Line::Whole(b""));
        assert_eq!(lines.next(&mut input, 100), Line::Partial);
        assert_eq!((lines.consumed(), input.consumed()), (6, 6));
    }

    #[test]
    fn a_bare_line_feed_is_told() {
        for bytes in [&b"\n"[..], b"ab\n", b"\r\r\r \n"] {
            assert_eq!(Lines::default().next(&mut Inbound::new(bytes), 100), Line::BareLf);
        }
    }

    #[test]
    fn a_limit_counts_line_ends() {
        let next = |limit| Lines::default().next(&mut Inbound::new(b"ab\r\n"), limit);
        assert_eq!(next(4), Line::Whole(b"ab"));
        assert_eq!(next(3), Line::TooLong);
    }
}
