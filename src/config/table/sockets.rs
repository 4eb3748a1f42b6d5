//! Listening sockets and what they speak.

use crate::config::definition::{Definition, Kind, Status, Theme};

const fn option(name: &'static str, kind: Kind, help: &'static str) -> Definition {
    Definition::new(name, kind, Theme::Sockets, help)
}

pub(super) const OPTIONS: &[Definition] = &[
    option(
        "http",
        Kind::Address,
        "serve HTTP here, e.g. :8000, 127.0.0.1:8000, [::]:8000, /run/app.sock",
    )
    .aliases(&["httprouter"])
    .repeats(),
    option("http-socket", Kind::Address, "the same as http")
        .aliases(&["http11-socket"])
        .repeats(),
    option(
        "socket",
        Kind::Address,
        "serve the uwsgi protocol here (nginx: uwsgi_pass), or what protocol says",
    )
    .short('s')
    .repeats(),
    option("uwsgi-socket", Kind::Address, "serve the uwsgi protocol here").repeats(),
    option(
        "protocol",
        Kind::Text("uwsgi|http"),
        "what is spoken on the addresses given with socket",
    )
    .aliases(&["socket-protocol"])
    .default("uwsgi"),
    option(
        "listen",
        Kind::Number {
            least: 1,
            most: i32::MAX as u64,
            unit: "N",
        },
        "connections that may wait to be accepted; never more than net.core.somaxconn",
    )
    .short('l')
    .default("1024")
    .unlike("100"),
    option(
        "chmod-socket",
        Kind::SocketMode,
        "mode of unix sockets, three octal digits; 666 if none is given",
    )
    .short('C')
    .aliases(&["chmod"]),
    option(
        "chown-socket",
        Kind::Text("USER[:GROUP]"),
        "owner of unix sockets",
    ),
    option(
        "so-keepalive",
        Kind::Flag,
        "have the kernel probe TCP connections that are silent, so that clients which are gone without a word are noticed",
    )
    .default("false"),
    option(
        "reuse-port",
        Kind::Flag,
        "let other servers that say the same listen on the same TCP ports; the kernel shares connections out among them",
    )
    .default("false"),
    option(
        "freebind",
        Kind::Flag,
        "listen on TCP addresses that no interface of this machine has yet",
    )
    .default("false"),
    option("tcp-nodelay", Kind::Flag, "send small answers at once")
        .default("true")
        .unlike("false")
        .status(Status::Always("answers are sent at once")),
];
