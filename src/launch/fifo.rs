//! [`Fifo`]: the named pipe that a master reads commands from, a byte each (`master-fifo`). What they mean is the
//! master's business.
//!
//! It is opened for reading and writing: so it never comes to its end, whoever writes to it and closes it. A lock tells
//! the pipe of a server that runs from one that was left behind.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::Mode;

use super::leftover::{self, Leftover};
use crate::sys::{self, Identity};

/// The pipes that were asked for, of which one is read.
#[derive(Debug)]
pub(crate) struct Fifo {
    /// In order: `0` to `9` choose among them.
    paths: Vec<PathBuf>,
    slot: usize,
    pipe: Pipe,
    /// It was not there before this server.
    is_new: bool,
}

/// An open pipe.
#[derive(Debug)]
struct Pipe(Flock<File>);

impl Fifo {
    /// Makes and opens the first pipe, or the one that is there. `None`: none was asked for. `heir`: whom root will
    /// become, whose pipe may be there too.
    pub(crate) fn open(paths: &[PathBuf], heir: Option<u32>) -> Result<Option<Self>, String> {
        let Some(path) = paths.first() else {
            return Ok(None);
        };
        let is_new = fs::symlink_metadata(path).is_err();
        Ok(Some(Self {
            paths: paths.to_vec(),
            slot: 0,
            pipe: Pipe::open(path, heir)?,
            is_new,
        }))
    }

    /// Goes on with the pipe that a master before us read, where that place is still asked for.
    pub(crate) fn adopt(paths: &[PathBuf], slot: usize, pipe: OwnedFd) -> Result<Option<Self>, String> {
        let Some(path) = paths.get(slot) else {
            return Self::open(paths, None);
        };
        let pipe = Pipe::lock(path, File::from(pipe))?;
        if !pipe.is_at(path) {
            // The list was changed.
            drop(pipe);
            return Self::open(paths, None);
        }
        Ok(Some(Self {
            paths: paths.to_vec(),
            slot,
            pipe,
            is_new: false,
        }))
    }

    /// Gives the pipe to whom the server becomes.
    pub(crate) fn give_to(&self, identity: &Identity) -> Result<(), String> {
        let uid = identity.user.as_ref().map(|user| user.uid);
        fchown(self.pipe.as_fd(), uid, identity.gid)
            .map_err(|error| failed(self.path(), "cannot be given to uid and gid", error))
    }

    /// Where the pipe is that is read.
    pub(crate) fn path(&self) -> &Path {
        &self.paths[self.slot]
    }

    /// Which of those that were asked for it is.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// Was the pipe made by this server?
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Reads another of the pipes from now on; the one that was read is removed, for another server to have.
    pub(crate) fn select(&mut self, slot: usize) -> Result<(), String> {
        let Some(path) = self.paths.get(slot) else {
            return Err(format!(
                "master-fifo: there is no number {slot}: {} given",
                self.paths.len()
            ));
        };
        if slot != self.slot {
            let former = std::mem::replace(&mut self.pipe, Pipe::open(path, None)?);
            let left = former.remove(&self.paths[self.slot]);
            leftover::tell("master-fifo", left.as_slice());
            self.slot = slot;
        }
        Ok(())
    }

    /// Makes the pipe again where somebody has removed it; what it was is over. `true`: that was so.
    ///
    /// # Errors
    /// There is something else in its place, or it can't be made.
    pub(crate) fn restore(&mut self) -> Result<bool, String> {
        if self.pipe.is_at(self.path()) {
            return Ok(false);
        }
        self.pipe = Pipe::open(self.path(), None)?;
        Ok(true)
    }

