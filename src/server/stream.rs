//! [`Stream`]: a connected socket, TCP or unix, non-blocking.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use uwrs_api::{FilePart, Outbound, Peer};

use crate::sys;

/// Runs of bytes that one `writev` takes; bodies rarely come in more pieces.
const SLICES: usize = 16;
/// Bytes of a file that are sent at once: others have their turn in between.
const FILE_BYTES: u64 = 512 * 1024;
/// The same where the kernel can't send the file by itself.
const FILE_BYTES_READ: usize = 64 * 1024;

/// What the kernel is to keep at most of what is sent to an end on the same machine, where more than that waits. It doubles that
/// for its own use. By itself it would take megabytes for each client at once, which have left the processor's caches when
/// they are read.
pub(super) const NEAR_BYTES: usize = 256 * 1024;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// A connected socket that does not block, TCP or unix.
    pub(crate) fn adopt(fd: OwnedFd, is_tcp: bool) -> Self {
        match is_tcp {
            true => Self::Tcp(TcpStream::from_std(fd.into())),
            false => Self::Unix(UnixStream::from_std(fd.into())),
        }
    }

    /// Does it have one of the standard three's numbers, which somebody has closed?
    pub(crate) fn is_astray(&self) -> bool {
        self.as_fd().as_raw_fd() <= 2
    }

    /// The same under another number.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn moved(self) -> io::Result<Self> {
        let is_tcp = matches!(self, Self::Tcp(_));
        Ok(Self::adopt(sys::duplicate_above_standard(self.as_fd())?, is_tcp))
    }

    /// The other end; `None`: it is gone.
    pub(crate) fn peer(&self) -> Option<Peer> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(Peer::Inet),
            Self::Unix(_) => Some(Peer::Unix),
        }
    }

    /// Has the kernel keep at most [`NEAR_BYTES`] of what is sent, for an end on the same machine, which needs no more to be
    /// kept busy.
    pub(crate) fn keep_little(&self) {
        let limited = match self {
            Self::Tcp(stream) => SockRef::from(stream).set_send_buffer_size(NEAR_BYTES),
            // These keep little anyway (`net.core.wmem_default`).
            Self::Unix(_) => Ok(()),
        };
        if let Err(error) = limited {
            log::debug!("SO_SNDBUF: {error}");
        }
    }

    /// Reads once.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// Writes once, as much of `outbound` as the socket takes, and removes that from it.
    ///
    /// # Errors
    /// `WouldBlock`, or what the socket gives. `UnexpectedEof`: a file is shorter than it was when it was to be sent.
    pub(crate) fn write(&mut self, outbound: &mut Outbound) -> io::Result<usize> {
        let written = match outbound.first_file() {
            Some(part) => self.send_file(part),
            None => self.write_slices(outbound),
        }?;
        outbound.advance(written);
        Ok(written)
    }

    fn write_slices(&mut self, outbound: &Outbound) -> io::Result<usize> {
        if let Some(bytes) = outbound.as_one() {
            return self.write_bytes(bytes);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (place, bytes) in slices.iter_mut().zip(outbound.slices(SLICES)) {
            *place = IoSlice::new(bytes);
            count += 1;
        }
        let slices = &slices[..count];
        match (self, slices) {
            // The head of a file, and its beginning right behind it: one packet.
            (Self::Tcp(stream), _) if count < SLICES && outbound.has_file() => {
                SockRef::from(&*stream).send_vectored_with_flags(slices, libc::MSG_MORE | libc::MSG_NOSIGNAL)
            }
            (stream, [slice]) => stream.write_bytes(slice),
            (Self::Tcp(stream), _) => stream.write_vectored(slices),
            (Self::Unix(stream), _) => stream.write_vectored(slices),
        }
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn send_file(&mut self, part: &FilePart) -> io::Result<usize> {
        let count = usize::try_from(part.len().min(FILE_BYTES)).unwrap_or(usize::MAX);
        match sys::send_file(self.as_fd(), part.file().as_fd(), part.offset(), count) {
            Ok(0) => Err(shrunk()),
            // The file system does not offer it (EINVAL), or nothing here does (ENOSYS).
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                self.copy_file(part, count)
            }
            sent => sent,
        }
    }

    /// What the socket does not take is read again the next time.
    fn copy_file(&mut self, part: &FilePart, count: usize) -> io::Result<usize> {
        let mut bytes = vec![0; count.min(FILE_BYTES_READ)];
        let count = part.file().read_at(&mut bytes, part.offset())?;
        if count == 0 {
            return Err(shrunk());
        }
        self.write_bytes(&bytes[..count])
    }

    /// Is there something that was received and not read? Closing now would be a reset.
    pub(crate) fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Self::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Unix(stream) => SockRef::from(stream).peek(&mut byte),
        };
        peeked.is_ok_and(|count| count > 0)
    }

    /// Tells the peer that nothing more will be sent. That it is gone already is no error.
    pub(crate) fn finish_writing(&self) {
        let result = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        if let Err(error) = result {
            log::debug!("shutdown of a connection: {error}");
        }
    }

    /// Makes the coming close a reset: what the client has is not all that there was.
    pub(crate) fn reset_on_close(&self) {
        let result = match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            // A unix socket's end is told apart from its reset by nobody.
            Self::Unix(_) => Ok(()),
        };
        if let Err(error) = result {
            log::debug!("a connection could not be made to reset: {error}");
        }
    }

    /// Is watched no longer.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
        }
    }

    /// Registers for both directions, edge-triggered: once in a connection's life.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, both),
            Self::Unix(stream) => stream.register(registry, token, both),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

fn shrunk() -> io::Error {
    io::Error::new(
        ErrorKind::UnexpectedEof,
        "the file became shorter while it was sent",
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write as _};

    use super::*;

    #[test]
    fn a_socket_that_is_to_keep_little_takes_less_at_once_and_the_rest_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut there = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut stream = Stream::Tcp(TcpStream::from_std(socket));
        stream.keep_little();
        let send_buffer = match &stream {
            Stream::Tcp(socket) => SockRef::from(socket).send_buffer_size().unwrap(),
            Stream::Unix(_) => unreachable!("made above"),
        };
        assert!(send_buffer <= 2 * NEAR_BYTES, "{send_buffer}");
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            there.read_to_end(&mut all).map(|_| all.len())
        });
        let mut left = 8 << 20;
        let bytes = vec![b'x'; left];
        while left > 0 {
            match stream.write_bytes(&bytes[..left]) {
                Ok(count) => left -= count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    sys::wait_writable(stream.as_fd(), Duration::from_secs(10)).unwrap();
                }
            }
        }
        drop(stream);
        assert_eq!(reader.join().unwrap().unwrap(), bytes.len());
    }

    #[test]
    fn a_file_that_the_kernel_does_not_send_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.rewind().unwrap();
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(UnixStream::from_std(ours));
        let mut part = FilePart::new(file, 2, 9);
        let count = stream.copy_file(&part, 5).unwrap();
        assert_eq!(count, 5);
        part.advance(5);
        assert_eq!(stream.copy_file(&part, 4).unwrap(), 3);
        part.advance(3);
        let error = stream.copy_file(&part, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(
            stream.send_file(&part).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        let mut bytes = [0; 8];
        theirs.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"23456789");
    }
}
