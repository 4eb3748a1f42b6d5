//! Paths by pattern: `*`, `?` and `[abc]`, as a shell reads them.

use std::path::PathBuf;

use super::host::Host;

/// Has the text a character that makes it a pattern?
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The paths that fit an absolute pattern, sorted. Names with a leading dot fit only where the pattern has it too.
pub(super) fn expand(pattern: &str, host: &dyn Host) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found
            .iter()
            .flat_map(|directory| step(directory, part, host))
            .collect();
    }
    found.sort();
    found
}

fn step(directory: &std::path::Path, part: &str, host: &dyn Host) -> Vec<PathBuf> {
    if !is_pattern(part) {
        let path = directory.join(part);
        return host.kind(&path).map(|_| path).into_iter().collect();
    }
    let names = host.list(directory).into_iter();
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with('.') == part.starts_with('.') && fits(part, name))
        .map(|name| directory.join(name))
        .collect()
}

/// Does `name`, a single part of a path, fit the pattern?
fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut from) = (0, 0);
    // Where to go on if what follows the last star does not fit: the star takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    while from < name.len() {
        if pattern.get(at) == Some(&'*') {
            retry = Some((at, from));
            at += 1;
            continue;
        }
        if let Some(next) = fits_one(&pattern, at, name[from]) {
            at = next;
            from += 1;
            continue;
        }
        let Some((star, taken)) = retry else {
            return false;
        };
        retry = Some((star, taken + 1));
        (at, from) = (star + 1, taken + 1);
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Where the pattern goes on if its next element fits the character.
fn fits_one(pattern: &[char], at: usize, character: char) -> Option<usize> {
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match class_end(pattern, at) {
            Some(end) => class_holds(&pattern[at + 1..end], character).then_some(end + 1),
            None => (character == '[').then_some(at + 1),
        },
        literal => (literal == character).then_some(at + 1),
    }
}

/// Where the `]` of a class is; one right behind the opening belongs to the class.
fn class_end(pattern: &[char], at: usize) -> Option<usize> {
    let negated = matches!(pattern.get(at + 1), Some('!' | '^'));
    let first = at + 1 + usize::from(negated);
    (first + 1..pattern.len()).find(|index| pattern[*index] == ']')
}

fn class_holds(class: &[char], character: char) -> bool {
    let (negated, class) = match class {
        ['!' | '^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut holds = false;
    let mut at = 0;
    while at < class.len() {
        if class.get(at + 1) == Some(&'-') && at + 2 < class.len() {
            holds |= (class[at]..=class[at + 2]).contains(&character);
            at += 3;
        } else {
            holds |= class[at] == character;
            at += 1;
        }
    }
    holds != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.ini", "a.ini", true),
            ("*.ini", "a.ini.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
