//! [`Header`]: the first bytes of a frame (RFC 6455 §5.2), read and written.

use uwrs_api::Outbound;

use crate::close::Violation;
use crate::mask::Mask;

/// Bytes of payload that a control frame may have (RFC 6455 §5.5).
pub(crate) const CONTROL_BYTES: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn new(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Is it one that comes between the frames of messages (RFC 6455 §5.5)?
    pub(crate) fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// A client's frame, but for its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// It is a message's last, or only one.
    pub(crate) fin: bool,
    /// The first frame of a message that is compressed (RFC 7692 §6).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    /// Bytes of the payload.
    pub(crate) length: u64,
    pub(crate) mask: Mask,
}

impl Header {
    /// Reads the header that `bytes` begins with, and says how many bytes it has; `None`: not all of it is there.
    /// What is wrong with the part that is there is found at once. `may_compress`: was compression agreed on?
    pub(crate) fn parse(bytes: &[u8], may_compress: bool) -> Result<Option<(Self, usize)>, Violation> {
        let &[first, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let (opcode, compressed) = check_first(first, may_compress)?;
        let &[second, ref rest @ ..] = rest else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(Violation::protocol("a frame that is not masked"));
        }
        let short = second & !MASKED;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES {
            return Err(Violation::protocol("a control frame of more than 125 bytes"));
        }
        let Some((length, rest)) = parse_length(short, rest)? else {
            return Ok(None);
        };
        let Some(key) = rest.first_chunk() else {
            return Ok(None);
        };
        let header = Self {
            fin: first & FIN != 0,
            compressed,
            opcode,
            length,
            mask: Mask::new(*key),
        };
        Ok(Some((header, bytes.len() - rest.len() + key.len())))
    }
}

/// Opcode and RSV1 of a frame that begins with `first`.
fn check_first(first: u8, may_compress: bool) -> Result<(Opcode, bool), Violation> {
    if first & RSV2_RSV3 != 0 {
        return Err(Violation::protocol("a reserved bit without an extension"));
    }
    let Some(opcode) = Opcode::new(first & 0x0f) else {
        return Err(Violation::protocol("a reserved opcode"));
    };
    let compressed = first & RSV1 != 0;
    if compressed && !(may_compress && matches!(opcode, Opcode::Text | Opcode::Binary)) {
        return Err(Violation::protocol("a reserved bit without an extension"));
    }
    if opcode.is_control() && first & FIN == 0 {
        return Err(Violation::protocol("a fragmented control frame"));
    }
    Ok((opcode, compressed))
}

/// The payload's length, and what follows it; `short` is the length's first seven bits. It must have the fewest
/// bytes that it can have.
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (length, least, rest) = match short {
        LENGTH_16 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), 126, rest),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), 0x1_0000, rest),
            None => return Ok(None),
        },
        _ => return Ok(Some((u64::from(short), rest))),
    };
    if length < least {
        return Err(Violation::protocol("a length of more bytes than it needs"));
    }
    if length > i64::MAX as u64 {
        return Err(Violation::protocol("a length of more than 63 bits"));
    }
    Ok(Some((length, rest)))
}

/// Appends a frame of the server's: a copy of `payload` behind its header. Never fragmented, never masked.
pub(crate) fn put(opcode: Opcode, compressed: bool, payload: &[u8], output: &mut Outbound) {
    output.put_with(|buffer| {
        buffer.reserve(payload.len() + 10);
        put_header(opcode, compressed, payload.len(), buffer);
        buffer.extend_from_slice(payload);
    });
}

/// Appends the header of a whole message's only frame.
pub(crate) fn put_header(opcode: Opcode, compressed: bool, length: usize, buffer: &mut Vec<u8>) {
    buffer.push(FIN | if compressed { RSV1 } else { 0 } | opcode as u8);
    match length {
        0..=125 => buffer.push(length as u8),
        126..=0xffff => {
            buffer.push(LENGTH_16);
            buffer.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            buffer.push(LENGTH_64);
            buffer.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        Header::parse(bytes, false)
    }

    #[test]
    fn a_length_has_seven_sixteen_or_sixty_three_bits() {
        for (bytes, length, size) in [
            (&b"\x82\x80"[..], 0, 6),
            (b"\x82\xfd", 125, 6),
            (b"\x82\xfe\x00\x7e", 126, 8),
            (b"\x82\xfe\xff\xff", 0xffff, 8),
            (b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00", 0x1_0000, 14),
            (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX as u64, 14),
        ] {
            let whole = [bytes, &KEY, b"payload"].concat();
            let (header, have) = parse(&whole).unwrap().unwrap();
            assert_eq!(
                (header.length, have, header.mask),
                (length, size, Mask::new(KEY)),
                "{bytes:x?}"
            );
            for cut in 0..size {
                assert_eq!(parse(&whole[..cut]), Ok(None), "{bytes:x?} {cut}");
            }
        }
    }

    #[test]
    fn a_length_must_be_minimal_and_positive() {
        for bytes in [
            &b"\x82\xfe\x00\x00"[..],
            b"\x82\xfe\x00\x7d",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",
            b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00",
        ] {
            let error = parse(bytes).unwrap_err();
            assert_eq!(error.code.0, 1002, "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_wrong_is_found_at_the_byte_that_is_wrong() {
        for (bytes, reason) in [
            (&b"\xc1"[..], "a reserved bit without an extension"),
            (b"\xa1", "a reserved bit without an extension"),
            (b"\x91", "a reserved bit without an extension"),
            (b"\x83", "a reserved opcode"),
            (b"\x87", "a reserved opcode"),
            (b"\x8b", "a reserved opcode"),
            (b"\x8f", "a reserved opcode"),
            (b"\x08", "a fragmented control frame"),
            (b"\x09", "a fragmented control frame"),
            (b"\x81\x05", "a frame that is not masked"),
            (b"\x89\xfe", "a control frame of more than 125 bytes"),
            (b"\x88\xff", "a control frame of more than 125 bytes"),
        ] {
            assert_eq!(parse(bytes), Err(Violation::protocol(reason)), "{bytes:x?}");
        }
    }

    #[test]
    fn the_first_frame_of_a_message_alone_says_that_it_is_compressed() {
        for (first, good) in [
            (0xc1, true),
            (0x42, true),
            (0xc0, false),
            (0xc9, false),
            (0xe1, false),
        ] {
            assert_eq!(Header::parse(&[first], true).is_ok(), good, "{first:x}");
            assert!(Header::parse(&[first], false).is_err(), "{first:x}");
        }
    }

    #[test]
    fn what_is_written_has_the_shortest_length() {
        for (length, header) in [
            (0, &b"\x82\x00"[..]),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (65535, b"\x82\x7e\xff\xff"),
            (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let mut output = Outbound::default();
            put(Opcode::Binary, false, &vec![b'x'; length], &mut output);
            let bytes = output.slices(9).collect::<Vec<_>>().concat();
            assert_eq!(&bytes[..header.len()], header);
            assert_eq!(bytes.len(), header.len() + length);
        }
    }
}
