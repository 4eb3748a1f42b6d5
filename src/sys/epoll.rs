//! What mio's epoll wrapper does not offer: a listener that wakes one waiting worker, not all of them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::libc;

/// Watches `listener` level-triggered and exclusively (EPOLLEXCLUSIVE): of all workers that wait, the kernel wakes one.
/// `token` is what mio reports as the event's token.
///
/// # Errors
/// What epoll_ctl(2) gives.
pub fn add_exclusive(epoll: RawFd, listener: BorrowedFd<'_>, token: usize) -> io::Result<()> {
    let events = (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32;
    let mut event = libc::epoll_event {
        events,
        u64: token as u64,
    };
    // SAFETY: `event` is a valid epoll_event for the length of the call; the kernel copies it.
    let result = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, listener.as_raw_fd(), &raw mut event) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Stops watching `listener`.
///
/// # Errors
/// What epoll_ctl(2) gives.
pub fn remove(epoll: RawFd, listener: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: EPOLL_CTL_DEL ignores its event argument; null is allowed since Linux 2.6.9.
    let result = unsafe {
        libc::epoll_ctl(
            epoll,
            libc::EPOLL_CTL_DEL,
            listener.as_raw_fd(),
            std::ptr::null_mut(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
