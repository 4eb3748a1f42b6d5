//! [`Store`]: the memory that a message is put together in.

use std::fmt::Debug;

/// Bytes that grow at their end. `Vec<u8>` is one; for an interpreter it is better an object of its own, so that a message
/// is not copied once more when it is whole.
pub trait Store: AsRef<[u8]> + Debug + Default {
    /// How many bytes there is room for, those that are there among them.
    fn capacity(&self) -> usize;

    /// Makes room for `additional` bytes behind those that are there, and for no more if it can.
    fn reserve_exact(&mut self, additional: usize);

    /// Appends `bytes`, making room where there is none.
    fn extend_from_slice(&mut self, bytes: &[u8]);

    /// Cuts what is behind `length`, or fills up to there with zeros.
    fn resize(&mut self, length: usize);

    /// What is there, to be changed in place.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// No more will come: gives back the room that is left.
    fn shrink(&mut self);
}

impl Store for Vec<u8> {
    fn capacity(&self) -> usize {
        self.capacity()
    }

    fn reserve_exact(&mut self, additional: usize) {
        self.reserve_exact(additional);
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn resize(&mut self, length: usize) {
        self.resize(length, 0);
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }

    fn shrink(&mut self) {
        // A little room costs less than another place to be.
        if self.capacity() > 2 * self.len() {
            self.shrink_to_fit();
        }
    }
}
