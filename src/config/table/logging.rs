//! Logs.

use crate::config::definition::{Definition, Kind, Theme};

const fn flag(name: &'static str, help: &'static str) -> Definition {
    Definition::new(name, Kind::Flag, Theme::Logging, help).default("false")
}

pub(super) const OPTIONS: &[Definition] = &[
    Definition::new(
        "logto",
        Kind::File,
        Theme::Logging,
        "write the log to this file instead of standard error",
    )
    .aliases(&["logto2"]),
    Definition::new(
        "touch-logreopen",
        Kind::File,
        Theme::Logging,
        "open the log's file again when this file, which need not exist yet, is touched",
    )
    .repeats(),
    Definition::new(
        "touch-logrotate",
        Kind::File,
        Theme::Logging,
        "put the log's file aside, with the time behind its name, and begin a new one when this file is touched",
    )
    .repeats(),
    flag(
        "disable-logging",
        "leave requests out of the log but for those that the next three select",
    )
    .short('L'),
    flag(
        "log-4xx",
        "with disable-logging: still log requests answered with 400 to 499",
    ),
    flag(
        "log-5xx",
        "with disable-logging: still log requests answered with 500 to 599",
    ),
    Definition::new(
        "log-slow",
        Kind::Number {
            least: 0,
            most: 86_400_000,
            unit: "MILLISECONDS",
        },
        Theme::Logging,
        "with disable-logging: still log requests that take this long; 0 is off",
    )
    .default("0"),
];
