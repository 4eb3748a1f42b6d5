//! [`Reply`]: what a gateway answers, before any protocol has given it bytes on a wire.

use bytes::Bytes;

use crate::{FilePart, Span, Text};

/// Status and header fields of an answer.
///
/// Whoever builds it has checked that names are tokens (RFC 9110 §5.1) and that neither values nor the reason
/// hold CR, LF or NUL: protocols write what they find.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// What the spans point into.
    pub text: Text,
    /// 100 to 999.
    pub status: u16,
    /// Reason phrase; empty: the standard one of the status.
    pub reason: Span,
    /// Fields in order, names as the application wrote them. `Connection`, `Transfer-Encoding`, `Keep-Alive`
    /// and other hop-by-hop fields are the protocol's business: it leaves them out.
    pub fields: Vec<(Span, Span)>,
}

impl ResponseHead {
    /// A head with a status and nothing else.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Adds a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let pair = (self.text.push(name), self.text.push(value));
        self.fields.push(pair);
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|&(name, value)| (self.text.get(name), self.text.get(value)))
    }

    /// The reason phrase as given; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.text.get(self.reason)
    }

    /// Bytes of all names and values, for the access log.
    pub fn field_bytes(&self) -> usize {
        self.fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum()
    }
}

/// How long an answer's body will be, as far as the one who starts it knows. A Content-Length among the head's
/// fields takes precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// All of it is at hand: this many bytes.
    Known(u64),
    /// It ends when it ends.
    Unknown,
}

/// The body of an answer.
pub enum ReplyBody {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// All of it, in a file.
    File {
        /// What is sent.
        part: FilePart,
        /// What is to know when that is done: pulled (it has nothing to give) when most is sent, dropped when the
        /// client is gone before.
        owner: Option<Box<dyn BodySource>>,
    },
    /// A part now, the rest when the client has room: pulled by the server, never pushed.
    Source {
        /// What is at hand: goes out with the head. May be empty.
        first: Bytes,
        /// What gives the rest. Dropped when exhausted or when the client is gone, whichever is first.
        rest: Box<dyn BodySource>,
    },
    /// A part now, the rest as [`Reply::Piece`]s up to a [`Reply::End`]. For exchanges that are streamed.
    Pushed(Bytes),
}

/// What gives a body piece by piece. Dropping it is how the one who made it learns that no more is wanted.
pub trait BodySource: Send {
    /// The next piece. Called whenever the client's window has room, on the loop's thread or any other that runs
    /// applications.
    fn pull(&mut self) -> Pull;
}

/// What a [`BodySource`] gave.
pub enum Pull {
    /// Some bytes. An empty piece is allowed and sends nothing.
    Data(Bytes),
    /// Some bytes that are in a file.
    File(FilePart),
    /// The body is complete.
    End,
    /// It broke after the head had gone: the connection is cut so that the client notices.
    Failed,
}

/// What a gateway answers.
pub enum Reply {
    /// A whole answer, or one whose body is pulled.
    Response {
        /// Status and fields.
        head: ResponseHead,
        /// The body.
        body: ReplyBody,
    },
    /// An interim answer (1xx, RFC 9110 §15.2): `103 Early Hints`. A response follows.
    Interim(ResponseHead),
    /// A part of a pushed body.
    Piece(Bytes),
    /// A pushed body is complete.
    End,
    /// A pushed body broke: the connection is cut so that the client notices.
    Break,
    /// More of the request's body is wanted (`Expect: 100-continue` is answered).
    ReadOn,
    /// The gateway wants to [`hear`](crate::Gateway::hear) when the client has room for more.
    AskForRoom,
    /// There is no answer: a gateway dropped its [`Responder`](crate::Responder). The server sends a 500.
    Abort,
}
