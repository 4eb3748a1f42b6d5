//! [`GrowingBytes`]: a `bytes` object that is written before anyone sees it.

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::ptr;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{Py, ffi};
use uwrs_websocket::Store;

use super::{heap, with_interpreter};

/// Bytes that grow at their end, in the memory of the `bytes` object that they become. Changed with the interpreter held.
///
/// The object is referred to from here alone until [`GrowingBytes::into_object`], so no one sees it change; of its memory
/// the first `length` bytes are written.
#[derive(Default)]
pub(crate) struct GrowingBytes {
    object: Option<Py<PyBytes>>,
    length: usize,
}

impl GrowingBytes {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The object that they are.
    pub(crate) fn into_object(mut self, py: Python<'_>) -> Bound<'_, PyBytes> {
        if self.capacity() != self.length {
            self.move_to(py, self.length);
        }
        match self.object {
            Some(object) => object.into_bound(py),
            None => PyBytes::new(py, b""),
        }
    }

    /// Moves to an object of that size, which is not zero and has room for what there is.
    fn move_to(&mut self, py: Python<'_>, capacity: usize) {
        assert!(capacity >= self.length, "there is room for what is there");
        if capacity == 0 {
            self.object = None;
            return;
        }
        heap::expect(capacity);
        // SAFETY: the interpreter is held. The new object, of at least one byte, is no one else's; `length` bytes of the old
        // one are written, and fit into it.
        let object = unsafe {
            let object = ffi::PyBytes_FromStringAndSize(ptr::null(), capacity as ffi::Py_ssize_t);
            if object.is_null() {
                // As a Vec would: there is no memory.
                handle_alloc_error(Layout::array::<u8>(capacity).unwrap_or(Layout::new::<u8>()));
            }
            ptr::copy_nonoverlapping(
                self.start(),
                ffi::PyBytes_AsString(object).cast::<u8>(),
                self.length,
            );
            Bound::from_owned_ptr(py, object)
                .cast_into_unchecked::<PyBytes>()
                .unbind()
        };
        self.object = Some(object);
    }

    /// Where they begin; dangling where there is no object.
    fn start(&self) -> *mut u8 {
        match &self.object {
            // SAFETY: a live `bytes` object: it is read where its bytes are, which no one changes.
            Some(object) => unsafe { ffi::PyBytes_AsString(object.as_ptr()).cast() },
            None => ptr::NonNull::dangling().as_ptr(),
        }
    }
}

impl AsRef<[u8]> for GrowingBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `length` bytes are written there, and live as long as the object, which is borrowed with this.
        unsafe { std::slice::from_raw_parts(self.start(), self.length) }
    }
}

impl fmt::Debug for GrowingBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl Store for GrowingBytes {
    fn capacity(&self) -> usize {
        match &self.object {
            // SAFETY: a live `bytes` object, whose size never changes.
            Some(object) => unsafe { ffi::Py_SIZE(object.as_ptr()) as usize },
            None => 0,
        }
    }

    fn reserve_exact(&mut self, additional: usize) {
        let wanted = self.length.saturating_add(additional);
        if wanted > self.capacity() {
            with_interpreter(|py| self.move_to(py, wanted));
        }
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve_exact(bytes.len());
        // SAFETY: there is room for them behind those that are there, in an object that no one else sees.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start().add(self.length), bytes.len()) };
        self.length += bytes.len();
    }

    fn resize(&mut self, length: usize) {
        if let Some(more) = length.checked_sub(self.length) {
            self.reserve_exact(more);
            // SAFETY: there is room for so many behind those that are there, in an object that no one else sees.
            unsafe { ptr::write_bytes(self.start().add(self.length), 0, more) };
        }
        self.length = length;
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as `as_ref`; no one else sees the object, and this borrows it alone.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.length) }
    }

    fn shrink(&mut self) {
        if self.capacity() != self.length {
            with_interpreter(|py| self.move_to(py, self.length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_grow_and_become_an_object() {
        Python::initialize();
        let whole: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
        let mut bytes = GrowingBytes::default();
        assert_eq!(bytes.as_ref(), b"");
        for piece in whole.chunks(777) {
            bytes.extend_from_slice(piece);
        }
        bytes.reserve_exact(50_000);
        assert_eq!((bytes.len(), bytes.capacity()), (100_000, 150_000));
        bytes.as_mut_slice()[0] = 255;
        bytes.resize(100_002);
        bytes.resize(100_001);
        bytes.shrink();
        assert_eq!(bytes.capacity(), 100_001);
        let object = with_interpreter(|py| bytes.into_object(py).unbind());
        with_interpreter(|py| {
            let seen = object.bind(py).as_bytes();
            assert_eq!((seen.len(), seen[0], seen[100_000]), (100_001, 255, 0));
            assert_eq!(seen[1..100_000], whole[1..]);
            assert_eq!(GrowingBytes::default().into_object(py).as_bytes(), b"");
        });
    }
}
