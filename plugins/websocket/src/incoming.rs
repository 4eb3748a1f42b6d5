//! [`Incoming`]: frames on their way in, put together to messages (RFC 6455 §5.4). What follows from them is
//! [`WebSocket`](crate::WebSocket)'s business.

use uwrs_api::Inbound;

use crate::close::{CloseFrame, Violation};
use crate::deflate::{Deflate, Inflating};
use crate::frame::{CONTROL_BYTES, Header, Opcode};
use crate::mask::Mask;
use crate::payload::{BLOCK, Payload};
use crate::{Settings, Store};

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
pub(crate) enum Arrival<B> {
    /// Nothing without more bytes.
    Starved,
    /// A message; UTF-8 where it is a text.
    Message(MessageKind, B),
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

/// One connection's frames.
#[derive(Debug, Default)]
pub(crate) struct Incoming<B> {
    stage: Stage,
    /// The message that a frame with FIN will complete.
    message: Message<B>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Header,
    /// In a data frame's payload, of which so much is left.
    Payload { left: u64, mask: Mask, fin: bool },
}

#[derive(Debug, Default)]
enum Message<B> {
    /// There is none.
    #[default]
    None,
    /// Some of it has come, as it is.
    Plain(Payload<B>),
    /// Some of it has come, compressed.
    Compressed(Payload<B>, Inflating),
    /// Nothing is kept of messages any more: all that is awaited is a close frame. Is there one?
    Dropped { is_begun: bool },
}

impl<B: Store> Incoming<B> {
    /// Consumes what it can of `input` and says what came. A header, and a control frame, are left in `input` until
    /// they are whole: at most 131 bytes. Without `deflate` nothing may be compressed.
    ///
    /// # Errors
    ///
    /// For what breaks a rule or a limit; nothing may be read after that.
    pub(crate) fn next(
        &mut self,
        input: &mut Inbound<'_>,
        settings: &Settings,
        mut deflate: Option<&mut Deflate>,
    ) -> Result<Arrival<B>, Violation> {
        loop {
            if let Stage::Payload { .. } = self.stage {
                if let Some((kind, bytes)) = self.read_payload(input, deflate.as_deref_mut())? {
                    return Ok(Arrival::Message(kind, bytes));
                }
                if let Stage::Payload { .. } = self.stage {
                    return Ok(Arrival::Starved);
                }
            }
            let Some((header, size)) = Header::parse(input.rest(), deflate.is_some())? else {
                return Ok(Arrival::Starved);
            };
            if header.opcode.is_control() {
                return read_control(&header, size, input);
            }
            input.take(size);
            self.begin_frame(&header, settings, deflate.as_deref())?;
        }
    }

    /// Keeps nothing of messages from now on, and gives back what the one under way has taken.
    pub(crate) fn discard(&mut self) {
        self.message = Message::Dropped {
            is_begun: self.message.is_begun(),
        };
    }

    /// A data frame's header has come.
    fn begin_frame(
        &mut self,
        header: &Header,
        settings: &Settings,
        deflate: Option<&Deflate>,
    ) -> Result<(), Violation> {
        self.begin_message(header, settings, deflate)?;
        let is_kept = !matches!(self.message, Message::Dropped { .. });
        if is_kept && settings.frame_bytes.is_some_and(|limit| header.length > limit) {
            return Err(Violation::too_big("a frame longer than allowed"));
        }
        // What compressed ones become is counted when they are inflated.
        if matches!(&self.message, Message::Plain(payload) if !payload.has_room(header.length)) {
            return Err(Violation::too_big("a message longer than allowed"));
        }
        self.stage = Stage::Payload {
            left: header.length,
            mask: header.mask,
            fin: header.fin,
        };
        Ok(())
    }

