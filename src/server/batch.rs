//! [`Batcher`]: a body that is pulled, of which the pieces that come in quick succession make a batch and leave together.
//!
//! PEP 3333 ("Buffering and Streaming") wants a block to be with the operating system before the application is asked for
//! the next, or "a different thread to ensure that the block continues to be transmitted while the application produces
//! the next block". What waits for its batch is in [`Held`], where the [`Flusher`] finds it after [`PATIENCE`]; nothing
//! waits where pieces do not come quickly.

use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uwrs_api::{BodySource, Bytes, Outbound, Pull};

use super::dispatch::guarded;
use super::flusher::Flusher;

/// A piece is quick when it takes less than this.
const QUICK: Duration = Duration::from_micros(50);
/// A batch that takes as long as this is slow: others are not to wait for the next as well.
const SLOW: Duration = Duration::from_millis(1);
/// So many quick pieces in a row, and the one after them is likely to be quick as well.
const IN_A_ROW: u8 = 2;
/// Bytes after which a batch leaves: more than that saves little.
const BATCH_BYTES: usize = 64 * 1024;
/// A batch is not gathered for longer than this.
const BATCH_TIME: Duration = Duration::from_micros(200);
/// After this time what is held back is sent by another thread: the application is slow, after all.
pub(super) const PATIENCE: Duration = Duration::from_micros(500);

/// A body that is asked for its pieces, one batch after the other.
pub(crate) struct Batcher {
    source: Box<dyn BodySource>,
    held: Arc<Held>,
    /// The only thread that may ask for them: one more than its number.
    owner: Option<NonZero<u32>>,
    /// How many quick pieces have come in a row.
    row: u8,
    /// The last batch took long.
    is_slow: bool,
}

/// What came of asking for a batch: some bytes, perhaps none, and what follows them.
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
    pub(crate) next: Pull,
}

impl Batch {
    /// May more follow?
    pub(crate) fn has_more(&self) -> bool {
        matches!(self.next, Pull::Data(_) | Pull::File(_))
    }
}

impl Batcher {
    /// To be asked by the thread `owner`; `None`: by whichever.
    pub(crate) fn new(source: Box<dyn BodySource>, owner: Option<usize>) -> Self {
        Self {
            source,
            held: Arc::default(),
            owner: owner
                .and_then(|thread| u32::try_from(thread + 1).ok())
                .and_then(NonZero::new),
            row: 0,
            is_slow: false,
        }
    }

    /// The only thread that may ask it, and drop it.
    pub(crate) fn owner(&self) -> Option<usize> {
        self.owner.map(|owner| owner.get() as usize - 1)
    }

    /// Did the last batch take long?
    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Where those pieces wait that are to leave together with the next ones.
    pub(crate) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// The body, to be dropped: no more is wanted of it.
    pub(crate) fn into_source(self) -> Box<dyn BodySource> {
        self.source
    }

    /// Asks for pieces: for one, or for many as long as they are quick, small, and fewer bytes than there is `room` for.
    pub(crate) fn pull(&mut self, room: u64, flusher: &Flusher) -> Batch {
        let mut asked = Instant::now();
        let (mut count, mut spent) = (0, Duration::ZERO);
        loop {
            let next = pull(&mut *self.source);
            let Pull::Data(piece) = &next else {
                break self.close(next);
            };
            let now = Instant::now();
            let took = now.saturating_duration_since(asked);
            self.note(took);
            spent += took;
            self.is_slow = spent >= SLOW;
            count += piece.len();
            let is_full = piece.len() > Outbound::COPY_LIMIT || count >= BATCH_BYTES || count as u64 >= room;
            if is_full || self.row < IN_A_ROW || spent >= BATCH_TIME {
                break self.close(next);
            }
            asked = now;
            if !piece.is_empty() && self.held.add(piece, now) {
                if !flusher.expect(now + PATIENCE) {
                    break self.close(Pull::Data(Bytes::new()));
                }
                // Waking that thread takes its time, which is not the application's.
                asked = Instant::now();
            }
        }
    }

    fn note(&mut self, took: Duration) {
        self.row = match took < QUICK {
            true => self.row.saturating_add(1),
            false => 0,
        };
    }

    fn close(&self, next: Pull) -> Batch {
        let bytes = self.held.take();
        Batch { bytes, next }
    }
}

/// Pieces that wait to leave together with the next ones, joined.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// When they are to leave by themselves.
    due: Option<Instant>,
}

impl Held {
    /// One more, which came `now`. `true`: it is the first.
    fn add(&self, piece: &[u8], now: Instant) -> bool {
        let mut waiting = self.lock();
        let is_first = waiting.due.is_none();
        if is_first {
            waiting.due = Some(now + PATIENCE);
            waiting.bytes.reserve(BATCH_BYTES);
        }
        waiting.bytes.extend_from_slice(piece);
        is_first
    }

    /// Everything that waits.
    pub(crate) fn take(&self) -> Bytes {
        let waiting = std::mem::take(&mut *self.lock());
        waiting.bytes.into()
    }

    /// Everything, if it has waited long enough; or when it will have.
    pub(crate) fn take_due(&self, now: Instant) -> Result<Bytes, Option<Instant>> {
        let mut waiting = self.lock();
        match waiting.due {
            Some(due) if due <= now => Ok(std::mem::take(&mut *waiting).bytes.into()),
            due => Err(due),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Bytes and their time are set one right after the other: nothing panics between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pull(source: &mut dyn BodySource) -> Pull {
    guarded(|| source.pull()).unwrap_or_else(|| {
        log::error!("a response body panicked; its connection is cut");
        Pull::Failed
    })
}
