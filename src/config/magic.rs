//! Magic variables: `%d`, `%n`, `%k` and the other two-character names that uWSGI replaces in a file's text.

use std::path::{Path, PathBuf};

use super::host::{Facts, Host};

/// A configuration file's name and what is derived from it.
#[derive(Clone, Debug, Default)]
pub(super) struct FileName {
    given: String,
    path: PathBuf,
    inode: Option<u64>,
}

impl FileName {
    /// The file that was named `given` and is found at `path`, absolute.
    pub(super) fn new(given: &str, path: &Path, host: &dyn Host) -> Self {
        Self {
            given: given.to_owned(),
            path: host.canonical(path),
            inode: host.inode(path),
        }
    }

    fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// With a final slash.
    fn directory(&self) -> String {
        match self.path.parent() {
            None => String::new(),
            Some(root) if root == Path::new("/") => "/".to_owned(),
            Some(parent) => format!("{}/", parent.display()),
        }
    }

    fn stem_and_extension(&self) -> (String, String) {
        let name = self.name();
        match name.rsplit_once('.') {
            Some((stem, extension)) => (stem.to_owned(), extension.to_owned()),
            None => (name, String::new()),
        }
    }

    fn component(&self, index: usize) -> String {
        self.directory()
            .split('/')
            .filter(|part| !part.is_empty())
            .nth(index)
            .unwrap_or_default()
            .to_owned()
    }

    fn last_directory(&self) -> String {
        let directory = self.directory();
        let last = directory.trim_end_matches('/').rsplit('/').next();
        last.unwrap_or_default().to_owned()
    }

    /// The variables that both this file and the first one of all have, by their lower-case names.
    fn variable(&self, name: char) -> Option<String> {
        Some(match name {
            'o' => self.given.clone(),
            'd' => self.directory(),
            's' => self.name(),
            'p' => self.path.display().to_string(),
            'c' => self.last_directory(),
            'e' => self.stem_and_extension().1,
            'n' => self.stem_and_extension().0,
            'i' => self.inode.map(|inode| inode.to_string()).unwrap_or_default(),
            'j' => format!("{:x}", djb33x(self.path.as_os_str().as_encoded_bytes())),
            _ => return None,
        })
    }
}

/// Bernstein's hash, times 33 xor byte, in 32 bits: what uWSGI names files by.
fn djb33x(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(5381, |hash: u32, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
}

/// The magic variables of one section of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Magic<'a> {
    /// The file being read.
    pub file: &'a FileName,
    /// The file that was read first of all, and its section.
    pub first: (&'a FileName, &'a str),
    /// The section being read.
    pub section: &'a str,
    /// The machine.
    pub facts: &'a Facts,
}

impl Magic<'_> {
    /// Replaces the variables in `text`. Names that stand for nothing vanish, as in uWSGI, and are added to
    /// `unknown`. A `%` at the end stays.
    pub(super) fn replace(&self, text: &str, unknown: &mut Vec<char>) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            if next != '%' {
                replaced.push(next);
                continue;
            }
            match rest.next() {
                None => replaced.push('%'),
                Some('(') => replaced.push_str("%("),
                Some(name) => match self.variable(name) {
                    Some(value) => replaced.push_str(&value),
                    None => unknown.push(name),
                },
            }
        }
        replaced
    }

    fn variable(&self, name: char) -> Option<String> {
        let facts = self.facts;
        Some(match name {
            '%' => "%".to_owned(),
            '[' => "\u{1b}".to_owned(),
            'v' => facts.directory.display().to_string(),
            'V' => env!("CARGO_PKG_VERSION").to_owned(),
            'h' => facts.hostname.clone(),
            'b' => facts.program.display().to_string(),
            'k' => facts.processors.to_string(),
            'u' => facts.user.0.to_string(),
            'U' => facts.user.1.clone(),
            'g' => facts.group.0.to_string(),
            'G' => facts.group.1.clone(),
            't' => facts.started.as_secs().to_string(),
            'T' => facts.started.as_micros().to_string(),
            'x' => self.section.to_owned(),
            'X' => self.first.1.to_owned(),
            '0'..='9' => self.file.component(name as usize - '0' as usize),
            'O' | 'D' | 'S' | 'P' | 'C' | 'E' | 'N' | 'I' | 'J' => {
                self.first.0.variable(name.to_ascii_lowercase())?
            }
            _ => self.file.variable(name)?,
        })
    }
}
