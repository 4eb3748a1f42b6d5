//! Names that are no options: placeholders, typing errors, and what uWSGI has and uwrs has not.

use std::collections::BTreeSet;

use crate::config::problem::Problems;
use crate::config::said::{Options, Origin};
use crate::config::{table, value};

/// Tells of names that are no options and that nothing refers to.
pub(super) fn tell(options: &Options, referenced: &BTreeSet<String>, problems: &mut Problems) {
    let is_strict = options
        .last("strict")
        .is_some_and(|setting| value::boolean(&setting.value).value);
    let mut told = BTreeSet::new();
    for setting in options.settings() {
        let name = &setting.name;
        if setting.definition.is_some() || referenced.contains(name) || !told.insert(name.clone()) {
            continue;
        }
        if let Origin::Environment(variable) = &setting.origin {
            // Other programs have variables of these names too; only what looks like a mistake is told.
            if !referenced.contains(variable)
                && let Some(near) = table::nearest(name)
            {
                let reason = format!("no option is called so, did you mean \"{near}\"?");
                problems.warn(&setting.origin, name, reason);
            }
            continue;
        }
        if table::foreign(name).is_some() {
            let reason = format!("{name} is an option of uWSGI that uwrs does not have, it is ignored");
            problems.warn(&setting.origin, "", reason);
            continue;
        }
        let reason = unknown(name);
        if is_strict {
            problems.error(&setting.origin, "", reason);
        } else {
            problems.warn(&setting.origin, "", reason);
        }
    }
}

fn unknown(name: &str) -> String {
    if !is_plausible(name) {
        return format!("not a line of the form \"name = value\": \"{}\"", name.trim());
    }
    match table::nearest(name) {
        Some(near) => format!("unknown option \"{name}\", did you mean \"{near}\"?"),
        None => format!("unknown option \"{name}\", and nothing refers to it as %({name})"),
    }
}

/// Could someone have meant this as a name?
pub(super) fn is_plausible(name: &str) -> bool {
    let is_fine = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(is_fine)
}
