//! Protocols as state machines.

use uwrs_api::Protocol;

use crate::config::{Limits, ProtocolKind};

/// The server's side of a new connection.
pub fn new(kind: ProtocolKind, limits: &Limits) -> Box<dyn Protocol> {
    let _ = (kind, limits);
    unimplemented!()
}
