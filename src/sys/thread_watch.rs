//! [`ThreadWatch`]: whether a thread waits for events, as another thread of its process sees it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::libc;
use nix::unistd::gettid;

/// A look at one thread, whatever that one is doing: it is not held up, nor asked.
#[derive(Debug)]
pub struct ThreadWatch(File);

impl ThreadWatch {
    /// For looks at the calling thread.
    ///
    /// # Errors
    /// This kernel does not tell in which call a thread is.
    pub fn of_caller() -> io::Result<Self> {
        let watch = Self(File::open(format!("/proc/self/task/{}/syscall", gettid()))?);
        watch.call()?;
        Ok(watch)
    }

    /// Does it wait in epoll? `false` also while it waits in any other call, for a processor, or for the interpreter.
    pub fn waits_for_events(&self) -> bool {
        self.call().ok().flatten().is_some_and(is_epoll)
    }

    /// The number of the call that it waits in.
    fn call(&self) -> io::Result<Option<libc::c_long>> {
        let mut line = [0; 16];
        let length = self.0.read_at(&mut line, 0)?;
        let word = line[..length].split(|byte| *byte == b' ').next();
        let number = word.and_then(|word| str::from_utf8(word).ok());
        Ok(number.and_then(|number| number.trim_end().parse().ok()))
    }
}

fn is_epoll(call: libc::c_long) -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
    if call == libc::SYS_epoll_wait {
        return true;
    }
    [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2].contains(&call)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn soon(is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(30));
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_waits_for_events_is_told_from_one_that_waits_for_something_else() {
        let mut poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (send, watch) = mpsc::channel();
        let (end, is_over) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            send.send(ThreadWatch::of_caller().unwrap()).unwrap();
            let mut events = mio::Events::with_capacity(1);
            poll.poll(&mut events, None).unwrap();
            is_over.recv().unwrap();
        });
        let watch = watch.recv().unwrap();
        soon(|| watch.waits_for_events());
        waker.wake().unwrap();
        soon(|| !watch.waits_for_events());
        for _ in 0..100 {
            assert!(!watch.waits_for_events(), "it waits for a channel");
        }
        end.send(()).unwrap();
        thread.join().unwrap();
        assert!(!watch.waits_for_events(), "it is gone");
    }
}
