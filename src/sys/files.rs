//! The mask of permissions for files that get a name.

use nix::sys::stat::{Mode, umask};

/// Bits that new files of this process do not get.
pub fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}
