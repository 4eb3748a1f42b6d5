//! How many workers there are at a time.

use crate::config::definition::{Definition, Kind, Theme};

const fn number(
    name: &'static str,
    least: u64,
    most: u64,
    unit: &'static str,
    help: &'static str,
) -> Definition {
    Definition::new(name, Kind::Number { least, most, unit }, Theme::Processes, help)
}

const fn flag(name: &'static str, help: &'static str) -> Definition {
    Definition::new(name, Kind::Flag, Theme::Processes, help).default("false")
}

const SECONDS: &str = "SECONDS";
const A_DAY: u64 = 86_400;

pub(super) const OPTIONS: &[Definition] = &[
    number(
        "cheaper",
        1,
        10_000,
        "N",
        "have as many workers as are needed: at least N, at most processes",
    ),
    Definition::new(
        "cheaper-algo",
        Kind::Text("NAME"),
        Theme::Processes,
        "how to tell what is needed: spare, spare2, backlog, busyness or manual",
    )
    .default("spare"),
    number(
        "cheaper-initial",
        1,
        10_000,
        "N",
        "workers at the start, where not as many as cheaper says",
    ),
    number("cheaper-step", 1, 10_000, "N", "workers to add at a time").default("1"),
    number(
        "cheaper-overload",
        1,
        A_DAY,
        "N",
        "spare: add workers when all were busy for N seconds; backlog: when more than N connections wait; busyness: look \
         every N seconds",
    )
    .default("3"),
    number(
        "cheaper-idle",
        1,
        A_DAY,
        SECONDS,
        "spare2 and backlog: stop a worker when more than needed were idle for so long",
    )
    .default("10"),
    number(
        "cheaper-rss-limit-soft",
        0,
        u64::MAX,
        "BYTES",
        "add no workers when all of them have this much memory; 0 is off",
    ),
    number(
        "cheaper-rss-limit-hard",
        0,
        u64::MAX,
        "BYTES",
        "stop workers, down to cheaper, when all of them have this much memory; 0 is off",
    ),
    number(
        "cheaper-busyness-max",
        1,
        100,
        "PERCENT",
        "busyness: add workers when they are busy for more of their time than this",
    )
    .default("50"),
    number(
        "cheaper-busyness-min",
        0,
        100,
        "PERCENT",
        "busyness: stop a worker when they are busy for less of their time than this",
    )
    .default("25"),
    number(
        "cheaper-busyness-multiplier",
        1,
        A_DAY,
        "N",
        "busyness: stop a worker after so many looks in a row",
    )
    .default("10"),
    number(
        "cheaper-busyness-penalty",
        0,
        A_DAY,
        "N",
        "busyness: wait for so many looks more after one was stopped too early",
    )
    .default("2"),
    number(
        "cheaper-busyness-backlog-alert",
        1,
        1_000_000,
        "N",
        "busyness: add workers at once when N connections wait",
    )
    .default("33"),
    number(
        "cheaper-busyness-backlog-step",
        1,
        10_000,
        "N",
        "busyness: workers to add then",
    )
    .default("1"),
    number(
        "cheaper-busyness-backlog-multiplier",
        1,
        A_DAY,
        "N",
        "busyness: stop those after so many looks in a row",
    )
    .default("3"),
    number(
        "cheaper-busyness-backlog-nonzero",
        1,
        A_DAY,
        SECONDS,
        "busyness: add workers when connections have waited for so long",
    )
    .default("60"),
    flag("cheaper-busyness-verbose", "busyness: log every look"),
    number(
        "idle",
        0,
        A_DAY,
        SECONDS,
        "have no workers when nobody has asked for anything for so long, until someone does; 0 is off",
    ),
    flag("cheap", "have no workers until someone asks for something"),
    flag("die-on-idle", "with idle: stop the server instead"),
];
