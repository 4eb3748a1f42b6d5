//! Tests of the whole way from text to [`Config`], on a machine that is made up.

mod dialect;
mod means;
mod order;
mod properties;
mod refusals;
mod table;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::host::{Facts, FileKind, Host};
use super::{Config, Failure, Invocation, Options, parse};

/// A machine that is made up: `/srv` is where the program was started.
pub(super) struct Machine {
    environment: Vec<(String, String)>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    directories: Vec<PathBuf>,
    stdin: Vec<u8>,
    pub(super) facts: Facts,
    pub(super) reads: Cell<usize>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            environment: Vec::new(),
            files: BTreeMap::new(),
            directories: ["/", "/srv", "/srv/app", "/srv/venv"].map(PathBuf::from).into(),
            stdin: Vec::new(),
            facts: Facts {
                directory: PathBuf::from("/srv"),
                pid: 7,
                program: PathBuf::from("/usr/bin/uwrs"),
                hostname: "tuxedo".to_owned(),
                processors: 4,
                user: (33, "www-data".to_owned()),
                group: (34, "www".to_owned()),
                started: Duration::from_micros(1_700_000_000_000_001),
                somaxconn: Some(4096),
                reload: false,
            },
            reads: Cell::new(0),
        }
    }

    /// With `/srv/uwsgi.ini`, whose section `uwsgi` holds these lines from line 2 on.
    pub(super) fn with_lines(lines: &str) -> Self {
        Self::new().file("/srv/uwsgi.ini", format!("[uwsgi]\n{lines}\n"))
    }

    pub(super) fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(PathBuf::from(path), text.into());
        self
    }

    pub(super) fn directory(mut self, path: &str) -> Self {
        self.directories.push(PathBuf::from(path));
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    pub(super) fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(Path::new(path))
    }

    pub(super) fn has_variables(&self) -> bool {
        !self.environment.is_empty()
    }

    pub(super) fn parse(&self, arguments: &[&str]) -> Result<Invocation, Failure> {
        parse(arguments.iter().map(OsString::from), self)
    }

    /// Reads `uwsgi.ini`, with what makes a configuration whole, and gives what it means.
    pub(super) fn config(&self, arguments: &[&str]) -> Config {
        self.run(arguments).0
    }

    /// As [`config`](Self::config), with what was said.
    pub(super) fn run(&self, arguments: &[&str]) -> (Config, Options) {
        let whole = ["--http", ":8000", "--need-app=false"];
        let file: &[&str] = match self.has_file("/srv/uwsgi.ini") {
            true => &["uwsgi.ini"],
            false => &[],
        };
        match self.parse(&[&whole, file, arguments].concat()) {
            Ok(Invocation::Run { config, options }) => (*config, options),
            other => panic!("{other:#?}"),
        }
    }

    /// The values of a name, as they were filled in.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let (_, options) = self.run(&[]);
        let said = options.settings().iter().filter(|setting| setting.name == name);
        said.map(|setting| setting.value.clone()).collect()
    }

    /// What is wrong with these arguments.
    pub(super) fn errors(&self, arguments: &[&str]) -> Vec<String> {
        match self.parse(arguments) {
            Err(failure) => failure.messages,
            Ok(invocation) => panic!("{invocation:#?}"),
        }
    }

    /// What is wrong with `uwsgi.ini`, made whole.
    pub(super) fn faults(&self) -> Vec<String> {
        self.errors(&["--http", ":8000", "--need-app=false", "uwsgi.ini"])
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.config(&[]).warnings
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.config(&[]).notes
    }
}

impl Host for Machine {
    fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        let bytes = self.files.get(path).cloned();
        bytes.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Ok(self.stdin.clone())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let path: PathBuf = path.components().collect();
        let holds_files = self.files.keys().any(|file| file.parent() == Some(&path));
        if holds_files || self.directories.contains(&path) {
            return Some(FileKind::Directory);
        }
        self.files.contains_key(&path).then_some(FileKind::File)
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        path.components().collect()
    }

    fn inode(&self, _: &Path) -> Option<u64> {
        Some(42)
    }

    fn list(&self, path: &Path) -> Vec<OsString> {
        let all = self.files.keys().chain(&self.directories);
        all.filter(|file| file.parent() == Some(path))
            .filter_map(|file| Some(file.file_name()?.to_owned()))
            .collect()
    }
}
