//! [`History`]: the end of the messages that went before, as far as a later one may refer to them.

/// At most so many bytes, the last ones. Memory follows what there is.
#[derive(Debug, Default)]
pub(crate) struct History {
    bytes: Vec<u8>,
    limit: u32,
}

impl History {
    /// Keeps `limit` bytes; 0: nothing.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit: limit as u32,
        }
    }

    /// The bytes, oldest first.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds what came after them.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let limit = self.limit as usize;
        let bytes = &bytes[bytes.len().saturating_sub(limit)..];
        let length = self.bytes.len() + bytes.len();
        self.bytes.drain(..length.saturating_sub(limit));
        if self.bytes.len() + bytes.len() > self.bytes.capacity() {
            // Twice as much each time, but no more than it may ever be.
            let capacity = length.max(2 * self.bytes.capacity()).min(limit);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let mut history = History::new(5);
        for (added, kept) in [
            (&b"ab"[..], &b"ab"[..]),
            (b"", b"ab"),
            (b"cde", b"abcde"),
            (b"f", b"bcdef"),
            (b"0123456789", b"56789"),
            (b"xyz", b"89xyz"),
        ] {
            history.push(added);
            assert_eq!(history.as_bytes(), kept);
            assert!(history.bytes.capacity() <= 5);
        }
    }

    #[test]
    fn one_of_no_bytes_keeps_none() {
        let mut history = History::new(0);
        history.push(b"abc");
        assert_eq!((history.as_bytes(), history.bytes.capacity()), (&b""[..], 0));
    }
}
