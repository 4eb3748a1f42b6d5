//! What uwrs can be asked to do instead of serving.

use crate::config::definition::{Definition, Kind, Status, Theme};

const fn command(name: &'static str, kind: Kind, help: &'static str) -> Definition {
    Definition::new(name, kind, Theme::Commands, help).status(Status::Command)
}

pub(super) const OPTIONS: &[Definition] = &[
    command("help", Kind::OptionalText("markdown"), "print this help and exit")
        .short('h')
        .aliases(&["usage"]),
    command("version", Kind::Flag, "print the version and exit"),
    command(
        "show-config",
        Kind::Flag,
        "print what was said, where it came from and what it became, and exit",
    ),
    command(
        "check",
        Kind::OptionalText("app"),
        "check the configuration and exit with 0 or 1; with =app the application is imported as well",
    ),
    command(
        "reload",
        Kind::File,
        "ask the server whose pid is in FILE to reload, and exit",
    ),
    command(
        "wait",
        Kind::OptionalText("SECONDS"),
        "with --reload: exit with 0 when the new generation serves, with 1 and the reason when it does not, or not within \
         SECONDS (660)",
    ),
    command(
        "stop",
        Kind::File,
        "ask the server whose pid is in FILE to stop, and exit",
    ),
];
