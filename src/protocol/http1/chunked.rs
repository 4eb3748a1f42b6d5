//! [`ChunkedReader`]: the chunked transfer coding (RFC 9112 §7.1), strictly.
//!
//! What lies between two chunks' data is read byte by byte and never kept, so its length costs no memory.
//! Trailers are checked and dropped: merged into the head they could say what the head was checked not to
//! say.

use uwrs_api::{Inbound, Refusal, is_blank, is_token_byte, is_value_byte};

use super::body::{Piece, take_data};
use super::field::FieldLine;
use super::line::{Line, Lines};
use crate::protocol::syntax::hex_digit;
use crate::protocol::{HeadLimits, policy};

/// Digits that a chunk size may have: 64 bits.
const SIZE_DIGITS: u8 = 16;

/// Bytes that the extensions of one chunk may have. They mean nothing to anyone; without a limit they'd be
/// a body that is not counted.
const EXTENSION_BYTES: u16 = 256;

/// A chunked body on its way in.
#[derive(Debug, Default)]
pub(super) struct ChunkedReader {
    stage: Stage,
    /// Bytes of all chunks announced so far.
    announced: u64,
}

#[derive(Debug)]
enum Stage {
    /// In the digits of a chunk size.
    Size {
        size: u64,
        digits: u8,
    },
    /// In a chunk's extensions, which have so many bytes so far.
    Extensions {
        size: u64,
        part: ExtensionPart,
        bytes: u16,
    },
    /// The LF after a chunk size is due.
    SizeEnd(u64),
    /// So much of a chunk's data is left.
    Data(u64),
    /// CR, then LF after a chunk's data are due.
    DataCr,
    DataLf,
    /// In the trailer section; so many fields have come.
    Trailers {
        lines: Lines,
        fields: usize,
    },
    /// Complete.
    End,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug)]
enum ExtensionPart {
    /// After blanks that only a `;` may follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// After blanks that `=` or `;` may follow.
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    QuotedPair,
    AfterQuoted,
}

impl ChunkedReader {
    /// Consumes and gives the next piece.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut Inbound<'a>,
        limits: &HeadLimits,
    ) -> Result<Piece<'a>, Refusal> {
        loop {
            match &mut self.stage {
                Stage::Data(0) => self.stage = Stage::DataCr,
                Stage::Data(left) => return Ok(take_data(left, input)),
                Stage::Trailers { lines, fields } => {
                    let line = lines.next(input, limits.head_bytes);
                    match check_trailer(line, fields, limits)? {
                        Trailer::Partial => return Ok(Piece::Starved),
                        Trailer::Field => {}
                        Trailer::End => self.stage = Stage::End,
                    }
                }
                Stage::End => return Ok(Piece::End),
                _ => match input.take(1) {
                    [byte] => self.step(*byte, limits)?,
                    _ => return Ok(Piece::Starved),
                },
            }
        }
    }

    /// Takes one byte between the data of two chunks.
    fn step(&mut self, byte: u8, limits: &HeadLimits) -> Result<(), Refusal> {
        self.stage = match self.stage {
            Stage::Size { size, digits } => match (hex_digit(byte), digits) {
                (Some(_), SIZE_DIGITS) => {
                    return Err(Refusal::new(400, "a chunk size of more than 16 digits"));
                }
                (Some(digit), _) => Stage::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                },
                (None, 0) => return Err(Refusal::new(400, "a chunk without a size")),
                (None, _) => match byte {
                    b'\r' => Stage::SizeEnd(size),
                    b';' => extensions(size, ExtensionPart::BeforeName),
                    blank if is_blank(blank) => extensions(size, ExtensionPart::BeforeSemicolon),
                    _ => return Err(Refusal::new(400, "a byte in a chunk size that is no hex digit")),
                },
            },
            Stage::Extensions {
                bytes: EXTENSION_BYTES,
                ..
            } => {
                return Err(Refusal::new(400, "chunk extensions longer than allowed"));
            }
            Stage::Extensions { size, part, bytes } => match part.next(byte) {
                Some(After::Part(part)) => Stage::Extensions {
                    size,
                    part,
                    bytes: bytes + 1,
                },
                Some(After::End) => Stage::SizeEnd(size),
                None => return Err(Refusal::new(400, "a malformed chunk extension")),
            },
            Stage::SizeEnd(size) if byte == b'\n' => self.announce(size, limits)?,
            Stage::DataCr if byte == b'\r' => Stage::DataLf,
            Stage::DataLf if byte == b'\n' => Stage::default(),
            _ => return Err(Refusal::new(400, "a chunk that does not end with CRLF")),
        };
        Ok(())
    }

    /// A chunk of `size` bytes begins.
    fn announce(&mut self, size: u64, limits: &HeadLimits) -> Result<Stage, Refusal> {
        if size == 0 {
            return Ok(Stage::Trailers {
                lines: Lines::default(),
                fields: 0,
            });
        }
        match self.announced.checked_add(size) {
            Some(announced) if !limits.is_too_long(announced) => self.announced = announced,
            _ => return Err(Refusal::new(413, "the body is longer than allowed").limited_by("limit-post")),
        }
        Ok(Stage::Data(size))
    }
}

