//! The server: the event loop and the connections it owns. It moves bytes between sockets, protocols and gateways;
//! what the bytes mean is decided in [`crate::protocol`], what is answered in a gateway.

mod body;
mod clock;
mod connection;
mod event_loop;
mod exchange;
mod listener;
mod mailbox;
mod services;
mod stream;

pub use event_loop::{EventLoop, ForeignToken};
pub(crate) use exchange::Record;
pub use listener::{Listener, Speak};
pub use services::Services;

#[cfg(test)]
mod tests;
