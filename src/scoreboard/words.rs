//! [`SlotWords`]: what is in a slot, word by word: how it is written without a lock, and read while it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use uwrs_api::Peer;

use super::{CurrentRequest, LINE_BYTES, Occupant, ShownStint, SlotSnapshot, WorkerState, earliest, word};
use crate::sys::Pid;

/// The words of one slot. Every word has a single writer: plain loads and stores do, no locked instruction is
/// needed.
#[derive(Clone, Copy)]
pub(super) struct SlotWords<'a>(pub(super) &'a [AtomicU64]);

impl SlotWords<'_> {
    pub(super) fn get(self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }

    pub(super) fn is_idle(self) -> bool {
        self.get(word::STATE) == WorkerState::Serving as u64 && self.get(word::BURDENED) == 0
    }

    pub(super) fn set(self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    pub(super) fn add(self, index: usize, amount: u64) {
        self.set(index, self.get(index).wrapping_add(amount));
    }

    pub(super) fn subtract(self, index: usize, amount: u64) {
        self.set(index, self.get(index).saturating_sub(amount));
    }

    /// Writes what is shown of a stint: the sequence is odd meanwhile.
    pub(super) fn show(self, stint: &ShownStint<'_>) {
        let sequence = self.get(word::SEQUENCE);
        self.set(word::SEQUENCE, sequence.wrapping_add(1));
        fence(Ordering::Release);
        self.set(word::STINT, stint.serial);
        self.set(word::REQUEST_STARTED, stint.began);
        // A body of many pieces is many stints.
        if self.get(word::SHOWN) != stint.serial {
            self.set(word::SHOWN, stint.serial);
            self.set_peer(stint.peer);
            self.set_line(stint.method, stint.target);
        }
        self.0[word::SEQUENCE].store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The address in two words, port and kind in the third.
    fn set_peer(self, peer: &Peer) {
        let Peer::Inet(address) = peer else {
            return self.set(word::PEER + 2, 0);
        };
        let bits = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        self.set(word::PEER, (bits >> 64) as u64);
        self.set(word::PEER + 1, bits as u64);
        self.set(word::PEER + 2, 1 << 16 | u64::from(address.port()));
    }

    fn peer(self) -> Option<SocketAddr> {
        let port = self.get(word::PEER + 2);
        let bits = u128::from(self.get(word::PEER)) << 64 | u128::from(self.get(word::PEER + 1));
        let ip = Ipv6Addr::from_bits(bits).to_canonical();
        (port != 0).then_some(SocketAddr::new(ip, port as u16))
    }

    fn set_line(self, method: &[u8], target: &[u8]) {
        let mut line = [0; LINE_BYTES];
        let mut length = 0;
        for part in [method, b" ", target] {
            let taken = part.len().min(LINE_BYTES - length);
            line[length..length + taken].copy_from_slice(&part[..taken]);
            length += taken;
        }
        // The whole words that the line touches, no more.
        for (index, chunk) in line[..length.next_multiple_of(8)]
            .as_chunks::<8>()
            .0
            .iter()
            .enumerate()
        {
            self.set(word::LINE + index, u64::from_ne_bytes(*chunk));
        }
        self.set(word::LINE_LENGTH, length as u64);
    }

    /// Reads what is shown of a stint, and the serial number of the one that is under way. A writer that is faster than
    /// the reader, or that died while it wrote, must not hold the reader up: after some attempts whatever is there is
    /// given.
    fn shown(self) -> (CurrentRequest, u64) {
        const ATTEMPTS: usize = 16;
        let whole = (0..ATTEMPTS).find_map(|_| self.unchanged(Self::whatever_is_shown));
        whole.unwrap_or_else(|| self.whatever_is_shown())
    }

    fn whatever_is_shown(self) -> (CurrentRequest, u64) {
        let request = CurrentRequest {
            line: self.bytes_of_line().escape_ascii().to_string(),
            peer: self.peer(),
            started: self.get(word::REQUEST_STARTED),
        };
        (request, self.get(word::STINT))
    }

    /// What `read` gives, unless it changed meanwhile.
    pub(super) fn unchanged<T>(self, read: impl FnOnce(Self) -> T) -> Option<T> {
        let before = self.0[word::SEQUENCE].load(Ordering::Acquire);
        let result = read(self);
        fence(Ordering::Acquire);
        (before.is_multiple_of(2) && before == self.get(word::SEQUENCE)).then_some(result)
    }

    pub(super) fn bytes_of_line(self) -> Vec<u8> {
        let length = (self.get(word::LINE_LENGTH) as usize).min(LINE_BYTES);
        let words = (0..length.div_ceil(8)).map(|index| self.get(word::LINE + index));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        bytes.truncate(length);
        bytes
    }

    pub(super) fn snapshot(self) -> SlotSnapshot {
        let active = self.get(word::ACTIVE);
        let (request, stint) = self.shown();
        SlotSnapshot {
            occupant: Occupant {
                pid: self.get(word::PID) as Pid,
                number: self.get(word::NUMBER) as usize,
                generation: self.get(word::GENERATION),
            },
            state: WorkerState::from_word(self.get(word::STATE)),
            started: self.get(word::STARTED),
            requests: self.get(word::REQUESTS),
            server_errors: self.get(word::SERVER_ERRORS),
            exceptions: self.get(word::EXCEPTIONS),
            bytes_sent: self.get(word::BYTES_SENT),
            accepted: self.get(word::ACCEPTED),
            connections: self.get(word::CONNECTIONS),
            last_accept: self.get(word::LAST_ACCEPT),
            active,
            // Of those of other loops there is no line.
            request: Some(request).filter(|request| (active > 0 || stint > 0) && !request.line.is_empty()),
            stint: (stint > 0).then_some(stint),
            deadline: earliest([word::DEADLINE, word::DEADLINE_BESIDE].map(|index| self.get(index))),
            beat: earliest([word::BEAT, word::BEAT_BESIDE].map(|index| self.get(index))),
            overstayed: earliest([word::OVERSTAYED, word::OVERSTAYED_BESIDE].map(|index| self.get(index))),
            burdened: self.get(word::BURDENED) != 0,
            loops: self.get(word::BESIDE) + 1,
            at_work: self.get(word::AT_WORK) + self.get(word::AT_WORK_BESIDE),
        }
    }
}
