//! The `uwrs` program.

fn main() {}
