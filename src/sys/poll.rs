//! Waiting for descriptors.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::to_io;

/// Waits until one of `descriptors` can be read (or is at its end), at most `timeout`; `None`: for ever.
/// Gives which ones. A signal ends the wait early, with none.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|&fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    match poll(&mut polled, to_timeout(timeout)) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
        Err(nix::errno::Errno::EINTR) => Ok(vec![false; descriptors.len()]),
        Err(error) => Err(to_io(error)),
    }
}

/// Waits until something can be written, at most `timeout`. `false`: nothing can, or a signal came first.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let mut polled = [PollFd::new(fd, PollFlags::POLLOUT)];
    match poll(&mut polled, to_timeout(Some(timeout))) {
        Ok(count) => Ok(count > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(to_io(error)),
    }
}

/// Whole milliseconds, rounded up so that a wait never ends just before its deadline and spins.
fn to_timeout(timeout: Option<Duration>) -> PollTimeout {
    let Some(timeout) = timeout else {
        return PollTimeout::NONE;
    };
    let milliseconds = timeout.as_micros().div_ceil(1000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

/// Watches a listening socket that several processes share: a new connection wakes one or some of those who
/// wait, not all (EPOLLEXCLUSIVE, level-triggered). `poll_fd` is an epoll descriptor, such as mio's `Poll`;
/// events carry `token`.
pub fn epoll_exclusive(poll_fd: RawFd, listener_fd: RawFd, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32,
        u64: token,
    };
    // SAFETY: `event` is a live local which the kernel only reads; bad descriptors are an error, not a
    // hazard.
    let result = unsafe { libc::epoll_ctl(poll_fd, libc::EPOLL_CTL_ADD, listener_fd, &raw mut event) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Stops watching what [`epoll_exclusive`] watches.
pub fn epoll_remove(poll_fd: RawFd, listener_fd: RawFd) -> io::Result<()> {
    // SAFETY: EPOLL_CTL_DEL does not look at its event argument; null is allowed since Linux 2.6.9.
    let result = unsafe { libc::epoll_ctl(poll_fd, libc::EPOLL_CTL_DEL, listener_fd, std::ptr::null_mut()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Room for what one [`epoll_wait`] reports.
pub struct EpollEvents {
    room: Vec<libc::epoll_event>,
    count: usize,
}

impl EpollEvents {
    /// For so many events at once; at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        let none = libc::epoll_event { events: 0, u64: 0 };
        Self {
            room: vec![none; capacity.max(1)],
            count: 0,
        }
    }

    /// What was reported: the token that a descriptor was registered with, and epoll's bits.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.room[..self.count]
            .iter()
            .map(|event| (event.u64, event.events))
    }
}

/// Waits for events of an epoll descriptor, such as mio's `Poll`, at most `timeout`; `None`: for ever. For threads that
/// share a `Poll`, whose own method wants it for itself. A signal ends the wait early, with none.
pub fn epoll_wait(poll_fd: RawFd, events: &mut EpollEvents, timeout: Option<Duration>) -> io::Result<()> {
    events.count = 0;
    let timeout = i32::from(to_timeout(timeout));
    let room = i32::try_from(events.room.len()).unwrap_or(i32::MAX);
    // SAFETY: the kernel writes at most `room` events, and there is room for so many; a bad descriptor is an error.
    let count = unsafe { libc::epoll_wait(poll_fd, events.room.as_mut_ptr(), room, timeout) };
    match usize::try_from(count) {
        Ok(count) => events.count = count,
        Err(_) => {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::sys::{pipe, write_once};

    #[test]
    fn what_has_bytes_is_readable_and_what_has_none_is_not() {
        let (empty, _keep): (OwnedFd, OwnedFd) = pipe().unwrap();
        let (full, write) = pipe().unwrap();
        write_once(write.as_fd(), b"x").unwrap();
        let ready = wait_readable(&[empty.as_fd(), full.as_fd()], Some(Duration::ZERO)).unwrap();
        assert_eq!(ready, [false, true]);
    }

    #[test]
    fn timeouts_are_rounded_up() {
        assert_eq!(to_timeout(Some(Duration::from_micros(1))), PollTimeout::from(1u8));
        assert_eq!(to_timeout(Some(Duration::MAX)), PollTimeout::MAX);
    }

    #[test]
    fn mio_delivers_an_exclusive_listener_under_its_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut poll = Poll::new().unwrap();
        epoll_exclusive(poll.as_raw_fd(), listener.as_raw_fd(), 77).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        let tokens: Vec<Token> = events.iter().map(mio::event::Event::token).collect();
        assert_eq!(tokens, [Token(77)]);
    }

    #[test]
    fn a_wait_beside_mio_reports_what_mio_would() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let poll = Poll::new().unwrap();
        epoll_exclusive(poll.as_raw_fd(), listener.as_raw_fd(), 77).unwrap();
        let mut events = EpollEvents::with_capacity(8);
        epoll_wait(poll.as_raw_fd(), &mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.iter().count(), 0);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        epoll_wait(poll.as_raw_fd(), &mut events, Some(Duration::from_secs(5))).unwrap();
        let heard: Vec<(u64, u32)> = events.iter().collect();
        assert_eq!(heard, [(77, libc::EPOLLIN as u32)]);
        assert!(epoll_wait(-1, &mut events, None).is_err());
    }

    #[test]
    fn an_exclusive_watch_of_nothing_is_an_error() {
        let poll = Poll::new().unwrap();
        assert!(epoll_exclusive(poll.as_raw_fd(), -1, 0).is_err());
    }
}
