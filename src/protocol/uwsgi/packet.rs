//! The frame of a uwsgi packet: four bytes of header, then pairs of key and value, each with its length.

use uwrs_api::{Refusal, Span};

/// Bytes of a packet's header.
pub(super) const HEADER_BYTES: usize = 4;

/// What kind of packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    /// 0: a request.
    Request,
    /// 30: a request whose PATH_INFO still begins with its SCRIPT_NAME.
    ManagePathInfo,
    /// 100
    Ping,
    /// Any other.
    Other(u8),
}

/// A packet's header. Modifier2 means nothing for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Modifier1.
    pub(super) modifier: Modifier,
    /// Bytes of all pairs.
    pub(super) size: usize,
}

impl Header {
    /// Reads a header; bytes that are missing count as 0.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        Self {
            modifier: match byte(0) {
                0 => Modifier::Request,
                30 => Modifier::ManagePathInfo,
                100 => Modifier::Ping,
                other => Modifier::Other(other),
            },
            size: usize::from(u16::from_le_bytes([byte(1), byte(2)])),
        }
    }
}

/// Where key and value of each pair lie in `packet`.
pub(super) fn pairs(packet: &[u8]) -> impl Iterator<Item = Result<(Span, Span), Refusal>> {
    let mut at = 0;
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken || at >= packet.len() {
            return None;
        }
        let pair = pair(packet, &mut at);
        broken = pair.is_err();
        Some(pair)
    })
}

fn pair(packet: &[u8], at: &mut usize) -> Result<(Span, Span), Refusal> {
    let key = text(packet, at)?;
    if key.is_empty() {
        return Err(Refusal::new(400, "a uwsgi variable without a name"));
    }
    Ok((key, text(packet, at)?))
}

/// A length of two bytes, little endian, and so many bytes.
fn text(packet: &[u8], at: &mut usize) -> Result<Span, Refusal> {
    let end = match packet.get(*at..) {
        Some(&[low, high, ..]) => *at + 2 + usize::from(u16::from_le_bytes([low, high])),
        _ => usize::MAX,
    };
    if end > packet.len() {
        return Err(Refusal::new(
            400,
            "a uwsgi variable that does not end within its packet",
        ));
    }
    let span = Span::new(*at + 2, end);
    *at = end;
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(packet: &[u8]) -> Result<Vec<(Span, Span)>, Refusal> {
        pairs(packet).collect()
    }

    #[test]
    fn a_header_says_kind_and_size() {
        let header = Header::read(&[30, 0x34, 0x12, 9]);
        assert_eq!(header.modifier, Modifier::ManagePathInfo);
        assert_eq!(header.size, 0x1234);
    }

    #[test]
    fn pairs_lie_one_after_another() {
        let found = read(b"\x01\0a\x02\0bc\x01\0d\0\0").expect("well-formed");
        assert_eq!(found[0], (Span::new(2, 3), Span::new(5, 7)));
        assert_eq!((found[1].0, found[1].1.len()), (Span::new(9, 10), 0));
    }

    #[test]
    fn a_broken_pair_ends_the_packet() {
        for packet in [
            &b"\x01"[..],
            b"\x01\0",
            b"\x01\0a",
            b"\x01\0a\x01",
            b"\x01\0a\x01\0",
            b"\x01\0a\x05\0abc",
            b"\0\0\x01\0a",
            b"\xff\xffa",
        ] {
            assert!(read(packet).is_err(), "{packet:?}");
            assert!(pairs(packet).count() <= 1);
        }
    }
}