    /// Begins a message with its first frame, or finds the one that `header` goes on with.
    fn begin_message(
        &mut self,
        header: &Header,
        settings: &Settings,
        deflate: Option<&Deflate>,
    ) -> Result<(), Violation> {
        let kind = match header.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            _ if self.message.is_begun() => return Ok(()),
            _ => return Err(Violation::protocol("a continuation of no message")),
        };
        if self.message.is_begun() {
            return Err(Violation::protocol("a message within a message"));
        }
        if let Message::Dropped { is_begun } = &mut self.message {
            *is_begun = true;
            return Ok(());
        }
        let payload = Payload::new(kind, settings.message_bytes);
        self.message = match deflate.filter(|_| header.compressed) {
            Some(deflate) => Message::Compressed(payload, Inflating::begin(deflate)?),
            None => Message::Plain(payload),
        };
        Ok(())
    }

    /// Takes what there is of a data frame's payload, and gives the message if that completes it.
    fn read_payload(
        &mut self,
        input: &mut Inbound<'_>,
        mut deflate: Option<&mut Deflate>,
    ) -> Result<Option<(MessageKind, B)>, Violation> {
        let Stage::Payload { left, mask, fin } = &mut self.stage else {
            return Ok(None);
        };
        let piece = input.take(usize::try_from(*left).unwrap_or(usize::MAX));
        match (&mut self.message, deflate.as_deref_mut()) {
            (Message::Plain(payload), _) => {
                payload.reserve(piece.len(), *left, *fin);
                payload.append(piece, mask)?;
            }
            (Message::Compressed(payload, inflating), Some(deflate)) => {
                inflate(piece, mask, inflating, payload, deflate)?;
            }
            _ => {}
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
        self.message.finish(deflate)
    }
}

impl<B: Store> Message<B> {
    /// Has its first frame come, and not its last?
    fn is_begun(&self) -> bool {
        match self {
            Self::None => false,
            Self::Plain(_) | Self::Compressed(..) => true,
            Self::Dropped { is_begun } => *is_begun,
        }
    }

    /// Its last frame has come.
    fn finish(&mut self, deflate: Option<&mut Deflate>) -> Result<Option<(MessageKind, B)>, Violation> {
        match std::mem::take(self) {
            Self::None => Ok(None),
            Self::Plain(payload) => payload.finish().map(Some),
            Self::Compressed(mut payload, inflating) => {
                if let Some(deflate) = deflate {
                    inflating.finish(&mut payload, deflate)?;
                }
                payload.finish().map(Some)
            }
            Self::Dropped { .. } => {
                *self = Self::Dropped { is_begun: false };
                Ok(None)
            }
        }
    }
}

/// Appends to `payload` what the compressed `piece` becomes.
fn inflate<B: Store>(
    piece: &[u8],
    mask: &mut Mask,
    inflating: &mut Inflating,
    payload: &mut Payload<B>,
    deflate: &mut Deflate,
) -> Result<(), Violation> {
    let mut unmasked = [0; BLOCK];
    for block in piece.chunks(BLOCK) {
        let unmasked = &mut unmasked[..block.len()];
        unmasked.copy_from_slice(block);
        mask.apply(unmasked);
        inflating.push(unmasked, payload, deflate)?;
    }
    Ok(())
}

/// Takes a control frame whose header has `size` bytes, once it is whole.
fn read_control<B>(header: &Header, size: usize, input: &mut Inbound<'_>) -> Result<Arrival<B>, Violation> {
    let length = header.length as usize;
    if input.rest().len() < size + length {
        return Ok(Arrival::Starved);
    }
    input.take(size);
    let payload = ControlPayload::unmask(input.take(length), header.mask);
    match header.opcode {
        Opcode::Close => CloseFrame::parse(payload.as_bytes()).map(Arrival::Close),
        Opcode::Ping => Ok(Arrival::Ping(payload)),
        _ => Ok(Arrival::Pong),
    }
}

impl ControlPayload {
    fn unmask(masked: &[u8], mut mask: Mask) -> Self {
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
