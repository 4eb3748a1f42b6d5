//! [`Incoming`]: frames on their way in, put together to messages (RFC 6455 §5.4). What follows from them is
//! [`WebSocket`](crate::WebSocket)'s business.

use uwrs_api::Inbound;

use crate::Settings;
use crate::close::{CloseFrame, Violation};
use crate::frame::{CONTROL_BYTES, Header, Opcode};
use crate::mask::Mask;
use crate::utf8::Utf8Check;

/// Bytes that are copied, unmasked and checked at a time: few enough to stay in the processor's nearest cache.
const BLOCK: usize = 4096;

/// What a message's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Nothing without more bytes.
    Starved,
    /// A message; UTF-8 where it is a text.
    Message(MessageKind, Vec<u8>),
    Ping(ControlPayload),
    Pong,
    Close(CloseFrame),
}

/// A control frame's payload.
#[derive(Debug)]
pub(crate) struct ControlPayload {
    bytes: [u8; CONTROL_BYTES],
    length: u8,
}

impl ControlPayload {
    fn unmasked(masked: &[u8], mut mask: Mask) -> Self {
        let mut bytes = [0; CONTROL_BYTES];
        let payload = &mut bytes[..masked.len()];
        payload.copy_from_slice(masked);
        mask.apply(payload);
        Self {
            bytes,
            length: masked.len() as u8,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// One connection's frames.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    stage: Stage,
    /// The message that a frame with FIN will complete.
    message: Option<Partial>,
    /// Nothing is kept of messages: all that is awaited is a close frame.
    discarding: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Header,
    /// In a data frame's payload.
    Payload { left: u64, mask: Mask, fin: bool },
}

/// A message, not complete.
#[derive(Debug)]
struct Partial {
    kind: MessageKind,
    bytes: Vec<u8>,
    check: Utf8Check,
}

impl Incoming {
    /// Consumes what it can of `input` and says what came. A header, and a control frame, are left in `input` until
    /// they are whole: at most 131 bytes.
    ///
    /// # Errors
    ///
    /// For what breaks a rule or a limit; nothing may be read after that.
    pub(crate) fn next(
        &mut self,
        input: &mut Inbound<'_>,
        settings: &Settings,
    ) -> Result<Arrival, Violation> {
        loop {
            if let Stage::Payload { .. } = self.stage {
                let Some((kind, bytes)) = self.read_payload(input)? else {
                    match self.stage {
                        Stage::Header => continue,
                        Stage::Payload { .. } => return Ok(Arrival::Starved),
                    }
                };
                return Ok(Arrival::Message(kind, bytes));
            }
            let Some((header, size)) = Header::parse(input.rest(), false)? else {
                return Ok(Arrival::Starved);
            };
            match header.opcode {
                Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                    input.take(size);
                    self.begin_frame(&header, settings)?;
                }
                Opcode::Close | Opcode::Ping | Opcode::Pong => {
                    let size = size + header.length as usize;
                    if input.rest().len() < size {
                        return Ok(Arrival::Starved);
                    }
                    let masked = &input.take(size)[size - header.length as usize..];
                    let payload = ControlPayload::unmasked(masked, header.mask);
                    return match header.opcode {
                        Opcode::Close => CloseFrame::parse(payload.as_bytes()).map(Arrival::Close),
                        Opcode::Ping => Ok(Arrival::Ping(payload)),
                        _ => Ok(Arrival::Pong),
                    };
                }
            }
        }
    }

    /// Keeps nothing of messages from now on, and gives back what the one under way has taken.
    pub(crate) fn discard(&mut self) {
        self.discarding = true;
        if let Some(message) = &mut self.message {
            message.bytes = Vec::new();
        }
    }

    /// A data frame's header has come.
    fn begin_frame(&mut self, header: &Header, settings: &Settings) -> Result<(), Violation> {
        let kind = match header.opcode {
            Opcode::Text => Some(MessageKind::Text),
            Opcode::Binary => Some(MessageKind::Binary),
            _ => None,
        };
        let message = match (kind, &mut self.message) {
            (None, None) => return Err(Violation::protocol("a continuation of no message")),
            (Some(_), Some(_)) => return Err(Violation::protocol("a message within a message")),
            (None, Some(message)) => message,
            (Some(kind), none) => none.insert(Partial {
                kind,
                bytes: Vec::new(),
                check: Utf8Check::default(),
            }),
        };
        if !self.discarding {
            if settings.frame_bytes.is_some_and(|limit| header.length > limit) {
                return Err(Violation::too_big("a frame longer than allowed"));
            }
            let room = settings.message_bytes.saturating_sub(message.bytes.len());
            if header.length > room as u64 {
                return Err(Violation::too_big("a message longer than allowed"));
            }
        }
        self.stage = Stage::Payload {
            left: header.length,
            mask: header.mask,
            fin: header.fin,
        };
        Ok(())
    }

    /// Takes what there is of a data frame's payload, and gives the message if that completes it.
    fn read_payload(&mut self, input: &mut Inbound<'_>) -> Result<Option<(MessageKind, Vec<u8>)>, Violation> {
        let Stage::Payload { left, mask, fin } = &mut self.stage else {
            return Ok(None);
        };
        let piece = input.take(usize::try_from(*left).unwrap_or(usize::MAX));
        if let Some(message) = self.message.as_mut().filter(|_| !self.discarding) {
            message.append(piece, *left, *fin, mask)?;
        }
        *left -= piece.len() as u64;
        if *left > 0 {
            return Ok(None);
        }
        let fin = *fin;
        self.stage = Stage::Header;
        if !fin {
            return Ok(None);
        }
        match self.message.take() {
            Some(message) if !self.discarding => message.finish().map(Some),
            _ => Ok(None),
        }
    }
}

impl Partial {
    /// Appends `piece` of a frame that has `left` bytes to come, `piece` among them.
    fn append(&mut self, piece: &[u8], left: u64, fin: bool, mask: &mut Mask) -> Result<(), Violation> {
        self.make_room(piece.len(), left, fin);
        for block in piece.chunks(BLOCK) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(block);
            let block = &mut self.bytes[start..];
            mask.apply(block);
            if self.kind == MessageKind::Text {
                self.check.push(block).map_err(|_| not_utf8())?;
            }
        }
        Ok(())
    }

    /// Makes room for `count` bytes. The memory that a message takes is never more than twice of what has come of it,
    /// and where it is one frame's, exactly as long as the message.
    fn make_room(&mut self, count: usize, left: u64, fin: bool) {
        let have = self.bytes.len();
        if self.bytes.capacity() - have >= count {
            return;
        }
        if fin {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            self.bytes.reserve_exact(left.min(count.max(have)));
        } else {
            self.bytes.reserve(count);
        }
    }

    fn finish(self) -> Result<(MessageKind, Vec<u8>), Violation> {
        if !self.check.is_complete() {
            return Err(not_utf8());
        }
        Ok((self.kind, self.bytes))
    }
}

fn not_utf8() -> Violation {
    Violation::invalid_data("a text that is not UTF-8")
}
