//! Files, as they are met: which one a name means, its section, its lines.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::unknown::is_plausible;
use super::{Reader, Said};
use crate::config::block;
use crate::config::definition::Status;
use crate::config::host::FileKind;
use crate::config::ini::Document;
use crate::config::magic::{FileName, Magic};
use crate::config::problem::cannot_read;
use crate::config::said::Origin;
use crate::config::table;

/// Files may include files this often.
const DEEPEST: usize = 32;

/// A section that is being read.
#[derive(Clone, Debug)]
pub(super) struct OpenSection {
    given: String,
    path: PathBuf,
    section: String,
}

impl Reader<'_> {
    /// Reads the files that are to be read after all others.
    pub(super) fn read_inherited(&mut self) {
        let mut next = 0;
        while let Some((said, open)) = self.inherited.get(next).cloned() {
            next += 1;
            self.open = open;
            self.include(&said);
        }
        self.open.clear();
    }

    /// Reads the file that a value names.
    pub(super) fn include(&mut self, said: &Said) {
        let Some(given) = self.expand(said) else {
            return;
        };
        if !self.has_room(1, &said.origin) {
            return;
        }
        match self.find_file(&given) {
            Ok(found) => self.read_section(found, said),
            Err(reason) => self.problems.unread(&said.origin, &said.name, reason),
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
                self.problems.unread(&said.origin, &said.name, reason);
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
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(format!(
                "cannot read \"{}\": it is UTF-16: save the file as UTF-8",
                open.given
            ));
        }
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
            Some(known) => matches!(known.status, Status::NotYet(_)),
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
        let reason = format!("\"{}\" has no section [{}], {has}", shown(open), open.section);
        if asked {
            self.problems.unread(&said.origin, &said.name, reason);
        } else {
            let reason = format!(
                "{reason}: nothing is read from it; say which with {}:SECTION",
                open.given
            );
            self.problems.warn(&said.origin, &said.name, reason);
        }
    }
}

fn origin(open: &OpenSection, line: usize) -> Origin {
    let name = shown(open).to_owned();
    Origin::File { name, line }
}

/// What a file is called in messages.
fn shown(open: &OpenSection) -> &str {
    match open.given.as_str() {
        "-" => "stdin",
        given => given,
    }
}
