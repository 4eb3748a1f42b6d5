//! The virtualenv with the frameworks that `tests/run` makes, and other Pythons of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The virtualenv with Django and Flask. `None`, said aloud, where the tests run without one.
pub(crate) fn frameworks() -> Option<PathBuf> {
    let home = std::env::var_os("UWRS_TEST_VENV").filter(|home| !home.is_empty());
    let home = home.map(PathBuf::from);
    if home.is_none() {
        super::skip("UWRS_TEST_VENV names no virtualenv with the frameworks (tests/run makes one)");
    }
    home
}

/// The virtualenv with the frameworks, where `module` can be imported in it. `None`, said aloud, where not.
pub(crate) fn with(module: &str) -> Option<PathBuf> {
    let home = frameworks()?;
    let script = format!("import {module}");
    let python = home.join("bin/python");
    let imported = Command::new(python).args(["-c", &script]).output().ok()?;
    if !imported.status.success() {
        super::skip(&format!(
            "{} has no {module} (tests/run installs it)",
            home.display()
        ));
        return None;
    }
    Some(home)
}

/// The `major.minor` of the Python at `program`.
pub(crate) fn version(program: &Path) -> Option<String> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new(program).args(["-c", script]).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    Some(version.trim().to_owned()).filter(|version| !version.is_empty())
}

/// A Python 3 of this machine whose version is not `ours`.
pub(crate) fn other_python(ours: &str) -> Option<(PathBuf, String)> {
    let versions = Path::new(&std::env::var_os("HOME")?).join(".pyenv/versions");
    let of_pyenv = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let candidates = of_pyenv
        .map(|entry| entry.path().join("bin/python3"))
        .chain((9..20).map(|minor| PathBuf::from(format!("/usr/bin/python3.{minor}"))));
    candidates
        .filter_map(|program| Some((version(&program)?, program)))
        .filter(|(version, _)| version.starts_with("3.") && version != ours)
        .map(|(version, program)| (program, version))
        .max_by_key(|(_, version)| version.clone())
}
