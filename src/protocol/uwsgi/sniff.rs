//! Recognizes, by its first bytes, a peer that speaks something else than uwsgi: the most frequent mistake
//! with `socket =`.

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// A uwsgi packet, of whatever kind.
    Uwsgi,
    /// More bytes are needed to tell.
    Undecided,
    /// Something else: what, and what to do about it.
    Other(&'static str),
}

/// How an HTTP request begins. Each first byte is also a number of a uwsgi packet type, none of which is
/// served.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"PRI * HTTP/2",
];

/// Looks at the first bytes of a connection, of which there is at least one.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    match bytes {
        [0 | 30 | 100, ..] => return Sniffed::Uwsgi,
        [0x16, 0x03, ..] => return Sniffed::Other("looks like TLS on a uwsgi socket"),
        [] | [0x16] => return Sniffed::Undecided,
        _ => {}
    }
    if METHODS.iter().any(|method| bytes.starts_with(method)) {
        return Sniffed::Other(
            "looks like HTTP on a uwsgi socket: point http = at this address or use uwsgi_pass",
        );
    }
    if METHODS.iter().any(|method| method.starts_with(bytes)) {
        return Sniffed::Undecided;
    }
    Sniffed::Uwsgi
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_tls_are_told_from_packets() {
        assert_eq!(sniff(b"\0\x10\0\0"), Sniffed::Uwsgi);
        assert_eq!(sniff(b"H\x10\0\0"), Sniffed::Uwsgi);
        assert_eq!(sniff(b"H"), Sniffed::Undecided);
        assert_eq!(sniff(b"HEA"), Sniffed::Undecided);
        assert_eq!(sniff(b"\x16\x10"), Sniffed::Uwsgi);
        assert!(matches!(sniff(b"HEAD / HTTP/1.1"), Sniffed::Other(reason) if reason.contains("HTTP")));
        assert!(matches!(sniff(b"\x16\x03\x01"), Sniffed::Other(reason) if reason.contains("TLS")));
    }
}
