//! The C library's heap where messages of a mebibyte come and go: glibc gives such memory back to the kernel with each of
//! them, and has it made anew, page by page, for the next. From the first such message on it keeps some; [`tend_heap`] gives
//! it back when there are none. (By itself it learns as much from the sizes that are given back, but keeps no more than
//! two of the largest.)

use std::sync::atomic::{AtomicU8, Ordering};

/// From so many bytes on, glibc takes memory from the kernel and gives it back (`M_MMAP_THRESHOLD`, as it begins).
const LARGE: usize = 128 * 1024;
/// What is no larger is taken from the heap.
const HEAPED: i32 = 4 * 1024 * 1024;
/// Bytes that are kept while there are large messages.
const KEPT: i32 = 16 * 1024 * 1024;

/// No large memory has been asked for, ever.
const NEVER: u8 = 0;
/// Some has been, since [`tend_heap`] was called; with each call it is one more.
const LATELY: u8 = 1;
/// What was kept has been given back: after so many calls without any. The whole heap is gone through for that, which is not
/// to be done between two messages that come every other second.
const GIVEN_BACK: u8 = 6;

static LARGE_ONES: AtomicU8 = AtomicU8::new(NEVER);

/// Memory for a message of so many bytes is about to be asked for.
pub(super) fn expect(bytes: usize) {
    if bytes < LARGE || LARGE_ONES.load(Ordering::Relaxed) == LATELY {
        return;
    }
    if LARGE_ONES.swap(LATELY, Ordering::Relaxed) == NEVER {
        keep_memory();
    }
}

/// Gives back what is kept, where no large message has come for some calls. To be called about once a
/// second while there are WebSockets, and for as long as this gives `true`: something is kept.
pub(crate) fn tend_heap() -> bool {
    match LARGE_ONES.load(Ordering::Relaxed) {
        seconds @ LATELY..GIVEN_BACK => {
            LARGE_ONES.store(seconds + 1, Ordering::Relaxed);
            if seconds + 1 == GIVEN_BACK {
                give_back();
            }
            seconds + 1 < GIVEN_BACK
        }
        _ => false,
    }
}

#[cfg(target_env = "gnu")]
fn keep_memory() {
    // SAFETY: takes the allocator's own locks, and changes when it asks the kernel, nothing that is in use.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, HEAPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: takes the allocator's own locks, and nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn keep_memory() {}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}
