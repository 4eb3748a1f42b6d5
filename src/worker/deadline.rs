//! The deadline that an application sets itself (`uwsgi.set_user_harakiri`). The loop tells its client when it is over, the
//! master looks after the worker.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uwrs_api::ExchangeId;

use super::Worker;
use crate::scoreboard::Slot;
use crate::server::{Deadlines, Mailbox, current_exchange};
use crate::sys;

/// What it takes to set one.
struct Own {
    slot: Slot,
    master: Option<i32>,
    deadlines: Arc<Deadlines>,
    mailbox: Arc<Mailbox>,
}

/// This process's.
static OWN: OnceLock<Arc<Own>> = OnceLock::new();

thread_local! {
    /// That of the calling thread, where it has a loop.
    static OF_THREAD: OnceCell<Arc<Own>> = const { OnceCell::new() };
}

/// From now on this thread is that worker's, and so is every other that has none, unless it is a strand's.
pub(super) fn expect(worker: &Worker) {
    let own = Arc::new(Own {
        slot: worker.seat.slot.clone(),
        master: worker.seat.facts.master,
        deadlines: worker.event_loop.deadlines(),
        mailbox: worker.event_loop.mailbox(),
    });
    if !own.slot.is_strand() {
        OWN.get_or_init(|| Arc::clone(&own));
    }
    OF_THREAD.with(|of_thread| {
        of_thread.get_or_init(|| own);
    });
}

/// Whatever this worker is doing `after` that time from now, another is to take its place; `None`: that is off again.
/// `exchange`: for what, where the calling thread is not in the application for one; its client gets 504. Nothing happens in a
/// process that is no worker.
pub fn set_deadline(exchange: Option<ExchangeId>, after: Option<Duration>) {
    let of_thread = OF_THREAD.with(|own| own.get().cloned());
    let Some(own) = of_thread.or_else(|| OWN.get().cloned()) else {
        return;
    };
    let at = after.map(|after| sys::monotonic_milliseconds().saturating_add(after.as_millis() as u64));
    own.deadlines.set(exchange.or_else(current_exchange), at);
    let is_first = own.deadlines.show(&own.slot);
    // The loop may be waiting for longer than that.
    own.mailbox.rouse();
    if is_first
        && let Some(master) = own.master
        && let Err(error) = kill(Pid::from_raw(master), Signal::SIGURG)
    {
        log::error!("the master could not be told of a deadline: {error}");
    }
}
