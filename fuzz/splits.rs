//! The same bytes, cut in several ways, must give the same run.

use crate::drive::Run;

/// Runs `bytes` whole, byte by byte, and cut at places that the bytes themselves choose.
///
/// # Panics
///
/// If two of the runs differ.
pub fn check(bytes: &[u8], run: impl Fn(Vec<&[u8]>) -> Run) {
    let whole = run(vec![bytes]);
    assert_eq!(whole, run(bytes.chunks(1).collect()), "byte by byte");
    let size = 2 + bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % 13;
    assert_eq!(whole, run(bytes.chunks(size).collect()), "in pieces of {size}");
}
