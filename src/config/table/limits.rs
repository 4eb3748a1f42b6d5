//! What a client may send, how long things may take.

use crate::config::definition::{Definition, Kind, Theme};

const fn option(
    name: &'static str,
    least: u64,
    most: u64,
    unit: &'static str,
    help: &'static str,
) -> Definition {
    Definition::new(name, Kind::Number { least, most, unit }, Theme::Limits, help)
}

pub(super) const OPTIONS: &[Definition] = &[
    option(
        "buffer-size",
        1024,
        16 << 20,
        "BYTES",
        "the largest head of a request: request line and header fields",
    )
    .short('b')
    .default("65536")
    .unlike("4096"),
    option(
        "max-vars",
        16,
        4096,
        "N",
        "half of how many header fields, or uwsgi variables, a request may have",
    )
    .short('v')
    .default("64"),
    option(
        "limit-post",
        0,
        u64::MAX,
        "BYTES",
        "the largest body of a request; 0 is no limit",
    )
    .default("0"),
    option(
        "socket-timeout",
        1,
        86_400,
        "SECONDS",
        "how long a client may pause while it sends a body or takes an answer",
    )
    .short('z')
    .default("30")
    .unlike("4"),
];
