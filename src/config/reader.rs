//! Reading: from the environment, the files and the command line to [`Options`].
//!
//! Files are read as they are met, included ones in their place; blocks (`if-env`, `for`) are the
//! [`block`](super::block) module's. What values mean is decided later, in [`resolve`](super::resolve).

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::block;
use super::definition::Status;
use super::host::{FileKind, Host};
use super::ini::Document;
use super::magic::{FileName, Magic};
use super::placeholder::{Expander, Names};
use super::problem::{Problems, cannot_read};
use super::said::{Options, Origin, Setting};
use super::table;

/// Files may include files this often.
const DEEPEST: usize = 32;

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
    inherited: Vec<Said>,
    steps: usize,
}

#[derive(Clone, Debug)]
struct OpenSection {
    given: String,
    path: PathBuf,
    section: String,
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
            Some(("inherit", _)) => self.inherited.push(said),
            Some(("set", _)) => self.set(&said),
            Some(("set-placeholder", _)) => self.set_placeholder(&said),
            Some(("xml" | "yaml" | "json", _)) => {
                let reason = "only INI files are read: say the same in one";
                self.problems.error(&said.origin, &said.name, reason);
            }
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

    fn read_environment(&mut self) {
        let mut said: Vec<(bool, Said)> = self
            .environment
            .iter()
            .filter_map(|(variable, value)| {
                let name = option_of(variable)?;
                let origin = Origin::Environment(variable.clone());
                let said = Said {
                    name,
                    value: value.clone(),
                    origin,
                };
                Some((variable.starts_with("UWRS_"), said))
            })
            .collect();
        // Our own prefix counts for more than uWSGI's.
        said.sort_by(|one, other| (one.0, &one.1.name).cmp(&(other.0, &other.1.name)));
        for (_, said) in said {
            self.take(said);
        }
    }

    fn read_inherited(&mut self) {
        let mut next = 0;
        while let Some(said) = self.inherited.get(next).cloned() {
            next += 1;
            self.include(&said);
        }
    }

    fn include(&mut self, said: &Said) {
        let Some(given) = self.expand(said) else {
            return;
        };
        if !self.has_room(1, &said.origin) {
            return;
        }
        match self.find_file(&given) {
            Ok(found) => self.read_section(found, said),
            Err(reason) => self.problems.error(&said.origin, &said.name, reason),
        }
    }

    /// The file and the section that `file.ini:section`, `:section` or `-` mean.
    fn find_file(&self, given: &str) -> Result<(String, Option<String>), String> {
        if given.is_empty() {
            return Err("the name of a file is needed".to_owned());
        }
        if given.contains("://") {
            return Err(format!(
                "cannot read \"{given}\": only files, and - for standard input"
            ));
        }
        if self.host.kind(&self.locate(given)).is_some() {
            return Ok((given.to_owned(), None));
        }
        let Some((file, section)) = given
            .rsplit_once(':')
            .filter(|(_, section)| !section.contains('/'))
        else {
            return Ok((given.to_owned(), None));
        };
        let section = Some(section.to_owned()).filter(|section| !section.is_empty());
        if !file.is_empty() {
            return Ok((file.to_owned(), section));
        }
        let current = self.open.last().map(|open| open.given.clone());
        match current.or_else(|| self.last.clone()) {
            Some(file) => Ok((file, section)),
            None => Err(format!(
                "\"{given}\" names a section of the file read before, and there is none"
            )),
        }
    }

    fn read_section(&mut self, (given, section): (String, Option<String>), said: &Said) {
        let path = match given.as_str() {
            "-" => PathBuf::from("-"),
            _ => self.locate(&given),
        };
        let asked = section.is_some();
        let open = OpenSection {
            section: section.unwrap_or_else(|| "uwsgi".to_owned()),
            given,
            path,
        };
        if let Some(reason) = self.endless(&open) {
            self.problems.error(&said.origin, &said.name, reason);
            return;
        }
        let document = match self.document(&open) {
            Ok(document) => document,
            Err(reason) => {
                self.problems.error(&said.origin, &said.name, reason);
                return;
            }
        };
        self.last = Some(open.given.clone());
        let Some(lines) = self.lines(&document, &open) else {
            self.missing_section(&document, &open, asked, said);
            return;
        };
        self.open.push(open);
        block::run(self, &lines, None);
        self.open.pop();
    }

    fn endless(&self, next: &OpenSection) -> Option<String> {
        let is_open = |open: &OpenSection| open.path == next.path && open.section == next.section;
        if self.open.len() < DEEPEST && !self.open.iter().any(is_open) {
            return None;
        }
        let label = |open: &OpenSection| match open.section.as_str() {
            "uwsgi" => open.given.clone(),
            section => format!("{}:{section}", open.given),
        };
        let chain: Vec<String> = self.open.iter().chain([next]).map(label).collect();
        Some(format!(
            "files include each other without end: {}",
            chain.join(" → ")
        ))
    }