    /// The bytes that have come, of which each is a command. Without waiting; at most so many as a pipe holds.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut bytes = [0; 4096];
        match (&*self.pipe.0).read(&mut bytes) {
            Ok(count) => bytes[..count].to_vec(),
            Err(_) => Vec::new(),
        }
    }

    /// Removes the pipe (`vacuum`), unless it stays.
    pub(crate) fn remove(&self) -> Option<Leftover> {
        self.pipe.remove(self.path())
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Pipe {
    fn open(path: &Path, heir: Option<u32>) -> Result<Self, String> {
        match nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => {
                let reason = sys::why_not_made(&std::io::Error::from(error));
                return Err(failed(path, "cannot be made", reason));
            }
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(path)
            .map_err(|error| failed(path, "cannot be opened", sys::why_not_made(&error)))?;
        let metadata = file
            .metadata()
            .map_err(|error| failed(path, "cannot be looked at", error))?;
        if !metadata.file_type().is_fifo() {
            return Err(failed(
                path,
                "is there and is no pipe",
                "name another, or remove it",
            ));
        }
        // One that was laid there for us to find would let its owner command this server.
        let owner = metadata.uid();
        if ![Some(0), Some(sys::effective_user()), heir].contains(&Some(owner)) {
            return Err(failed(path, "belongs to another user", format!("number {owner}")));
        }
        Self::lock(path, file)
    }

    fn lock(path: &Path, file: File) -> Result<Self, String> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => Ok(Self(locked)),
            Err((_, Errno::EWOULDBLOCK)) => Err(failed(
                path,
                "is read by another server",
                "give each its own, or send that one the number of another pipe first",
            )),
            Err((_, error)) => Err(failed(path, "cannot be locked", error)),
        }
    }

    /// Is that still the file there?
    fn is_at(&self, path: &Path) -> bool {
        let there = fs::symlink_metadata(path).ok();
        let here = self.0.metadata().ok();
        there
            .zip(here)
            .is_some_and(|(there, here)| (there.dev(), there.ino()) == (here.dev(), here.ino()))
    }

    fn remove(&self, path: &Path) -> Option<Leftover> {
        self.is_at(path).then(|| leftover::remove(path)).flatten()
    }
}

fn failed(path: &Path, what: &str, why: impl std::fmt::Display) -> String {
    format!("master-fifo = {}: {what}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, bytes: &str) {
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_writers_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let fifo = Fifo::open(std::slice::from_ref(&path), None).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fifo.take(), b"");
        write(&path, "r");
        write(&path, "+-");
        assert_eq!(fifo.take(), b"r+-");
        assert_eq!(fifo.take(), b"");
        assert!(fifo.remove().is_none());
        assert!(!path.exists());
    }

    #[test]
    fn one_that_was_left_behind_is_used_again_and_one_that_is_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("fifo")];
        let first = Fifo::open(&paths, None).unwrap().unwrap();
        let error = Fifo::open(&paths, None).unwrap_err();
        assert!(error.contains("is read by another server"), "{error}");
        drop(first);
        assert!(Fifo::open(&paths, None).unwrap().is_some());
    }

    #[test]
    fn what_is_no_pipe_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&file, "precious");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let error = Fifo::open(std::slice::from_ref(&file), None).unwrap_err();
        assert!(error.contains("is no pipe"), "{error}");
        assert!(Fifo::open(&[link], None).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert!(Fifo::open(&[folder.path().join("no/folder")], None).is_err());
        assert!(Fifo::open(&[], None).unwrap().is_none());
    }

    #[test]
    fn one_that_was_removed_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("fifo")];
        let mut fifo = Fifo::open(&paths, None).unwrap().unwrap();
        assert_eq!(fifo.restore(), Ok(false));
        fs::remove_file(&paths[0]).unwrap();
        assert_eq!(fifo.restore(), Ok(true));
        write(&paths[0], "r");
        assert_eq!(fifo.take(), b"r");
        fs::remove_file(&paths[0]).unwrap();
        write(&paths[0], "precious");
        assert!(fifo.restore().unwrap_err().contains("is no pipe"));
    }

    #[test]
    fn another_one_is_chosen_by_its_number_and_the_former_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["new", "running"].map(|name| folder.path().join(name));
        let mut fifo = Fifo::open(&paths, None).unwrap().unwrap();
        assert!(!paths[1].exists());
        fifo.select(1).unwrap();
        assert_eq!((fifo.slot(), fifo.path()), (1, &*paths[1]));
        assert!(!paths[0].exists());
        write(&paths[1], "r");
        assert_eq!(fifo.take(), b"r");
        let mut other = Fifo::open(&paths, None).unwrap().unwrap();
        assert!(other.select(1).unwrap_err().contains("is read by another server"));
        assert_eq!(other.slot(), 0);
        assert!(
            fifo.select(7)
                .unwrap_err()
                .contains("there is no number 7: 2 given")
        );
    }

    #[test]
    fn a_pipe_that_was_handed_over_keeps_what_was_written_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["new", "running"].map(|name| folder.path().join(name));
        let mut before = Fifo::open(&paths, None).unwrap().unwrap();
        before.select(1).unwrap();
        write(&paths[1], "w");
        let pipe = before.as_fd().try_clone_to_owned().unwrap();
        std::mem::forget(before);
        let after = Fifo::adopt(&paths, 1, pipe).unwrap().unwrap();
        assert_eq!((after.slot(), after.take()), (1, b"w".to_vec()));
    }
}
