//! [`Problems`]: what is wrong with a configuration, collected, and told together in the order of its places.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::said::{Origin, Setting};

/// What is wrong, collected.
#[derive(Debug, Default)]
pub(super) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    notes: Vec<Problem>,
    cut_comments: BTreeMap<String, Vec<(usize, String)>>,
    is_incomplete: bool,
}

#[derive(Debug)]
struct Problem {
    origin: Option<Origin>,
    text: String,
}

impl Problems {
    /// The configuration cannot be used.
    pub(super) fn error(&mut self, origin: &Origin, option: &str, reason: impl AsRef<str>) {
        self.errors.push(Problem::new(origin, option, reason.as_ref()));
    }

    /// As [`error`](Self::error), about a file, a section or a value that could not be read.
    pub(super) fn unread(&mut self, origin: &Origin, option: &str, reason: impl AsRef<str>) {
        self.error(origin, option, reason);
        self.is_incomplete = true;
    }

    /// The configuration cannot be used, for something was not said. Where a part of it could not be read, it may have
    /// been said there, and nothing is told.
    pub(super) fn missing(&mut self, text: impl Into<String>) {
        if self.is_incomplete {
            return;
        }
        let text = text.into();
        self.errors.push(Problem { origin: None, text });
    }

    /// The configuration can be used, but someone should know.
    pub(super) fn warn(&mut self, origin: &Origin, option: &str, reason: impl AsRef<str>) {
        self.warnings.push(Problem::new(origin, option, reason.as_ref()));
    }

    /// As [`warn`](Self::warn), about a value.
    pub(super) fn warn_about(&mut self, setting: &Setting, reason: impl AsRef<str>) {
        self.warn(&setting.origin, &setting.name, reason);
    }

    /// All is well, but it may be good to know.
    pub(super) fn note(&mut self, origin: &Origin, text: impl AsRef<str>) {
        self.notes.push(Problem::new(origin, "", text.as_ref()));
    }

    /// A comment behind a value was cut off. All of a file are told in one warning.
    pub(super) fn comment_cut(&mut self, setting: &Setting) {
        let Origin::File { name, line } = &setting.origin else {
            return;
        };
        let lines = self.cut_comments.entry(name.clone()).or_default();
        if !lines.iter().any(|(known, _)| known == line) {
            lines.push((*line, setting.name.clone()));
        }
    }

    /// Is there an error?
    pub(super) fn is_fatal(&self) -> bool {
        !self.errors.is_empty()
    }

    /// All of them, each kind in the order of their places.
    pub(super) fn into_messages(mut self) -> Messages {
        for (name, mut lines) in std::mem::take(&mut self.cut_comments) {
            lines.sort();
            self.warnings.push(cut_comments(name, &lines));
        }
        Messages {
            errors: sorted(self.errors),
            warnings: sorted(self.warnings),
            notes: sorted(self.notes),
        }
    }
}

/// What [`Problems`] come to.
pub(super) struct Messages {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Problem {
    fn new(origin: &Origin, option: &str, reason: &str) -> Self {
        // A flag or a variable names its option itself.
        let text = match origin {
            Origin::File { .. } if !option.is_empty() => format!("{origin}: {option}: {reason}"),
            // It is the file itself, and the reason names it.
            Origin::Argument(_) => reason.to_owned(),
            _ => format!("{origin}: {reason}"),
        };
        Self {
            origin: Some(origin.clone()),
            text,
        }
    }

    fn place(&self) -> (u8, &str, usize) {
        match &self.origin {
            Some(Origin::Environment(name)) => (0, name, 0),
            Some(Origin::Argument(_)) => (1, "", 0),
            Some(Origin::File { name, line }) => (2, name, *line),
            Some(Origin::Flag(name)) => (3, name, 0),
            None => (4, "", 0),
        }
    }
}

fn cut_comments(name: String, lines: &[(usize, String)]) -> Problem {
    let (line, option) = lines.first().cloned().unwrap_or_default();
    let others: Vec<String> = lines[1..].iter().map(|(line, _)| line.to_string()).collect();
    let others = match others.as_slice() {
        [] => String::new(),
        [other] => format!(" (and in line {other})"),
        _ => format!(" (and in lines {})", others.join(", ")),
    };
    let reason = format!(
        "the comment behind the value is left out{others}; uWSGI would take it for a part of the value: \
         give it a line of its own"
    );
    Problem::new(&Origin::File { name, line }, &option, &reason)
}

fn sorted(mut problems: Vec<Problem>) -> Vec<String> {
    problems.sort_by(|one, other| one.place().cmp(&other.place()));
    let mut texts: Vec<String> = problems.into_iter().map(|problem| problem.text).collect();
    // The turns of a loop say the same at the same place.
    texts.dedup();
    texts
}

/// `cannot read "x.ini": no such file (looked for /srv/x.ini)`
pub(super) fn cannot_read(name: &str, path: &Path, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    let is_relative = !Path::new(name).is_absolute();
    let looked = is_relative.then(|| format!(" (looked for {})", path.display()));
    format!("cannot read \"{name}\": {reason}{}", looked.unwrap_or_default())
}
