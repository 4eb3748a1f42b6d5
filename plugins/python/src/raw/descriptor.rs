//! Descriptors that Python owns.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Another descriptor of what is open under that number, close-on-exec and not one of the standard three.
pub(crate) fn duplicate_descriptor(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the kernel looks at the number and gives a new one, or EBADF; nothing is read or written.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for no one else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
