//! One field line (RFC 9112 §5), of a head or of a trailer section.

use std::ops::Range;

use uwrs_api::{Refusal, is_blank, is_field_value, trim};

use crate::protocol::syntax::token_lower;

/// Where name and value lie in a field line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldLine {
    /// The name, from the line's start.
    pub(super) name: Range<usize>,
    /// The value, without surrounding blanks.
    pub(super) value: Range<usize>,
}

impl FieldLine {
    /// Checks `line` and turns its name into lower case, in one pass.
    ///
    /// # Errors
    ///
    /// 400: a folded line, a name that is no token, a blank before the colon, a control byte in the value.
    pub(super) fn parse(line: &mut [u8]) -> Result<Self, Refusal> {
        let colon = lower_name(line)?;
        let after = colon + 1;
        let value = trim(&line[after..]);
        if !is_field_value(&line[after..][value.clone()]) {
            return Err(Refusal::new(400, "a control byte in a field value"));
        }
        Ok(Self {
            name: 0..colon,
            value: after + value.start..after + value.end,
        })
    }
}

/// Turns the name at the start of `line` into lower case; gives its length.
fn lower_name(line: &mut [u8]) -> Result<usize, Refusal> {
    for (at, byte) in line.iter_mut().enumerate() {
        let lower = token_lower(*byte);
        if lower == 0 {
            return match *byte {
                b':' if at > 0 => Ok(at),
                b':' => Err(Refusal::new(400, "a field without a name")),
                blank if is_blank(blank) && at == 0 => Err(Refusal::new(400, "a folded field line")),
                blank if is_blank(blank) => Err(Refusal::new(400, "a blank in or after a field name")),
                _ => Err(Refusal::new(400, "a byte in a field name that no name has")),
            };
        }
        *byte = lower;
    }
    Err(Refusal::new(400, "a field line without a colon"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_a_lower_case_name_and_a_trimmed_value() {
        for (line, name, value) in [
            (&b"X-Foo: bar"[..], &b"x-foo"[..], &b"bar"[..]),
            (b"A:b", b"a", b"b"),
            (b"A:\t  b c\t ", b"a", b"b c"),
            (b"A:", b"a", b""),
            (b"A: \t", b"a", b""),
            (b"A: \xc3\xa4:b", b"a", b"\xc3\xa4:b"),
        ] {
            let mut line = line.to_vec();
            let field = FieldLine::parse(&mut line).expect("well-formed");
            assert_eq!((&line[field.name], &line[field.value]), (name, value));
        }
    }

    #[test]
    fn a_malformed_field_is_refused() {
        for line in [
            &b"a"[..],
            b":b",
            b"a : b",
            b" a: b",
            b"\ta: b",
            b"a b: c",
            b"a\0: b",
            b"\xe4: b",
            b"a: b\0",
            b"a: b\rc",
            b"a: \x0bb",
            b"a: \x7f",
        ] {
            assert_eq!(
                FieldLine::parse(&mut line.to_vec()).unwrap_err().status,
                400,
                "{line:?}"
            );
        }
    }
}
