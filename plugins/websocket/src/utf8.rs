//! [`Utf8`]: bytes known to be UTF-8; [`Utf8Check`]: finds that out while they arrive.

use std::fmt;
use std::str;

use crate::Store;

/// The payload of a text message: UTF-8, checked as it arrived.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Utf8<B = Vec<u8>>(B);

impl<B: Store> Utf8<B> {
    /// Bytes that a [`Utf8Check`] has seen all of.
    pub(crate) fn checked(bytes: B) -> Self {
        Self(bytes)
    }

    /// The bytes: what an interpreter makes its own string of, which it does at least as fast as `as_str`.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// The bytes, to keep.
    pub fn into_bytes(self) -> B {
        self.0
    }

    /// As text. Takes one pass over the bytes: the standard library can't be told that they are UTF-8 without
    /// `unsafe`, which this crate has none of.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("checked as it arrived")
    }
}

impl<B: Store> fmt::Debug for Utf8<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// Checks UTF-8 that arrives in pieces, which may end within a character. What is wrong is found at the first byte
/// that can't be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Utf8Check {
    /// The first bytes of a character whose last bytes have not come: at most three of them.
    begun: [u8; 4],
    length: u8,
}

impl Utf8Check {
    /// Checks the next bytes.
    ///
    /// # Errors
    ///
    /// For those that no text goes on with.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.length > 0 {
            let [first, rest @ ..] = bytes else {
                return Ok(());
            };
            self.step(*first)?;
            bytes = rest;
        }
        let whole = bytes.len() - begun_at_end(bytes);
        simdutf8::basic::from_utf8(&bytes[..whole]).map_err(|_| NotUtf8)?;
        for &byte in &bytes[whole..] {
            self.step(byte)?;
        }
        Ok(())
    }

    /// Was the last character complete?
    pub(crate) fn is_complete(self) -> bool {
        self.length == 0
    }

    /// Takes one byte of a character that is not complete.
    fn step(&mut self, byte: u8) -> Result<(), NotUtf8> {
        let length = usize::from(self.length) + 1;
        self.begun[length - 1] = byte;
        match str::from_utf8(&self.begun[..length]) {
            Ok(_) => self.length = 0,
            // Nothing wrong but the end: the standard library tells the two apart.
            Err(error) if error.error_len().is_none() => self.length = length as u8,
            Err(_) => return Err(NotUtf8),
        }
        Ok(())
    }
}

/// How many bytes at the end of `bytes` look like the beginning of a longer character.
fn begun_at_end(bytes: &[u8]) -> usize {
    for (at, &byte) in bytes.iter().rev().take(3).enumerate() {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if length > at + 1 { at + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<bool, NotUtf8> {
        let mut check = Utf8Check::default();
        for piece in pieces {
            check.push(piece)?;
        }
        Ok(check.is_complete())
    }

    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "κόσμε – 𝄞 a\u{10ffff}\u{d7ff}\u{e000}\0".as_bytes();
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(check(&pieces), Ok(true), "{first} {second}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found_at_the_first_byte_that_cannot_be_right() {
        for (good, bad) in [
            (&b"abc"[..], 0x80),
            (b"abc", 0xc0),
            (b"", 0xc1),
            (b"", 0xf5),
            (b"", 0xff),
            (b"\xe0", 0x9f),
            (b"\xed", 0xa0),
            (b"\xf0", 0x8f),
            (b"\xf4", 0x90),
            (b"\xce\xba\xe1\xbd", b'a'),
            (b"\xf0\x9d\x84", 0xff),
        ] {
            assert!(check(&[good]).is_ok(), "{good:x?}");
            assert_eq!(check(&[good, &[bad]]), Err(NotUtf8), "{good:x?} {bad:x}");
            assert_eq!(
                check(&[&[good, &[bad]].concat()]),
                Err(NotUtf8),
                "{good:x?} {bad:x}"
            );
        }
    }

    #[test]
    fn a_character_that_is_not_complete_is_not_complete() {
        for begun in [&b"\xce"[..], b"a\xe1\xbd", b"\xf0\x9d\x84"] {
            assert_eq!(check(&[begun]), Ok(false), "{begun:x?}");
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xe1), Just(0xbd), Just(0xb9)], 0..24),
            at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(bytes.len() + 1);
            let whole = check(&[&bytes]);
            prop_assert_eq!(whole, check(&[&bytes[..at], &bytes[at..]]));
            prop_assert_eq!(whole == Ok(true), str::from_utf8(&bytes).is_ok());
        }
    }
}
