//! The table of options: every name that a configuration may use, each defined once.
//!
//! An option that starts to work moves from `later` to the file of its theme, with a help text and a default.

mod application;
mod commands;
mod development;
mod files;
mod foreign;
mod later;
mod limits;
mod logging;
mod processes;
mod refused;
mod replacement;
mod scaling;
mod sockets;
mod unneeded;

use super::definition::{Arity, Definition, Status};

/// All definitions, in the order of their themes.
pub fn options() -> impl Iterator<Item = &'static Definition> {
    [
        commands::OPTIONS,
        files::OPTIONS,
        sockets::OPTIONS,
        application::OPTIONS,
        processes::OPTIONS,
        scaling::OPTIONS,
        limits::OPTIONS,
        replacement::OPTIONS,
        logging::OPTIONS,
        development::OPTIONS,
        unneeded::OPTIONS,
        later::OPTIONS,
        refused::OPTIONS,
    ]
    .into_iter()
    .flatten()
}

/// The definition behind a name or an alias.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    options().find(|definition| definition.names().any(|known| known == name))
}

/// How many values an option of uWSGI takes that uwrs knows by name only; `None` for any other name.
pub(super) fn foreign(name: &str) -> Option<Arity> {
    foreign::arity(name)
}

/// The known name that is most like a mistyped one, if any is like it: spelled nearly so, or longer.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let folded = name.to_lowercase().replace('_', "-");
    let alike = options()
        .flat_map(Definition::names)
        // Names of very different lengths are not alike, and comparing them takes long.
        .filter(|known| known.len().abs_diff(folded.len()) * 10 <= known.len().max(folded.len()) * 3)
        .map(|known| (strsim::normalized_damerau_levenshtein(&folded, known), known))
        // Below this, suggestions puzzle more than they help.
        .filter(|(likeness, _)| *likeness >= 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known);
    alike.or_else(|| {
        options()
            .filter(|known| known.status == Status::Works && folded.len() >= 3)
            .flat_map(Definition::names)
            .filter(|known| known.starts_with(&folded))
            .min_by_key(|known| known.len())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_and_every_short_flag_is_given_once() {
        let mut names = BTreeSet::new();
        let mut shorts = BTreeSet::new();
        for definition in options() {
            for name in definition.names() {
                assert!(names.insert(name), "{name} is defined twice");
                assert!(foreign(name).is_none(), "{name} is defined and foreign");
            }
            if let Some(short) = definition.short {
                assert!(shorts.insert(short), "-{short} is defined twice");
            }
        }
    }

    #[test]
    fn what_works_says_what_it_does() {
        for definition in options() {
            let described = !definition.help.is_empty() && !definition.help.ends_with('.');
            match definition.status {
                Status::Works | Status::Directive | Status::Command => {
                    assert!(described, "{}", definition.name);
                }
                Status::Always(reason) | Status::Unneeded(reason) | Status::Refused(reason) => {
                    assert!(!reason.is_empty(), "{}", definition.name);
                }
                Status::NotYet(_) => assert!(definition.help.is_empty(), "{}", definition.name),
            }
        }
    }

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        assert_eq!(nearest("proceses"), Some("processes"));
        assert_eq!(nearest("touch_reload"), Some("touch-reload"));
        assert_eq!(nearest("Master"), Some("master"));
        assert_eq!(nearest("chown"), Some("chown-socket"));
        assert_eq!(nearest("pid"), Some("pidfile"));
        assert_eq!(nearest("zzz"), None);
    }
}
