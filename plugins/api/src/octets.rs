//! What texts of header fields consist of, asked by whoever reads or writes one: values, tokens, lists (RFC 9110 §5.5, §5.6).

use std::ops::Range;

/// Is it free of control bytes but tabs (RFC 9110 §5.5)? Bytes from 0x80 on are allowed: they are opaque.
pub fn is_field_value(bytes: &[u8]) -> bool {
    // Eight bytes at a time, the last eight perhaps a second time. What looks bad is looked at again: it may be a tab.
    let is_plain = match bytes.last_chunk::<8>() {
        Some(last) => is_plain(*last) && bytes.as_chunks::<8>().0.iter().all(|chunk| is_plain(*chunk)),
        None => false,
    };
    is_plain || bytes.iter().all(|&byte| is_value_byte(byte))
}

/// May `byte` be part of a field value?
pub fn is_value_byte(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// Is there a NUL in it? For short texts: a search that is made for long ones costs more to begin.
pub fn has_nul(bytes: &[u8]) -> bool {
    let has = |chunk: &[u8; 8]| {
        let word = u64::from_ne_bytes(*chunk);
        word.wrapping_sub(ONES) & !word & HIGH != 0
    };
    match bytes.last_chunk::<8>() {
        Some(last) => has(last) || bytes.as_chunks::<8>().0.iter().any(has),
        None => bytes.contains(&0),
    }
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Are none of these below 0x20, nor 0x7f?
fn is_plain(chunk: [u8; 8]) -> bool {
    // The usual trick: a byte that is less than `n` borrows from its high bit, one that had it set does not count.
    let word = u64::from_ne_bytes(chunk);
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let apart = word ^ (ONES * 0x7f);
    let delete = apart.wrapping_sub(ONES) & !apart;
    (low | delete) & HIGH == 0
}

/// May `byte` be part of a token, as a field's name is one: is it a `tchar` of RFC 9110 §5.6.2?
#[inline]
pub const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Is it a token: not empty, no blanks, no delimiters?
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().fold(true, |good, &byte| good & is_token_byte(byte))
}

/// A space or a tab: the only optional whitespace that HTTP knows (RFC 9110 §5.6.3).
#[inline]
pub fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Where `bytes` without blanks on either side begin and end.
#[inline]
pub fn trim(bytes: &[u8]) -> Range<usize> {
    let end = bytes
        .iter()
        .rposition(|&byte| !is_blank(byte))
        .map_or(0, |last| last + 1);
    let start = bytes[..end]
        .iter()
        .position(|&byte| !is_blank(byte))
        .unwrap_or(end);
    start..end
}

/// The elements of a comma-separated list, without blanks around them. Empty ones are left out: they mean nothing, and whoever
/// reads a list has to put up with them (RFC 9110 §5.6.1.2).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    list_with_gaps(value).filter(|element| !element.is_empty())
}

/// The same with the empty ones: where a list that is odd is not to be believed.
pub fn list_with_gaps(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(|element| &element[trim(element)])
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_elements_without_blanks() {
        let value = b" a ,b,\t, c d ,";
        assert_eq!(list(value).collect::<Vec<_>>(), [&b"a"[..], b"b", b"c d"]);
        assert_eq!(list(b" ").count(), 0);
        let all: Vec<_> = list_with_gaps(value).collect();
        assert_eq!(all, [&b"a"[..], b"b", b"", b"c d", b""]);
    }

    #[test]
    fn a_token_has_no_delimiters() {
        for good in [&b"X-Foo_1.2~"[..], b"v1.chat-2_x~"] {
            assert!(is_token(good), "{good:?}");
        }
        let bad = [
            "", "a b", "a,b", "a:", "a\"", "(a)", "a/b", "a\0", "[a]", "{a}", "a@b", "\u{e4}",
        ];
        for bad in bad {
            assert!(!is_token(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn a_control_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            for byte in 0..=255 {
                for at in 0..length {
                    let mut value = vec![b'x'; length];
                    value[at] = byte;
                    // Neighbours that borrow and carry must not hide it.
                    for neighbour in [b' ', b'~', 0x80, 0xff] {
                        if at + 1 < length {
                            value[at + 1] = neighbour;
                        }
                        assert_eq!(is_field_value(&value), is_value_byte(byte), "{value:?}");
                        assert_eq!(has_nul(&value), byte == 0, "{value:?}");
                    }
                }
            }
        }
        assert!(is_field_value(b""));
        assert!(is_field_value(b"\ta tab\tand another"));
    }
}
