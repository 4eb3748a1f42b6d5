//! [`ContentLength`]: how long an answer's body will be, as the header fields of its application say.

use std::borrow::Cow;

/// What was said so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContentLength(Option<u64>);

impl ContentLength {
    /// Does a field of that name say it?
    #[inline]
    pub(crate) fn is_in(name: &[u8]) -> bool {
        const NAME: &[u8] = b"content-length";
        // The length first: it rules out nearly all others.
        name.len() == NAME.len() && name.eq_ignore_ascii_case(NAME)
    }

    /// A field says so. It may say again what was said before.
    ///
    /// # Errors
    /// Why that can't be, to be followed by the value: no client could tell where such a body ends.
    pub(crate) fn say(&mut self, value: &[u8]) -> Result<(), Cow<'static, str>> {
        let Some(length) = parse(value) else {
            return Err("not a number of bytes".into());
        };
        match self.0.replace(length) {
            Some(before) if before != length => {
                Err(format!("given twice, and they differ: {before} before").into())
            }
            _ => Ok(()),
        }
    }

    /// Bytes, where anything was said.
    pub(crate) fn bytes(self) -> Option<u64> {
        self.0
    }
}

fn parse(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_is_a_length() {
        for (value, bytes) in [("0", 0), (" 17 ", 17), ("18446744073709551615", u64::MAX)] {
            let mut length = ContentLength::default();
            assert_eq!(length.say(value.as_bytes()), Ok(()));
            assert_eq!(length.bytes(), Some(bytes));
        }
        for value in [
            "",
            " ",
            "+1",
            "-1",
            "1 2",
            "1, 1",
            "0x1",
            "1.0",
            "18446744073709551616",
        ] {
            let why = ContentLength::default().say(value.as_bytes()).unwrap_err();
            assert_eq!(why, "not a number of bytes", "{value:?}");
        }
    }

    #[test]
    fn what_is_said_again_must_be_the_same() {
        let mut length = ContentLength::default();
        length.say(b"5").unwrap();
        length.say(b"05").unwrap();
        let why = length.say(b"6").unwrap_err();
        assert_eq!(why, "given twice, and they differ: 5 before");
    }
}
