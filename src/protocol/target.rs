//! Request targets (RFC 9112 §3.2): their forms, their parts, and what a path says once decoded.
//!
//! No dot segments are folded and no slashes merged: what a path means is the application's business, and a
//! server that rewrites it opens a gap between what a proxy checked and what is served.

use std::ops::Range;

use uwrs_api::Refusal;

use super::syntax::{hex_digit, is_authority, is_target};

/// The parts of a target, as places within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The authority of an absolute form: `http://authority/path`.
    pub(super) authority: Option<Range<usize>>,
    /// The path, not decoded. Empty where an absolute form has none: it stands for `/`.
    pub(super) path: Range<usize>,
    /// What follows the `?`.
    pub(super) query: Range<usize>,
}

impl Target {
    /// Checks the target of a `method` request and finds its parts.
    ///
    /// # Errors
    ///
    /// 400 for bytes outside visible ASCII, a fragment, a form that is none, or one that does not go with the
    /// method.
    pub(super) fn parse(method: &[u8], target: &[u8]) -> Result<Self, Refusal> {
        if !is_target(target) {
            return Err(Refusal::new(
                400,
                "a byte in the target that must be percent-encoded",
            ));
        }
        if target == b"*" {
            return match method {
                b"OPTIONS" => Ok(Self::split(target)),
                _ => Err(Refusal::new(400, "the target * goes with OPTIONS alone")),
            };
        }
        let parts = Self::split(target);
        match &parts.authority {
            None if target.first() != Some(&b'/') => Err(Refusal::new(
                400,
                "a target that is neither a path nor an http URI",
            )),
            Some(authority) if authority.is_empty() || !is_authority(&target[authority.clone()]) => {
                Err(Refusal::new(400, "a target with a malformed authority"))
            }
            _ => Ok(parts),
        }
    }

    /// Finds the parts and checks nothing.
    pub(super) fn split(target: &[u8]) -> Self {
        let authority_start = match target {
            [b'/', ..] => None,
            _ => [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
                let start = target.get(..scheme.len())?;
                start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
            }),
        };
        let path_start = authority_start.map_or(0, |start| {
            let length = target[start..]
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'));
            length.map_or(target.len(), |length| start + length)
        });
        let path_end =
            memchr::memchr(b'?', &target[path_start..]).map_or(target.len(), |length| path_start + length);
        Self {
            authority: authority_start.map(|start| start..path_start),
            path: path_start..path_end,
            query: (path_end + 1).min(target.len())..target.len(),
        }
    }
}

/// Appends `path` to `decoded`, its percent-escapes replaced by the bytes they stand for, once.
///
/// # Errors
///
/// 400 for an escape without two hexadecimal digits, and for an escaped NUL: no file and no C string can have
/// one.
pub(super) fn decode_path(path: &[u8], decoded: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut rest = path;
    while let Some(plain) = memchr::memchr(b'%', rest) {
        decoded.extend_from_slice(&rest[..plain]);
        let (Some(high), Some(low)) = (
            rest.get(plain + 1).copied().and_then(hex_digit),
            rest.get(plain + 2).copied().and_then(hex_digit),
        ) else {
            return Err(Refusal::new(
                400,
                "a percent sign in the path without two hex digits",
            ));
        };
        match high << 4 | low {
            0 => return Err(Refusal::new(400, "a NUL in the path")),
            byte => decoded.push(byte),
        }
        rest = &rest[plain + 3..];
    }
    decoded.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(method: &str, target: &'a str) -> Option<(Option<&'a str>, &'a str, &'a str)> {
        let found = Target::parse(method.as_bytes(), target.as_bytes()).ok()?;
        let authority = found.authority.map(|range| &target[range]);
        Some((authority, &target[found.path], &target[found.query]))
    }

    #[test]
    fn a_target_has_one_of_three_forms() {
        assert_eq!(parts("GET", "/a/b?c?d"), Some((None, "/a/b", "c?d")));
        assert_eq!(parts("GET", "//a"), Some((None, "//a", "")));
        assert_eq!(parts("GET", "/?"), Some((None, "/", "")));
        assert_eq!(parts("OPTIONS", "*"), Some((None, "*", "")));
        assert_eq!(parts("GET", "http://h:1/p?q"), Some((Some("h:1"), "/p", "q")));
        assert_eq!(parts("GET", "HTTPS://h"), Some((Some("h"), "", "")));
        assert_eq!(parts("GET", "http://h?q"), Some((Some("h"), "", "q")));
    }

    #[test]
    fn other_targets_are_refused() {
        for (method, target) in [
            ("GET", ""),
            ("GET", "*"),
            ("OPTIONS", "**"),
            ("GET", "a"),
            ("GET", "x:80"),
            ("GET", "ftp://h/"),
            ("GET", "http:///p"),
            ("GET", "http://u@h/"),
            ("GET", "/a#b"),
            ("GET", "/\u{e4}"),
            ("GET", "/a b"),
            ("GET", "/\x01"),
            ("GET", "/\x7f"),
            ("GET", "?q"),
        ] {
            assert_eq!(parts(method, target), None, "{method} {target}");
        }
    }

    #[test]
    fn a_path_is_decoded_once() {
        let decoded = |path: &str| {
            let mut bytes = Vec::new();
            decode_path(path.as_bytes(), &mut bytes).ok().map(|()| bytes)
        };
        assert_eq!(decoded("/a%20b%2Fc").as_deref(), Some(&b"/a b/c"[..]));
        assert_eq!(decoded("/%2541").as_deref(), Some(&b"/%41"[..]));
        assert_eq!(decoded("/%e4%FF").as_deref(), Some(&b"/\xe4\xff"[..]));
        assert_eq!(decoded("/../%2e%2e/").as_deref(), Some(&b"/../../"[..]));
        for bad in ["/%", "/%4", "/%4g", "/%%41", "/%00", "/%+1"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
