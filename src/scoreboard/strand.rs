//! [`Strand`]: what one more loop of a worker writes, and how the worker's slot, which has one writer, comes by it.

use super::{Slot, earliest, word};

/// What a worker's slot takes over from one more loop of the same worker.
#[derive(Debug)]
pub struct Strand {
    slot: Slot,
    /// What each of [`Strand::COUNTS`] was when it was last looked at.
    seen: [u64; Self::COUNTS.len()],
}

impl Strand {
    /// What adds up, and where.
    const COUNTS: [(usize, usize); 8] = [
        (word::ACTIVE, word::ACTIVE),
        (word::REQUESTS, word::REQUESTS),
        (word::SERVER_ERRORS, word::SERVER_ERRORS),
        (word::EXCEPTIONS, word::EXCEPTIONS),
        (word::BYTES_SENT, word::BYTES_SENT),
        (word::ACCEPTED, word::ACCEPTED),
        (word::CONNECTIONS, word::CONNECTIONS),
        (word::AT_WORK, word::AT_WORK_BESIDE),
    ];

    /// Of which the earliest counts, and where it goes.
    const TIMES: [(usize, usize); 3] = [
        (word::BEAT, word::BEAT_BESIDE),
        (word::OVERSTAYED, word::OVERSTAYED_BESIDE),
        (word::DEADLINE, word::DEADLINE_BESIDE),
    ];

    /// Of a slot that [`Slot::strand`] made, and that another thread writes to.
    pub fn of(slot: Slot) -> Self {
        Self {
            slot,
            seen: [0; Self::COUNTS.len()],
        }
    }

    /// Adds what has come of these since the last time to the worker's slot. By the slot's writer. Of their requests the
    /// slot has the number, not the lines; of their beats, overstays and deadlines the earliest.
    pub fn gather<'a>(strands: impl Iterator<Item = &'a mut Self>, worker: &Slot) {
        let to = worker.words();
        let mut times = [0; Self::TIMES.len()];
        let mut count = 0;
        for strand in strands {
            let from = strand.slot.words();
            count += 1;
            for (seen, (index, sum)) in strand.seen.iter_mut().zip(Self::COUNTS) {
                let now = from.get(index);
                to.add(sum, now.wrapping_sub(*seen));
                *seen = now;
            }
            let last_accept = from.get(word::LAST_ACCEPT).max(to.get(word::LAST_ACCEPT));
            to.set(word::LAST_ACCEPT, last_accept);
            for (time, (index, _)) in times.iter_mut().zip(Self::TIMES) {
                *time = earliest([*time, from.get(index)]).unwrap_or(0);
            }
        }
        for (time, (_, index)) in times.into_iter().zip(Self::TIMES) {
            to.set(index, time);
        }
        to.set(word::BESIDE, count);
    }
}
