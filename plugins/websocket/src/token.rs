//! The octets of header fields: tokens and lists of them (RFC 9110 §5.6).

/// May `byte` be part of a token?
pub(crate) fn is_token_byte(byte: u8) -> bool {
    uwrs_api::is_token(byte)
}

/// Is it a token?
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// `bytes` without the blanks they begin with.
pub(crate) fn skip_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, without blanks around them; empty ones are left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let elements = value.split(|&byte| byte == b',').map(trim);
    elements.filter(|element| !element.is_empty())
}

fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = skip_blanks(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_elements_without_blanks() {
        let elements = |value: &'static [u8]| list(value).collect::<Vec<_>>();
        assert_eq!(elements(b" a ,b,\t, c d ,"), [&b"a"[..], b"b", b"c d"]);
        assert_eq!(elements(b""), [b""; 0]);
    }

    #[test]
    fn a_token_has_no_delimiters() {
        assert!(is_token(b"v1.chat-2_x~"));
        for bad in [&b""[..], b"a b", b"a,b", b"a/b", b"a\"", b"\xe4", b"a\0"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
