//! [`Exchange`]: one request and the duty to answer it, as they travel to a gateway and back.

use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::{Reply, Request};

/// Names one exchange of one connection of one worker; never used twice in a worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId {
    /// The connection's place in the worker's table.
    pub slot: u32,
    /// Counts exchanges of the worker, so that a late answer can't reach a later request.
    pub serial: u64,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address and a port.
    Inet(SocketAddr),
    /// A process on the other side of a unix socket.
    Unix,
}

impl Peer {
    /// Is it on the same machine, by its address?
    pub fn is_near(&self) -> bool {
        match self {
            Self::Inet(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix => true,
        }
    }
}

impl fmt::Display for Peer {
    /// As logs name it: `127.0.0.1:50000`, `a unix socket`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix => f.write_str("a unix socket"),
        }
    }
}

/// What is known of a connection before a byte was read.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: Peer,
    /// SERVER_NAME for requests that bring none: the host's name.
    pub server_name: Arc<str>,
    /// SERVER_PORT for requests that bring none: the listener's port, empty on a unix socket.
    pub server_port: Arc<str>,
    /// The path of the listener's unix socket, `@name` for one of Linux's abstract namespace. `None` on an address.
    pub socket_path: Option<Arc<Path>>,
    /// `true` where the listener itself speaks TLS.
    pub tls: bool,
}

/// The body of a request.
#[derive(Debug, Default)]
pub enum Body {
    /// None, or of length 0.
    #[default]
    Empty,
    /// In memory.
    Memory(Vec<u8>),
    /// In an unlinked temporary file, to be read from its start.
    File {
        /// Positioned at 0.
        file: File,
        /// Bytes in it.
        length: u64,
    },
    /// The beginning of it, in memory; the rest is on its way ([`BodyMode::Streamed`](crate::BodyMode::Streamed)).
    Begun(Vec<u8>),
}

impl Body {
    /// Bytes of it that are here.
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Memory(bytes) | Self::Begun(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Has it no bytes, as far as is known?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One request and the duty to answer it.
pub struct Exchange {
    /// The head.
    pub request: Arc<Request>,
    /// The body: complete, unless it is [`Body::Begun`].
    pub body: Body,
    /// The connection it came by.
    pub connection: Arc<ConnectionInfo>,
    /// Where the answer goes.
    pub responder: Responder,
}

/// Where replies are left for the loop that owns the connection.
pub trait Post: Send + Sync {
    /// Leaves `reply` for the exchange `id`. Wakes the loop if it is another thread's.
    fn post(&self, id: ExchangeId, reply: Reply);

    /// Has what was left for the exchange `id` handed to the kernel before this returns. For the thread that has the
    /// exchange in hand, amidst [`Gateway::handle`](crate::Gateway::handle); may wait for the client, so nothing that
    /// others need should be held. `false`: the client is gone.
    fn send_now(&self, id: ExchangeId) -> bool {
        let _ = id;
        true
    }
}

/// The duty to answer one exchange. Dropped unanswered it posts [`Reply::Abort`], which becomes a 500.
pub struct Responder {
    id: ExchangeId,
    post: Option<Arc<dyn Post>>,
}

impl Responder {
    /// For the exchange `id`, whose answers `post` takes.
    pub fn new(id: ExchangeId, post: Arc<dyn Post>) -> Self {
        Self { id, post: Some(post) }
    }

    /// Answers; the duty is done.
    pub fn respond(mut self, reply: Reply) {
        if let Some(post) = self.post.take() {
            post.post(self.id, reply);
        }
    }

    /// Sends an interim answer (1xx); the duty remains.
    pub fn interim(&self, reply: crate::ResponseHead) {
        if let Some(post) = &self.post {
            post.post(self.id, Reply::Interim(reply));
        }
    }

    /// What sends the beginning of an answer, or interim ones, before this does its duty.
    pub fn forerunner(&self) -> Option<Forerunner> {
        let post = Arc::clone(self.post.as_ref()?);
        Some(Forerunner { id: self.id, post })
    }

    /// Which exchange it is.
    pub fn id(&self) -> ExchangeId {
        self.id
    }

    /// The same duty, where both directions are streamed.
    pub fn into_conversation(mut self) -> Option<crate::Conversation> {
        let post = self.post.take()?;
        Some(crate::Conversation::new(self.id, post))
    }
}

/// Sends what goes before the end of an answer, while the application is at work on the rest: interim answers (1xx), then
/// the head and parts of the body. The [`Responder`] sends the rest then ([`Reply::Rest`]). What comes after that is
/// dropped.
///
/// Each call hands what it is given to the kernel, and may wait for the client. `false`: it is gone.
#[derive(Clone)]
pub struct Forerunner {
    id: ExchangeId,
    post: Arc<dyn Post>,
}

impl Forerunner {
    /// Sends an interim answer.
    pub fn interim(&self, head: crate::ResponseHead) -> bool {
        self.send(Reply::Interim(head))
    }

    /// Begins the answer.
    pub fn begin(&self, head: crate::ResponseHead, first: crate::Bytes) -> bool {
        let body = crate::ReplyBody::Pushed(first);
        self.send(Reply::Response { head, body })
    }

    /// Goes on with its body.
    pub fn push(&self, piece: crate::Bytes) -> bool {
        self.send(Reply::Piece(piece))
    }

    fn send(&self, reply: Reply) -> bool {
        self.post.post(self.id, reply);
        self.post.send_now(self.id)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(post) = self.post.take() {
            post.post(self.id, Reply::Abort);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_near_when_its_address_never_leaves_the_machine() {
        let inet = |address: &str| Peer::Inet(address.parse().unwrap());
        for near in [
            Peer::Unix,
            inet("127.0.0.2:1"),
            inet("[::1]:1"),
            inet("[::ffff:127.0.0.1]:1"),
        ] {
            assert!(near.is_near(), "{near}");
        }
        for far in [
            inet("10.0.0.1:1"),
            inet("[fe80::1]:1"),
            inet("[::ffff:10.0.0.1]:1"),
        ] {
            assert!(!far.is_near(), "{far}");
        }
    }
}
