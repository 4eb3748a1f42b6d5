//! [`Host`]: what the configuration wants to know of the machine, so that tests can make one up.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The machine, as far as the configuration looks at it. All paths given to it are absolute.
pub trait Host {
    /// The environment. Names and values that are not UTF-8 are left out.
    fn environment(&self) -> Vec<(String, String)>;
    /// What does not change while the program runs.
    fn facts(&self) -> &Facts;
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The bytes of standard input; the same ones however often it is asked.
    fn read_stdin(&self) -> io::Result<Vec<u8>>;
    /// What a path leads to, symbolic links followed; `None`: nothing.
    fn kind(&self, path: &Path) -> Option<FileKind>;
    /// Where a path leads to once all symbolic links are followed; but a link in its last part stays as it is.
    fn canonical(&self, path: &Path) -> PathBuf;
    /// The inode a path leads to.
    fn inode(&self, path: &Path) -> Option<u64>;
    /// The names in a directory, in no order.
    fn list(&self, path: &Path) -> Vec<OsString>;
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, a pipe, a socket.
    Other,
}

/// What does not change while the program runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The directory the program was started in; relative paths start here.
    pub directory: PathBuf,
    /// The process that was started.
    pub pid: u32,
    /// The program's own file.
    pub program: PathBuf,
    /// The host's name.
    pub hostname: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// User, as number and name; the number again where it has no name.
    pub user: (u32, String),
    /// Group, as number and name.
    pub group: (u32, String),
    /// When the program started, since 1970.
    pub started: Duration,
    /// `net.core.somaxconn`; `None` where it is not known.
    pub somaxconn: Option<u32>,
    /// Is this a reading after the first (a reload)?
    pub reload: bool,
}

/// The real machine.
#[derive(Debug)]
pub struct SystemHost {
    facts: Facts,
    // Standard input can be read once, but a reload asks for it again.
    stdin: OnceCell<Vec<u8>>,
}

/// Files past this size are no configuration: someone named a device or a log.
const LARGEST_FILE: u64 = 16 << 20;

impl SystemHost {
    /// Looks at the machine.
    pub fn new() -> Self {
        let (uid, gid) = fs::metadata("/proc/self").map_or((0, 0), |found| (found.uid(), found.gid()));
        let facts = Facts {
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            pid: std::process::id(),
            program: std::env::current_exe().unwrap_or_default(),
            hostname: read_line("/proc/sys/kernel/hostname").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            user: (uid, name_of(uid, "/etc/passwd")),
            group: (gid, name_of(gid, "/etc/group")),
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            somaxconn: read_line("/proc/sys/net/core/somaxconn").and_then(|line| line.parse().ok()),
            reload: false,
        };
        Self {
            facts,
            stdin: OnceCell::new(),
        }
    }

    /// Says that what is read from now on is a reload (`if-reload`).
    pub fn set_reload(&mut self) {
        self.facts.reload = true;
    }
}

impl Default for SystemHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for SystemHost {
    fn environment(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_whole(File::open(path)?)
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.stdin.get() {
            return Ok(bytes.clone());
        }
        let bytes = read_whole(io::stdin())?;
        Ok(self.stdin.get_or_init(|| bytes).clone())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let found = fs::metadata(path).ok()?;
        Some(match found.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Directory,
            _ => FileKind::Other,
        })
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink());
        if is_link {
            return path.to_path_buf();
        }
        fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
    }

    fn inode(&self, path: &Path) -> Option<u64> {
        fs::metadata(path).ok().map(|found| found.ino())
    }

    fn list(&self, path: &Path) -> Vec<OsString> {
        fs::read_dir(path).map_or_else(
            |_| Vec::new(),
            |entries| entries.flatten().map(|entry| entry.file_name()).collect(),
        )
    }
}

fn read_whole(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(bytes)
}

fn read_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The name of a user or group in a file like `/etc/passwd`; the number itself where it has none.
fn name_of(id: u32, database: &str) -> String {
    let number = id.to_string();
    let lines = fs::read_to_string(database).unwrap_or_default();
    let named = lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    named.unwrap_or(number)
}
