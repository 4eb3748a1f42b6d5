//! Options and configuration: what was said ([`Options`]), then what it means ([`Config`]). Pure: no sockets, no
//! clock, no processes.

mod resolved;

pub use resolved::*;
