//! Where the configuration comes from, and what steers its reading.

use crate::config::definition::{Definition, Kind, Status, Theme};

const fn directive(name: &'static str, kind: Kind, help: &'static str) -> Definition {
    Definition::new(name, kind, Theme::Files, help)
        .status(Status::Directive)
        .repeats()
}

const NONE: Kind = Kind::OptionalText("");

pub(super) const OPTIONS: &[Definition] = &[
    directive(
        "ini",
        Kind::Text("FILE[:SECTION]"),
        "read this file, or standard input for -",
    )
    .aliases(&["config"]),
    directive(
        "include",
        Kind::Text("FILE[:SECTION]"),
        "read this file as if it stood here",
    ),
    directive(
        "inherit",
        Kind::Text("FILE[:SECTION]"),
        "read this file after all others",
    ),
    directive(
        "set",
        Kind::Text("NAME=VALUE"),
        "set an option, or a placeholder for %(NAME)",
    )
    .short('S'),
    directive(
        "set-placeholder",
        Kind::Text("NAME=VALUE"),
        "set a placeholder for %(NAME)",
    )
    .aliases(&["set-ph"]),
    Definition::new(
        "strict",
        Kind::Flag,
        Theme::Files,
        "refuse unknown options instead of warning about them",
    )
    .default("false"),
    Definition::new(
        "plugin",
        Kind::Text("NAME[,NAME]"),
        Theme::Files,
        "plug-ins to use; all that uwrs has are built in, the others are warned about",
    )
    .aliases(&["plugins", "need-plugin", "need-plugins"])
    .repeats(),
    Definition::new("print", Kind::Text("TEXT"), Theme::Files, "print this at start")
        .aliases(&["iprint"])
        .repeats(),
    directive(
        "if-env",
        Kind::Text("NAME[=VALUE]"),
        "read what follows up to endif if the environment has this",
    )
    .aliases(&["ifenv"]),
    directive("if-not-env", Kind::Text("NAME[=VALUE]"), "the opposite of if-env"),
    directive(
        "if-opt",
        Kind::Text("NAME[=VALUE]"),
        "… if this option was given above, or on the command line",
    ),
    directive("if-not-opt", Kind::Text("NAME[=VALUE]"), "the opposite of if-opt"),
    directive(
        "if-exists",
        Kind::Text("PATH"),
        "… if this file or directory exists",
    )
    .aliases(&["ifexists"]),
    directive("if-not-exists", Kind::Text("PATH"), "the opposite of if-exists"),
    directive("if-file", Kind::Text("PATH"), "… if this is a file"),
    directive("if-not-file", Kind::Text("PATH"), "the opposite of if-file"),
    directive("if-dir", Kind::Text("PATH"), "… if this is a directory").aliases(&["ifdir", "if-directory"]),
    directive("if-not-dir", Kind::Text("PATH"), "the opposite of if-dir"),
    directive("if-hostname", Kind::Text("NAME"), "… if the host is called this"),
    directive(
        "if-not-hostname",
        Kind::Text("NAME"),
        "the opposite of if-hostname",
    ),
    directive("if-plugin", Kind::Text("NAME"), "… if this plug-in is built in").aliases(&["ifplugin"]),
    directive("if-not-plugin", Kind::Text("NAME"), "the opposite of if-plugin"),
    directive("if-reload", NONE, "… if this is a reload, not the first reading"),
    directive("if-not-reload", NONE, "the opposite of if-reload"),
    directive("else", NONE, "… if the condition above does not hold"),
    directive("endif", NONE, "the end of an if").aliases(&["end-if", "end"]),
    directive(
        "for",
        Kind::Text("WORDS"),
        "read what follows up to endfor once for each word, as %(_)",
    ),
    directive(
        "for-glob",
        Kind::Text("PATTERN"),
        "… once for each path that fits the pattern",
    ),
    directive(
        "for-readline",
        Kind::Text("FILE"),
        "… once for each line of the file",
    ),
    directive("for-times", Kind::Text("N"), "… N times, counting from 1"),
    directive("endfor", NONE, "the end of a for").aliases(&["end-for"]),
];
