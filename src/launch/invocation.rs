//! [`Invocation`]: what a process gets from whoever started it beside options: its own name and arguments,
//! sockets from systemd, and from a master before it the whole server. To be taken first thing in `main`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::handover::{Handed, VARIABLE};
use crate::sys;

/// First descriptor of those that systemd passes (sd_listen_fds(3)).
const LISTEN_FDS_START: i32 = 3;

/// What a process was started with.
#[derive(Debug)]
pub struct Invocation {
    /// Its arguments, its own name first.
    pub arguments: Vec<OsString>,
    /// Where to find the program again, be it a newer one then.
    pub program: PathBuf,
    /// Sockets from systemd.
    pub(super) sockets: Vec<OwnedFd>,
    /// The server, from the master before a re-execution.
    pub(super) handed: Option<Handed>,
    /// What was wrong with any of it.
    pub(super) warnings: Vec<String>,
}

impl Invocation {
    /// Takes all there is. Once, before anything opens a file: the descriptors are known by their numbers
    /// only. What systemd says of them stays in the environment, for the configuration is made of it; molds
    /// remove it.
    pub fn take() -> Self {
        let arguments: Vec<OsString> = env::args_os().collect();
        let mut warnings = Vec::new();
        let handed = env::var(VARIABLE).ok().and_then(|text| {
            let handed = Handed::decode(&text);
            handed
                .map_err(|error| warnings.push(format!("the former master's state is lost: {error}")))
                .ok()
        });
        sys::set_environment(VARIABLE, None);
        // What systemd passed to a master before us is among what that one handed over.
        let sockets = match handed {
            Some(_) => Vec::new(),
            None => take_systemd_sockets(&mut warnings),
        };
        let program = find_program(arguments.first().map_or(OsStr::new("uwrs"), OsString::as_os_str));
        Self {
            arguments,
            program,
            sockets,
            handed,
            warnings,
        }
    }
}

fn take_systemd_sockets(warnings: &mut Vec<String>) -> Vec<OwnedFd> {
    let number = |name: &str| env::var(name).ok()?.parse::<i64>().ok();
    if number("LISTEN_PID") != Some(i64::from(std::process::id())) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, 1024) as i32;
    let mut sockets = Vec::new();
    for raw in LISTEN_FDS_START..LISTEN_FDS_START + count {
        match sys::adopt_descriptor(raw) {
            Ok(fd) => sockets.push(fd),
            Err(error) => warnings.push(format!("LISTEN_FDS: descriptor {raw}: {error}")),
        }
    }
    sockets
}

/// Where the program is found again: by the path it was called by, so that a link which leads elsewhere
/// meanwhile is followed; else by PATH; else where it is now.
fn find_program(name: &OsStr) -> PathBuf {
    let is_path = name.as_bytes().contains(&b'/');
    let called = if is_path {
        std::path::absolute(name).ok().filter(|path| path.is_file())
    } else {
        env::var_os("PATH").and_then(|path| find_in(&path, name))
    };
    called
        .or_else(|| env::current_exe().ok())
        .unwrap_or_else(|| PathBuf::from(name))
}

fn find_in(path: &OsStr, name: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_path() {
        assert_eq!(
            find_in(OsStr::new("/nowhere:/bin:/usr/bin"), OsStr::new("sh")),
            Some("/bin/sh".into())
        );
        assert_eq!(find_in(OsStr::new("/nowhere"), OsStr::new("sh")), None);
    }

    #[test]
    fn a_path_is_taken_as_it_is_called() {
        assert_eq!(find_program(OsStr::new("/bin/sh")), Path::new("/bin/sh"));
    }

    #[test]
    fn what_is_nowhere_is_where_this_program_is() {
        assert_eq!(
            find_program(OsStr::new("/no/such/uwrs")),
            env::current_exe().unwrap()
        );
    }
}
