//! The server: the event loop and the connections it owns. It moves bytes between sockets, protocols and gateways;
//! what the bytes mean is decided in [`crate::protocol`], what is answered in a gateway.

mod batch;
mod body;
mod capacity;
mod clock;
mod connection;
mod deadlines;
mod dispatch;
mod event_loop;
mod exchange;
mod ferry;
mod flusher;
mod idle;
mod listener;
mod mailbox;
mod occurrence;
mod overload;
mod schedule;
mod services;
mod stints;
mod strays;
mod stream;

pub(crate) use capacity::{RESERVE, connections_within};
pub(crate) use connection::Sending;
pub(crate) use deadlines::{Deadlines, current_exchange};
pub(crate) use dispatch::take_charge;
pub use dispatch::{Pulled, Work};
pub use event_loop::{EventLoop, ForeignToken, Landing};
pub(crate) use exchange::Record;
pub use ferry::Ferry;
pub(crate) use flusher::Flusher;
pub use listener::{Listener, Speak};
pub(crate) use mailbox::{Mailbox, call_in_person, employ};
pub use services::Services;
pub use stints::{Stint, Stints};

#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod tests;
