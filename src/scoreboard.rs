//! The scoreboard: shared memory, one slot a process, written by workers in a few nanoseconds and read by the
//! master without ever waiting for one. What the numbers are used for is their readers' business.
//!
//! A slot has one writer at a time: the worker whose it is, on the thread that has its loop. All memory is
//! atomics, so that whatever a dying worker leaves behind can be read; the request line is guarded by a
//! sequence counter.

mod strand;
mod words;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uwrs_api::Peer;

use crate::sys::{self, Pid, SharedMemory};

pub use strand::Strand;
use words::SlotWords;

/// First word of the memory: "uwrsscor" and the layout's version in the lowest byte. A new program that is
/// started over an old one's memory (USR2) must not misread it.
const MAGIC: u64 = u64::from_be_bytes(*b"uwrsscor") ^ 3;

/// Words of the header, and of a slot: whole cache lines, so that no two workers write to the same one.
const HEADER_WORDS: usize = 16;
const SLOT_WORDS: usize = 64;

/// Bytes of a request line that are kept.
pub const LINE_BYTES: usize = 256;

/// Words of the header.
mod header {
    pub(super) const MAGIC: usize = 0;
    pub(super) const SLOTS: usize = 1;
    pub(super) const PAUSED: usize = 2;
    /// Requests of workers that are gone.
    pub(super) const RETIRED: usize = 3;
    /// An application has set a deadline itself.
    pub(super) const DEADLINES: usize = 4;
    /// The server as a whole stops.
    pub(super) const STOPPING: usize = 5;
}

/// Words of a slot.
mod word {
    pub(super) const PID: usize = 0;
    pub(super) const NUMBER: usize = 1;
    pub(super) const GENERATION: usize = 2;
    pub(super) const STATE: usize = 3;
    pub(super) const STARTED: usize = 4;
    pub(super) const ACTIVE: usize = 5;
    pub(super) const REQUEST_STARTED: usize = 6;
    pub(super) const REQUESTS: usize = 7;
    pub(super) const SERVER_ERRORS: usize = 8;
    pub(super) const EXCEPTIONS: usize = 9;
    pub(super) const BYTES_SENT: usize = 10;
    pub(super) const ACCEPTED: usize = 11;
    pub(super) const LAST_ACCEPT: usize = 12;
    pub(super) const CONNECTIONS: usize = 13;
    /// The exchange that keeps a thread in the application; 0: none does.
    pub(super) const STINT: usize = 14;
    /// The exchange whose line and peer are shown.
    pub(super) const SHOWN: usize = 15;
    pub(super) const SEQUENCE: usize = 16;
    pub(super) const LINE_LENGTH: usize = 17;
    pub(super) const PEER: usize = 18;
    /// When the loop was last turned by another one; 0: it turns by itself.
    pub(super) const BEAT: usize = 21;
    /// The one that the application has set itself; 0: none.
    pub(super) const DEADLINE: usize = 22;
    /// 1: all its threads are busy, and have been for a while.
    pub(super) const BURDENED: usize = 23;
    pub(super) const LINE: usize = 24;
    /// Since when a task goes on that was to end; 0: none does.
    pub(super) const OVERSTAYED: usize = LINE + super::LINE_BYTES / 8;
    /// The same of the worker's other loops.
    pub(super) const OVERSTAYED_BESIDE: usize = OVERSTAYED + 1;
    /// The earliest beat of these.
    pub(super) const BEAT_BESIDE: usize = OVERSTAYED + 2;
    /// The earliest deadline of these.
    pub(super) const DEADLINE_BESIDE: usize = OVERSTAYED + 3;
    /// Milliseconds for which the loop was at work, as far as anyone looks. Its watchman writes this one.
    pub(super) const AT_WORK: usize = OVERSTAYED + 4;
    /// The sum of these.
    pub(super) const AT_WORK_BESIDE: usize = OVERSTAYED + 5;
    /// How many of these there are.
    pub(super) const BESIDE: usize = OVERSTAYED + 6;
    /// 1: its master wants it to leave. That one writes this.
    pub(super) const DISMISSED: usize = OVERSTAYED + 7;
}

const _: () = assert!(word::DISMISSED < SLOT_WORDS);

/// What a worker is doing, apart from requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerState {
    /// Nobody's slot.
    #[default]
    Vacant,
    /// Getting ready.
    Starting,
    /// Accepting connections.
    Serving,
    /// Finishing what it has, accepting nothing.
    Draining,
}

