//! [`write()`]: the way of every line to standard error, which may lead anywhere: a file, a terminal, a pipe whose reader
//! has stopped reading.
//!
//! Nothing here waits for long. What a reader does not take is lost: a log must not stop a server, least of all its master,
//! which would be deaf to every signal.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys;

/// How long a reader is waited for.
const PATIENCE: Duration = Duration::from_millis(100);
/// After a wait in vain, for so many milliseconds nobody waits.
const GRUDGE: u64 = 1000;
/// Bytes that a pipe which reports room takes without blocking (PIPE_BUF, pipe(7)).
const PIECE: usize = 4096;

/// Until when, in milliseconds of the monotonic clock, no reader is waited for.
static IMPATIENT_UNTIL: AtomicU64 = AtomicU64::new(0);

/// Writes as much of `bytes` as can be had without waiting for long; the rest is lost.
pub(super) fn write(bytes: &[u8]) {
    let stderr = std::io::stderr();
    write_to(stderr.as_fd(), bytes, &IMPATIENT_UNTIL);
}

fn write_to(fd: BorrowedFd<'_>, bytes: &[u8], impatient_until: &AtomicU64) {
    // A file always takes what it can; and a line is one write there, so that processes don't mix theirs.
    let is_file = sys::is_regular_file(fd);
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = if is_file {
            rest
        } else {
            &rest[..rest.len().min(PIECE)]
        };
        if !is_file && !has_room(fd, impatient_until) {
            return;
        }
        match sys::write_once(fd, piece) {
            Ok(count) if count > 0 => rest = &rest[count..],
            _ => return,
        }
    }
}

fn has_room(fd: BorrowedFd<'_>, impatient_until: &AtomicU64) -> bool {
    let now = sys::monotonic_milliseconds();
    let patience = if now < impatient_until.load(Ordering::Relaxed) {
        Duration::ZERO
    } else {
        PATIENCE
    };
    let has_room = sys::wait_writable(fd, patience).unwrap_or(false);
    if !has_room {
        impatient_until.store(now + GRUDGE, Ordering::Relaxed);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn a_reader_that_does_not_read_is_waited_for_once_and_lines_are_lost() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let impatient_until = AtomicU64::new(0);
        let begin = Instant::now();
        for _ in 0..1000 {
            write_to(writer.as_fd(), &[b'x'; 4096], &impatient_until);
        }
        assert!(begin.elapsed() < 10 * PATIENCE, "{:?}", begin.elapsed());
        drop(writer);
        let mut taken = Vec::new();
        reader.read_to_end(&mut taken).unwrap();
        assert!(!taken.is_empty() && taken.len() < 1000 * 4096, "{}", taken.len());
    }

    #[test]
    fn a_reader_that_reads_gets_all() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let text = vec![b'x'; 1 << 20];
        let reading = std::thread::spawn(move || {
            let mut taken = Vec::new();
            reader.read_to_end(&mut taken).map(|_| taken.len())
        });
        write_to(writer.as_fd(), &text, &AtomicU64::new(0));
        drop(writer);
        assert_eq!(reading.join().unwrap().unwrap(), text.len());
    }
}
