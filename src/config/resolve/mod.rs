//! From [`Options`] to [`Config`]: values read by their kinds, paths made absolute, contradictions refused.
//!
//! A value that is overridden is not looked at: what the environment says wrongly does no harm once a file says it
//! rightly.

mod application;
mod greenlets;
mod limits;
mod processes;
mod remarks;
mod replacement;
mod scaling;
mod sockets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::definition::{Definition, Kind};
use super::host::{FileKind, Host};
use super::problem::Problems;
use super::resolved::Config;
use super::said::{Options, Setting};
use super::{table, value};

/// What the options mean; and, by the place of a setting in them, what each became. `None` where something is wrong,
/// which is told in `problems`.
pub(super) fn resolve(
    options: &Options,
    host: &dyn Host,
    problems: &mut Problems,
) -> (Option<Config>, BTreeMap<usize, String>) {
    let mut resolver = Resolver {
        options,
        host,
        problems,
        became: BTreeMap::new(),
    };
    let config = resolver.config();
    let became = resolver.became;
    (config.filter(|_| !problems.is_fatal()), became)
}

/// Options whose text may hold what looks like a placeholder and is none.
const FREE_TEXT: [&str; 8] = [
    "env",
    "pyargv",
    "print",
    "procname",
    "procname-master",
    "procname-prefix",
    "procname-prefix-spaced",
    "procname-append",
];

struct Resolver<'a> {
    options: &'a Options,
    host: &'a dyn Host,
    problems: &'a mut Problems,
    became: BTreeMap<usize, String>,
}

