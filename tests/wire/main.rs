//! The protocols as a peer sees them, without a socket: bytes go in, events and bytes come out.
//!
//! - `http1/*.wire`, `uwsgi/*.wire`: cases as files (see `case.rs` for their format); adding one needs no
//!   Rust.
//! - `splits.rs`: however bytes are cut, the same happens.
//! - `orders.rs`: whatever order a server makes its calls in, promises are kept.
//! - `replies.rs`: answers, read back by a client of our own.

#![expect(clippy::panic, reason = "a test says by panicking what is wrong")]

mod case;
mod client;
mod drive;
mod orders;
mod replies;
mod splits;
