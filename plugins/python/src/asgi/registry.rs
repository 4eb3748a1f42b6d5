//! Exchanges that are under way beyond the turn that they began in, by their ids. Each thread that turns a loop has its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use uwrs_api::ExchangeId;

use super::talk::Talk;

struct Open {
    talk: Arc<dyn Talk>,
    /// Held so that it lives: asyncio refers to its tasks weakly. `None` once it is done.
    task: Option<Py<PyAny>>,
}

thread_local! {
    static OPEN: RefCell<HashMap<u64, Open>> = RefCell::default();
}

/// Remembers an exchange and its task until [`remove`].
pub(super) fn insert(talk: Arc<dyn Talk>, task: Option<Py<PyAny>>) {
    let serial = talk.id().serial;
    let before = OPEN.with_borrow_mut(|open| open.insert(serial, Open { talk, task }));
    // Dropped with the map free: that may run Python code.
    drop(before);
}

/// The exchange is over.
pub(super) fn remove(id: ExchangeId) {
    let before = OPEN.with_borrow_mut(|open| open.remove(&id.serial));
    drop(before);
}

/// The task is done, the exchange goes on.
pub(super) fn forget_task(id: ExchangeId) {
    let task = OPEN.with_borrow_mut(|open| open.get_mut(&id.serial).and_then(|open| open.task.take()));
    drop(task);
}

/// What belongs to the exchange `id`, while it is under way.
pub(super) fn talk(id: ExchangeId) -> Option<Arc<dyn Talk>> {
    OPEN.with_borrow(|open| open.get(&id.serial).map(|open| Arc::clone(&open.talk)))
}

/// The task of the exchange `id`, while it is not done.
pub(super) fn task(py: Python<'_>, id: ExchangeId) -> Option<Py<PyAny>> {
    OPEN.with_borrow(|open| Some(open.get(&id.serial)?.task.as_ref()?.clone_ref(py)))
}

/// The exchange whose task that is.
pub(super) fn exchange_of(task: &Bound<'_, PyAny>) -> Option<ExchangeId> {
    let is_it = |open: &&Open| open.task.as_ref().is_some_and(|have| have.is(task));
    OPEN.with_borrow(|open| open.values().find(is_it).map(|open| open.talk.id()))
}

/// Is any exchange under way?
pub(super) fn is_empty() -> bool {
    OPEN.with_borrow(HashMap::is_empty)
}

/// All exchanges that are under way.
pub(super) fn all() -> Vec<Arc<dyn Talk>> {
    OPEN.with_borrow(|open| open.values().map(|open| Arc::clone(&open.talk)).collect())
}

/// The tasks that are not done.
pub(super) fn tasks(py: Python<'_>) -> Vec<Py<PyAny>> {
    OPEN.with_borrow(|open| {
        open.values()
            .filter_map(|open| Some(open.task.as_ref()?.clone_ref(py)))
            .collect()
    })
}
