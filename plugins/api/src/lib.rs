//! The contract between uwrs and its plug-ins: what a request is, what an answer is, and the two traits
//! that meet in them.
//!
//! A [`Protocol`] turns bytes into [`Request`]s and [`Reply`]s into bytes; a [`Gateway`] turns an
//! [`Exchange`] into a reply. Neither knows the other, nor sockets, clocks and threads: those are the server's.

mod conversation;
mod driver;
mod exchange;
mod file;
mod gateway;
mod octets;
mod protocol;
mod reply;
mod request;
mod runtime;
mod text;

pub use conversation::Conversation;
pub use driver::{Delivered, Driver, Frame, Observer, Turned, Turns};
pub use exchange::{Body, ConnectionInfo, Exchange, ExchangeId, Forerunner, Peer, Post, Responder};
pub use file::FilePart;
pub use gateway::{Appetite, BodyMode, Gateway, Heard};
pub use octets::{
    has_nul, is_blank, is_field_value, is_token, is_token_byte, is_value_byte, list, list_with_gaps, trim,
};
pub use protocol::{Event, Inbound, Outbound, Protocol, ProtocolState, Refusal, Segment};
pub use reply::{BodyLength, BodySource, FieldLine, Pull, Reply, ReplyBody, ResponseHead};
pub use request::{BodyFraming, Request, Version};
pub use runtime::{ForkStage, LoadError, LoadedApp, Runtime, WorkerFacts};
pub use text::{Span, Text};

pub use bytes::Bytes;
