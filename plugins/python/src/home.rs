//! `home`: what lies there, and whether this program can run it. Looks at files only; starting the interpreter is
//! the interpreter module's business.
//!
//! A program is linked to one libpython and can run no other version: a virtualenv of Python 3.12 under a libpython
//! of 3.11 would find neither its packages nor its compiled modules. That is found out here, before Python is started.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A Python version as far as compatibility goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PythonVersion {
    pub(crate) major: u8,
    pub(crate) minor: u8,
}

impl PythonVersion {
    /// Reads `3.11`, `3.11.7`, `3.11.7.final.0`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// A usable `home`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Made by venv, virtualenv or uv: has a `pyvenv.cfg`. Its Python.
    Virtualenv(PathBuf),
    /// A whole installation with its own standard library, and its Python where it has one.
    Installation {
        prefix: PathBuf,
        python: Option<PathBuf>,
    },
}

/// Looks at `home` with the eyes of a Python of `ours`. An error is one sentence.
pub(crate) fn inspect(home: &Path, ours: PythonVersion) -> Result<Home, String> {
    let shown = home.display();
    if is_hidden(home) {
        return Err(hidden(home));
    }
    if !home.exists() {
        return Err(format!(
            "{shown} does not exist: make it with python{ours} -m venv {shown}"
        ));
    }
    if !home.is_dir() {
        return Err(format!("{shown} is not a directory: home wants the virtualenv's"));
    }
    match fs::read_to_string(home.join("pyvenv.cfg")) {
        Ok(settings) => inspect_virtualenv(home, &settings, ours),
        Err(_) => inspect_installation(home, ours),
    }
}

fn inspect_virtualenv(home: &Path, settings: &str, ours: PythonVersion) -> Result<Home, String> {
    let shown = home.display();
    let python = find_python(home, ours)?;
    let theirs = version_setting(settings).or_else(|| {
        let there = library_versions(home);
        // Several: one that is ours is enough. None: nothing is known against it.
        if there.contains(&ours) {
            Some(ours)
        } else {
            there.first().copied()
        }
    });
    match theirs {
        Some(theirs) if theirs != ours => Err(format!(
            "{shown} is a virtualenv of Python {theirs}, but this uwrs is built for Python {ours}: rebuild it with \
             PYO3_PYTHON={} cargo build --release, or make the virtualenv anew with python{ours}",
            python.display()
        )),
        _ => Ok(Home::Virtualenv(python)),
    }
}

fn inspect_installation(home: &Path, ours: PythonVersion) -> Result<Home, String> {
    let shown = home.display();
    if home.join(format!("lib/python{ours}/os.py")).is_file() {
        let python = find_python(home, ours).ok();
        let prefix = home.to_owned();
        return Ok(Home::Installation { prefix, python });
    }
    match library_versions(home).first() {
        Some(theirs) => Err(format!(
            "{shown} has Python {theirs}, but this uwrs is built for Python {ours}: rebuild it with \
             PYO3_PYTHON={shown}/bin/python{theirs} cargo build --release, or make a virtualenv with python{ours}"
        )),
        None => Err(format!(
            "{shown} is neither a virtualenv (it has no pyvenv.cfg) nor a Python installation (it has no \
             lib/python{ours}): make one with python{ours} -m venv {shown}"
        )),
    }
}

/// The program in `home/bin`.
fn find_python(home: &Path, ours: PythonVersion) -> Result<PathBuf, String> {
    let names = ["python".to_owned(), "python3".to_owned(), format!("python{ours}")];
    let candidates = names.map(|name| home.join("bin").join(name));
    if let Some(python) = candidates.iter().find(|path| path.is_file()) {
        return Ok(python.clone());
    }
    let shown = home.display();
    for path in &candidates {
        if is_hidden(path) {
            return Err(hidden(path));
        }
        if let Ok(aim) = fs::read_link(path) {
            return Err(format!(
                "{} is a link to {}, which is not there: make the virtualenv anew with python{ours} -m venv --clear {shown}",
                path.display(),
                aim.display()
            ));
        }
    }
    Err(format!(
        "{shown} has no bin/python: make it anew with python{ours} -m venv --clear {shown}"
    ))
}