fn extensions(size: u64, part: ExtensionPart) -> Stage {
    Stage::Extensions { size, part, bytes: 1 }
}

/// What a byte of an extension leads to.
enum After {
    Part(ExtensionPart),
    /// The CR of the line's end.
    End,
}

impl ExtensionPart {
    /// Where `byte` leads; `None` where it must not come.
    fn next(self, byte: u8) -> Option<After> {
        let part = match (self, byte) {
            // Blanks are for lenient readers (RFC 9110 §5.6.3), before and after `;` and `=` alone.
            (Self::Name | Self::Token | Self::AfterQuoted, b'\r') => return Some(After::End),
            (Self::BeforeSemicolon, b' ' | b'\t') => Self::BeforeSemicolon,
            (Self::BeforeName, b' ' | b'\t') => Self::BeforeName,
            (Self::BeforeValue, b' ' | b'\t') => Self::BeforeValue,
            (Self::Name | Self::AfterName, b' ' | b'\t') => Self::AfterName,
            (Self::Token | Self::AfterQuoted, b' ' | b'\t') => Self::BeforeSemicolon,
            (
                Self::BeforeSemicolon | Self::Name | Self::AfterName | Self::Token | Self::AfterQuoted,
                b';',
            ) => Self::BeforeName,
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeName | Self::Name, byte) if is_token_byte(byte) => Self::Name,
            (Self::BeforeValue | Self::Token, byte) if is_token_byte(byte) => Self::Token,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::AfterQuoted,
            (Self::Quoted, b'\\') => Self::QuotedPair,
            (Self::Quoted | Self::QuotedPair, byte) if is_value_byte(byte) => Self::Quoted,
            _ => return None,
        };
        Some(After::Part(part))
    }
}

/// What a line of the trailer section is.
enum Trailer {
    Partial,
    Field,
    End,
}

fn check_trailer(line: Line<'_>, fields: &mut usize, limits: &HeadLimits) -> Result<Trailer, Refusal> {
    let line = match line {
        Line::Whole(b"") => return Ok(Trailer::End),
        Line::Whole(line) => line,
        Line::Partial => return Ok(Trailer::Partial),
        Line::BareLf => return Err(Refusal::new(400, "a trailer that ends with LF alone")),
        Line::TooLong => return Err(Refusal::new(431, "the trailers are too long").limited_by("buffer-size")),
    };
    *fields += 1;
    if *fields > limits.fields {
        return Err(Refusal::new(431, "too many trailers").limited_by("max-vars"));
    }
    let mut line = line.to_vec();
    let field = FieldLine::parse(&mut line)?;
    if !policy::is_allowed_in_trailers(&line[field.name]) {
        return Err(Refusal::new(400, "a trailer that belongs into the head"));
    }
    Ok(Trailer::Field)
}
