//! `daemonize`: leaving the terminal. The process that was called stays until the server is up, so that its
//! exit status tells whether it came up. And [`Waiting`]: whoever is to hear why it did not, beside the log.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::{self, Fork};

/// Who waits to hear how the start went, because the log is somewhere else.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// The calling process, at the other end of a pipe.
    Caller(File),
    /// Whoever sees what was standard error before the log's file took its place (`logto`).
    Terminal(File),
}

/// Who one is after [`detach`].
pub(crate) enum Detached {
    /// The server, where it was called.
    Foreground,
    /// The server, in the background.
    Daemon(Waiting),
    /// The process that was called: end with this status.
    Caller(i32),
}

/// Goes to the background: a new session without a terminal, standard input closed.
pub(crate) fn detach() -> std::io::Result<Detached> {
    let (read, write) = sys::blocking_pipe()?;
    match sys::fork()? {
        Fork::Parent(between) => {
            drop(write);
            sys::reap_child(between);
            Ok(Detached::Caller(wait(read)))
        }
        Fork::Child => {
            drop(read);
            sys::become_session_leader()?;
            // Who is no session leader cannot get a terminal again.
            if let Fork::Parent(_) = sys::fork()? {
                sys::exit_now(0);
            }
            sys::redirect_input()?;
            Ok(Detached::Daemon(Waiting::Caller(File::from(write))))
        }
    }
}

/// Waits for the server to say how its start went; prints why it failed.
fn wait(read: OwnedFd) -> i32 {
    let mut said = Vec::new();
    // An error here reads like a server that died without a word.
    let _ = File::from(read).read_to_end(&mut said);
    let Some((status, reason)) = said.split_first() else {
        eprintln!("uwrs: the server ended while it was starting; its log says why");
        return 1;
    };
    if *status != 0 {
        eprintln!("uwrs: {}", String::from_utf8_lossy(reason));
    }
    i32::from(*status)
}

impl Waiting {
    /// Before standard error becomes the log's file. `None`: there is none.
    pub(crate) fn at_terminal() -> Option<Self> {
        let terminal = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
        Some(Self::Terminal(File::from(terminal)))
    }

    /// The server is up: the caller ends with 0.
    pub(crate) fn succeed(self) {
        self.tell(0, "");
    }

    /// It is not: the caller ends with that status and prints why.
    pub(crate) fn fail(self, status: i32, reason: &str) {
        if let Self::Terminal(mut terminal) = self {
            let _ = writeln!(terminal, "uwrs: {reason}");
            return;
        }
        // 0 would be taken for success.
        let status = u8::try_from(status).unwrap_or(1).max(1);
        self.tell(status, reason);
    }

    fn tell(self, status: u8, reason: &str) {
        let Self::Caller(mut caller) = self else {
            return;
        };
        let mut message = vec![status];
        message.extend_from_slice(reason.as_bytes());
        // Nobody reads only when the caller was killed.
        let _ = caller.write_all(&message);
    }
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let (Self::Caller(file) | Self::Terminal(file)) = self;
        file.as_fd()
    }
}
