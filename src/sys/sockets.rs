//! Sockets: those that carry messages between the processes of one server, and what clients' can do besides.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, send,
    sendmsg, socketpair,
};

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

/// Sends one message with a descriptor beside it (SCM_RIGHTS), without waiting; errors as [`send_message`]'s. What
/// receives it has a descriptor of its own.
pub fn send_descriptor(fd: BorrowedFd<'_>, message: &[u8], sent: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let sent = [sent.as_raw_fd()];
    let beside = [ControlMessage::ScmRights(&sent)];
    loop {
        match sendmsg::<()>(fd.as_raw_fd(), &[IoSlice::new(message)], &beside, flags, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(to_io(error)),
            Ok(_) => return Ok(()),
        }
    }
}

/// Receives one message and the descriptor beside it, close-on-exec, without waiting: how many bytes it has. `None`: there
/// is none at present. A message without a descriptor, one that is cut, and the end of the other side are errors.
pub fn receive_descriptor(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<(usize, OwnedFd)>> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut space = nix::cmsg_space!(RawFd);
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<()>(fd.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(to_io(error)),
            Ok(message) => message,
        };
        let mut received = None;
        for beside in message.cmsgs().map_err(to_io)? {
            if let ControlMessageOwned::ScmRights(numbers) = beside {
                for number in numbers {
                    // SAFETY: the kernel has just opened it for this process, and nothing else knows its number.
                    received = Some(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
        let is_cut = message
            .flags
            .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
        return match received {
            Some(received) if !is_cut => Ok(Some((message.bytes, received))),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message without its descriptor",
            )),
        };
    }
}

/// Sends one message without waiting; `WouldBlock` where the other end has stopped reading, `BrokenPipe`
/// where it is gone.
pub fn send_message(fd: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    send_with(fd, message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
}

/// Sends one message, as soon as the other end has made room for it; `BrokenPipe` where it is gone.
pub fn send_message_waiting(fd: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    send_with(fd, message, MsgFlags::MSG_NOSIGNAL)
}

fn send_with(fd: BorrowedFd<'_>, message: &[u8], flags: MsgFlags) -> io::Result<()> {
    loop {
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
    fn more_messages_than_the_socket_holds_arrive_when_the_sender_waits() {
        let (here, there) = message_pair().unwrap();
        let sender = std::thread::spawn(move || {
            (0..2_000).try_for_each(|_| send_message_waiting(here.as_fd(), b"report"))
        });
        let (mut buffer, mut heard) = ([0; 64], 0);
        loop {
            match receive_message(there.as_fd(), &mut buffer).unwrap() {
                Received::Message(_) => heard += 1,
                Received::Nothing => std::thread::yield_now(),
                Received::End => break,
            }
        }
        sender.join().unwrap().unwrap();
        assert_eq!(heard, 2_000);
    }

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
