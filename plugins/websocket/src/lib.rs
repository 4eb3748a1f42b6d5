//! The WebSocket protocol (RFC 6455), the server's side. Bytes in, events out; messages in, bytes out.
//!
//! A [`WebSocket`] is one connection after its handshake. Sockets, threads and clocks are the server's business:
//! it hands over what arrived, sends what was put into an [`Outbound`](uwrs_api::Outbound), and says what time it is
//! where that matters.

mod close;
mod frame;
mod incoming;
mod mask;
mod settings;
mod socket;
mod utf8;

pub use close::{CloseCode, CloseFrame, InvalidClose, Violation};
pub use incoming::MessageKind;
pub use settings::Settings;
pub use socket::{Event, NotOpen, State, WebSocket};
pub use utf8::Utf8;
