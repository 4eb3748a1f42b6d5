//! [`BodyReader`]: the body of one request, decoded as it arrives.

use uwrs_api::{BodyFraming, Inbound, Refusal};

use super::chunked::ChunkedReader;
use crate::protocol::HeadLimits;

/// A body on its way in.
#[derive(Debug)]
pub(super) enum BodyReader {
    /// So many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked(ChunkedReader),
}

/// What a body reader found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// More bytes are needed.
    Starved,
    /// Some of the body, never empty.
    Data(&'a [u8]),
    /// The body is complete.
    End,
}

impl BodyReader {
    /// A reader for a body framed so; `None` where no body follows.
    pub(super) fn new(framing: BodyFraming) -> Option<Self> {
        match framing {
            BodyFraming::None | BodyFraming::Length(0) => None,
            BodyFraming::Length(length) => Some(Self::Length(length)),
            BodyFraming::Chunked => Some(Self::Chunked(ChunkedReader::default())),
        }
    }

    /// Consumes and gives the next piece.
    ///
    /// # Errors
    ///
    /// What is wrong with the framing, or the limit that is exceeded.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut Inbound<'a>,
        limits: &HeadLimits,
    ) -> Result<Piece<'a>, Refusal> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(take_data(left, input)),
            Self::Chunked(reader) => reader.next(input, limits),
        }
    }
}

/// Takes as much of `left` bytes as has arrived.
pub(super) fn take_data<'a>(left: &mut u64, input: &mut Inbound<'a>) -> Piece<'a> {
    let data = input.take(usize::try_from(*left).unwrap_or(usize::MAX));
    if data.is_empty() {
        return Piece::Starved;
    }
    *left -= data.len() as u64;
    Piece::Data(data)
}
