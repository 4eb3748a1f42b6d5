//! The WebSocket protocol (RFC 6455), the server's side. Bytes in, events out; messages in, bytes out.
//!
//! A [`Handshake`] is found in a request, and a [`WebSocket`] is the connection after it. Sockets, threads and clocks are the server's business:
//! it hands over what arrived, sends what was put into an [`Outbound`](uwrs_api::Outbound), and says what time it is
//! where that matters.

mod close;
mod deflate;
mod extension;
mod frame;
mod handshake;
mod incoming;
mod mask;
mod payload;
mod settings;
mod socket;
mod timer;
mod token;
mod utf8;

pub use close::{CloseCode, CloseFrame, InvalidClose, Violation};
pub use deflate::DeflateSettings;
pub use handshake::{Handshake, NotOffered, Rejection};
pub use incoming::MessageKind;
pub use settings::Settings;
pub use socket::{Event, Lapse, NotOpen, State, WebSocket};
pub use utf8::Utf8;
