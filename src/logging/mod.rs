//! The log.

mod access;

pub use access::AccessLog;
