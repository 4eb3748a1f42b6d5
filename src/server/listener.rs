//! [`Listener`]: a listening socket as the loop sees it: what it accepts and which protocol those connections speak.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use socket2::SockRef;
use uwrs_api::{ConnectionInfo, Peer, Protocol};

use crate::config::{Limits, ProtocolKind};
use crate::sys;

use super::ferry::Origin;
use super::stream::Stream;

/// Makes the server's side of a new connection's protocol.
pub type Speak = fn(&Limits) -> Box<dyn Protocol>;

/// A listening socket, shared with other workers.
pub struct Listener {
    socket: Socket,
    speak: Speak,
    /// What every connection is told; only the peer differs.
    info: Arc<ConnectionInfo>,
    origin: Option<Origin>,
    /// Those who wait here are not accepted until there is room for another request.
    pub(crate) is_held: bool,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// From a socket that listens and does not block. `port` is `None` for a unix socket.
    pub fn new(fd: OwnedFd, speak: Speak, server_name: &str, port: Option<u16>) -> Self {
        let info = ConnectionInfo {
            peer: Peer::Unix,
            server_name: server_name.into(),
            server_port: port.map(|port| port.to_string()).unwrap_or_default().into(),
            socket_path: path_of(&fd),
            tls: false,
        };
        let socket = match port {
            Some(_) => Socket::Tcp(TcpListener::from_std(fd.into())),
            None => Socket::Unix(UnixListener::from_std(fd.into())),
        };
        Self {
            socket,
            speak,
            info: Arc::new(info),
            origin: None,
            is_held: false,
        }
    }

    /// Its connections may go to other workers, where that protocol is known as well.
    #[must_use]
    pub fn of_protocol(mut self, protocol: ProtocolKind) -> Self {
        let port = self.info.server_port.parse().ok();
        self.origin = Some(Origin { protocol, port });
        self
    }

    /// What other workers are told of its connections; `None`: they can't go there.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// The next connection that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does; else whatever accept(2) gives (EMFILE, ECONNABORTED, …).
    pub(crate) fn accept(&self) -> io::Result<(Stream, Arc<ConnectionInfo>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                let info = ConnectionInfo {
                    peer: Peer::Inet(address),
                    ..(*self.info).clone()
                };
                Ok((Stream::Tcp(stream), Arc::new(info)))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), self.info.clone()))
            }
        }
    }

    /// Does anyone wait?
    pub(crate) fn has_visitors(&self) -> bool {
        let waits = sys::wait_readable(&[self.as_fd()], Some(Duration::ZERO));
        waits.map_or(true, |waits| waits.contains(&true))
    }

    /// The protocol's side of a connection accepted here.
    pub(crate) fn speak(&self, limits: &Limits) -> Box<dyn Protocol> {
        (self.speak)(limits)
    }
}

/// Where a unix socket is bound, or the one that the connection was accepted at.
pub(super) fn path_of(socket: impl AsFd) -> Option<Arc<Path>> {
    let bound = SockRef::from(&socket).local_addr().ok()?;
    if let Some(name) = bound.as_abstract_namespace() {
        let name = [b"@", name].concat();
        return Some(Path::new(OsStr::from_bytes(&name)).into());
    }
    bound.as_pathname().map(Arc::from)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}
