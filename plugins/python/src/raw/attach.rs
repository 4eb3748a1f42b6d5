//! Holding the interpreter and letting go of it.
//!
//! The thread that started the interpreter attaches lazily: [`with_interpreter`] takes hold where need be and
//! *keeps* hold when it returns, so that many requests of one turn of the loop cost one attachment; [`park`] lets
//! go before the thread waits. So does a thread between [`enter_thread`] and [`leave_thread`]. Other threads attach
//! and detach with every call.

use std::any::Any;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::{Python, ffi};

/// How a thread stands to the interpreter.
#[derive(Clone, Copy)]
enum Hold {
    /// Not known here: every call attaches and detaches by itself.
    Foreign,
    /// It holds the interpreter, and runs this many calls of [`with_interpreter`], one inside the other.
    Held(usize),
    /// It has let go, and will resume with this state.
    Parked(NonNull<ffi::PyThreadState>),
}

thread_local! {
    static HOLD: Cell<Hold> = const { Cell::new(Hold::Foreign) };
}

/// Tells that the calling thread has just started the interpreter and holds it.
pub(super) fn adopt() {
    HOLD.set(Hold::Held(0));
}

/// Runs `work` with the interpreter held.
pub(crate) fn with_interpreter<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    match HOLD.get() {
        Hold::Foreign => return Python::attach(work),
        Hold::Held(depth) => HOLD.set(Hold::Held(depth + 1)),
        Hold::Parked(state) => {
            resume(state);
            HOLD.set(Hold::Held(1));
        }
    }
    // A panic in `work` must not leave the depth raised: the thread could never let go again.
    let _leave = Leave;
    // Cheap when the thread holds the interpreter already, and it tells pyo3.
    Python::attach(work)
}

/// Takes hold, if this thread is one that keeps hold.
pub(crate) fn unpark() {
    if let Hold::Parked(state) = HOLD.get() {
        resume(state);
        HOLD.set(Hold::Held(0));
    }
}

fn resume(state: NonNull<ffi::PyThreadState>) {
    // SAFETY: `Hold::Parked` has what PyEval_SaveThread gave this very thread in `park`, and nothing has resumed it
    // since, or HOLD would say so.
    unsafe { ffi::PyEval_RestoreThread(state.as_ptr()) };
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        if let Hold::Held(depth) = HOLD.get() {
            HOLD.set(Hold::Held(depth.saturating_sub(1)));
        }
    }
}

/// Lets go of the interpreter, if this thread holds it and is not amidst [`with_interpreter`].
pub(crate) fn park() {
    let Hold::Held(0) = HOLD.get() else { return };
    // SAFETY: `Held` says that this thread has the interpreter, depth 0 that no `Python` token of this module's
    // making is alive.
    let state = unsafe { ffi::PyEval_SaveThread() };
    HOLD.set(NonNull::new(state).map_or(Hold::Foreign, Hold::Parked));
}

/// Makes the calling thread, which the interpreter does not know yet, one of its own: with a thread state that lives
/// until [`leave_thread`], so that `threading.local` keeps what it is given. The thread holds the interpreter then.
pub(crate) fn enter_thread() {
    if !matches!(HOLD.get(), Hold::Foreign) {
        return;
    }
    // SAFETY: the interpreter is started, or there would be no gateway to enter for; PyGILState_Release in
    // `leave_thread` is this call's counterpart, on the same thread.
    let before = unsafe { ffi::PyGILState_Ensure() };
    debug_assert!(matches!(before, ffi::PyGILState_STATE::PyGILState_UNLOCKED));
    HOLD.set(Hold::Held(0));
}

/// Lets go of the interpreter, as [`park`] does, with what was [discarded](discard) dropped.
pub(crate) fn rest() {
    drop_discarded();
    park();
}

/// Undoes [`enter_thread`]: what was discarded is dropped, the thread state is gone, and the interpreter let go of.
pub(crate) fn leave_thread() {
    drop_discarded();
    unpark();
    let Hold::Held(0) = HOLD.get() else { return };
    HOLD.set(Hold::Foreign);
    // SAFETY: the interpreter is held, and PyGILState_Ensure in `enter_thread` found it not held.
    unsafe { ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_UNLOCKED) };
}

/// What waits to be dropped with the interpreter held, and whether there is anything.
static DISCARDED: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
static IS_ANY_DISCARDED: AtomicBool = AtomicBool::new(false);

/// Drops what can only be dropped with the interpreter held: at once where this thread holds it, else in the next
/// [`drop_discarded`] of any thread. The caller may have a lock that the interpreter's holder waits for.
pub(crate) fn discard(thing: impl Any + Send) {
    if matches!(HOLD.get(), Hold::Held(_)) {
        return with_interpreter(|_py| drop(thing));
    }
    let mut discarded = DISCARDED.lock().unwrap_or_else(PoisonError::into_inner);
    discarded.push(Box::new(thing));
    IS_ANY_DISCARDED.store(true, Ordering::Release);
}

/// Drops what was discarded. Takes hold of the interpreter where there is something.
pub(crate) fn drop_discarded() {
    if !IS_ANY_DISCARDED.load(Ordering::Acquire) {
        return;
    }
    with_interpreter(|_py| {
        IS_ANY_DISCARDED.store(false, Ordering::Release);
        let discarded = std::mem::take(&mut *DISCARDED.lock().unwrap_or_else(PoisonError::into_inner));
        drop(discarded);
    });
}

/// Brings the interpreter into a state that a child can take over. The thread keeps hold over the fork.
pub(crate) fn before_fork() {
    // SAFETY: the interpreter is held; `after_fork_in_parent` or `after_fork_in_child` follows.
    with_interpreter(|_py| unsafe { ffi::PyOS_BeforeFork() });
}

/// Undoes [`before_fork`] in the parent.
pub(crate) fn after_fork_in_parent() {
    // SAFETY: the interpreter is held, and `before_fork` came before.
    with_interpreter(|_py| unsafe { ffi::PyOS_AfterFork_Parent() });
}

/// Makes the interpreter this child's own: locks anew, other threads forgotten.
pub(crate) fn after_fork_in_child() {
    // SAFETY: the only thread of this process is the one that held the interpreter when it forked.
    with_interpreter(|_py| unsafe { ffi::PyOS_AfterFork_Child() });
}
