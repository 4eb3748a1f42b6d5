//! [`Flusher`]: a thread that sends what is held back when that was for too long, because the one who would send it is in
//! the application. It needs no interpreter, so that nothing an application does holds it up.
//!
//! It begins when it is first needed. What is to be sent, and how, is the business of the one who makes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// It moves bytes and logs.
const STACK_BYTES: usize = 256 * 1024;
/// Nothing is held back.
const NEVER: u64 = u64::MAX;

/// Sends what is due at that time, and says when to come again; `None`: there is nothing more.
type Flush = Box<dyn Fn(Instant) -> Option<Instant> + Send + Sync>;

/// A thread that sends what was held back for too long. It ends with this.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    /// `None` within: there is none to be had.
    thread: OnceLock<Option<Thread>>,
}

struct Shared {
    start: Instant,
    /// When something is due for the first time: nanoseconds after the start, or [`NEVER`].
    due: AtomicU64,
    is_over: AtomicBool,
    flush: Flush,
}

impl Flusher {
    /// One that sends by calling `flush`.
    pub(crate) fn new(flush: impl Fn(Instant) -> Option<Instant> + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                start: Instant::now(),
                due: AtomicU64::new(NEVER),
                is_over: AtomicBool::new(false),
                flush: Box::new(flush),
            }),
            thread: OnceLock::new(),
        }
    }

    /// Something is held back, for others to send until `due`: after that this thread does. `false`: there is no such
    /// thread.
    pub(crate) fn expect(&self, due: Instant) -> bool {
        let Some(thread) = self.thread.get_or_init(|| Shared::start(&self.shared)) else {
            return false;
        };
        if self.shared.bring_forward(due) {
            thread.unpark();
        }
        !self.shared.is_over.load(Ordering::Relaxed)
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(Some(thread)) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Shared {
    fn start(shared: &Arc<Self>) -> Option<Thread> {
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name("flusher".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _ending = Ending(&shared);
                shared.serve();
            });
        thread
            .inspect_err(|error| log::warn!("pieces of answers are not joined: no thread for it: {error}"))
            .map(|handle| handle.thread().clone())
            .ok()
    }

    fn serve(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            let now = Instant::now();
            match self.due.load(Ordering::Acquire) {
                NEVER => thread::park(),
                due if due > self.nanoseconds(now) => {
                    thread::park_timeout(self.start + Duration::from_nanos(due) - now);
                }
                _ => {
                    // Before looking: who holds something back from now on says so anew.
                    self.due.store(NEVER, Ordering::SeqCst);
                    if let Some(next) = (self.flush)(now) {
                        self.bring_forward(next);
                    }
                }
            }
        }
    }

    /// Something is due then. `true`: earlier than anything before.
    fn bring_forward(&self, due: Instant) -> bool {
        let due = self.nanoseconds(due);
        // Where much is held back, one thing after the other, this is no more than a look.
        self.due.load(Ordering::SeqCst) > due && self.due.fetch_min(due, Ordering::SeqCst) > due
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }
}

/// No one is to wait for a thread that has ended, whyever.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn what_is_held_back_is_sent_when_it_is_due_and_again_when_there_is_more() {
        let (sender, calls) = mpsc::channel();
        let begun = Instant::now();
        let flusher = Flusher::new(move |now| {
            let _ = sender.send(now);
            (now < begun + Duration::from_millis(20)).then_some(begun + Duration::from_millis(20))
        });
        assert!(flusher.expect(begun + Duration::from_millis(5)));
        let first = calls.recv_timeout(PATIENCE).unwrap();
        assert!(first >= begun + Duration::from_millis(5));
        if first < begun + Duration::from_millis(20) {
            assert!(calls.recv_timeout(PATIENCE).unwrap() >= begun + Duration::from_millis(20));
        }
        let later = Instant::now();
        assert!(flusher.expect(later));
        assert!(calls.recv_timeout(PATIENCE).unwrap() >= later);
    }

    #[test]
    fn the_thread_ends_with_its_flusher() {
        let (sender, calls) = mpsc::channel();
        let flusher = Flusher::new(move |now| {
            let _ = sender.send(now);
            None
        });
        assert!(flusher.expect(Instant::now()));
        calls.recv_timeout(PATIENCE).unwrap();
        drop(flusher);
        assert_eq!(
            calls.recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
