//! Exchanges whose application is still at work, by their ids. Each thread that turns a loop has its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use uwrs_api::ExchangeId;

use super::channel::Channel;

struct Open {
    channel: Arc<Channel>,
    /// Held so that it lives: asyncio refers to its tasks weakly.
    task: Py<PyAny>,
}

thread_local! {
    static OPEN: RefCell<HashMap<u64, Open>> = RefCell::default();
}

/// Remembers an exchange and its task until [`remove`].
pub(super) fn insert(channel: Arc<Channel>, task: Py<PyAny>) {
    let serial = channel.id().serial;
    let before = OPEN.with_borrow_mut(|open| open.insert(serial, Open { channel, task }));
    // Dropped with the map free: that may run Python code.
    drop(before);
}

/// The exchange is over.
pub(super) fn remove(id: ExchangeId) {
    let before = OPEN.with_borrow_mut(|open| open.remove(&id.serial));
    drop(before);
}

/// What belongs to the exchange `id`, while its application is at work.
pub(super) fn channel(id: ExchangeId) -> Option<Arc<Channel>> {
    OPEN.with_borrow(|open| open.get(&id.serial).map(|open| Arc::clone(&open.channel)))
}

/// The tasks that are not done.
pub(super) fn tasks(py: Python<'_>) -> Vec<Py<PyAny>> {
    OPEN.with_borrow(|open| open.values().map(|open| open.task.clone_ref(py)).collect())
}