    fn document(&mut self, open: &OpenSection) -> Result<Rc<Document>, String> {
        if let Some(document) = self.documents.get(&open.path) {
            return Ok(document.clone());
        }
        let bytes = match open.given.as_str() {
            "-" => self.host.read_stdin(),
            _ => self.host.read(&open.path),
        };
        let bytes = bytes.map_err(|error| {
            let reason = cannot_read(&open.given, &open.path, &error);
            format!("{reason}{}", self.neighbour(open))
        })?;
        let document = Rc::new(Document::read(&bytes));
        for remark in &document.remarks {
            self.problems.warn(&origin(open, remark.line), "", remark.reason);
        }
        self.documents.insert(open.path.clone(), document.clone());
        Ok(document)
    }

    /// Relative names start where the program was started, which is not where people look first.
    fn neighbour(&self, open: &OpenSection) -> String {
        let including = self.open.last().and_then(|open| open.path.parent());
        let beside = including.map(|directory| directory.join(&open.given));
        let is_there = beside.is_some_and(|path| self.host.kind(&path) == Some(FileKind::File));
        if !is_there || Path::new(&open.given).is_absolute() {
            return String::new();
        }
        format!("; for the one beside this file write %d{}", open.given)
    }

    /// The lines of a section with their magic variables replaced; `None`: there is no such section.
    fn lines(&mut self, document: &Document, open: &OpenSection) -> Option<Vec<Said>> {
        let file = match open.given.as_str() {
            "-" => FileName::default(),
            given => FileName::new(given, &open.path, self.host),
        };
        let first = self
            .first
            .get_or_insert_with(|| (file.clone(), open.section.clone()))
            .clone();
        let magic = Magic {
            file: &file,
            first: (&first.0, &first.1),
            section: &open.section,
            facts: self.host.facts(),
        };
        let (lines, faults) = document.section(&open.section)?;
        for fault in faults {
            self.problems.error(&origin(open, fault.line), "", fault.reason);
        }
        let mut said = Vec::with_capacity(lines.len());
        for line in lines {
            let mut unknown = Vec::new();
            let name = magic.replace(&line.key, &mut unknown);
            let value = magic.replace(&line.value, &mut unknown);
            let origin = origin(open, line.number);
            self.remark_on_magic(&origin, &name, unknown);
            said.push(Said { name, value, origin });
        }
        Some(said)
    }

    /// Tells of magic variables that stand for nothing, where it matters: not in a value that is ignored anyway.
    fn remark_on_magic(&mut self, origin: &Origin, name: &str, mut letters: Vec<char>) {
        let is_ignored = match table::find(name) {
            Some(known) => known.status == Status::NotYet,
            None => !is_plausible(name),
        };
        if is_ignored {
            return;
        }
        letters.sort_unstable();
        letters.dedup();
        for letter in letters {
            let reason =
                format!("%{letter} is no magic variable and vanishes: write %%{letter} for the text");
            self.problems.warn(origin, name, reason);
        }
    }

    fn missing_section(&mut self, document: &Document, open: &OpenSection, asked: bool, said: &Said) {
        let names: Vec<String> = document.names().map(|name| format!("[{name}]")).collect();
        let has = match names.as_slice() {
            [] => "none at all".to_owned(),
            _ => format!("only {}", names.join(", ")),
        };
        let reason = format!("\"{}\" has no section [{}], {has}", open.given, open.section);
        if asked {
            self.problems.error(&said.origin, &said.name, reason);
        } else {
            let reason = format!(
                "{reason}: nothing is read from it; say which with {}:SECTION",
                open.given
            );
            self.problems.warn(&said.origin, &said.name, reason);
        }
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
                    self.problems.error(&said.origin, &said.name, reason);
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
        tell_unknown(&options, &referenced, self.problems);
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

fn origin(open: &OpenSection, line: usize) -> Origin {
    let name = match open.given.as_str() {
        "-" => "stdin".to_owned(),
        given => given.to_owned(),
    };
    Origin::File { name, line }
}

/// Variables with uWSGI's prefix that are messages between its processes.
const NOT_OPTIONS: [&str; 8] = [
    "UWSGI_RELOADS",
    "UWSGI_VASSALS_DIR",
    "UWSGI_EMPEROR_FD",
    "UWSGI_EMPEROR_FD_CONFIG",
    "UWSGI_EMPEROR_PROXY",
    "UWSGI_BROODLORD_NUM",
    "UWSGI_JAIL_PID",
    "UWSGI_ORIGINAL_PROC_NAME",
];

/// The option that a variable of the environment sets. `UWRS__…` is for messages between uwrs's own processes.
fn option_of(variable: &str) -> Option<String> {
    if NOT_OPTIONS.contains(&variable) {
        return None;
    }
    let name = variable
        .strip_prefix("UWSGI_")
        .or_else(|| variable.strip_prefix("UWRS_"))?;
    if name.is_empty() || name.starts_with('_') {
        return None;
    }
    Some(name.to_lowercase().replace('_', "-"))
}

/// Tells of names that are no options and that nothing refers to.
fn tell_unknown(options: &Options, referenced: &BTreeSet<String>, problems: &mut Problems) {
    let is_strict = options
        .last("strict")
        .is_some_and(|setting| super::value::boolean(&setting.value).value);
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
fn is_plausible(name: &str) -> bool {
    let is_fine = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(is_fine)
}
