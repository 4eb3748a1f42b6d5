//! [`Stream`]: a connected socket, TCP or unix, non-blocking.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use uwrs_api::Outbound;

/// Runs of bytes that one `writev` takes; bodies rarely come in more pieces.
const SLICES: usize = 16;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Reads once.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// Writes once, as much of `outbound` as the socket takes, and removes that from it.
    pub(crate) fn write(&mut self, outbound: &mut Outbound) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (place, bytes) in slices.iter_mut().zip(outbound.slices(SLICES)) {
            *place = IoSlice::new(bytes);
            count += 1;
        }
        let written = match (self, count) {
            (Self::Tcp(stream), 1) => stream.write(&slices[0]),
            (Self::Unix(stream), 1) => stream.write(&slices[0]),
            (Self::Tcp(stream), _) => stream.write_vectored(&slices[..count]),
            (Self::Unix(stream), _) => stream.write_vectored(&slices[..count]),
        }?;
        outbound.advance(written);
        Ok(written)
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

    /// Registers for both directions, edge-triggered: once in a connection's life.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, both),
            Self::Unix(stream) => stream.register(registry, token, both),
        }
    }
}
