//! The log: where it goes, how a line looks, reopening it after a rotation. What is logged is everyone's own
//! business; the access log has a module of its own.
//!
//! Lines go to standard error. `logto` and `daemonize` lead that descriptor (and standard output, so that
//! what Python prints comes along) to a file. Each record is one write at the end of the file, so that
//! processes don't mix theirs. What can't be written, because a disk is full or a pipe is closed, is lost: a
//! log must not stop a server.

mod access;
mod outlet;
mod spare;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use log::{Level, LevelFilter, Record};

use crate::sys::{self, LocalTime};

pub use access::AccessLog;
pub use spare::{keep, mend};

/// The file that standard error leads to, absolute: a worker reopens it after `chdir`.
static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Was that file made by this process?
static IS_MADE: AtomicBool = AtomicBool::new(false);

/// Who writes: `master`, `mold 2`, `worker 1`.
static ROLE: Mutex<String> = Mutex::new(String::new());

/// Opens the log, once, before anything is logged. `file`: `None` for standard error. `RUST_LOG` chooses what
/// is logged (default: `info`).
pub fn start(file: Option<&Path>) -> Result<(), String> {
    file.map_or(Ok(()), |path| lead_output_to(&named(path)))?;
    start_logger()
}

/// Starts the log of a program that another one has become: standard error leads there already, and stays where the file
/// can't be opened anew. It may have been root who made it.
pub fn go_on(file: Option<&Path>) -> Result<(), String> {
    let opened = file.map_or(Ok(()), |path| lead_output_to(&named(path)));
    start_logger()?;
    if let Err(error) = opened {
        log::warn!("{error}; what was open before goes on");
    }
    Ok(())
}

/// The path, absolute, from now on that of the file to reopen.
fn named(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // Already there only when the log was started twice: the first file stays the one to reopen.
    FILE.get_or_init(|| path.clone());
    path
}

fn start_logger() -> Result<(), String> {
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .parse_default_env()
        .target(env_logger::Target::Pipe(Box::new(StandardError)))
        .format(|line, record| write_record(line, record, sys::local_time(SystemTime::now())))
        .try_init();
    logger.map_err(|error| format!("log: {error}"))
}

/// Can the log be opened? Creates it.
pub fn check(file: &Path) -> Result<(), String> {
    open_named(file).map(drop)
}

/// Opens the log's file anew, after it was renamed. Does nothing for standard error. Where that fails the old
/// file stays.
pub fn reopen() -> Result<(), String> {
    FILE.get().map_or(Ok(()), |path| lead_output_to(path))?;
    spare::renew().map_err(|error| format!("log: {error}"))
}

/// Gives the log's file another name, its own with the time in seconds behind it, and that name. [`reopen`] then begins a
/// new one. `None`: the log goes to standard error.
pub fn put_aside() -> Result<Option<PathBuf>, String> {
    FILE.get().map(|path| put_aside_named(path)).transpose()
}

/// Gives the log's file to a user and a group, who will want to open it again, if this process has made it. One that was
/// there belongs to whom it belongs.
pub fn give_to(uid: Option<u32>, gid: Option<u32>) -> Result<(), String> {
    let Some(path) = FILE.get().filter(|_| IS_MADE.load(Ordering::Relaxed)) else {
        return Ok(());
    };
    // By its descriptor: someone else may have put another file in its place.
    sys::change_owner_of(io::stderr().as_fd(), uid, gid)
        .map_err(|error| format!("{}: cannot be given to uid and gid: {error}", path.display()))
}

/// Says who this process is from now on, at the start of each line.
pub fn set_role(role: &str) {
    role.clone_into(&mut ROLE.lock().unwrap_or_else(PoisonError::into_inner));
}

fn lead_output_to(path: &Path) -> Result<(), String> {
    let file = open_named(path)?;
    sys::redirect_output(file.as_fd()).map_err(|error| format!("{}: {error}", path.display()))
}

fn put_aside_named(path: &Path) -> Result<PathBuf, String> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut seconds = since_epoch.map_or(0, |elapsed| elapsed.as_secs());
    let aside = loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{seconds}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            break aside;
        }
        seconds += 1;
    };
    match std::fs::rename(path, &aside) {
        Ok(()) => Ok(aside),
        Err(error) => Err(format!("{}: cannot be put aside: {error}", path.display())),
    }
}

fn open_named(path: &Path) -> Result<File, String> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o640);
    let file = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(path),
        made => {
            IS_MADE.store(made.is_ok(), Ordering::Relaxed);
            made
        }
    };
    file.map_err(|error| {
        let way_out = match error.kind() {
            io::ErrorKind::PermissionDenied => " (logrotate: create 640 USER GROUP)",
            _ => "",
        };
        let reason = sys::why_not_made(&error);
        format!("{}: cannot open the log: {reason}{way_out}", path.display())
    })
}

/// `2026-07-20 12:00:01.123 [worker 2] warn: text`
fn write_record(line: &mut impl Write, record: &Record<'_>, now: LocalTime) -> io::Result<()> {
    let LocalTime {
        year,
        month,
        day,
        hour,
        minute,
        second,
        millisecond,
        ..
    } = now;
    let role = ROLE.lock().unwrap_or_else(PoisonError::into_inner);
    write!(
        line,
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millisecond:03} "
    )?;
    if !role.is_empty() {
        write!(line, "[{role}] ")?;
    }
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    writeln!(line, "{level}: {}", record.args())
}

/// Standard error without buffer, without errors and without panics.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        outlet::write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: LocalTime = LocalTime {
        year: 2026,
        month: 7,
        day: 4,
        hour: 12,
        minute: 0,
        second: 1,
        millisecond: 5,
        offset: 0,
        weekday: 6,
    };

    #[test]
    fn a_line_says_when_who_how_bad_and_what() {
        set_role("worker 2");
        let mut line = Vec::new();
        let record = Record::builder()
            .level(Level::Warn)
            .args(format_args!("careful"))
            .build();
        write_record(&mut line, &record, NOON).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "2026-07-04 12:00:01.005 [worker 2] warn: careful\n"
        );
    }

    #[test]
    fn a_log_is_put_aside_under_a_name_of_its_own_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uwrs.log");
        let aside = ["one", "two"].map(|text| {
            std::fs::write(&path, text).unwrap();
            put_aside_named(&path).unwrap()
        });
        assert!(!path.exists());
        assert_eq!(
            aside.map(|path| std::fs::read_to_string(path).unwrap()),
            ["one", "two"]
        );
        assert!(
            put_aside_named(&path)
                .unwrap_err()
                .contains("cannot be put aside")
        );
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_named() {
        let error = lead_output_to(Path::new("/no/such/directory/log")).unwrap_err();
        assert!(
            error.starts_with("/no/such/directory/log: cannot open the log: "),
            "{error}"
        );
    }
}
