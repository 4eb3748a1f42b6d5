//! The WebSocket protocol (RFC 6455), the server's side. Bytes in, events out; messages in, bytes out.
//!
//! A [`Handshake`] is found in a request, and a [`WebSocket`] is the connection after it. Sockets, threads and clocks are the server's business:
//! it hands over what arrived, sends what was put into an [`Outbound`](uwrs_api::Outbound), and says what time it is
//! where that matters.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use uwrs_api::{Inbound, Outbound};
//! use uwrs_websocket::{Event, Settings, WebSocket};
//!
//! // From `Handshake::open`, once the answer is on its way.
//! let mut socket = WebSocket::new(Arc::new(Settings::default()), Instant::now());
//! let mut output = Outbound::default();
//!
//! // A text, "Hello", as RFC 6455 §5.7 has it.
//! let arrived = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! let mut input = Inbound::new(&arrived);
//! loop {
//!     match socket.receive(&mut input, &mut output) {
//!         // What is left of `input` comes again, with more behind it.
//!         Event::Starved => break,
//!         Event::Text(text) => socket.send_text(text.as_str(), &mut output)?,
//!         Event::Binary(bytes) => socket.send_binary(&bytes, &mut output)?,
//!         Event::Ping | Event::Pong => {}
//!         // The state is `Closed`: write the output, then close the connection.
//!         Event::Closed(_) | Event::Failed(_) => {}
//!     }
//! }
//! assert_eq!(output.slices(9).collect::<Vec<_>>().concat(), b"\x81\x05Hello");
//!
//! // When nothing arrives until then: `socket.on_deadline(now, &mut output)`.
//! assert!(socket.next_deadline().is_some());
//! # Ok::<(), uwrs_websocket::NotOpen>(())
//! ```

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
mod store;
mod timer;
mod utf8;

pub use close::{CloseCode, CloseFrame, InvalidClose, Violation};
pub use deflate::DeflateSettings;
pub use handshake::{Handshake, NotOffered, Rejection};
pub use incoming::MessageKind;
pub use settings::Settings;
pub use socket::{Event, Lapse, NotOpen, State, WebSocket};
pub use store::Store;
pub use utf8::Utf8;
