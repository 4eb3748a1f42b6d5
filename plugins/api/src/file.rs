//! [`FilePart`]: bytes of a file on their way to a client, without being read into memory.

use std::fs::File;
use std::sync::Arc;

/// Some bytes of a regular file. Only the descriptor, an offset and a length: whoever moves bytes has the kernel send
/// them (sendfile(2)), or reads them where it can't.
///
/// The file's own position is neither used nor moved, so that many answers can share one file. What it holds when it
/// is sent is what the client gets; where it has become shorter meanwhile, the client is cut off.
#[derive(Clone, Debug)]
pub struct FilePart {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

impl FilePart {
    /// `length` bytes of `file`, from `offset` bytes behind its beginning.
    pub fn new(file: impl Into<Arc<File>>, offset: u64, length: u64) -> Self {
        Self {
            file: file.into(),
            offset,
            length,
        }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the part begins, bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of it.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Has it no bytes?
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps at most the first `length` bytes.
    pub fn truncate(&mut self, length: u64) {
        self.length = self.length.min(length);
    }

    /// Forgets the first `count` bytes: they are sent.
    pub fn advance(&mut self, count: u64) {
        let count = count.min(self.length);
        self.offset += count;
        self.length -= count;
    }
}
