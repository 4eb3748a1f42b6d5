//! [`Autoreload`]: while developing, a change of any imported module's file asks the master for a reload
//! (`py-autoreload`).
//!
//! inotify tells of changes; the list of files is looked at anew every so often, since applications import more as
//! they serve.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Watches the files of what is imported.
pub(super) struct Autoreload {
    inotify: Inotify,
    /// Folders, not files: editors replace files, which a watch on the file itself would not survive.
    folders: Vec<(WatchDescriptor, PathBuf)>,
    files: HashSet<PathBuf>,
    every: Duration,
    next_look: Instant,
}

impl Autoreload {
    /// Looks for newly imported files every `every`.
    ///
    /// # Errors
    /// inotify can't be had (out of instances or descriptors).
    pub(super) fn new(every: Duration) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self {
            inotify,
            folders: Vec::new(),
            files: HashSet::new(),
            every,
            next_look: Instant::now(),
        })
    }

    /// Readable when something in a watched folder changed.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// How long until the files are to be looked at.
    pub(super) fn patience(&self) -> Duration {
        self.next_look.saturating_duration_since(Instant::now())
    }

    /// These files are imported now.
    pub(super) fn look(&mut self, files: Vec<PathBuf>) {
        self.next_look = Instant::now() + self.every;
        for file in files {
            if let Some(folder) = file.parent()
                && !self.folders.iter().any(|(_, have)| have == folder)
            {
                self.watch(folder);
            }
            self.files.insert(file);
        }
    }

    fn watch(&mut self, folder: &Path) {
        let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
        match self.inotify.add_watch(folder, flags) {
            Ok(descriptor) => self.folders.push((descriptor, folder.to_owned())),
            // Not to be watched is no reason to fail: a folder may be gone, or the watches used up.
            Err(error) => log::debug!("py-autoreload: {}: {error}", folder.display()),
        }
    }

    /// The first imported file that has changed since the last call.
    pub(super) fn changed(&self) -> Option<PathBuf> {
        let mut first = None;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        let path = event.name.and_then(|name| self.path_of(event.wd, &name));
                        first = first.or(path.filter(|path| self.files.contains(path)));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return first,
                Err(error) => {
                    log::warn!("py-autoreload: {error}; changes may go unnoticed");
                    return first;
                }
            }
        }
    }

    fn path_of(&self, descriptor: WatchDescriptor, name: &OsString) -> Option<PathBuf> {
        self.folders
            .iter()
            .find(|(have, _)| *have == descriptor)
            .map(|(_, folder)| folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What `changed` says, once the kernel has had a moment to say anything.
    fn changed_soon(autoreload: &Autoreload) -> Option<PathBuf> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let changed = autoreload.changed();
            if changed.is_some() || Instant::now() > deadline {
                return changed;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_saved_or_replaced_module_is_noticed_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("app.py");
        fs::write(&module, "one").unwrap();
        let mut autoreload = Autoreload::new(Duration::from_secs(1)).unwrap();
        autoreload.look(vec![module.clone()]);

        fs::write(folder.path().join("notes.txt"), "no module").unwrap();
        fs::write(&module, "two").unwrap();
        assert_eq!(changed_soon(&autoreload), Some(module.clone()));

        let draft = folder.path().join("draft");
        fs::write(&draft, "three").unwrap();
        fs::rename(&draft, &module).unwrap();
        assert_eq!(changed_soon(&autoreload), Some(module));

        fs::write(folder.path().join("notes.txt"), "still no module").unwrap();
        assert_eq!(autoreload.changed(), None);
    }
}
