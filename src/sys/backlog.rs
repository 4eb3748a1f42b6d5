//! How many connections wait at a listening socket to be accepted.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage, getsockname,
    recv, send, socket,
};
use nix::sys::stat::fstat;

use super::{to_io, wait_readable};

/// Asks the kernel about unix sockets (sock_diag(7)).
#[derive(Debug)]
pub struct SocketDiagnosis(OwnedFd);

/// From `linux/sock_diag.h`, `linux/unix_diag.h` and `linux/netlink.h`, which no crate in use has.
mod kernel {
    pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
    pub(super) const NLM_F_REQUEST: u16 = 1;
    pub(super) const UDIAG_SHOW_RQLEN: u32 = 0x10;
    pub(super) const UNIX_DIAG_RQLEN: u16 = 4;
    /// Bytes of `struct nlmsghdr`, `struct unix_diag_req`, `struct unix_diag_msg`.
    pub(super) const HEADER: usize = 16;
    pub(super) const REQUEST: usize = 24;
    pub(super) const MESSAGE: usize = 16;
}

impl SocketDiagnosis {
    /// # Errors
    /// The kernel does not offer it, or does not here.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkSockDiag;
        socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)
            .map(Self)
            .map_err(to_io)
    }

    /// Connections that wait at a unix socket.
    fn waiting(&self, inode: u32) -> io::Result<u32> {
        send(self.0.as_raw_fd(), &request(inode), MsgFlags::empty()).map_err(to_io)?;
        let answered = wait_readable(
            &[std::os::fd::AsFd::as_fd(&self.0)],
            Some(Duration::from_millis(100)),
        )?;
        if answered != [true] {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut answer = [0; 1024];
        let count = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT).map_err(to_io)?;
        queue_length(&answer[..count]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn request(inode: u32) -> Vec<u8> {
    let length = (kernel::HEADER + kernel::REQUEST) as u32;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kernel::SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(kernel::NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port: there is one question at a time.
    bytes.extend([0; 8]);
    bytes.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    // In any state, by its inode, whatever its cookie.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(inode.to_ne_bytes());
    bytes.extend(kernel::UDIAG_SHOW_RQLEN.to_ne_bytes());
    bytes.extend([0xff; 8]);
    bytes
}

/// The attribute that was asked for; `None` where the answer is an error or makes no sense.
fn queue_length(answer: &[u8]) -> Option<u32> {
    let half = |bytes: &[u8]| Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let word = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?));
    if half(answer.get(4..)?)? != kernel::SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let length = word(answer)? as usize;
    let mut rest = answer.get(kernel::HEADER + kernel::MESSAGE..length)?;
    while rest.len() >= 4 {
        let (length, kind) = (usize::from(half(rest)?), half(&rest[2..])?);
        if kind == kernel::UNIX_DIAG_RQLEN {
            return word(rest.get(4..)?);
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
    None
}

impl std::os::fd::AsFd for SocketDiagnosis {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Connections that wait at a listening socket, TCP or unix; `None` where that cannot be known. `diagnosis`: for unix
/// sockets.
pub fn waiting_connections(listener: BorrowedFd<'_>, diagnosis: Option<&SocketDiagnosis>) -> Option<u32> {
    let address: SockaddrStorage = getsockname(listener.as_raw_fd()).ok()?;
    match address.family()? {
        AddressFamily::Inet | AddressFamily::Inet6 => waiting_at_tcp(listener),
        AddressFamily::Unix => {
            let inode = fstat(listener).ok()?.st_ino;
            diagnosis?.waiting(u32::try_from(inode).ok()?).ok()
        }
        _ => None,
    }
}

fn waiting_at_tcp(listener: BorrowedFd<'_>) -> Option<u32> {
    // SAFETY: tcp_info is plain numbers; all zeroes are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: pointer and length are those of a live local, which the kernel fills at most.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    // Of a listening socket it says how long the queue is (tcp(7) does not, the kernel's tcp_get_info does).
    (result == 0).then_some(info.tcpi_unacked)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn what_waits_is_counted_for_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(waiting_connections(listener.as_fd(), None), Some(0));
        let _clients = [0; 3].map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        assert_eq!(waiting_connections(listener.as_fd(), None), Some(3));
        listener.accept().unwrap();
        assert_eq!(waiting_connections(listener.as_fd(), None), Some(2));
    }

    #[test]
    fn what_waits_is_counted_for_unix_sockets_where_the_kernel_tells() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(waiting_connections(listener.as_fd(), None), None);
        let diagnosis = SocketDiagnosis::open().unwrap();
        let before = waiting_connections(listener.as_fd(), Some(&diagnosis));
        let _clients = [0; 3].map(|_| UnixStream::connect(&path).unwrap());
        let after = waiting_connections(listener.as_fd(), Some(&diagnosis));
        assert!(
            (before, after) == (Some(0), Some(3)) || (before, after) == (None, None),
            "{before:?} {after:?}"
        );
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        let whole = {
            let mut bytes = request(7);
            bytes.truncate(kernel::HEADER + kernel::MESSAGE);
            bytes.extend([12, 0, 4, 0, 5, 0, 0, 0, 9, 0, 0, 0]);
            let length = bytes.len() as u32;
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes
        };
        if cfg!(target_endian = "little") {
            assert_eq!(queue_length(&whole), Some(5));
        }
        for end in 0..whole.len() {
            let _ = queue_length(&whole[..end]);
        }
        assert_eq!(queue_length(&[2; 64]), None);
    }
}
