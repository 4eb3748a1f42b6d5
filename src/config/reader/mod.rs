//! Reading: from the environment, the files and the command line to [`Options`].
//!
//! Here values are taken in, one by one, and their placeholders filled in once all is read; `files` reads the files
//! as they are met, `environment` and `unknown` do what they say, and blocks (`if-env`, `for`) are the
//! [`block`](super::block) module's. What values mean is decided later, in [`resolve`](super::resolve).

mod environment;
mod files;
mod unknown;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::rc::Rc;

use super::block;
use super::definition::Status;
use super::host::Host;
use super::ini::Document;
use super::magic::FileName;
use super::placeholder::{Expander, Names};
use super::problem::Problems;
use super::said::{Options, Origin, Setting};
use super::table;
use files::OpenSection;

/// A configuration has no more values than this: past it a loop has run away.
const MOST_VALUES: usize = 20_000;

/// All values together are no larger than this, in bytes.
const LARGEST: usize = 16 << 20;

/// A name and a value as they were met.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// The name that was used.
    pub name: String,
    /// Magic variables and `%(_)` are replaced, other placeholders are not.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

/// Reads everything: the environment, then what the command line says, whose files and flags are in its order.
pub(super) fn read(command_line: Vec<Said>, host: &dyn Host, problems: &mut Problems) -> Options {
    let mut reader = Reader::new(host, problems);
    for said in &command_line {
        reader.remember_flag(said);
    }
    reader.read_environment();
    block::run(&mut reader, &command_line, None);
    reader.read_inherited();
    reader.finish()
}

/// The state of reading.
pub(super) struct Reader<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// What is wrong so far.
    pub problems: &'a mut Problems,
    /// The environment.
    pub environment: HashMap<String, String>,
    /// The first value of each name so far.
    pub names: Names,
    said: Vec<Said>,
    placeholders: BTreeSet<String>,
    referenced: BTreeSet<String>,
    open: Vec<OpenSection>,
    documents: HashMap<PathBuf, Rc<Document>>,
    first: Option<(FileName, String)>,
    last: Option<String>,
    inherited: Vec<(Said, Vec<OpenSection>)>,
    steps: usize,
}

impl<'a> Reader<'a> {
    fn new(host: &'a dyn Host, problems: &'a mut Problems) -> Self {
        Self {
            host,
            problems,
            environment: host.environment().into_iter().collect(),
            names: Names::default(),
            said: Vec::new(),
            placeholders: BTreeSet::new(),
            referenced: BTreeSet::new(),
            open: Vec::new(),
            documents: HashMap::new(),
            first: None,
            last: None,
            inherited: Vec::new(),
            steps: 0,
        }
    }

    /// Flags are known before files are read, so that files can use what they say.
    fn remember_flag(&mut self, said: &Said) {
        remember(&mut self.names.flags, said);
        let sets =
            table::find(&said.name).is_some_and(|known| matches!(known.name, "set" | "set-placeholder"));
        let Some((name, value)) = said.value.split_once('=').filter(|_| sets) else {
            return;
        };
        let flags = &mut self.names.flags;
        flags
            .entry(name.trim().to_owned())
            .or_insert_with(|| value.trim().to_owned());
    }

    /// Counts steps; `false` when a loop has run away, which is told once.
    pub(super) fn has_room(&mut self, steps: usize, origin: &Origin) -> bool {
        let had_room = self.steps <= MOST_VALUES;
        self.steps = self.steps.saturating_add(steps);
        let has_room = self.steps <= MOST_VALUES;
        if had_room && !has_room {
            let reason = format!("more than {MOST_VALUES} values: a loop or an include runs away");
            self.problems.error(origin, "", reason);
        }
        has_room
    }

    /// Fills in the placeholders of a value that is needed while reading, with the names known so far.
    pub(super) fn expand(&mut self, said: &Said) -> Option<String> {
        let mut expander = Expander::new(self.host, &self.environment, &self.names);
        let expanded = expander.expand(&said.value);
        self.referenced.append(&mut expander.referenced);
        for unknown in expander.unknown {
            let reason = format!("{} here and is left as it is", unfilled_because(&unknown));
            self.problems.warn(&said.origin, &said.name, reason);
        }
        expanded
            .map_err(|reason| self.problems.error(&said.origin, &said.name, reason))
            .ok()
    }

    /// Notes that something asks for this name: it is no typing error then.
    pub(super) fn refer(&mut self, name: &str) {
        self.referenced.insert(name.to_owned());
    }

    /// Where a path leads: relative ones start where the program was started.
    pub(super) fn locate(&self, path: &str) -> PathBuf {
        self.host.facts().directory.join(path)
    }

