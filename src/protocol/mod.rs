//! Protocols as state machines.

use uwrs_api::Protocol;

use crate::config::{Limits, ProtocolKind};

/// What makes the server's side of a new connection.
pub fn speaker(kind: ProtocolKind) -> fn(&Limits) -> Box<dyn Protocol> {
    let _ = kind;
    |_| unimplemented!()
}
