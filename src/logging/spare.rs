//! Another way to where standard error leads, for a worker whose application closes the standard descriptors: whoever
//! gets such a number next would be sent the log.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::sys;

static SPARE: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Keeps another way to where standard error leads now.
///
/// # Errors
/// Out of descriptors.
pub fn keep() -> io::Result<()> {
    let spare = sys::duplicate_above_standard(io::stderr().as_fd())?;
    *SPARE.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
    Ok(())
}

/// The same after standard error was led elsewhere; nothing where no way was kept.
pub(super) fn renew() -> io::Result<()> {
    let is_kept = SPARE.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    if is_kept { keep() } else { Ok(()) }
}

/// Leads those of the standard three that are closed to where they led: output to the log, input to nothing.
pub fn mend() {
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    let mended = sys::mend_standard(spare.as_ref().map(AsFd::as_fd));
    drop(spare);
    match mended {
        Ok(closed) if closed.is_empty() => {}
        Ok(closed) => log::warn!(
            "the application has closed {}: output goes to the log again; it is not to close what it has not opened",
            closed.join(" and ")
        ),
        Err(error) => log::error!("the application has closed a standard descriptor: {error}"),
    }
}
