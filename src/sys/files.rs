//! Files that get a name: the mask of their permissions, and why there can be none.

use std::io::{self, ErrorKind};

use nix::sys::stat::{Mode, umask};

/// What is wrong with a path that has no directory to be in.
pub const NO_DIRECTORY: &str =
    "the directory does not exist: make it, or have systemd do it (RuntimeDirectory=, LogsDirectory=)";

/// Bits that new files of this process do not get.
pub fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}

/// Why a file could not be made or opened to write, and the way out.
pub fn why_not_made(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => NO_DIRECTORY.to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied: the directory, and what is there already, must be this user's to write"
                .to_owned()
        }
        _ => reason_of(error),
    }
}

/// The kernel's words, in lower case and without their number.
pub fn reason_of(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}
