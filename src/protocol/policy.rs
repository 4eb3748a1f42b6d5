//! Which fields of a request are passed on: one policy, whichever protocol brought them.
//!
//! Whether a name or a value is well-formed is [`syntax`](super::syntax)'s question.

/// Is a field of that (lower-case) name passed on to the application? What is not is dropped without a word,
/// after it has been counted against the limits.
///
/// - Names with `_`: in an environ `X_Forwarded_For` and `X-Forwarded-For` are one name, and a client could
///   pass off its own value as the proxy's.
/// - `Proxy`: would become HTTP_PROXY, which HTTP clients inside an application trust ("httpoxy").
pub(super) fn is_passed_on(name: &[u8]) -> bool {
    name != b"proxy" && !name.contains(&b'_')
}

/// May a field of that (lower-case) name be a trailer? Not what frames a message, routes it, authenticates it
/// or says how its content is to be read (RFC 9110 §6.5.1).
pub(super) fn is_allowed_in_trailers(name: &[u8]) -> bool {
    !matches!(
        name,
        b"authorization"
            | b"cache-control"
            | b"connection"
            | b"content-encoding"
            | b"content-length"
            | b"content-range"
            | b"content-type"
            | b"cookie"
            | b"expect"
            | b"host"
            | b"keep-alive"
            | b"max-forwards"
            | b"proxy-authorization"
            | b"proxy-connection"
            | b"range"
            | b"te"
            | b"trailer"
            | b"transfer-encoding"
            | b"upgrade"
    )
}
