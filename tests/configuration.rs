//! The real program and what it says about configurations: exit status, streams, files as they are on a disk.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory of a test's own, emptied.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("configuration-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.0.join(name), text).expect("a file can be written");
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uwrs"));
        command.args(arguments).current_dir(&self.0).env_clear();
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the program can be started")
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("messages are UTF-8")
}

#[test]
fn a_configuration_that_is_right_is_silent_and_ends_with_0() {
    let place = Place::new("right").file("uwsgi.ini", "[uwsgi]\nhttp = :8000\nchdir = %d\nmodule = app\n");
    let output = place.run(&["--check", "uwsgi.ini"]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn all_mistakes_are_told_and_the_program_ends_with_1() {
    let place = Place::new("wrong").file(
        "uwsgi.ini",
        "[uwsgi]\nhttp = :8000\nmodule = app\nproceses = 2\nlisten = x\n",
    );
    let output = place.run(&["--check", "uwsgi.ini"]);
    let expected = "uwrs: warning: uwsgi.ini:4: unknown option \"proceses\", did you mean \"processes\"?\n\
                    uwrs: error: uwsgi.ini:5: listen: not a number: \"x\"\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(text(&output.stdout), "");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_mistake_keeps_the_program_from_serving() {
    let place = Place::new("serving").file(
        "uwsgi.ini",
        "[uwsgi]\nhttp = :8000\nmodule = app\nchdir = nowhere\n",
    );
    let output = place.run(&["uwsgi.ini"]);
    let expected = format!(
        "uwrs: error: uwsgi.ini:4: chdir: no such directory: {}\n",
        place.0.join("nowhere").display()
    );
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_directory_is_not_a_file() {
    let place = Place::new("directory");
    fs::create_dir(place.0.join("uwsgi.ini")).expect("a directory can be made");
    let output = place.run(&["--check", "uwsgi.ini"]);
    let expected = "uwrs: error: cannot read \"uwsgi.ini\": it is a directory (looked for ";
    assert!(
        text(&output.stderr).starts_with(expected),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let place = Place::new("pipe");
    let mut child = place
        .command(&["--show-config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin
        .write_all(b"[uwsgi]\nhttp = :8000\nmodule = app\n")
        .expect("the program reads it");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    assert!(text(&output.stdout).starts_with("stdin:2  http = :8000  → http on :8000\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let place = Place::new("help");
    for (arguments, expected) in [
        (["--help"], "Usage: uwrs [OPTIONS] [FILE.ini[:SECTION]]..."),
        (["--version"], concat!("uwrs ", env!("CARGO_PKG_VERSION"), "\n")),
        (["--help=markdown"], "# Options"),
    ] {
        let output = place.run(&arguments);
        assert!(text(&output.stdout).contains(expected), "{arguments:?}");
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn the_facts_of_the_machine_are_found() {
    let place = Place::new("facts").file(
        "uwsgi.ini",
        "[uwsgi]\nhttp = :8000\nmodule = app\nprocname = %n %c\nprocesses = %k\npidfile = %d%U.pid\n\
         for-glob = *.txt\nenv = FOUND=%(_)\nendfor =\n",
    );
    let place = place.file("a.txt", "").file("b.txt", "");
    let output = place.run(&["--show-config", "uwsgi.ini"]);
    let shown = text(&output.stdout);
    assert!(
        shown.contains("procname = uwsgi configuration-facts\n"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("env = FOUND={}\n", place.0.join("a.txt").display())),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("env = FOUND={}\n", place.0.join("b.txt").display())),
        "{shown}"
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
#[cfg(unix)]
fn a_link_keeps_its_own_name_and_a_linked_directory_does_not() {
    let place = Place::new("links").file(
        "real.ini",
        "[uwsgi]\nhttp = :8000\nmodule = app\nprocname = %n %d\n",
    );
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(from, place.0.join(to)).expect("a link can be made");
    };
    link("real.ini", "link.ini");
    fs::create_dir(place.0.join("inside")).expect("a directory can be made");
    fs::rename(place.0.join("real.ini"), place.0.join("inside/real.ini")).expect("a file can be moved");
    link("inside", "door");
    link("inside/real.ini", "other.ini");
    let real = place.0.canonicalize().expect("it is there");
    for (name, expected) in [
        ("other.ini", format!("other {}/", place.0.display())),
        (
            "door/real.ini",
            format!("real {}/", real.join("inside").display()),
        ),
    ] {
        let output = place.run(&["--show-config", name]);
        let shown = text(&output.stdout);
        assert!(
            shown.contains(&format!("procname = {expected}\n")),
            "{name}: {shown}"
        );
    }
}
