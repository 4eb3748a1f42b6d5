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
    /// Fields are to follow the body ([`Reply::Trailers`]). To be said only where the request takes them
    /// ([`Request::takes_trailers`](crate::Request::takes_trailers)).
    pub has_trailers: bool,
    /// Fields in order, names as the application wrote them. `Connection`, `Transfer-Encoding`, `Keep-Alive`
    /// and other hop-by-hop fields are the protocol's business: it leaves them out.
    fields: Vec<Field>,
}

/// Where a field lies in the text: as the line that HTTP/1 sends, `name: value` and a line end.
#[derive(Clone, Copy, Debug)]
struct Field {
    line: Span,
    /// Bytes.
    name: u32,
}

impl Field {
    const MARK: &[u8] = b": ";
    const END: &[u8] = b"\r\n";
}

/// A field of a [`ResponseHead`].
#[derive(Clone, Copy, Debug)]
pub struct FieldLine<'a> {
    /// As the application wrote it.
    pub name: &'a [u8],
    /// As the application wrote it.
    pub value: &'a [u8],
    /// `name: value` and CRLF.
    pub line: &'a [u8],
}

impl ResponseHead {
    /// A head with a status and nothing else.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// A head without fields that has room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self {
            text: Text::with_capacity(64 + 32 * fields),
            fields: Vec::with_capacity(fields),
            ..Self::default()
        }
    }

    /// Adds a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let line = self.text.push_all([name, Field::MARK, value, Field::END]);
        let name = name.len() as u32;
        self.fields.push(Field { line, name });
    }

    /// The fields in order: names and values.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines().map(|field| (field.name, field.value))
    }

    /// The fields in order, as lines too.
    pub fn lines(&self) -> impl Iterator<Item = FieldLine<'_>> {
        self.fields.iter().filter_map(|field| {
            let line = self.text.get(field.line);
            let (name, rest) = line.split_at_checked(field.name as usize)?;
            let value = rest.get(Field::MARK.len()..rest.len() - Field::END.len())?;
            Some(FieldLine { name, value, line })
        })
    }

    /// How many fields there are.
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The reason phrase as given; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.text.get(self.reason)
    }

    /// Bytes of all names and values, for the access log: as HTTP/1 would send them.
    pub fn field_bytes(&self) -> usize {
        self.fields.iter().map(|field| field.line.len()).sum()
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
    /// A part now, the rest as [`Reply::Piece`]s up to a [`Reply::End`], [`Reply::Trailers`] or a [`Reply::Rest`].
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
    /// The connection leaves its protocol with this head (101, RFC 9110 §15.2.2): from now on what the client sends is a
    /// body without an end, and what is pushed goes to it as it is.
    Switch(ResponseHead),
    /// A part of a pushed body.
    Piece(Bytes),
    /// A pushed body is complete.
    End,
    /// A pushed body is complete, and the fields of this head follow it: its status means nothing. They are left out where
    /// the answer's head did not announce them, or its framing has no place for them.
    Trailers(ResponseHead),
    /// A pushed body ends with this one.
    Rest(ReplyBody),
    /// A pushed body broke: the connection is cut so that the client notices.
    Break,
    /// More of the request's body is wanted (`Expect: 100-continue` is answered).
    ReadOn,
    /// The gateway wants to [`hear`](crate::Gateway::hear) when the client has room for more.
    AskForRoom,
    /// There is no answer: a gateway dropped its [`Responder`](crate::Responder). The server sends a 500.
    Abort,
}

impl Reply {
    /// Does nothing follow it?
    pub fn is_last(&self) -> bool {
        match self {
            Self::Response { body, .. } => !matches!(body, ReplyBody::Pushed(_)),
            Self::End | Self::Trailers(_) | Self::Rest(_) | Self::Break | Self::Abort => true,
            Self::Interim(_) | Self::Switch(_) | Self::Piece(_) | Self::ReadOn | Self::AskForRoom => false,
        }
    }
}
