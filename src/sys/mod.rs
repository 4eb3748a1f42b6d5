//! The kernel's calls that the standard library does not have, behind safe functions. The only `unsafe` of
//! the root package lives below here; what a call is used for is its caller's business.

mod backlog;
mod clock;
mod descriptors;
mod files;
mod identity;
mod loan;
mod memory;
mod poll;
mod process;
mod signals;
mod sockets;
mod thread_watch;
mod title;

pub use backlog::{SocketDiagnosis, waiting_connections};
pub use clock::{LocalTime, local_time, monotonic_microseconds, monotonic_milliseconds};
pub use descriptors::{
    adopt_descriptor, blocking_pipe, close_descriptor, descriptor_limit, duplicate_above_standard, is_open,
    is_regular_file, mend_standard, pipe, redirect_input, redirect_output, set_descriptor_limit,
    set_inheritable, write_once,
};
pub use files::{NO_DIRECTORY, reason_of, set_umask, why_not_made};
pub use identity::{Account, Identity, change_owner, change_owner_of, effective_user, find_group, find_user};
pub use loan::{Handed, Handover, call_lent, lend};
pub use memory::{Pages, SharedMemory, settle_heap};
pub use poll::{EpollEvents, epoll_exclusive, epoll_remove, epoll_wait, wait_readable, wait_writable};
pub use process::{
    Ending, Fork, Pid, ProcessMemory, ThreadState, allowed_processors, become_session_leader,
    end_forked_copy, exit_now, fork, is_alive, is_forked_copy, notice_forks, parent_pid, process_memory,
    process_name, process_time, reap_any, reap_child, replace_program, run_on, send_signal,
    set_die_with_parent, set_environment, set_process_name, set_subreaper, thread_states,
};
pub use signals::{
    MasterSignals, SignalMask, TRACEBACK_SIGNAL, block_signals, expect_traceback_signal, ignore_commands,
    renew_single_signals, renew_worker_signals, restart_was_asked, restore_signals, signal_name,
    take_single_signals, take_worker_signals, worker_signal_is_taken,
};
pub use sockets::{
    Received, defer_accept, message_pair, receive_descriptor, receive_message, send_descriptor, send_file,
    send_message, send_message_waiting,
};
pub use thread_watch::ThreadWatch;
pub use title::ProcessTitle;

pub use nix::sys::signal::Signal;

use std::io;

/// An error of nix as the standard library's.
fn to_io(error: nix::errno::Errno) -> io::Error {
    io::Error::from_raw_os_error(error as i32)
}
