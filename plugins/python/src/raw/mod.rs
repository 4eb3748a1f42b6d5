//! CPython's C interface, where pyo3 has no safe way or none as quick: starting the interpreter, holding and letting
//! go of it, forking, and what the gateway does for every request. All `unsafe` of this crate is here, behind
//! safe functions.

mod attach;
mod descriptor;
mod growing;
mod heap;
mod launch;
mod object;
mod observer;

pub(crate) use attach::{
    after_fork_in_child, after_fork_in_parent, before_fork, discard, drop_discarded, enter_thread,
    leave_thread, park, rest, unpark, with_interpreter,
};
pub(crate) use descriptor::duplicate_descriptor;
pub(crate) use growing::GrowingBytes;
pub(crate) use heap::tend_heap;
pub(crate) use launch::{Launch, launch};
pub(crate) use object::{
    copy_context, forget_lookups, in_context, insert_or_existing, latin1, latin1_bytes, reference_count,
};
pub(crate) use observer::StackObserver;
