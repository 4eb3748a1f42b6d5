//! [`Inheritance`]: what the application made while it was loaded and its workers get as it is, though they can't use it:
//! connections that all of them would speak on, event loops that all of them would wait with, threads that are gone.
//!
//! Told from what the process had before; what to say of it is the runtime's business.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::raw;

/// What a process has open and runs, before the application is loaded.
pub(crate) struct Inheritance {
    descriptors: BTreeSet<RawFd>,
    threads: usize,
}

/// What has come since.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Connected sockets, each by its peer and its number: `127.0.0.1:5432 (descriptor 7)`.
    pub(crate) connections: Vec<String>,
    /// epoll descriptors: event loops of asyncio, gevent and their like.
    pub(crate) event_loops: usize,
    /// Threads, Python's own and those of extension modules.
    pub(crate) threads: usize,
}

impl Inheritance {
    /// What there is now.
    pub(crate) fn take_stock() -> Self {
        Self {
            descriptors: descriptors(),
            threads: count_threads(),
        }
    }

    /// What there is now beyond that.
    pub(crate) fn compare(&self) -> Found {
        let mut found = Found {
            threads: count_threads().saturating_sub(self.threads),
            ..Found::default()
        };
        for fd in descriptors().difference(&self.descriptors) {
            let target = target(*fd).unwrap_or_default();
            if target == Path::new("anon_inode:[eventpoll]") {
                found.event_loops += 1;
            } else if target.to_string_lossy().starts_with("socket:")
                && let Some(peer) = peer(*fd)
            {
                found.connections.push(format!("{peer} (descriptor {fd})"));
            }
        }
        found
    }
}

fn descriptors() -> BTreeSet<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return BTreeSet::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut descriptors: BTreeSet<RawFd> = names.collect();
    // Without the one that the list was read from.
    descriptors.retain(|&fd| target(fd).is_some());
    descriptors
}

/// What is open there, as the kernel names it.
fn target(fd: RawFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

fn count_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Who is at the other end. `None` for sockets that are not connected, and for pairs, which lead nowhere else.
fn peer(fd: RawFd) -> Option<String> {
    let inet = TcpStream::from(raw::duplicate_descriptor(fd).ok()?);
    if let Ok(address) = inet.peer_addr() {
        return Some(address.to_string());
    }
    let unix = UnixStream::from(raw::duplicate_descriptor(fd).ok()?);
    let address = unix.peer_addr().ok()?;
    Some(address.as_pathname()?.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_connection_is_named_by_its_peer_and_a_pair_is_none() {
        let before = Inheritance::take_stock();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).expect("a connection");
        let _pair = UnixStream::pair().expect("a pair");
        let found = before.compare();
        let expected = format!("{address} (descriptor {})", stream.as_raw_fd());
        assert!(found.connections.contains(&expected), "{found:?}");
        assert_eq!(
            peer(listener.as_raw_fd()),
            None,
            "a listening socket is no connection"
        );
        assert_eq!(found.event_loops, 0);
    }
}
