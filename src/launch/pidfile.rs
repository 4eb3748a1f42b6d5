//! Pidfiles: written, removed, and read by `--reload` and `--stop`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::control;
use super::leftover::{self, Leftover};
use crate::config::{Pidfile, PidfileMoment};
use crate::sys::{self, Pid, Signal};

/// The short name of every process of ours.
pub const PROCESS_NAME: &str = "uwrs";

/// Writes those of the files whose moment it is. Gives what went wrong.
pub(crate) fn write_all(files: &[Pidfile], moment: PidfileMoment) -> Vec<String> {
    let due = files.iter().filter(|file| file.moment == moment);
    due.filter_map(|file| write(file).err()).collect()
}

/// Writes this process's id, over the one of a server that is gone or, with a warning, is there.
pub(crate) fn write(file: &Pidfile) -> Result<(), String> {
    let Pidfile { option, path, .. } = file;
    let there = read(path);
    // A program that the server has become keeps its pid, but may not be root any more.
    if there == Ok(std::process::id() as Pid) {
        return Ok(());
    }
    if let Ok(pid) = there
        && sys::is_alive(pid)
        && sys::process_name(pid).as_deref() == Some(PROCESS_NAME)
    {
        log::warn!(
            "{option} = {}: another {PROCESS_NAME} runs by this file (pid {pid}), and is out of reach for --stop and \
             --reload now: give each server its own",
            path.display()
        );
    }
    fs::write(path, format!("{}\n", std::process::id()))
        .map_err(|error| format!("{option} = {}: {}", path.display(), sys::why_not_made(&error)))
}

/// Removes those of the files that are still this process's. Gives what stays.
pub(crate) fn remove_all(files: &[Pidfile]) -> Vec<Leftover> {
    let is_ours = |path: &Path| read(path).is_ok_and(|pid| pid == std::process::id() as Pid);
    let ours = files.iter().filter(|file| is_ours(&file.path));
    ours.filter_map(|file| leftover::remove(&file.path)).collect()
}

/// `--reload PIDFILE`: asks the server whose pidfile this is to reload.
pub fn reload(path: &Path) -> Result<(), String> {
    signal(path, Signal::SIGHUP)
}

/// `--reload PIDFILE --wait`: asks it to reload, and waits until the new generation serves, for at most `limit`.
///
/// # Errors
/// The reason why it does not, or why that cannot be known.
pub fn reload_and_wait(path: &Path, limit: Duration) -> Result<(), String> {
    let pid = server(path)?;
    let outcome = control::reload(pid, limit);
    outcome
        .map(drop)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// `--stop PIDFILE`: asks it to stop, gracefully.
pub fn stop(path: &Path) -> Result<(), String> {
    signal(path, Signal::SIGINT)
}

fn signal(path: &Path, signal: Signal) -> Result<(), String> {
    let pid = server(path)?;
    sys::send_signal(pid, signal).map_err(|error| format!("{}: process {pid}: {error}", path.display()))
}

/// The server that runs by a pidfile.
fn server(path: &Path) -> Result<Pid, String> {
    let shown = path.display();
    let pid = read(path)?;
    let name = sys::process_name(pid).filter(|_| sys::is_alive(pid));
    match name.as_deref() {
        Some(PROCESS_NAME) => Ok(pid),
        Some(other) => Err(format!(
            "{shown}: process {pid} is {other}, not {PROCESS_NAME}: the file is stale"
        )),
        None => Err(format!("{shown}: no process {pid}: the server is not running")),
    }
}

fn read(path: &Path) -> Result<Pid, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    match text.trim().parse() {
        // 0 and below would be process groups.
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(format!(
            "{shown}: not a process id: {:?}",
            text.trim().chars().take(40).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("uwrs-{name}-{}.pid", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_is_no_process_id_is_refused() {
        for text in ["", "many", "0", "-1", "99999999999"] {
            let path = file("refused", text);
            let error = reload(&path).unwrap_err();
            assert!(error.contains("not a process id"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = stop(Path::new("/no/such.pid")).unwrap_err();
        assert!(error.starts_with("/no/such.pid: "), "{error}");
    }

    #[test]
    fn someone_elses_process_is_left_alone() {
        let path = file("stranger", &format!("{}\n", std::process::id()));
        let error = stop(&path).unwrap_err();
        assert!(error.contains("the file is stale"), "{error}");
        let path = file("gone", "4000000\n");
        let error = stop(&path).unwrap_err();
        assert!(error.contains("not running"), "{error}");
    }

    #[test]
    fn only_ones_own_pidfile_is_removed() {
        let files = ["others", "own"].map(|name| Pidfile {
            option: "pidfile",
            path: file(name, "1\n"),
            moment: PidfileMoment::Start,
        });
        let [other, own] = [0, 1].map(|index: usize| files[index].path.clone());
        write(&files[1]).unwrap();
        assert!(remove_all(&files).is_empty());
        assert!(other.exists());
        assert!(!own.exists());
        fs::remove_file(other).unwrap();
    }
}
