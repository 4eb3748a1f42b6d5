//! [`Leftover`]: a file that was to be removed (`vacuum`, a start that failed) and could not be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys;

/// A file that is still there, and why.
#[derive(Debug)]
pub(crate) struct Leftover {
    path: PathBuf,
    error: io::Error,
}

/// Removes a file of ours. `Some`: it stays.
pub(super) fn remove(path: &Path) -> Option<Leftover> {
    let error = fs::remove_file(path).err()?;
    let path = path.to_owned();
    Some(Leftover { path, error })
}

/// Says once of all that stay which they are, and what to do. `why` they were to be removed: `vacuum`.
pub(crate) fn tell(why: &str, leftovers: &[Leftover]) {
    if let Some(line) = sentence(why, leftovers, sys::effective_user()) {
        log::warn!("{line}");
    }
}

fn sentence(why: &str, leftovers: &[Leftover], user: u32) -> Option<String> {
    let is_forbidden = |leftover: &&Leftover| leftover.error.kind() == io::ErrorKind::PermissionDenied;
    let (forbidden, others): (Vec<&Leftover>, Vec<&Leftover>) = leftovers.iter().partition(is_forbidden);
    let mut parts: Vec<String> = others
        .iter()
        .map(|leftover| format!("{}: {}", leftover.path.display(), sys::reason_of(&leftover.error)))
        .collect();
    if !forbidden.is_empty() {
        let paths: Vec<String> = forbidden
            .iter()
            .map(|leftover| leftover.path.display().to_string())
            .collect();
        parts.push(format!(
            "{}: their directory is not user {user}'s to write, who this is by now: put them into one that is (systemd \
             makes it by RuntimeDirectory= for User=)",
            paths.join(", ")
        ));
    }
    (!parts.is_empty()).then(|| format!("{why}: not removed: {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_told_in_one_line() {
        let left = |path: &str, kind: io::ErrorKind| Leftover {
            path: path.into(),
            error: kind.into(),
        };
        assert_eq!(sentence("vacuum", &[], 7), None);
        let denied = io::ErrorKind::PermissionDenied;
        let line = sentence(
            "vacuum",
            &[
                left("/run/a.sock", denied),
                left("/mnt/b", io::ErrorKind::ReadOnlyFilesystem),
                left("/run/a.pid", denied),
            ],
            7,
        );
        assert_eq!(
            line.as_deref(),
            Some(
                "vacuum: not removed: /mnt/b: read-only filesystem or storage medium; /run/a.sock, /run/a.pid: their \
                 directory is not user 7's to write, who this is by now: put them into one that is (systemd makes it by \
                 RuntimeDirectory= for User=)"
            )
        );
    }
}
