//! File descriptors: pipes, what survives an exec, where standard input and output lead.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd;

use super::to_io;

/// A pipe, close-on-exec, non-blocking at both ends: (read end, write end).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(to_io)
}

/// A pipe, close-on-exec, whose reader and writer wait: (read end, write end).
pub fn blocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    unistd::pipe2(OFlag::O_CLOEXEC).map_err(to_io)
}

/// Does an exec leave this descriptor open?
pub fn set_inheritable(fd: BorrowedFd<'_>, inheritable: bool) -> io::Result<()> {
    let flags = if inheritable {
        FdFlag::empty()
    } else {
        FdFlag::FD_CLOEXEC
    };
    fcntl(fd, FcntlArg::F_SETFD(flags)).map(drop).map_err(to_io)
}

/// Is there anything at this number?
pub fn is_open(fd: RawFd) -> bool {
    if fd < 0 {
        return false;
    }
    // SAFETY: F_GETFD reads a flag and touches nothing else, whatever the number is.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Takes a descriptor that was inherited under a number which the environment or the command line named.
/// Makes it close-on-exec. An error where nothing is open there, or where it is one of the standard three.
///
/// The caller must take each number once only, before it opens anything itself: what is at that number is
/// then what the parent left there.
pub fn adopt_descriptor(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= 2 || !is_open(fd) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, it is not one of the standard three which the standard library uses, and by this
    // function's contract no one else in this process owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    set_inheritable(owned.as_fd(), false)?;
    Ok(owned)
}

/// Closes a descriptor by number in a forked child which never returns to the code that owns it.
pub fn close_descriptor(fd: RawFd) {
    // SAFETY: only called between a fork and the end of the child, for descriptors whose owners live in
    // frames which the child never goes back to: no one uses or closes the number again.
    unsafe {
        libc::close(fd);
    }
}

/// How many descriptors this process may have open at once.
pub fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Lets this process, and those that come of it, have so many descriptors open at once. Gives how many it may have:
/// fewer where the hard limit is lower and may not be raised.
///
/// # Errors
/// The kernel refuses.
pub fn set_descriptor_limit(asked: u64) -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(to_io)?;
    if setrlimit(Resource::RLIMIT_NOFILE, asked, hard.max(asked)).is_ok() {
        return Ok(asked);
    }
    let allowed = asked.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, allowed, hard).map_err(to_io)?;
    Ok(allowed)
}

/// Standard input reads nothing from now on.
pub fn redirect_input() -> io::Result<()> {
    let nothing = File::open("/dev/null")?;
    unistd::dup2_stdin(&nothing).map_err(to_io)
}

/// Standard output and standard error lead to `file` from now on.
pub fn redirect_output(file: BorrowedFd<'_>) -> io::Result<()> {
    unistd::dup2_stdout(file).map_err(to_io)?;
    unistd::dup2_stderr(file).map_err(to_io)
}

/// The same under a number beyond the standard three, close-on-exec.
pub fn duplicate_above_standard(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(to_io)?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Leads those of the standard three that are closed to `output`, and input to nothing; without `output`, all of them.
/// Which they were, by name.
pub fn mend_standard(output: Option<BorrowedFd<'_>>) -> io::Result<Vec<&'static str>> {
    let nothing = duplicate_above_standard(File::open("/dev/null")?.as_fd())?;
    let output = output.unwrap_or(nothing.as_fd());
    let mut closed = Vec::new();
    // What was opened above had a number that was free, and has left it.
    if !is_open(0) {
        unistd::dup2_stdin(&nothing).map_err(to_io)?;
        closed.push("standard input");
    }
    if !is_open(1) {
        unistd::dup2_stdout(output).map_err(to_io)?;
        closed.push("standard output");
    }
    if !is_open(2) {
        unistd::dup2_stderr(output).map_err(to_io)?;
        closed.push("standard error");
    }
    Ok(closed)
}

/// Is it a file, which takes what is written without waiting for anyone?
pub fn is_regular_file(fd: BorrowedFd<'_>) -> bool {
    let kind = nix::sys::stat::fstat(fd).map(|stat| stat.st_mode & libc::S_IFMT);
    kind == Ok(libc::S_IFREG)
}

/// One write(2), repeated only when a signal came first. How many bytes were taken.
pub fn write_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match unistd::write(fd, bytes) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map_err(to_io),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_three_and_closed_numbers_are_not_adopted() {
        assert!(adopt_descriptor(1).is_err());
        assert!(adopt_descriptor(-1).is_err());
        assert!(adopt_descriptor(1_000_000).is_err());
    }
}
