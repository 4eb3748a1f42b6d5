//! HTTP/1 from arbitrary bytes: nothing panics, the contract of `Protocol` holds, and cuts don't matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use uwrs::protocol::{HeadLimits, Http1, Http1Options};

#[path = "../../tests/wire/drive.rs"]
mod drive;
#[path = "../splits.rs"]
mod splits;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 256,
    fields: 8,
    body_bytes: Some(128),
};

fuzz_target!(|bytes: &[u8]| {
    splits::check(bytes, |pieces| {
        drive::drive(Http1::new(LIMITS, Http1Options::default()), pieces)
    });
});