impl<'a> Resolver<'a> {
    fn config(&mut self) -> Option<Config> {
        self.remark();
        let application = self.application();
        let directory = self.directory_of_application(&application);
        let listeners = self.listeners(&directory);
        let sockets = self.socket_options();
        let processes = self.processes(&directory);
        let limits = self.limits();
        let logging = self.logging();
        Some(Config {
            listeners,
            sockets: sockets?,
            application: application?,
            processes: processes?,
            limits: limits?,
            logging: logging?,
            said: self.said(),
            warnings: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn said(&self) -> Vec<(String, Option<String>)> {
        let settings = self.options.settings().iter();
        let pairs = settings.map(|setting| {
            let value = Some(setting.value.clone()).filter(|value| !value.is_empty());
            (setting.name.clone(), value)
        });
        pairs.collect()
    }

    /// Yes or no.
    fn flag(&mut self, name: &str) -> bool {
        let Some(setting) = self.options.last(name) else {
            return value::boolean(definition(name).default).value;
        };
        let read = value::boolean(&setting.value);
        self.note(setting, &read, read.value);
        if let Some(remark) = &read.remark {
            self.problems.warn_about(setting, remark);
        }
        read.value
    }

    /// A number in the limits of its definition; `None` if it is wrong, or neither said nor given a default.
    fn number(&mut self, name: &str) -> Option<u64> {
        let definition = definition(name);
        let Kind::Number { least, most, unit } = definition.kind else {
            unreachable!("{name} is defined as a number");
        };
        let Some(setting) = self.options.last(name) else {
            let read = value::number(definition.default, least, most);
            return read.ok().map(|read| read.value);
        };
        self.read(setting, |text| value::quantity(text, least, most, unit))
    }

    /// A number whose name alone is its default.
    fn amount(&mut self, name: &str) -> Option<u64> {
        let definition = definition(name);
        let Kind::Amount { most, .. } = definition.kind else {
            unreachable!("{name} is defined as an amount");
        };
        let usual = value::number(definition.default, 0, most).ok()?.value;
        let Some(setting) = self.options.last(name) else {
            return Some(usual);
        };
        self.read(setting, |text| value::amount(text, usual, most))
    }

    /// Seconds, of which parts may be said.
    fn seconds(&mut self, name: &str, most: u64) -> Option<Duration> {
        let Some(setting) = self.options.last(name) else {
            let read = value::seconds(definition(name).default, most);
            return read.ok().map(|read| Duration::from_secs_f64(read.value));
        };
        let seconds = self.read(setting, |text| value::seconds(text, most))?;
        Some(Duration::from_secs_f64(seconds))
    }

    /// As [`Resolver::said_number`], of things that are counted.
    fn said_count(&mut self, name: &str) -> Option<Option<usize>> {
        let count = self.said_number(name)?;
        // No definition allows more than there can be.
        Some(count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// A number, if it was said. The outer `None`: it is wrong.
    fn said_number(&mut self, name: &str) -> Option<Option<u64>> {
        match self.options.last(name) {
            Some(_) => self.number(name).map(Some),
            None => Some(None),
        }
    }

    /// One of several words; the first is what is meant when nothing is said.
    fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let Some(setting) = self.text(name) else {
            return words.first().map(|(_, meaning)| *meaning);
        };
        let said = setting.value.to_lowercase();
        let found = words.iter().find(|(word, _)| *word == said);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let reason = format!("must be one of {}, not \"{}\"", words.join(", "), setting.value);
            self.problems.error(&setting.origin, &setting.name, reason);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A number that fits the machine's own size.
    fn count(&mut self, name: &str) -> Option<usize> {
        self.number(name).and_then(|number| usize::try_from(number).ok())
    }

    /// Are all placeholders of a value filled in? Where they are not, words for people and programs stay as they are
    /// with a warning, as in uWSGI; everything else would be wrong in a way that is hard to see.
    fn is_filled(&mut self, setting: &Setting) -> bool {
        let is_free = setting
            .definition
            .is_some_and(|known| FREE_TEXT.contains(&known.name));
        for reason in &setting.unfilled {
            if is_free {
                self.problems
                    .warn_about(setting, format!("{reason} and is left as it is"));
            } else {
                self.problems.error(&setting.origin, &setting.name, reason);
            }
        }
        is_free || setting.unfilled.is_empty()
    }

    /// What a reader of values makes of a setting.
    fn read<T: Clone + std::fmt::Display>(
        &mut self,
        setting: &'a Setting,
        read: impl FnOnce(&str) -> Result<value::Read<T>, String>,
    ) -> Option<T> {
        if !self.is_filled(setting) {
            return None;
        }
        match read(&setting.value) {
            Ok(read) => {
                self.note(setting, &read, &read.value);
                Some(read.value)
            }
            Err(reason) => {
                self.problems.error(&setting.origin, &setting.name, reason);
                None
            }
        }
    }

    /// Text, as it was said.
    fn text(&mut self, name: &str) -> Option<&'a Setting> {
        let setting = self.options.last(name)?;
        self.plain(setting).then_some(setting)
    }

    /// All texts of an option that repeats.
    fn texts(&mut self, name: &str) -> Vec<&'a Setting> {
        let options = self.options;
        options.all(name).filter(|setting| self.plain(setting)).collect()
    }

    /// Checks text that stays as it is: there must be some, and what looks like a comment in it is remarked on.
    fn plain(&mut self, setting: &Setting) -> bool {
        if !self.is_filled(setting) {
            return false;
        }
        if setting.value.is_empty() {
            let of = setting.definition.map_or("", |known| known.kind.value_name());
            let reason = format!("needs a value, {of}");
            self.problems.error(&setting.origin, &setting.name, reason);
            return false;
        }
        if value::seems_to_end_in_comment(&setting.value) {
            let reason =
                "the comment behind the value is a part of it, as in uWSGI: give it a line of its own";
            self.problems.warn_about(setting, reason);
        }
        true
    }

    /// The path of a file that will be written, made absolute from `base`.
    fn written_file(&mut self, name: &str, base: &Path) -> Option<PathBuf> {
        let setting = self.text(name)?;
        let path = absolute(base, &setting.value);
        if self.host.kind(&path) == Some(FileKind::Directory) {
            let reason = format!("is a directory: {}", path.display());
            self.problems.error(&setting.origin, &setting.name, reason);
        }
        self.became(setting, path.display());
        Some(path)
    }

    /// A directory that must be there.
    fn directory(&mut self, name: &str, base: &Path) -> Option<PathBuf> {
        let setting = self.text(name)?;
        let path = absolute(base, &setting.value);
        self.became(setting, path.display());
        self.must_be_directory(setting, &path).then_some(path)
    }

    fn must_be_directory(&mut self, setting: &Setting, path: &Path) -> bool {
        let reason = match self.host.kind(path) {
            Some(FileKind::Directory) => return true,
            Some(_) => format!("not a directory: {}", path.display()),
            None if setting.value.starts_with('~') => {
                format!(
                    "no such directory: {}; ~ stands for nothing here, write $(HOME)",
                    setting.value
                )
            }
            None => format!("no such directory: {}{}", path.display(), way_out(setting)),
        };
        self.problems.error(&setting.origin, &setting.name, reason);
        false
    }

    fn note<T>(&mut self, setting: &Setting, read: &value::Read<T>, value: impl std::fmt::Display) {
        self.became(setting, value);
        if read.comment_cut {
            self.problems.comment_cut(setting);
        }
    }

    /// Keeps what a setting became, for `--show-config`.
    fn became(&mut self, setting: &Setting, value: impl std::fmt::Display) {
        self.became.insert(setting.place, value.to_string());
    }

    /// Where the program was started.
    fn start_directory(&self) -> PathBuf {
        self.host.facts().directory.clone()
    }
}

fn definition(name: &str) -> &'static Definition {
    table::find(name).expect("only names of the table are asked for")
}

/// `path` seen from `base`, without `.` and double slashes.
/// What to do about a directory that is not there, to stand behind that.
fn way_out(setting: &Setting) -> String {
    if value::names_variable_as_shells_do(&setting.value) {
        return format!(": {}", value::VARIABLES);
    }
    match setting.definition.map(|known| known.name) {
        Some("home") => format!(": make the virtualenv with python3 -m venv {}", setting.value),
        _ => String::new(),
    }
}

fn absolute(base: &Path, path: &str) -> PathBuf {
    base.join(path).components().collect()
}
