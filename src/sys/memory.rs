//! [`SharedMemory`]: zeroed memory that a process shares with the children it forks, and over an exec with
//! itself. [`Pages`]: zeroed memory that costs what was written to.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::to_io;

/// A mapping of a memory file. Forked children see the same bytes.
#[derive(Debug)]
pub struct SharedMemory {
    address: NonNull<std::ffi::c_void>,
    bytes: usize,
    file: OwnedFd,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only handed out as atomics
// (`as_atomics`).
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// `bytes` of zeroed memory (at least one page). Pages cost memory when they are first written to.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let file = memfd_create(c"uwrs-scoreboard", MFdFlags::MFD_CLOEXEC).map_err(to_io)?;
        let file = File::from(file);
        file.set_len(bytes as u64)?;
        Self::map(file.into(), bytes)
    }

    /// The memory behind a descriptor that another one's [`SharedMemory::descriptor`] was.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let file = File::from(file);
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        Self::map(file.into(), bytes)
    }

    fn map(file: OwnedFd, bytes: usize) -> io::Result<Self> {
        let Some(length) = NonZeroUsize::new(bytes) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing. The file is a memfd of
        // that length which no one shrinks, so that no access faults.
        let address = unsafe { mmap(None, length, rights, MapFlags::MAP_SHARED, &file, 0) };
        let address = address.map_err(to_io)?;
        Ok(Self { address, bytes, file })
    }

    /// Its length.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory file, to be passed over an exec.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The whole of it as words which any process may change at any time.
    pub fn words(&self) -> &[std::sync::atomic::AtomicU64] {
        let count = self.bytes / size_of::<u64>();
        // SAFETY: the mapping is page-aligned, `count` words lie inside it, it lives as long as `self`, and
        // atomics are sound whatever bits other processes put there.
        unsafe { std::slice::from_raw_parts(self.address.cast().as_ptr(), count) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `map` and every reference into it borrows from `self`.
        let unmapped = unsafe { munmap(self.address, self.bytes) };
        debug_assert!(unmapped.is_ok(), "the mapping was made by map()");
    }
}

/// Zeroed bytes on pages of their own, which take no memory before they are first written to. The allocator, where it has
/// room, would give memory that was in use before, and that is written to at once to be zeroed.
#[derive(Debug)]
pub struct Pages {
    address: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached through this value alone.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// `bytes` of them, at least one.
    ///
    /// # Errors
    /// What mmap(2) gives; `InvalidInput`: none were asked for.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let Some(length) = NonZeroUsize::new(bytes) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let address = unsafe { mmap_anonymous(None, length, rights, MapFlags::MAP_PRIVATE) };
        let address = address.map_err(to_io)?.cast();
        Ok(Self { address, bytes })
    }
}

impl Default for Pages {
    /// None.
    fn default() -> Self {
        let address = NonNull::dangling();
        Self { address, bytes: 0 }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: as many bytes as were mapped, readable and initialised; none where nothing was. They live as long as
        // `self`.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, writable, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.bytes) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: this mapping was made by `new` and every reference into it borrows from `self`.
            let unmapped = unsafe { munmap(self.address.cast(), self.bytes) };
            debug_assert!(unmapped.is_ok(), "the mapping was made by new()");
        }
    }
}

/// Makes the heap ready to be shared with children that are forked from now on: whole pages that nobody uses go back to the
/// kernel, and smaller holes are closed for good. What a child allocates lies side by side then on pages that are new anyway,
/// and not in holes here and there, each of which would make a page that is shared its own.
///
/// Nothing happens where the allocator is not glibc's.
pub fn settle_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes nothing that is in use; what is allocated here is not touched, and is nobody's from then on.
    unsafe {
        libc::malloc_trim(0);
        // There is next to nothing between the last hole and the heap's end now: what lies behind it is no hole.
        let end = libc::sbrk(0) as usize;
        let mut size = LARGEST_HOLE;
        for _ in 0..MOST_HOLES {
            let hole = std::hint::black_box(libc::malloc(size));
            if !hole.is_null() && (hole as usize) < end {
                continue;
            }
            libc::free(hole);
            if size <= SMALLEST_HOLE {
                break;
            }
            size = if size > 1024 { size / 2 } else { size - 16 };
        }
    }
}

/// Bytes that are looked for at once: less than what glibc maps by itself. Larger holes are closed in pieces.
#[cfg(target_env = "gnu")]
const LARGEST_HOLE: usize = 64 * 1024;
/// What the least that can be allocated holds.
#[cfg(target_env = "gnu")]
const SMALLEST_HOLE: usize = 24;
/// A bound: an allocator that has more of them is left as it is.
#[cfg(target_env = "gnu")]
const MOST_HOLES: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_of_one_file_are_the_same_memory() {
        let first = SharedMemory::new(4096).unwrap();
        let copy = first.descriptor().try_clone_to_owned().unwrap();
        let second = SharedMemory::open(copy).unwrap();
        first.words()[7].store(42, Ordering::Relaxed);
        assert_eq!(second.words()[7].load(Ordering::Relaxed), 42);
        assert_eq!(second.bytes(), 4096);
    }

    #[test]
    fn pages_are_zeroed_and_keep_what_is_written() {
        let mut pages = Pages::new(100_000).unwrap();
        assert_eq!(pages.len(), 100_000);
        assert!(pages.iter().all(|&byte| byte == 0));
        pages[99_999] = 7;
        let taken = std::mem::take(&mut pages);
        assert!(pages.is_empty());
        assert_eq!(taken[99_999], 7);
        assert!(Pages::new(0).is_err());
    }
}