impl WorkerState {
    fn from_word(word: u64) -> Self {
        match word {
            1 => Self::Starting,
            2 => Self::Serving,
            3 => Self::Draining,
            _ => Self::Vacant,
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Scoreboard {
    memory: SharedMemory,
    slots: usize,
}

impl Scoreboard {
    /// A table of so many slots (at least one), all vacant. Shared with children forked from now on.
    pub fn new(slots: usize) -> io::Result<Self> {
        let slots = slots.max(1);
        let memory = SharedMemory::new((HEADER_WORDS + slots * SLOT_WORDS) * size_of::<u64>())?;
        memory.words()[header::SLOTS].store(slots as u64, Ordering::Relaxed);
        memory.words()[header::MAGIC].store(MAGIC, Ordering::Release);
        Ok(Self { memory, slots })
    }

    /// The table behind the descriptor of another one. An error where it is not one of this layout.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let memory = SharedMemory::open(descriptor)?;
        let words = memory.words();
        let word = |index: usize| words.get(index).map_or(0, |word| word.load(Ordering::Acquire));
        let slots = word(header::SLOTS) as usize;
        if word(header::MAGIC) != MAGIC || slots == 0 || slots > words.len() / SLOT_WORDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a scoreboard of another version",
            ));
        }
        Ok(Self { memory, slots })
    }

    /// What [`Scoreboard::open`] opens.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.memory.descriptor()
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Have the workers been asked to pause: to accept no connections for the time being? Looked at by a
    /// worker when it starts and when a SIGWINCH tells it that this has changed.
    pub fn is_paused(&self) -> bool {
        self.memory.words()[header::PAUSED].load(Ordering::Acquire) != 0
    }

    /// Wants the worker of that pid to leave. The master's, before it says so by a signal, which an application may have taken.
    pub fn dismiss(&self, slot: usize, pid: Pid) {
        if let Some(words) = self.words_of(slot).map(SlotWords)
            && words.get(word::PID) == pid as u64
        {
            words.set(word::DISMISSED, 1);
        }
    }

    /// Does the server as a whole stop? Looked at by a worker that is told to leave: else it has a successor.
    pub fn is_stopping(&self) -> bool {
        self.memory.words()[header::STOPPING].load(Ordering::Acquire) != 0
    }

    /// Says that the server stops. The master's, before it tells the workers to leave.
    pub fn set_stopping(&self) {
        self.memory.words()[header::STOPPING].store(1, Ordering::Release);
    }

    /// Asks the workers to pause or to go on. The master's; it then sends them SIGWINCH.
    pub fn set_paused(&self, paused: bool) {
        self.memory.words()[header::PAUSED].store(u64::from(paused), Ordering::Release);
    }

    /// Has any application ever set a deadline itself?
    pub fn has_deadlines(&self) -> bool {
        self.memory.words()[header::DEADLINES].load(Ordering::Acquire) != 0
    }

    /// What a slot says. `None` where there is no such slot.
    pub fn snapshot(&self, slot: usize) -> Option<SlotSnapshot> {
        Some(SlotWords(self.words_of(slot)?).snapshot())
    }

    /// Requests finished by all workers there ever were.
    pub fn total_requests(&self) -> u64 {
        let present =
            (0..self.slots).filter_map(|slot| Some(SlotWords(self.words_of(slot)?).get(word::REQUESTS)));
        self.memory.words()[header::RETIRED].load(Ordering::Relaxed) + present.sum::<u64>()
    }

    /// Nobody's from now on. What its worker has done is remembered in [`Scoreboard::total_requests`].
    pub fn vacate(&self, slot: usize) {
        if let Some(words) = self.words_of(slot) {
            let retired = SlotWords(words).get(word::REQUESTS);
            self.memory.words()[header::RETIRED].fetch_add(retired, Ordering::Relaxed);
        }
        for word in self.words_of(slot).unwrap_or_default() {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn words_of(&self, slot: usize) -> Option<&[AtomicU64]> {
        if slot >= self.slots {
            return None;
        }
        let start = HEADER_WORDS + slot * SLOT_WORDS;
        self.memory.words().get(start..start + SLOT_WORDS)
    }
}

/// Whose slot it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupant {
    /// Process.
    pub pid: Pid,
    /// Worker's number.
    pub number: usize,
    /// Generation that it serves.
    pub generation: u64,
}

