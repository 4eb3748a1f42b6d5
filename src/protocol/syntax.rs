//! The octets of HTTP: what a target, a number, an authority may consist of, and a field's name in lower case.
//!
//! What field values, tokens and lists are, is `uwrs_api`'s to say. Questions only; what a violation costs is decided where the question is asked.

use std::net::Ipv6Addr;
use std::str;

/// The lower case of each byte of a token (RFC 9110 §5.6.2); 0 for a byte that no token has.
static TOKEN_LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if uwrs_api::is_token_byte(byte as u8) {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// The lower case of a byte of a token; 0 for one that no token has.
pub(super) fn token_lower(byte: u8) -> u8 {
    TOKEN_LOWER[usize::from(byte)]
}

/// Is it visible ASCII without `#`? A fragment is never sent (RFC 9112 §3.2). What RFC 3986 would have
/// escaped beyond that (`|`, `"`, `{`) is let through: browsers send it in queries.
pub(super) fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, &byte| {
        good & byte.is_ascii_graphic() & (byte != b'#')
    })
}

/// Why a number is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    /// Something else than digits, or nothing.
    Malformed,
    /// More than 64 bits.
    Overflow,
}

/// So many digits fit into 64 bits whatever they are.
const NEVER_OVERFLOWS: usize = 19;

/// A decimal number of digits alone: no sign, no blanks, no list.
pub(super) fn number(digits: &[u8]) -> Result<u64, NumberError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    if digits.len() <= NEVER_OVERFLOWS {
        return Ok(digits
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(digit - b'0')));
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(NumberError::Overflow)
}

/// The value of a hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Is it `host`, `host:port` or nothing (RFC 3986 §3.2 without userinfo)? A port has at most five digits.
pub(super) fn is_authority(value: &[u8]) -> bool {
    let after_host = match value {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else {
                return false;
            };
            let literal = str::from_utf8(&rest[..end]).unwrap_or_default();
            if literal.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            &rest[end + 1..]
        }
        _ => {
            // Nearly every name is of these; a colon is none of them.
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            let plain = value.iter().take_while(|byte| is_plain(byte)).count();
            let others = &value[plain..];
            let end = others.iter().position(|&byte| byte == b':');
            let (name, after) = others.split_at(end.unwrap_or(others.len()));
            if !is_registered_name(name) {
                return false;
            }
            after
        }
    };
    match after_host {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Is it a `reg-name` of RFC 3986 §3.2.2? An IPv4 address is one, too.
fn is_registered_name(mut name: &[u8]) -> bool {
    loop {
        name = match name {
            [] => return true,
            [b'%', high, low, rest @ ..] if hex_digit(*high).is_some() && hex_digit(*low).is_some() => rest,
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_digits_alone() {
        assert_eq!(number(b"0"), Ok(0));
        assert_eq!(number(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), Err(NumberError::Overflow));
        for bad in [&b""[..], b"+5", b"-1", b"0x5", b"1_0", b"5, 5", b" 5", b"5 "] {
            assert_eq!(number(bad), Err(NumberError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in [
            &b""[..],
            b"x",
            b"example.org:8000",
            b"127.0.0.1",
            b"[::1]",
            b"[::1]:80",
            b"my_host",
            b"a%20b",
            b"x:",
        ] {
            assert!(is_authority(good), "{good:?}");
        }
        for bad in [
            &b"a b"[..],
            b"a/b",
            b"u@h",
            b"a:b",
            b"a:1:2",
            b"[::1",
            b"[::1]x",
            b"[x]",
            b"::1",
            b"a:123456",
            b"\xc3\xa4",
            b"a%2",
            b"a\"",
            b"a?",
            b"a#",
            b"a\\b",
        ] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }
}
