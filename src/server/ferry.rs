//! [`Ferry`]: what carries connections from a worker whose threads are all busy to one that is idle.
//!
//! A pair of sockets that all workers share, with the master and over generations: who is busy sends a connection into
//! one end, and idle workers wait at the other as they wait at listeners, so that the kernel picks one. What nobody has
//! taken yet belongs to no process: none takes it along when it dies. Which connections cross, and when, is the event
//! loop's business.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::config::ProtocolKind;
use crate::sys;

/// First byte of a message: the version of its layout.
const VERSION: u8 = 1;
/// Version, protocol, whether there is a port, the port.
const HEADER_BYTES: usize = 5;
/// Bytes that a connection may take along; the most that a client has sent and nobody has looked at is in its socket.
pub(crate) const UNREAD_BYTES: usize = 32 * 1024;
/// Bytes of a message at most.
pub(super) const MESSAGE_BYTES: usize = HEADER_BYTES + UNREAD_BYTES;

/// Both ends.
#[derive(Debug)]
pub struct Ferry {
    departures: OwnedFd,
    arrivals: OwnedFd,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) protocol: ProtocolKind,
    /// The listener's TCP port; `None`: a unix socket.
    pub(crate) port: Option<u16>,
}

/// A connection between two requests, on its way.
#[derive(Debug)]
pub(crate) struct Passenger {
    pub(crate) stream: OwnedFd,
    pub(crate) origin: Origin,
    /// Received by the worker that it left, and not looked at.
    pub(crate) unread: Vec<u8>,
}

impl Ferry {
    /// A new one, with nobody on it.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> io::Result<Self> {
        let (departures, arrivals) = sys::message_pair()?;
        Ok(Self { departures, arrivals })
    }

    /// From its ends, as a former master left them: see [`Ferry::ends`].
    pub fn from_ends(departures: OwnedFd, arrivals: OwnedFd) -> Self {
        Self { departures, arrivals }
    }

    /// Where connections are sent, and where they are taken.
    pub fn ends(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        (self.departures.as_fd(), self.arrivals.as_fd())
    }

    /// Sends a connection off. It stays open here: the caller closes it.
    ///
    /// # Errors
    /// Too many are on the way (`WouldBlock`), or what sendmsg(2) gives. Then it stays where it is.
    pub(crate) fn send(&self, stream: BorrowedFd<'_>, origin: Origin, unread: &[u8]) -> io::Result<()> {
        let mut message = Vec::with_capacity(HEADER_BYTES + unread.len());
        message.extend_from_slice(&encode(origin));
        message.extend_from_slice(unread);
        sys::send_descriptor(self.departures.as_fd(), &message, stream)
    }

    /// Takes the connection that has been on the way for the longest time; `None`: none is. `scratch`, of
    /// [`MESSAGE_BYTES`] or more, is written to.
    ///
    /// # Errors
    /// What recvmsg(2) gives; `InvalidData`: what was sent is no connection, and is gone.
    pub(crate) fn take(&self, scratch: &mut [u8]) -> io::Result<Option<Passenger>> {
        let Some((count, stream)) = sys::receive_descriptor(self.arrivals.as_fd(), scratch)? else {
            return Ok(None);
        };
        let message = &scratch[..count];
        let Some(origin) = decode(message) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a connection of another version",
            ));
        };
        Ok(Some(Passenger {
            stream,
            origin,
            unread: message[HEADER_BYTES..].to_vec(),
        }))
    }
}

fn encode(origin: Origin) -> [u8; HEADER_BYTES] {
    let protocol = match origin.protocol {
        ProtocolKind::Http => 1,
        ProtocolKind::Uwsgi => 2,
    };
    let [high, low] = origin.port.unwrap_or(0).to_be_bytes();
    [VERSION, protocol, u8::from(origin.port.is_some()), high, low]
}

fn decode(message: &[u8]) -> Option<Origin> {
    let &[VERSION, protocol, has_port, high, low] = message.first_chunk()? else {
        return None;
    };
    let protocol = match protocol {
        1 => ProtocolKind::Http,
        2 => ProtocolKind::Uwsgi,
        _ => return None,
    };
    let port = u16::from_be_bytes([high, low]);
    Some(Origin {
        protocol,
        port: (has_port != 0).then_some(port),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn take(ferry: &Ferry) -> io::Result<Option<Passenger>> {
        ferry.take(&mut [0; MESSAGE_BYTES])
    }

    #[test]
    fn a_connection_arrives_with_its_origin_and_what_was_not_read_although_its_sender_is_gone() {
        let ferry = Ferry::new().unwrap();
        assert!(take(&ferry).unwrap().is_none());
        for port in [Some(8000), Some(0), None] {
            for protocol in [ProtocolKind::Http, ProtocolKind::Uwsgi] {
                let origin = Origin { protocol, port };
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                ferry.send(ours.as_fd(), origin, b"GET").unwrap();
                drop(ours);
                let passenger = take(&ferry).unwrap().unwrap();
                assert_eq!((passenger.origin, &passenger.unread[..]), (origin, &b"GET"[..]));
                UnixStream::from(passenger.stream).write_all(b"hello").unwrap();
                let mut heard = String::new();
                theirs.read_to_string(&mut heard).unwrap();
                assert_eq!(heard, "hello");
            }
        }
        assert!(take(&ferry).unwrap().is_none());
    }

    #[test]
    fn when_too_many_are_on_the_way_the_next_stays_and_none_is_lost() {
        let ferry = Ferry::new().unwrap();
        let origin = Origin {
            protocol: ProtocolKind::Http,
            port: Some(80),
        };
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let unread = vec![7; UNREAD_BYTES];
        let sent = (0..10_000)
            .take_while(|_| ferry.send(ours.as_fd(), origin, &unread).is_ok())
            .count();
        assert!((1..10_000).contains(&sent), "{sent}");
        for _ in 0..sent {
            assert_eq!(take(&ferry).unwrap().unwrap().unread, unread);
        }
        assert!(take(&ferry).unwrap().is_none());
    }

    #[test]
    fn what_is_no_connection_is_an_error() {
        let ferry = Ferry::new().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        for nonsense in [
            &b""[..],
            b"\x01",
            b"\x02\x01\x01\x00\x50",
            b"\x01\x09\x01\x00\x50",
        ] {
            if !nonsense.is_empty() {
                sys::send_message(ferry.departures.as_fd(), nonsense).unwrap();
                assert!(take(&ferry).is_err());
            }
            sys::send_descriptor(ferry.departures.as_fd(), nonsense, ours.as_fd()).unwrap();
            assert!(take(&ferry).is_err());
        }
    }
}
