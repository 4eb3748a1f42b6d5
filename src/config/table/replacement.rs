//! When a worker is replaced although it serves.

use crate::config::definition::{Definition, Kind, Theme};

const fn number(name: &'static str, most: u64, unit: &'static str, help: &'static str) -> Definition {
    let kind = Kind::Number { least: 0, most, unit };
    Definition::new(name, kind, Theme::Limits, help).default("0")
}

/// Seconds of a year: more is a mistake.
const YEAR: u64 = 365 * 86_400;
/// Mebibytes of 16 tebibytes.
const MOST_MEGABYTES: u64 = 1 << 24;

pub(super) const OPTIONS: &[Definition] = &[
    number(
        "harakiri",
        YEAR,
        "SECONDS",
        "how long a request may keep the application busy, or under ASGI its client waiting, before the client gets 504; \
         a worker that is stuck with one is replaced; 0 is no limit",
    )
    .short('t'),
    number(
        "harakiri-graceful-timeout",
        YEAR,
        "SECONDS",
        "how long a worker that was replaced for harakiri may take to finish what else it has, and a task that was \
         cancelled for it to end",
    )
    .default("10")
    .unlike("0"),
    Definition::new(
        "harakiri-verbose",
        Kind::Flag,
        Theme::Limits,
        "say which system calls the threads of a worker with a stuck request are in",
    )
    .default("false"),
    Definition::new(
        "boot-timeout",
        Kind::Number {
            least: 1,
            most: YEAR,
            unit: "SECONDS",
        },
        Theme::Limits,
        "how long a generation may take to load the application and to get all workers ready",
    )
    .default("600"),
    number(
        "max-requests",
        u64::MAX,
        "N",
        "replace a worker after so many requests; 0 is never",
    )
    .short('R'),
    number(
        "max-requests-delta",
        u64::MAX,
        "N",
        "add this to max-requests for worker 2, twice for worker 3, and so on",
    ),
    number(
        "max-worker-lifetime",
        YEAR,
        "SECONDS",
        "replace a worker after this time; 0 is never",
    ),
    number(
        "max-worker-lifetime-delta",
        YEAR,
        "SECONDS",
        "add this to max-worker-lifetime for worker 2, twice for worker 3, and so on",
    ),
    number(
        "min-worker-lifetime",
        YEAR,
        "SECONDS",
        "no worker is replaced sooner, unless for max-worker-lifetime, harakiri or an evil-reload",
    )
    .default("10"),
    number(
        "reload-on-rss",
        MOST_MEGABYTES,
        "MB",
        "replace a worker that has so much memory resident; 0 is never",
    ),
    number(
        "reload-on-as",
        MOST_MEGABYTES,
        "MB",
        "replace a worker whose address space is so large; 0 is never",
    ),
    Definition::new(
        "reload-on-exception",
        Kind::Flag,
        Theme::Limits,
        "replace a worker whose application did not catch an exception",
    )
    .default("false"),
    number(
        "evil-reload-on-rss",
        MOST_MEGABYTES,
        "MB",
        "kill a worker that has so much memory resident, whatever it is doing; 0 is never",
    ),
    number(
        "evil-reload-on-as",
        MOST_MEGABYTES,
        "MB",
        "kill a worker whose address space is so large, whatever it is doing; 0 is never",
    ),
];
