//! What a thread is doing, told by CPython's faulthandler at a signal: it needs no interpreter, so that it tells of C code
//! that holds that, too.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use uwrs_api::{Frame, Observer};

/// How long a thread has to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// It has said all when it says nothing for this time.
const QUIET: Duration = Duration::from_millis(20);

/// The first signal: those for applications, from the middle, where nobody looks for one. Each observer has its own, since
/// faulthandler writes to one place for each.
fn first_signal() -> i32 {
    libc::SIGRTMIN() + 9
}

/// So many threads of a process can be observed.
const MOST: i32 = 8;

/// How many are.
static OBSERVED: AtomicI32 = AtomicI32::new(0);

/// Tells of the thread that made it.
#[derive(Debug)]
pub(crate) struct StackObserver {
    thread: libc::pid_t,
    signal: i32,
    /// What faulthandler writes to the other end.
    said: io::PipeReader,
    _other_end: io::PipeWriter,
}

impl StackObserver {
    /// For the calling thread.
    ///
    /// # Errors
    /// There is no descriptor or no signal left, or the interpreter has no such signal.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let number = OBSERVED.fetch_add(1, Ordering::Relaxed);
        if number >= MOST {
            return Err(PyRuntimeError::new_err("too many threads to observe"));
        }
        let signal = first_signal() + number;
        let (said, other_end) = io::pipe()?;
        let arguments = PyDict::new(py);
        arguments.set_item("file", other_end.as_raw_fd())?;
        arguments.set_item("all_threads", false)?;
        py.import("faulthandler")?
            .call_method("register", (signal,), Some(&arguments))?;
        // SAFETY: gettid takes nothing and gives a number.
        let thread = unsafe { libc::gettid() };
        // SAFETY: fcntl on a descriptor that is open: its flags are set, no memory is touched.
        if unsafe { libc::fcntl(said.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self {
            thread,
            signal,
            said,
            _other_end: other_end,
        })
    }

    /// Asks the thread. `false`: it is gone.
    fn ask(&self) -> bool {
        // SAFETY: a signal to a thread of this very process, which has a handler for it (`new`); numbers that are no
        // thread's are an error.
        let asked = unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                std::process::id() as libc::pid_t,
                self.thread,
                self.signal,
            )
        };
        asked == 0
    }

    /// What is said until nothing more is.
    fn hear(&self) -> Vec<u8> {
        let began = Instant::now();
        let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
        while began.elapsed() < PATIENCE {
            match (&self.said).read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => text.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if !text.is_empty() && !self.says_more() => break,
                Err(_) => {
                    self.says_more();
                }
            }
        }
        text
    }

    fn says_more(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.said.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `poll` is one live pollfd, as the count says.
        unsafe { libc::poll(&raw mut poll, 1, QUIET.as_millis() as i32) > 0 }
    }
}

impl Observer for StackObserver {
    fn look(&self) -> Vec<Frame> {
        // What came too late the last time.
        if self.says_more() {
            self.hear();
        }
        if !self.ask() {
            return Vec::new();
        }
        let text = self.hear();
        let text = String::from_utf8_lossy(&text);
        let mut frames: Vec<Frame> = text.lines().filter_map(frame).collect();
        frames.reverse();
        frames
    }
}

/// `  File "/srv/app.py", line 7 in application`
fn frame(line: &str) -> Option<Frame> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (file, rest) = rest.rsplit_once("\", line ")?;
    let (number, function) = rest.split_once(" in ")?;
    Some(Frame {
        file: file.to_owned(),
        line: number.parse().ok()?,
        function: function.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_faulthandler_are_read_and_others_are_not() {
        let expected = Frame {
            file: "/srv/a \"b\".py".to_owned(),
            line: 7,
            function: "<module>".to_owned(),
        };
        assert_eq!(
            frame("  File \"/srv/a \"b\".py\", line 7 in <module>"),
            Some(expected)
        );
        for other in [
            "Stack (most recent call first):",
            "  ...",
            "  File \"x\", line ??? in f",
            "",
        ] {
            assert_eq!(frame(other), None, "{other}");
        }
    }
}