/// May this user not even see whether it is there? The usual cause where `uid` is set and Python or its virtualenv lies
/// in someone's home.
fn is_hidden(path: &Path) -> bool {
    matches!(path.metadata(), Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

fn hidden(path: &Path) -> String {
    let shown = path.display();
    let aim = fs::read_link(path).map_or(String::new(), |aim| format!(", a link to {}", aim.display()));
    format!(
        "this user may not read {shown}{aim}: give it the right to, on every directory of the way there (namei -l {shown} \
         shows them)"
    )
}

/// `version = 3.11.7` (venv), `version_info = 3.11.7.final.0` (virtualenv, uv).
fn version_setting(settings: &str) -> Option<PythonVersion> {
    settings
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| {
            matches!(
                key.trim().to_ascii_lowercase().as_str(),
                "version" | "version_info"
            )
        })
        .and_then(|(_, value)| PythonVersion::parse(value))
}

/// Versions that `home/lib` has a directory of, the newest first.
fn library_versions(home: &Path) -> Vec<PythonVersion> {
    let Ok(entries) = fs::read_dir(home.join("lib")) else {
        return Vec::new();
    };
    let mut versions: Vec<_> = entries
        .flatten()
        .filter_map(|entry| PythonVersion::parse(entry.file_name().to_str()?.strip_prefix("python")?))
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const OURS: PythonVersion = PythonVersion { major: 3, minor: 11 };

    /// A directory of its own for a test, with these files in it.
    fn home(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("uwrs-home-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_virtualenv_of_our_version_is_taken() {
        for settings in [
            "home = /usr/bin\nversion = 3.11.2\n",
            "version_info = 3.11.7.final.0\n",
            "home = /x\n",
        ] {
            let root = home("ours", &[("pyvenv.cfg", settings), ("bin/python", "")]);
            assert_eq!(
                inspect(&root, OURS),
                Ok(Home::Virtualenv(root.join("bin/python")))
            );
        }
    }

    #[test]
    fn a_virtualenv_of_another_version_is_refused_with_both_versions_and_the_way_out() {
        let root = home(
            "other",
            &[("pyvenv.cfg", "version = 3.12.1\n"), ("bin/python", "")],
        );
        let shown = root.display();
        assert_eq!(
            inspect(&root, OURS),
            Err(format!(
                "{shown} is a virtualenv of Python 3.12, but this uwrs is built for Python 3.11: rebuild it with \
                 PYO3_PYTHON={shown}/bin/python cargo build --release, or make the virtualenv anew with python3.11"
            ))
        );
    }

    #[test]
    fn without_a_version_setting_the_library_directory_tells() {
        let files = [
            ("pyvenv.cfg", "home = /x\n"),
            ("bin/python", ""),
            ("lib/python3.9/x", ""),
        ];
        let root = home("library", &files);
        assert!(
            inspect(&root, OURS)
                .unwrap_err()
                .contains("a virtualenv of Python 3.9")
        );
    }

    #[test]
    fn an_installation_is_taken_when_it_has_our_standard_library() {
        let root = home("whole", &[("lib/python3.11/os.py", ""), ("bin/python3", "")]);
        let python = Some(root.join("bin/python3"));
        assert_eq!(
            inspect(&root, OURS),
            Ok(Home::Installation { prefix: root, python })
        );
    }

    #[test]
    fn an_installation_of_another_version_is_refused() {
        let root = home(
            "whole-other",
            &[("lib/python3.10/os.py", ""), ("bin/python3", "")],
        );
        assert!(
            inspect(&root, OURS)
                .unwrap_err()
                .contains("has Python 3.10, but this uwrs is built for Python 3.11")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = home("missing", &[("pyvenv.cfg", "version = 3.11\n"), ("file", "")]);
        assert!(
            inspect(&root.join("none"), OURS)
                .unwrap_err()
                .contains("none does not exist")
        );
        assert!(
            inspect(&root.join("file"), OURS)
                .unwrap_err()
                .contains("file is not a directory")
        );
        assert!(inspect(&root, OURS).unwrap_err().contains("has no bin/python"));
        let empty = home("empty", &[]);
        assert!(
            inspect(&empty, OURS)
                .unwrap_err()
                .contains("neither a virtualenv")
        );
    }

    #[test]
    fn a_link_to_a_python_that_is_gone_is_named() {
        let root = home("broken", &[("pyvenv.cfg", "version = 3.11\n"), ("bin/x", "")]);
        symlink("/nowhere/python3.11", root.join("bin/python")).unwrap();
        assert!(
            inspect(&root, OURS)
                .unwrap_err()
                .contains("is a link to /nowhere/python3.11, which is not there")
        );
    }
}
