//! [`Inflating`]: one message that arrives compressed (RFC 7692 §7.2.2).

use std::cell::Cell;
use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::Deflate;
use crate::Store;
use crate::close::Violation;
use crate::payload::Payload;

/// What the sender has left out at a message's end.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Bytes that are inflated at a time: at least, at most.
const STEP: (usize, usize) = (256, 16 * 1024);

thread_local! {
    /// What the last message that was complete has used.
    static SPARE: Cell<Option<Box<Inflate>>> = const { Cell::new(None) };
}

/// What inflates one message. Between its fragments it is the message's own: 45 KiB.
pub(crate) struct Inflating {
    stream: Box<Inflate>,
    /// Bytes of the message that the history has already.
    remembered: usize,
}

impl fmt::Debug for Inflating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflating").finish_non_exhaustive()
    }
}

impl Inflating {
    /// For a message that begins.
    pub(crate) fn begin(deflate: &Deflate) -> Result<Self, Violation> {
        let spare = SPARE.take();
        let mut inflating = Self {
            stream: spare.unwrap_or_else(|| Box::new(Inflate::new(false, 15))),
            remembered: 0,
        };
        inflating.restart(deflate)?;
        Ok(inflating)
    }

    /// Appends to `payload` what `input` becomes.
    ///
    /// # Errors
    ///
    /// For what is no compressed data, and for what `payload` refuses: of a message that is too long, no more is inflated
    /// than what shows that.
    pub(crate) fn push<B: Store>(
        &mut self,
        mut input: &[u8],
        payload: &mut Payload<B>,
        deflate: &mut Deflate,
    ) -> Result<(), Violation> {
        loop {
            let (consumed, produced) = (self.stream.total_in(), self.stream.total_out());
            let mut status = Ok(Status::Ok);
            let count = (4 * input.len()).clamp(STEP.0, STEP.1);
            let is_filled = payload.append_with(count, |place| {
                status = self.stream.decompress(input, place, InflateFlush::SyncFlush);
                (self.stream.total_out() - produced) as usize
            })?;
            let is_stuck = self.stream.total_in() == consumed && self.stream.total_out() == produced;
            input = &input[(self.stream.total_in() - consumed) as usize..];
            match status {
                // A last block need not be a message's last (RFC 7692 §7.2.3.4).
                Ok(Status::StreamEnd) => {
                    self.remember(payload, deflate);
                    self.restart(deflate)?;
                }
                Ok(Status::Ok | Status::BufError) => {}
                Err(_) => return Err(not_compressed()),
            }
            if is_stuck || (input.is_empty() && !is_filled) {
                return Ok(());
            }
        }
    }

    /// The message's last byte has come.
    ///
    /// # Errors
    ///
    /// As [`Inflating::push`].
    pub(crate) fn finish<B: Store>(
        mut self,
        payload: &mut Payload<B>,
        deflate: &mut Deflate,
    ) -> Result<(), Violation> {
        self.push(&TAIL, payload, deflate)?;
        self.remember(payload, deflate);
        SPARE.set(Some(self.stream));
        Ok(())
    }

    /// Begins anew, with what went before in view.
    fn restart(&mut self, deflate: &Deflate) -> Result<(), Violation> {
        self.stream.reset(false);
        let history = deflate.received.as_bytes();
        if !history.is_empty() && self.stream.set_dictionary(history).is_err() {
            return Err(not_compressed());
        }
        Ok(())
    }

    fn remember<B: Store>(&mut self, payload: &Payload<B>, deflate: &mut Deflate) {
        let message = payload.as_bytes();
        deflate.received.push(&message[self.remembered..]);
        self.remembered = message.len();
    }
}

fn not_compressed() -> Violation {
    Violation::invalid_data("compressed data that are none")
}
