//! [`BodyCollector`]: a request's body on its way to being complete: in memory while small, in an unlinked temporary
//! file past a limit.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use uwrs_api::Body;

/// What has come so far.
#[derive(Debug)]
pub(crate) enum BodyCollector {
    Memory(Vec<u8>),
    File { file: File, length: u64 },
}

impl BodyCollector {
    /// For a body of which `announced` bytes are known to come; at most `memory` bytes are set aside for it.
    pub(crate) fn new(announced: u64, memory: usize) -> Self {
        // A promise of bytes is not bytes: what a client announces only sizes the first allocation.
        let room = usize::try_from(announced)
            .unwrap_or(memory)
            .min(memory)
            .min(64 * 1024);
        Self::Memory(Vec::with_capacity(room))
    }

    /// Adds `bytes`. More than `memory` in all: everything moves to a temporary file.
    ///
    /// # Errors
    /// The temporary file could not be made or written (a full disk, most likely).
    pub(crate) fn add(&mut self, bytes: &[u8], memory: usize) -> io::Result<()> {
        match self {
            Self::Memory(have) if have.len() + bytes.len() <= memory => have.extend_from_slice(bytes),
            Self::Memory(have) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(have)?;
                file.write_all(bytes)?;
                *self = Self::File {
                    file,
                    length: (have.len() + bytes.len()) as u64,
                };
            }
            Self::File { file, length } => {
                file.write_all(bytes)?;
                *length += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Bytes that have come.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// The body, complete.
    ///
    /// # Errors
    /// The temporary file could not be rewound.
    pub(crate) fn finish(self) -> io::Result<Body> {
        Ok(match self {
            Self::Memory(bytes) if bytes.is_empty() => Body::Empty,
            Self::Memory(bytes) => Body::Memory(bytes),
            Self::File { mut file, length } => {
                file.seek(SeekFrom::Start(0))?;
                Body::File { file, length }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_small_body_stays_in_memory() {
        let mut body = BodyCollector::new(5, 10);
        body.add(b"hello", 10).unwrap();
        assert!(matches!(body.finish().unwrap(), Body::Memory(bytes) if bytes == b"hello"));
    }

    #[test]
    fn a_large_body_moves_to_a_file_whole_and_rewound() {
        let mut body = BodyCollector::new(u64::MAX, 10);
        for part in [&b"hello "[..], b"large ", b"world"] {
            body.add(part, 10).unwrap();
        }
        let Body::File { mut file, length } = body.finish().unwrap() else {
            panic!("not a file")
        };
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), length), ("hello large world", 17));
    }

    #[test]
    fn no_bytes_are_an_empty_body() {
        assert!(matches!(BodyCollector::new(0, 10).finish().unwrap(), Body::Empty));
    }
}
