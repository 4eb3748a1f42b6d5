//! Processes, privileges, signals.

use crate::config::definition::{Definition, Kind, Theme};

const fn option(name: &'static str, kind: Kind, help: &'static str) -> Definition {
    Definition::new(name, kind, Theme::Processes, help)
}

pub(super) const OPTIONS: &[Definition] = &[
    option(
        "master",
        Kind::Flag,
        "a process that starts, watches and reloads the workers",
    )
    .short('M')
    .default("true")
    .unlike("false"),
    option(
        "processes",
        Kind::Number {
            least: 1,
            most: 10_000,
            unit: "N",
        },
        "worker processes",
    )
    .aliases(&["workers"])
    .short('p')
    .default("1"),
    option(
        "threads",
        Kind::Number {
            least: 1,
            most: 1024,
            unit: "N",
        },
        "requests that a worker handles at a time; for ASGI, where Python has no global lock, its loops",
    )
    .default("1"),
    option(
        "spare-threads",
        Kind::Number {
            least: 0,
            most: 1024,
            unit: "N",
        },
        "threads that a worker may have beside those: each stands in for one whose streamed answer waits for its client",
    )
    .default("64"),
    option(
        "uid",
        Kind::Text("USER"),
        "run as this user once the sockets are open",
    )
    .aliases(&["immediate-uid"]),
    option(
        "gid",
        Kind::Text("GROUP"),
        "run as this group once the sockets are open",
    )
    .aliases(&["immediate-gid"]),
    option("umask", Kind::Octal, "mask of the modes of new files"),
    option("pidfile", Kind::File, "write the master's pid here at start"),
    option(
        "pidfile2",
        Kind::File,
        "write the master's pid here once it runs as uid and gid",
    ),
    option(
        "safe-pidfile",
        Kind::File,
        "write the master's pid here once everything is up",
    ),
    option("safe-pidfile2", Kind::File, "another file as safe-pidfile"),
    option(
        "vacuum",
        Kind::Flag,
        "remove unix sockets and pid files at the end",
    )
    .default("false"),
    option(
        "daemonize",
        Kind::File,
        "leave the terminal and write the log to this file",
    )
    .aliases(&["daemonize2"])
    .short('d'),
    option(
        "die-on-term",
        Kind::Flag,
        "TERM stops gracefully; if false it reloads at once, as in uWSGI",
    )
    .default("true")
    .unlike("false"),
    option(
        "worker-reload-mercy",
        Kind::Number {
            least: 1,
            most: 86_400,
            unit: "SECONDS",
        },
        "how long a worker that was asked to leave may take before it is killed",
    )
    .default("60"),
    option(
        "master-fifo",
        Kind::File,
        "take commands, a byte each, from this named pipe; where several are named a digit chooses one",
    )
    .repeats(),
    option(
        "reload-mercy",
        Kind::Number {
            least: 1,
            most: 86_400,
            unit: "SECONDS",
        },
        "worker-reload-mercy, where that is not said",
    ),
    option(
        "cpu-affinity",
        Kind::Number {
            least: 0,
            most: 1024,
            unit: "N",
        },
        "keep each worker on so many processors: the first on the first ones, and so on; 0 is off",
    )
    .default("0"),
    option(
        "touch-reload",
        Kind::File,
        "reload when this file, which need not exist yet, is touched",
    )
    .repeats(),
    option(
        "touch-chain-reload",
        Kind::File,
        "reload one worker at a time when this file is touched",
    )
    .repeats(),
    option(
        "touch-workers-reload",
        Kind::File,
        "replace the workers when this file is touched: the new ones have the same code, unless lazy-apps is on",
    )
    .repeats(),
    option(
        "auto-procname",
        Kind::Flag,
        "show what each process is in its title",
    )
    .default("false"),
    option("procname", Kind::Text("TITLE"), "title of every process"),
    option("procname-master", Kind::Text("TITLE"), "title of the master"),
    option(
        "procname-prefix",
        Kind::Text("TEXT"),
        "put this in front of every title",
    ),
    option(
        "procname-prefix-spaced",
        Kind::Text("TEXT"),
        "the same, followed by a blank",
    ),
    option(
        "procname-append",
        Kind::Text("TEXT"),
        "put this behind every title",
    ),
    Definition::new(
        "max-fd",
        Kind::Number {
            least: 64,
            most: 1 << 30,
            unit: "N",
        },
        Theme::Processes,
        "how many descriptors each process may have open; as many as whoever starts it allows if nothing is said",
    ),
];
