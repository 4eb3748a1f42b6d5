//! One growing buffer that many short texts live in, each known by its [`Span`]: a head with thirty fields
//! costs one allocation.

/// Where a text lies in its [`Text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// A span of no bytes.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// From byte offsets. Offsets past 4 GiB are cut; heads are limited to far less.
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// Has it no bytes?
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Bytes in it.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// The same place, counted from a text that begins `by` bytes earlier.
    pub fn shifted(self, by: usize) -> Self {
        Self {
            start: self.start + by as u32,
            end: self.end + by as u32,
        }
    }

    /// The part from `from` to `to` bytes after its start.
    pub fn part(self, from: usize, to: usize) -> Self {
        Self {
            start: (self.start + from as u32).min(self.end),
            end: (self.start + to as u32).min(self.end),
        }
    }

    /// The part from `from` bytes after its start.
    pub fn from(self, from: usize) -> Self {
        Self {
            start: (self.start + from as u32).min(self.end),
            end: self.end,
        }
    }
}

/// The buffer that spans point into.
#[derive(Clone, Debug, Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// An empty text with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends `bytes` and says where they lie.
    pub fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.0.len();
        self.0.extend_from_slice(bytes);
        Span::new(start, self.0.len())
    }

    /// Appends `parts`, one after the other, and says where all of them lie.
    pub fn push_all<const N: usize>(&mut self, parts: [&[u8]; N]) -> Span {
        let start = self.0.len();
        self.0.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.0.extend_from_slice(part);
        }
        Span::new(start, self.0.len())
    }

    /// Appends what `write` writes and says where it lies.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.0.len();
        write(&mut self.0);
        Span::new(start, self.0.len())
    }

    /// The bytes at `span`; none where the span does not fit this text.
    pub fn get(&self, span: Span) -> &[u8] {
        self.0
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The bytes at `span`, to change in place.
    pub fn get_mut(&mut self, span: Span) -> &mut [u8] {
        self.0
            .get_mut(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// Forgets everything, keeps memory for so many bytes at most.
    pub fn clear_to(&mut self, bytes: usize) {
        self.0.clear();
        self.0.shrink_to(bytes);
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Does it hold nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
