//! [`Payload`]: what has come of a message, unmasked, inflated and checked, within its limit.

use crate::MessageKind;
use crate::Store;
use crate::close::Violation;
use crate::mask::Mask;
use crate::utf8::Utf8Check;

/// Bytes that are copied, unmasked and checked at a time: few enough to stay in the processor's nearest cache.
pub(crate) const BLOCK: usize = 4096;

/// A message, not complete.
#[derive(Debug)]
pub(crate) struct Payload<B> {
    kind: MessageKind,
    bytes: B,
    check: Utf8Check,
    limit: usize,
}

impl<B: Store> Payload<B> {
    /// Nothing, of what may become `limit` bytes.
    pub(crate) fn new(kind: MessageKind, limit: usize) -> Self {
        Self {
            kind,
            bytes: B::default(),
            check: Utf8Check::default(),
            limit,
        }
    }

    /// What has come.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// May `count` more bytes come?
    pub(crate) fn has_room(&self, count: u64) -> bool {
        count <= self.limit.saturating_sub(self.len()) as u64
    }

    /// Makes room for `count` bytes, the first of `left` which end the message if they are its `last`. The memory that
    /// a message takes is never more than sixteen times of what has come of it, and where it is one frame's, exactly as
    /// long as the message. (A socket gives 64 KiB at a time: what has come of a message of 1 MiB is moved once.)
    pub(crate) fn reserve(&mut self, count: usize, left: u64, last: bool) {
        let have = self.len();
        if self.bytes.capacity() - have >= count {
            return;
        }
        if last {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            self.bytes.reserve_exact(left.min(count.max(15 * have)));
        } else {
            self.bytes.reserve_exact(count.max(have));
        }
    }

    /// Appends `masked`, which there is room for.
    ///
    /// # Errors
    ///
    /// For what is not UTF-8 in a text.
    pub(crate) fn append(&mut self, masked: &[u8], mask: &mut Mask) -> Result<(), Violation> {
        for block in masked.chunks(BLOCK) {
            let start = self.len();
            self.bytes.extend_from_slice(block);
            mask.apply(&mut self.bytes.as_mut_slice()[start..]);
            self.check_from(start)?;
        }
        Ok(())
    }

    /// Appends what `write` writes into a place of `count` bytes, or fewer where the limit is near; it says how many it
    /// wrote. Gives whether that was all that fitted.
    ///
    /// # Errors
    ///
    /// For what is not UTF-8 in a text, and for the first byte past the limit.
    pub(crate) fn append_with(
        &mut self,
        count: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<bool, Violation> {
        let start = self.len();
        // One byte more than allowed shows that there are more.
        let count = count.min((self.limit - start).saturating_add(1));
        if self.bytes.capacity() < start + count {
            self.bytes.reserve_exact(count.max(start));
        }
        self.bytes.resize(start + count);
        let end = start + write(&mut self.bytes.as_mut_slice()[start..]);
        self.bytes.resize(end);
        self.check_from(start)?;
        if end > self.limit {
            return Err(Violation::too_big("a message longer than allowed"));
        }
        Ok(end == start + count)
    }

    /// All of it has come.
    ///
    /// # Errors
    ///
    /// For a text that ends within a character.
    pub(crate) fn finish(mut self) -> Result<(MessageKind, B), Violation> {
        if !self.check.is_complete() {
            return Err(not_utf8());
        }
        // Of what was inflated, or came in fragments, it was not known how much it would become.
        self.bytes.shrink();
        Ok((self.kind, self.bytes))
    }

    fn check_from(&mut self, start: usize) -> Result<(), Violation> {
        match self.kind {
            MessageKind::Text => self
                .check
                .push(&self.bytes.as_ref()[start..])
                .map_err(|_| not_utf8()),
            MessageKind::Binary => Ok(()),
        }
    }
}

fn not_utf8() -> Violation {
    Violation::invalid_data("a text that is not UTF-8")
}