/// A worker's own slot, to write to. On the thread that has its loop only.
#[derive(Clone, Debug)]
pub struct Slot {
    board: Arc<Scoreboard>,
    index: usize,
    /// Where a strand writes, see [`Slot::strand`].
    apart: Option<Arc<[AtomicU64; SLOT_WORDS]>>,
}

impl Slot {
    /// Takes a slot over from whoever had it before. A slot that the table does not have is taken as the last
    /// one.
    pub fn occupy(board: Arc<Scoreboard>, slot: usize, occupant: Occupant) -> Self {
        let index = slot.min(board.slots() - 1);
        board.vacate(index);
        let slot = Self {
            board,
            index,
            apart: None,
        };
        let words = slot.words();
        words.set(word::NUMBER, occupant.number as u64);
        words.set(word::GENERATION, occupant.generation);
        words.set(word::STARTED, sys::monotonic_milliseconds());
        words.set(word::PID, occupant.pid as u64);
        slot.set_state(WorkerState::Starting);
        slot
    }

    /// Its place in the table.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The table that it is in.
    pub fn board(&self) -> &Arc<Scoreboard> {
        &self.board
    }

    /// Does its master want it to leave?
    pub fn is_dismissed(&self) -> bool {
        let words = self.board.words_of(self.index).map(SlotWords);
        words.is_some_and(|words| words.get(word::DISMISSED) != 0)
    }

    /// Says what the worker is doing.
    pub fn set_state(&self, state: WorkerState) {
        self.words().set(word::STATE, state as u64);
    }

    /// A connection was accepted. `now`: milliseconds of [`sys::monotonic_milliseconds`], as everywhere here.
    pub fn accepted(&self, now: u64) {
        let words = self.words();
        words.add(word::ACCEPTED, 1);
        words.add(word::CONNECTIONS, 1);
        words.set(word::LAST_ACCEPT, now);
    }

    /// A connection was closed.
    pub fn closed(&self) {
        self.words().subtract(word::CONNECTIONS, 1);
    }

    /// A request is handed to the application.
    pub fn begin(&self) {
        self.words().add(word::ACTIVE, 1);
    }

    /// Of the threads that are in the application now, none has been there longer than that one. The line is kept up to
    /// [`LINE_BYTES`].
    pub fn show(&self, stint: &ShownStint<'_>) {
        self.words().show(stint);
    }

    /// The application has set a deadline itself, or taken it back. On any thread. `true`: it is the first ever, and nobody
    /// looks for any yet.
    pub fn set_deadline(&self, deadline: Option<u64>) -> bool {
        self.words().set(word::DEADLINE, deadline.unwrap_or(0));
        let known = &self.board.memory.words()[header::DEADLINES];
        deadline.is_some() && known.swap(1, Ordering::AcqRel) == 0
    }

    /// The loop, which another one drives, was turned now; 0: it is not to be turned any more.
    pub fn beat(&self, now: u64) {
        self.words().set(word::BEAT, now);
    }

    /// Since when the application goes on with something that it was told to give up; `None`: it has ended.
    pub fn set_overstayed(&self, since: Option<u64>) {
        self.words().set(word::OVERSTAYED, since.unwrap_or(0));
    }

    /// When the loop, which another one drives, was last turned; 0: it never was, or is not to be any more.
    pub fn last_beat(&self) -> u64 {
        self.words().get(word::BEAT)
    }

    /// The loop, which another one drives, was at work for so many milliseconds more, not waiting for something to do. On
    /// the thread that watches it only.
    pub fn worked(&self, milliseconds: u64) {
        self.words().add(word::AT_WORK, milliseconds);
    }

    /// No thread is in the application any more.
    pub fn rest(&self) {
        self.words().set(word::STINT, 0);
    }

    /// The answer to a request is complete, or given up.
    pub fn end(&self, status: u16, bytes_sent: u64) {
        let words = self.words();
        words.subtract(word::ACTIVE, 1);
        words.add(word::REQUESTS, 1);
        words.add(word::BYTES_SENT, bytes_sent);
        if status >= 500 {
            words.add(word::SERVER_ERRORS, 1);
        }
    }

    /// Says whether all threads are busy, and have been for a while.
    pub fn set_burdened(&self, burdened: bool) {
        self.words().set(word::BURDENED, u64::from(burdened));
    }