    /// Takes in one value that is no part of a block's frame.
    pub(super) fn take(&mut self, said: Said) {
        match table::find(&said.name).map(|definition| (definition.name, definition.status)) {
            Some(("ini" | "include", _)) => self.include(&said),
            // Who is being read now is kept with it: it may inherit itself.
            Some(("inherit", _)) => self.inherited.push((said, self.open.clone())),
            Some(("set", _)) => self.set(&said),
            Some(("set-placeholder", _)) => self.set_placeholder(&said),
            Some((_, Status::Command)) => self.refuse_command(&said),
            Some((_, Status::Directive)) => {
                let reason = "stands outside of its block and is ignored";
                self.problems.warn(&said.origin, &said.name, reason);
            }
            _ => self.keep(said),
        }
    }

    fn keep(&mut self, said: Said) {
        let known = match said.origin {
            Origin::Environment(_) => &mut self.names.environment,
            Origin::File { .. } => &mut self.names.files,
            Origin::Flag(_) | Origin::Argument(_) => &mut self.names.flags,
        };
        remember(known, &said);
        self.said.push(said);
    }

    fn refuse_command(&mut self, said: &Said) {
        // An environment is shared with other programs, and images set UWSGI_VERSION.
        if matches!(said.origin, Origin::Environment(_)) {
            return;
        }
        let reason = format!(
            "is for the command line only and is ignored: uwrs --{}",
            said.name
        );
        self.problems.warn(&said.origin, &said.name, reason);
    }

    fn set(&mut self, said: &Said) {
        let Some((name, value)) = said.value.split_once('=') else {
            self.problems
                .error(&said.origin, &said.name, "NAME=VALUE is needed");
            return;
        };
        // `set = set=…` would only be there to go on for ever.
        if table::find(name.trim()).is_some_and(|known| known.name == "set") {
            let reason = "a set in a set says nothing";
            self.problems.error(&said.origin, &said.name, reason);
            return;
        }
        self.take(Said {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            origin: said.origin.clone(),
        });
    }

    fn set_placeholder(&mut self, said: &Said) {
        let Some((name, value)) = said.value.split_once('=') else {
            self.problems
                .error(&said.origin, &said.name, "NAME=VALUE is needed");
            return;
        };
        let name = name.trim();
        if table::find(name).is_some() {
            let reason = format!(
                "\"{name}\" is an option: say {name} = {value}, or give the placeholder another name"
            );
            self.problems.error(&said.origin, &said.name, reason);
            return;
        }
        self.placeholders.insert(name.to_owned());
        self.keep(Said {
            name: name.to_owned(),
            value: value.trim().to_owned(),
            origin: said.origin.clone(),
        });
    }

    /// Fills in all placeholders and tells what is unknown.
    fn finish(mut self) -> Options {
        let mut said = std::mem::take(&mut self.said);
        said.sort_by_key(|said| match said.origin {
            Origin::Environment(_) => 0,
            Origin::File { .. } => 1,
            Origin::Flag(_) | Origin::Argument(_) => 2,
        });
        let mut expander = Expander::new(self.host, &self.environment, &self.names);
        expander.referenced = std::mem::take(&mut self.referenced);
        let mut settings = Vec::with_capacity(said.len());
        let mut size = 0;
        for said in said {
            let definition = table::find(&said.name);
            let value = match expander.expand(&said.value) {
                Ok(value) => value,
                Err(reason) => {
                    self.problems.unread(&said.origin, &said.name, reason);
                    continue;
                }
            };
            let mut unfilled = std::mem::take(&mut expander.unknown);
            unfilled.sort();
            unfilled.dedup();
            size += value.len();
            if size > LARGEST {
                let reason = "the configuration grows past 16 MiB by its placeholders";
                self.problems.error(&said.origin, "", reason);
                break;
            }
            settings.push(Setting {
                place: settings.len(),
                name: said.name,
                written: said.value,
                value,
                unfilled: unfilled.iter().map(|unknown| unfilled_because(unknown)).collect(),
                origin: said.origin,
                definition,
            });
        }
        let mut referenced = expander.referenced;
        referenced.append(&mut self.placeholders);
        let options = Options::new(settings);
        unknown::tell(&options, &referenced, self.problems);
        options
    }
}

fn unfilled_because(unknown: &str) -> String {
    if unknown.starts_with('$') {
        format!("{unknown} is not set in the environment")
    } else {
        format!("{unknown} stands for nothing")
    }
}

fn remember(names: &mut HashMap<String, String>, said: &Said) {
    names
        .entry(said.name.clone())
        .or_insert_with(|| said.value.clone());
}
