//! Whatever a configuration file holds, reading it ends, without a panic, and tells the same twice.

#![no_main]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use uwrs::config::{Facts, FileKind, Host, parse};

/// A machine whose one file is `/uwsgi.ini`.
struct Machine<'a> {
    bytes: &'a [u8],
    facts: Facts,
}

impl Host for Machine<'_> {
    fn environment(&self) -> Vec<(String, String)> {
        vec![("HOME".to_owned(), "/home/%(a)".to_owned())]
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.kind(path) {
            Some(FileKind::File) => Ok(self.bytes.to_vec()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Ok(self.bytes.to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        match path.to_str()? {
            "/" => Some(FileKind::Directory),
            "/uwsgi.ini" => Some(FileKind::File),
            _ => None,
        }
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }

    fn inode(&self, _: &Path) -> Option<u64> {
        None
    }

    fn list(&self, _: &Path) -> Vec<OsString> {
        vec![OsString::from("uwsgi.ini")]
    }
}

fuzz_target!(|bytes: &[u8]| {
    let facts = Facts {
        directory: PathBuf::from("/"),
        pid: 1,
        program: PathBuf::from("/uwrs"),
        hostname: "host".to_owned(),
        processors: 2,
        user: (1, "user".to_owned()),
        group: (1, "group".to_owned()),
        started: Duration::ZERO,
        somaxconn: Some(128),
        reload: false,
    };
    let machine = Machine { bytes, facts };
    let read = || format!("{:?}", parse([OsString::from("uwsgi.ini")].into_iter(), &machine));
    assert_eq!(read(), read());
});
