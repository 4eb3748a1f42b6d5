//! [`Touches`]: the files whose change asks for something (`touch-reload` and its like). What is asked for is done
//! elsewhere.
//!
//! Each is looked at once a second. That works for a file which does not exist yet, in a folder which does not exist yet,
//! on a network's file system, and behind a link that a deploy turns: where the kernel's own notices fail.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::config::Touch;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What a file was like: when it was changed, and which file it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    file: (u64, u64),
}

impl Stamp {
    /// `None`: there is no such file.
    fn of(touch: &Touch) -> Option<Self> {
        let metadata = fs::metadata(&touch.path).ok()?;
        Some(Self {
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            file: (metadata.dev(), metadata.ino()),
        })
    }
}

/// The files, as they were when they were last looked at.
#[derive(Debug)]
pub(super) struct Touches {
    files: Vec<(Touch, Option<Stamp>)>,
    next_look: Instant,
}

impl Touches {
    /// Takes note of how they are.
    pub(super) fn new(touches: &[Touch], now: Instant) -> Self {
        let files = touches.iter().map(|touch| (touch.clone(), Stamp::of(touch)));
        Self {
            files: files.collect(),
            next_look: now + EVERY,
        }
    }

    /// Watches these from now on. Of those that were watched before no change is missed.
    pub(super) fn replace(&mut self, touches: &[Touch]) {
        let known = |touch: &Touch| self.files.iter().find(|(known, _)| known == touch);
        let files = touches.iter().map(|touch| match known(touch) {
            Some((_, stamp)) => (touch.clone(), *stamp),
            None => (touch.clone(), Stamp::of(touch)),
        });
        self.files = files.collect();
    }

    /// When [`Touches::look`] is due; `None`: nothing is watched.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.files.is_empty()).then_some(self.next_look)
    }

    /// Those that have changed or appeared since the last look, if one is due. One that has vanished counts when it is
    /// there again.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Touch> {
        if self.next_look().is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.next_look = now + EVERY;
        let mut touched = Vec::new();
        for (touch, known) in &mut self.files {
            let stamp = Stamp::of(touch);
            if stamp.is_some() && stamp != *known {
                touched.push(touch.clone());
            }
            *known = stamp;
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;

    use super::*;
    use crate::config::TouchWish;

    fn touch(path: &Path) -> Touch {
        Touch {
            path: path.to_owned(),
            wish: TouchWish::Reload,
        }
    }

    /// What a look finds a second later.
    fn paths(touches: &mut Touches, now: &mut Instant) -> Vec<PathBuf> {
        *now += EVERY;
        touches.look(*now).into_iter().map(|touch| touch.path).collect()
    }

    #[test]
    fn a_change_is_noticed_once_and_so_is_a_file_that_appears() {
        let folder = tempfile::tempdir().unwrap();
        let (there, not_yet) = (folder.path().join("there"), folder.path().join("new/not-yet"));
        fs::write(&there, "").unwrap();
        let mut now = Instant::now();
        let mut touches = Touches::new(&[touch(&there), touch(&not_yet)], now);
        assert!(paths(&mut touches, &mut now).is_empty());

        File::open(&there)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        fs::create_dir(not_yet.parent().unwrap()).unwrap();
        fs::write(&not_yet, "").unwrap();
        assert_eq!(paths(&mut touches, &mut now), [there.clone(), not_yet.clone()]);
        assert!(paths(&mut touches, &mut now).is_empty());

        fs::remove_file(&there).unwrap();
        assert!(paths(&mut touches, &mut now).is_empty());
        fs::write(&there, "").unwrap();
        assert_eq!(paths(&mut touches, &mut now), [there]);
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("current");
        for release in ["one", "two"] {
            let file = File::create(folder.path().join(release)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        std::os::unix::fs::symlink("one", &link).unwrap();
        let mut now = Instant::now();
        let mut touches = Touches::new(&[touch(&link)], now);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("two", &link).unwrap();
        assert_eq!(paths(&mut touches, &mut now), [link]);
    }

    #[test]
    fn it_looks_once_a_second_and_never_where_nothing_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let now = Instant::now();
        let mut touches = Touches::new(&[touch(&file)], now);
        fs::write(&file, "").unwrap();
        assert_eq!(touches.look(now + EVERY / 2), []);
        assert_eq!(touches.next_look(), Some(now + EVERY));
        assert_eq!(touches.look(now + EVERY).len(), 1);
        assert_eq!(Touches::new(&[], now).next_look(), None);
    }

    #[test]
    fn a_new_list_keeps_what_is_known_of_files_that_were_in_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&new, "").unwrap();
        let mut now = Instant::now();
        let mut touches = Touches::new(&[touch(&old)], now);
        fs::write(&old, "").unwrap();
        touches.replace(&[touch(&old), touch(&new)]);
        assert_eq!(paths(&mut touches, &mut now), [old]);
    }
}