    /// How many other workers accept connections and are not burdened.
    pub fn idle_others(&self) -> usize {
        let others = (0..self.board.slots()).filter(|&slot| slot != self.index);
        let words = others.filter_map(|slot| Some(SlotWords(self.board.words_of(slot)?)));
        words.filter(|words| words.is_idle()).count()
    }

    /// The application raised.
    pub fn exception(&self) {
        self.words().add(word::EXCEPTIONS, 1);
    }

    /// Requests under way.
    pub fn active(&self) -> u64 {
        self.words().get(word::ACTIVE)
    }

    /// Requests finished.
    pub fn requests(&self) -> u64 {
        self.words().get(word::REQUESTS)
    }

    /// What the slot says.
    pub fn snapshot(&self) -> SlotSnapshot {
        self.words().snapshot()
    }

    /// For one more loop of the same worker: what it writes is its own, since a slot has one writer, until that one
    /// takes it over ([`Strand::gather`]).
    pub fn strand(&self) -> Self {
        Self {
            board: Arc::clone(&self.board),
            index: self.index,
            apart: Some(Arc::new([const { AtomicU64::new(0) }; SLOT_WORDS])),
        }
    }

    /// Is it one more loop's ([`Slot::strand`])?
    pub fn is_strand(&self) -> bool {
        self.apart.is_some()
    }

    fn words(&self) -> SlotWords<'_> {
        SlotWords(match &self.apart {
            Some(words) => &words[..],
            None => self
                .board
                .words_of(self.index)
                .expect("occupy() took a slot that is there"),
        })
    }
}

/// The earliest of some times, of which 0 is none.
fn earliest<const N: usize>(times: [u64; N]) -> Option<u64> {
    times.into_iter().filter(|&time| time > 0).min()
}

/// A thread's stay in the application, for one request.
#[derive(Clone, Copy, Debug)]
pub struct ShownStint<'a> {
    /// The exchange's serial number, at least 1.
    pub serial: u64,
    /// The method of the request.
    pub method: &'a [u8],
    /// Its target.
    pub target: &'a [u8],
    /// Who asked.
    pub peer: &'a Peer,
    /// Since when.
    pub began: u64,
}

/// What a slot says at some moment. Times are milliseconds of [`sys::monotonic_milliseconds`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSnapshot {
    /// Whose it is; pid 0: nobody's.
    pub occupant: Occupant,
    /// What that worker is doing.
    pub state: WorkerState,
    /// When it was started.
    pub started: u64,
    /// Requests finished.
    pub requests: u64,
    /// Those answered with 500 and above.
    pub server_errors: u64,
    /// Exceptions of the application.
    pub exceptions: u64,
    /// Bytes of answers.
    pub bytes_sent: u64,
    /// Connections accepted, ever.
    pub accepted: u64,
    /// Connections open.
    pub connections: u64,
    /// When the last one was accepted; 0: never.
    pub last_accept: u64,
    /// Requests under way.
    pub active: u64,
    /// The one that has kept a thread in the application for the longest time; where none does, the latest that is under
    /// way.
    pub request: Option<CurrentRequest>,
    /// The serial number of the exchange behind [`SlotSnapshot::request`], if it keeps a thread in the application.
    pub stint: Option<u64>,
    /// When its loop was last turned, where another loop drives it and is to turn it at least once a second if
    /// `harakiri` is on.
    pub beat: Option<u64>,
    /// The deadline that the application has set itself.
    pub deadline: Option<u64>,
    /// Since when the application goes on with what it was told to give up.
    pub overstayed: Option<u64>,
    /// Leaves what comes to others.
    pub burdened: bool,
    /// How many loops it has.
    pub loops: u64,
    /// Milliseconds for which these were at work, all together; 0 where nobody looks: another loop drives them, and how many
    /// workers there are depends on it (`cheaper`).
    pub at_work: u64,
}

/// A request under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentRequest {
    /// `GET /path?query`, cut at [`LINE_BYTES`]; bytes that are not printable ASCII are escaped (`\x1b`).
    pub line: String,
    /// Who asked; `None` behind a unix socket.
    pub peer: Option<SocketAddr>,
    /// When the application was called for it, or was last asked to go on.
    pub started: u64,
}

#[cfg(test)]
mod tests;
