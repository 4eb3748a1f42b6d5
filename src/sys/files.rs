//! Files: temporary ones without a name, and the mask of those that get one.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::stat::{Mode, umask};

/// Bits that new files of this process do not get.
pub fn set_umask(mask: u32) {
    umask(Mode::from_bits_truncate(mask));
}

/// A file without a name in `TMPDIR` (or `/tmp`), read and write, close-on-exec: gone when it is closed.
pub fn temporary_file() -> io::Result<File> {
    temporary_file_in(&env::temp_dir())
}

fn temporary_file_in(directory: &Path) -> io::Result<File> {
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(directory);
    match unnamed {
        Ok(file) => Ok(file),
        // File systems without O_TMPFILE (overlays, NFS) say EOPNOTSUPP; kernels that do not know it, EISDIR.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) =>
        {
            unlinked_file_in(directory)
        }
        Err(error) => Err(error),
    }
}

/// The same where O_TMPFILE is not to be had: created under a name of its own and unlinked at once.
fn unlinked_file_in(directory: &Path) -> io::Result<File> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    loop {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".uwrs-{}-{serial}", process::id()));
        let created = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match created {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn check(mut file: File) {
        file.write_all(b"body").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "body");
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_temporary_file_holds_data_and_has_no_name() {
        check(temporary_file().unwrap());
    }

    #[test]
    fn without_o_tmpfile_the_file_is_unlinked_instead() {
        check(unlinked_file_in(&env::temp_dir()).unwrap());
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        assert!(temporary_file_in(Path::new("/nowhere/at/all")).is_err());
    }
}
