//! [`Mask`]: the key that a client's payload is combined with (RFC 6455 §5.3).

/// Bytes that are unmasked in one step: enough for the compiler to use the widest registers there are.
const STEP: usize = 32;

/// The key of one frame, turned so that its first byte belongs to the next byte of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    /// From the four bytes of a frame's header.
    pub(crate) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks the next bytes of the payload, in place.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        let (steps, rest) = bytes.as_chunks_mut::<STEP>();
        if !steps.is_empty() {
            let mut key = [0; STEP];
            key.as_chunks_mut::<4>().0.fill(self.0);
            for step in steps {
                for (byte, key) in step.iter_mut().zip(&key) {
                    *byte ^= key;
                }
            }
        }
        let (words, last) = rest.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(self.0)).to_ne_bytes();
        }
        for (byte, key) in last.iter_mut().zip(self.0) {
            *byte ^= key;
        }
        self.0.rotate_left(last.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §5.3, as it is written.
    fn plainly(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
        let masked = bytes.iter().enumerate();
        masked.map(|(at, byte)| byte ^ key[at % 4]).collect()
    }

    #[test]
    fn every_length_is_unmasked_as_the_rfc_says() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let bytes: Vec<u8> = (0..200).map(|at| (at * 7) as u8).collect();
        for length in 0..bytes.len() {
            let mut unmasked = bytes[..length].to_vec();
            Mask::new(key).apply(&mut unmasked);
            assert_eq!(unmasked, plainly(&bytes[..length], key), "{length}");
        }
    }

    #[test]
    fn a_payload_may_be_unmasked_piece_by_piece() {
        let key = [1, 2, 4, 8];
        let bytes: Vec<u8> = (0..150).collect();
        for cut in 0..bytes.len() {
            let mut pieces = bytes.clone();
            let mut mask = Mask::new(key);
            let (first, second) = pieces.split_at_mut(cut);
            mask.apply(first);
            mask.apply(second);
            assert_eq!(pieces, plainly(&bytes, key), "{cut}");
        }
    }
}
