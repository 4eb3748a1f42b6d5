//! [`Options`]: what was said, by whom, in which order. What it means is [`Config`](super::Config)'s business.

use std::fmt;

use super::definition::Definition;
use super::table;

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A variable of the environment: `UWSGI_HTTP`.
    Environment(String),
    /// A line of a file: `uwsgi.ini:12`.
    File {
        /// The file's name as it was given.
        name: String,
        /// Counted from 1.
        line: usize,
    },
    /// A flag: `--http`.
    Flag(String),
    /// A file named on the command line without a flag.
    Argument(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) | Self::Flag(name) | Self::Argument(name) => formatter.write_str(name),
            Self::File { name, line } => write!(formatter, "{name}:{line}"),
        }
    }
}

/// One value, as it was said.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its place among all settings: what has the higher place was said later.
    pub place: usize,
    /// The name that was used.
    pub name: String,
    /// What it was said with, before placeholders were filled in.
    pub written: String,
    /// Its value, placeholders filled in.
    pub value: String,
    /// Placeholders that stand for nothing and were left in the value, each with the reason.
    pub unfilled: Vec<String>,
    /// Where.
    pub origin: Origin,
    /// The option behind the name; `None` for a name that uwrs does not know, which can serve as a placeholder.
    pub definition: Option<&'static Definition>,
}

/// Everything that was said, the weakest first: environment, files, flags; in each of them in order.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<Setting>,
}

impl Options {
    pub(super) fn new(settings: Vec<Setting>) -> Self {
        Self { settings }
    }

    /// All values, the weakest first.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The values of an option by its first name, under whichever of its names they were said.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &Setting> {
        debug_assert!(
            table::find(name).is_some_and(|known| known.name == name),
            "no option {name}"
        );
        self.settings
            .iter()
            .filter(move |setting| setting.definition.is_some_and(|known| known.name == name))
    }

    /// The value that counts of an option that holds one: the last.
    pub fn last(&self, name: &str) -> Option<&Setting> {
        self.all(name).last()
    }
}
