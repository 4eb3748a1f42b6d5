//! [`SharedMemory`]: zeroed memory that a process shares with the children it forks, and over an exec with
//! itself.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

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
}
