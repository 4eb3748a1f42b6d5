//! The deadline that an application sets itself (`uwsgi.set_user_harakiri`): where it is kept. The master looks after it.

use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Seat;
use crate::scoreboard::Slot;
use crate::sys;

/// This worker's slot, and its master.
static OWN: OnceLock<(Slot, i32)> = OnceLock::new();

/// From now on this process is the worker of that seat.
pub(super) fn expect(seat: &Seat) {
    if let Some(master) = seat.facts.master {
        OWN.get_or_init(|| (seat.slot.clone(), master));
    }
}

/// Whatever this worker is doing `after` that time from now, another is to take its place; `None`: that is off again.
/// Nothing happens where there is no master, or in a process that is no worker.
pub fn set_deadline(after: Option<Duration>) {
    let Some((slot, master)) = OWN.get() else { return };
    let deadline = after.map(|after| sys::monotonic_milliseconds().saturating_add(after.as_millis() as u64));
    if slot.set_deadline(deadline)
        && let Err(error) = kill(Pid::from_raw(*master), Signal::SIGURG)
    {
        log::error!("the master could not be told of a deadline: {error}");
    }
}
