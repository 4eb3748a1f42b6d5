//! The scoreboard: shared memory, one slot a worker, read by the master without ever waiting for one.

/// The table.
#[derive(Debug)]
pub struct Scoreboard;
