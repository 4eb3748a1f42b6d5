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

const fn seconds(name: &'static str, help: &'static str) -> Definition {
    option(name, 1, 86_400, "SECONDS", help)
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
        "websockets-max-size",
        1,
        4 << 20,
        "KIB",
        "the largest message that a WebSocket may bring, after decompression",
    )
    .aliases(&["websocket-max-size"])
    .default("16384")
    .unlike("1024"),
    option(
        "websockets-ping-freq",
        0,
        86_400,
        "SECONDS",
        "how often a WebSocket that says nothing is asked whether it is there; 0: never",
    )
    .aliases(&["websocket-ping-freq"])
    .default("20")
    .unlike("30"),
    seconds(
        "websockets-pong-tolerance",
        "how long a WebSocket may take to answer that before it is given up",
    )
    .aliases(&["websocket-pong-tolerance"])
    .default("20")
    .unlike("3"),
    Definition::new(
        "websockets-compression",
        Kind::Text("takeover|each|off"),
        Theme::Limits,
        "compress messages of WebSockets where clients offer it (permessage-deflate), each with those before it in view, or each \
         by itself, which keeps nothing between them, or not at all",
    )
    .default("takeover"),
    option(
        "limit-post",
        0,
        u64::MAX,
        "BYTES",
        "the largest body of a request; 0 is no limit",
    )
    .default("0"),
    Definition::new(
        "post-buffering",
        Kind::Amount {
            most: 1 << 30,
            unit: "BYTES",
        },
        Theme::Limits,
        "how much of a body is kept in memory; a longer one goes to a temporary file",
    )
    .default("262144"),
    seconds(
        "http-headers-timeout",
        "how long a client may take, from its first byte, to send the head of a request; and how long a new \
         connection may say nothing",
    )
    .aliases(&["head-timeout"])
    .default("10"),
    seconds(
        "body-timeout",
        "how long a client may take to send another KiB of a body, or its end",
    )
    .aliases(&["chunked-input-timeout"])
    .default("30"),
    seconds(
        "so-send-timeout",
        "how long a client may take nothing of the answer that waits for it",
    )
    .aliases(&[
        "send-timeout",
        "socket-write-timeout",
        "so-write-timeout",
        "socket-send-timeout",
    ])
    .default("60"),
    seconds(
        "socket-timeout",
        "body-timeout and so-send-timeout in one, where they are not said",
    )
    .short('z'),
    seconds(
        "http-timeout",
        "the same as socket-timeout; of both, the longer one counts",
    ),
    Definition::new(
        "slow-callback",
        Kind::Text("SECONDS"),
        Theme::Limits,
        "tell in the log what has blocked the event loop of an ASGI application for so long: the coroutine or callback, file \
         and line; 0.25 is a quarter of a second, 0 is never",
    )
    .default("1"),
    option(
        "limit-concurrency",
        1,
        1 << 30,
        "N",
        "how many requests, WebSockets among them, a worker has in hand before more are answered with 503 and Retry-After; \
         those that wait for a thread count, idle connections do not. No limit if nothing is said",
    ),
    option(
        "backpressure",
        1,
        1 << 30,
        "N",
        "how many requests, WebSockets among them, an ASGI worker has in hand before it accepts no more connections: other \
         workers take them, or they wait in the backlog. No limit if nothing is said",
    ),
    option(
        "max-connections",
        1,
        1 << 30,
        "N",
        "how many connections a worker holds; idle ones make room for new ones, and if none is idle, those wait to be \
         accepted. As many as there are descriptors for if nothing is said",
    ),
    Definition::new(
        "http-keepalive",
        Kind::Amount {
            most: 86_400,
            unit: "SECONDS",
        },
        Theme::Limits,
        "how long a connection may wait for its next request, less when more than half of max-connections are \
         open; 0 closes each after its answer",
    )
    .default("65")
    .unlike("0"),
];
