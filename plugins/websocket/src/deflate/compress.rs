//! One message compressed (RFC 7692 §7.2.1), with this thread's compressor.

use std::cell::Cell;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Method, Status, Strategy};

/// What a flushed block ends with, which is left out on the wire (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// It belongs to no connection: each message sets it back.
    static COMPRESSOR: Cell<Option<Box<Compressor>>> = const { Cell::new(None) };
}

struct Compressor {
    level: u8,
    window_bits: u8,
    stream: Deflate,
}

impl Compressor {
    fn new(level: u8, window_bits: u8) -> Self {
        let config = DeflateConfig {
            level: i32::from(level.clamp(1, 9)),
            method: Method::Deflated,
            // Negative: without a header.
            window_bits: -i32::from(window_bits.clamp(9, 15)),
            mem_level: 8,
            strategy: Strategy::Default,
        };
        Self {
            level,
            window_bits,
            stream: Deflate::new_with_config(config),
        }
    }
}

/// Compresses `message`, which may refer to `history`. `None`: it would not become shorter.
pub(super) fn compress(message: &[u8], history: &[u8], level: u8, window_bits: u8) -> Option<Vec<u8>> {
    COMPRESSOR.with(|spare| {
        let have = spare.take();
        let have = have.filter(|have| have.level == level && have.window_bits == window_bits);
        let mut compressor = have.unwrap_or_else(|| Box::new(Compressor::new(level, window_bits)));
        let compressed = run(&mut compressor.stream, message, history);
        spare.set(Some(compressor));
        compressed
    })
}

fn run(stream: &mut Deflate, message: &[u8], history: &[u8]) -> Option<Vec<u8>> {
    stream.reset();
    if !history.is_empty() {
        stream.set_dictionary(history).ok()?;
    }
    // Less than the message, or it is not worth it. Most become half as long, or shorter.
    let limit = message.len() + TAIL.len() - 1;
    let mut output = Vec::new();
    let mut step = message.len() / 2 + 64;
    loop {
        let (consumed, produced) = (stream.total_in() as usize, stream.total_out() as usize);
        output.resize((produced + step).min(limit), 0);
        let status = stream.compress(
            &message[consumed..],
            &mut output[produced..],
            DeflateFlush::SyncFlush,
        );
        let produced = stream.total_out() as usize;
        match status {
            // Room is left: all of it is there.
            Ok(Status::Ok | Status::BufError) if produced < output.len() => {
                output.truncate(produced);
                break;
            }
            Ok(Status::Ok | Status::BufError) if produced < limit => step = message.len(),
            _ => return None,
        }
    }
    // A part of the message (of one past 4 GiB, which is more than a call takes) is not the message.
    if stream.total_in() != message.len() as u64 || !output.ends_with(&TAIL) {
        return None;
    }
    output.truncate(output.len() - TAIL.len());
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_become_shorter_is_left_as_it_is() {
        // No two bytes the same way twice.
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(100_000)
        .collect();
        for length in [1, 5, 100, 1000, 100_000] {
            assert_eq!(compress(&noise[..length], &[], 2, 15), None, "{length}");
        }
    }

    #[test]
    fn the_rfcs_own_example_is_as_short_as_there() {
        // RFC 7692 §7.2.3.2: the second "Hello" refers to the first.
        let second = compress(b"HelloHelloHello", b"Hello", 6, 15).unwrap();
        assert!(second.len() <= 6, "{second:x?}");
    }
}
