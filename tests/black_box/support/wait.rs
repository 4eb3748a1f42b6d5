//! Waiting for something to become true, with a deadline: no sleep that hopes.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a slow machine that does six other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `look` finds something. Panics when that takes longer than [`PATIENCE`].
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// As [`eventually`], for a condition.
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// Asks again and again until `look` finds something or the time is up.
pub(crate) fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
