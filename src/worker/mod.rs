//! A worker: one process with an event loop and an interpreter. This module joins the two and keeps the promises a
//! worker makes to its master; what the loop does is the server's business.

mod seat;

pub use seat::{BoundListener, Departure, Seat};

use uwrs_api::Gateway;

/// Serves until told to leave. Returns when the last exchange is done, or at once where that was asked.
pub fn run(seat: Seat, gateway: Box<dyn Gateway>) -> Departure {
    let _ = (seat, gateway);
    Departure::Drained
}
