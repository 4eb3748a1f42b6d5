//! [`Conversation`]: the duty to answer an exchange whose body and answer are streamed.

use std::sync::Arc;

use bytes::Bytes;

use crate::{ExchangeId, FilePart, Post, Reply, ReplyBody, ResponseHead};

/// How much of the answer has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Due,
    Begun,
    Over,
}

/// Both directions of an exchange that is streamed. Dropped before the answer is complete it breaks off: with a 500
/// where nothing was answered, else by cutting the connection.
///
/// What is said in the wrong order is not sent.
pub struct Conversation {
    id: ExchangeId,
    post: Arc<dyn Post>,
    stage: Stage,
}

impl Conversation {
    pub(crate) fn new(id: ExchangeId, post: Arc<dyn Post>) -> Self {
        Self {
            id,
            post,
            stage: Stage::Due,
        }
    }

    /// Which exchange it is.
    pub fn id(&self) -> ExchangeId {
        self.id
    }

    /// Answers, with all of the body.
    pub fn respond(&mut self, head: ResponseHead, body: Bytes) {
        if self.stage == Stage::Due {
            self.stage = Stage::Over;
            let body = ReplyBody::Full(body);
            self.say(Reply::Response { head, body });
        }
    }

    /// Answers, with a part of a file as all of the body.
    pub fn respond_file(&mut self, head: ResponseHead, part: FilePart) {
        if self.stage == Stage::Due {
            self.stage = Stage::Over;
            let body = ReplyBody::File { part, owner: None };
            self.say(Reply::Response { head, body });
        }
    }

    /// Begins the answer with a part of the body, which may be empty.
    pub fn begin(&mut self, head: ResponseHead, first: Bytes) {
        if self.stage == Stage::Due {
            self.stage = Stage::Begun;
            let body = ReplyBody::Pushed(first);
            self.say(Reply::Response { head, body });
        }
    }

    /// Leaves the protocol: what follows in both directions is the gateway's business.
    pub fn switch(&mut self, head: ResponseHead) {
        if self.stage == Stage::Due {
            self.stage = Stage::Begun;
            self.say(Reply::Switch(head));
        }
    }

    /// Goes on with the body.
    pub fn push(&mut self, piece: Bytes) {
        if self.stage == Stage::Begun {
            self.say(Reply::Piece(piece));
        }
    }

    /// Ends the body.
    pub fn end(&mut self) {
        if self.stage == Stage::Begun {
            self.stage = Stage::Over;
            self.say(Reply::End);
        }
    }

    /// Ends the body, with fields behind it ([`Reply::Trailers`]).
    pub fn end_with(&mut self, trailers: ResponseHead) {
        if self.stage == Stage::Begun {
            self.stage = Stage::Over;
            self.say(Reply::Trailers(trailers));
        }
    }

    /// Gives up: 500, or a connection that is cut.
    pub fn break_off(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Due => self.say(Reply::Abort),
            Stage::Begun => self.say(Reply::Break),
            Stage::Over => {}
        }
    }

    /// Sends an interim answer (1xx), while none has begun.
    pub fn interim(&self, head: ResponseHead) {
        if self.stage == Stage::Due {
            self.say(Reply::Interim(head));
        }
    }

    /// More of the request's body is wanted.
    pub fn read_on(&self) {
        self.say(Reply::ReadOn);
    }

    /// [`Heard::Room`](crate::Heard::Room) is wanted when the client has room.
    pub fn ask_for_room(&self) {
        self.say(Reply::AskForRoom);
    }

    fn say(&self, reply: Reply) {
        self.post.post(self.id, reply);
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.break_off();
    }
}
