//! What texts may consist of, asked by whoever reads or writes one.

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

/// May this stand in a field's name: is it a `tchar` of RFC 9110 §5.6.2?
pub fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
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
