//! Sockets: those that carry messages between the processes of one server, and what clients' can do besides.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::to_io;

/// Two connected sockets that keep the bounds of messages (SOCK_SEQPACKET), close-on-exec. Each message
/// arrives whole or not at all, also when several processes share an end.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(to_io)
}

/// Keeps new connections of a listening TCP socket from being accepted until the client has sent something,
/// for so many seconds (TCP_DEFER_ACCEPT): one wake-up less for each.
pub fn defer_accept(fd: BorrowedFd<'_>, seconds: u32) -> io::Result<()> {
    let seconds = seconds as libc::c_int;
    // SAFETY: pointer and length are those of a live local integer, which the option wants.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has the kernel send `count` bytes of `file`, from `offset` bytes behind its beginning, to `socket` (sendfile(2)). How
/// many it took; 0 at the end of the file. The file's own position stays.
pub fn send_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut offset = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    nix::sys::sendfile::sendfile(socket, file, Some(&mut offset), count).map_err(to_io)
}

/// Sends one message without waiting; `WouldBlock` where the other end has stopped reading, `BrokenPipe`
/// where it is gone.
pub fn send_message(fd: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    loop {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match send(fd.as_raw_fd(), message, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(to_io(error)),
        }
    }
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, one message.
    Message(usize),
    /// Nothing yet.
    Nothing,
    /// Nothing ever again: the other end is gone.
    End,
}

/// Receives one message without waiting.
pub fn receive_message(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(Received::End),
            Ok(count) => return Ok(Received::Message(count)),
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(to_io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_the_end_is_seen() {
        let (here, there) = message_pair().unwrap();
        send_message(here.as_fd(), b"one").unwrap();
        send_message(here.as_fd(), b"second").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(
            receive_message(there.as_fd(), &mut buffer).unwrap(),
            Received::Message(3)
        );
        assert_eq!(
            receive_message(there.as_fd(), &mut buffer).unwrap(),
            Received::Message(6)
        );
        assert_eq!(
            receive_message(there.as_fd(), &mut buffer).unwrap(),
            Received::Nothing
        );
        drop(here);
        assert_eq!(
            receive_message(there.as_fd(), &mut buffer).unwrap(),
            Received::End
        );
    }

    #[test]
    fn sending_to_one_who_left_is_an_error_and_no_signal() {
        let (here, there) = message_pair().unwrap();
        drop(there);
        let error = send_message(here.as_fd(), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
