//! Options of uWSGI that cannot be ignored: without them nothing would work as it was meant.

use crate::config::definition::{Definition, Kind, Status, Theme};

const fn refused(name: &'static str, theme: Theme, way_out: &'static str) -> Definition {
    Definition::new(name, Kind::Text("VALUE"), theme, "").status(Status::Refused(way_out))
}

const ONLY_INI: &str = "only INI files are read: say the same in one";

pub(super) const OPTIONS: &[Definition] = &[
    refused(
        "emperor",
        Theme::Processes,
        "not supported yet: start one uwrs for each vassal, as in uwrs vassals/blog.ini",
    )
    .repeats(),
    refused("xml", Theme::Files, ONLY_INI)
        .aliases(&["xmlconfig"])
        .short('x')
        .repeats(),
    refused("yaml", Theme::Files, ONLY_INI)
        .aliases(&["yml"])
        .short('y')
        .repeats(),
    refused("json", Theme::Files, ONLY_INI)
        .aliases(&["js"])
        .short('j')
        .repeats(),
];
