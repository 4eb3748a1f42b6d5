//! How a WebSocket ends: [`CloseCode`], [`CloseFrame`], and the [`Violation`]s that end it.

use std::borrow::Cow;
use std::fmt;
use std::str;

/// A status code of the closing handshake (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away: the server stops, the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// A rule of the protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data came that is not accepted (text where binary was expected).
    pub const UNSUPPORTED: Self = Self(1003);
    /// Never on the wire: a close frame had no code.
    pub const NONE: Self = Self(1005);
    /// Never on the wire: the connection ended without a close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// Data within a message are not what they should be: text that is no UTF-8, compressed data that are none.
    pub const INVALID_DATA: Self = Self(1007);
    /// A policy was broken, and no other code fits.
    pub const POLICY: Self = Self(1008);
    /// A message is longer than allowed.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts: a client may come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The service is overloaded: a client may come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// May it be in a close frame? Those of RFC 6455 §7.4.1 that may, the ones registered since (1012 to 1014), and
    /// what §7.4.2 leaves to libraries and applications.
    pub fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a peer closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Its code; [`CloseCode::NONE`] where it gave none.
    pub code: CloseCode,
    /// For people who look for a mistake; may be empty.
    pub reason: String,
}

impl CloseFrame {
    /// From a close frame's payload, unmasked (RFC 6455 §5.5.1).
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let (code, reason) = match payload {
            [] => {
                return Ok(Self {
                    code: CloseCode::NONE,
                    reason: String::new(),
                });
            }
            [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
            [_] => return Err(Violation::protocol("a close frame with half a code")),
        };
        if !code.is_sendable() {
            return Err(Violation::protocol(
                "a close frame with a code that must not be sent",
            ));
        }
        let reason = str::from_utf8(reason)
            .map_err(|_| Violation::invalid_data("a close frame whose reason is not UTF-8"))?;
        Ok(Self {
            code,
            reason: reason.to_owned(),
        })
    }
}

/// A rule that the peer broke, or a limit: the connection fails with that code (RFC 6455 §7.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What the peer is told: 1002, 1007, 1009.
    pub code: CloseCode,
    /// What was wrong, for the log and the close frame; lower case, at most 123 bytes.
    pub reason: Cow<'static, str>,
}

impl Violation {
    /// A broken rule of the framing, 1002.
    pub(crate) fn protocol(reason: &'static str) -> Self {
        Self::new(CloseCode::PROTOCOL_ERROR, reason)
    }

    /// A message that is not what it says, 1007.
    pub(crate) fn invalid_data(reason: &'static str) -> Self {
        Self::new(CloseCode::INVALID_DATA, reason)
    }

    /// More than allowed, 1009.
    pub(crate) fn too_big(reason: &'static str) -> Self {
        Self::new(CloseCode::TOO_BIG, reason)
    }

    fn new(code: CloseCode, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
        }
    }
}

/// A close frame that can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidClose {
    /// The code is one that must not be sent (RFC 6455 §7.4).
    Code(CloseCode),
    /// The reason has so many bytes; a control frame has room for 123.
    Reason(usize),
}

impl fmt::Display for InvalidClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(
                f,
                "close code: {code} must not be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999 may"
            ),
            Self::Reason(bytes) => write!(f, "close reason: {bytes} bytes, but at most 123 may be sent"),
        }
    }
}

impl std::error::Error for InvalidClose {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_be_sent_are_those_of_the_rfc_and_the_registry() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(CloseCode(code).is_sendable(), "{code}");
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert!(!CloseCode(code).is_sendable(), "{code}");
        }
    }

    #[test]
    fn a_close_frame_has_nothing_or_a_code_and_a_reason() {
        let parse = |payload: &[u8]| CloseFrame::parse(payload).map(|frame| (frame.code.0, frame.reason));
        assert_eq!(parse(b""), Ok((1005, String::new())));
        assert_eq!(parse(b"\x03\xe8"), Ok((1000, String::new())));
        assert_eq!(parse(b"\x03\xe9a\xc3\xa4"), Ok((1001, "aä".to_owned())));
        assert_eq!(parse(b"\x03").unwrap_err().code, CloseCode::PROTOCOL_ERROR);
        assert_eq!(parse(b"\x03\xed").unwrap_err().code, CloseCode::PROTOCOL_ERROR);
        assert_eq!(parse(b"\x03\xe8\xce").unwrap_err().code, CloseCode::INVALID_DATA);
    }
}
