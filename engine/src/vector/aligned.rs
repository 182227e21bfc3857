//! Bytes that start at a multiple of a cache line: otherwise every load of a coded row would touch a second line.

use std::ops::{Deref, DerefMut};

use super::code::ALIGNMENT;

/// Bytes in memory, aligned as in a segment file.
#[derive(Debug)]
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// This many zeros.
    pub(crate) fn zeroed(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT - 1];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - 1);
        Self { bytes, start, length }
    }

    /// Both, one behind the other.
    pub(crate) fn followed_by(&self, next: &Self) -> Self {
        let mut both = Self::zeroed(self.length + next.length);
        both[..self.length].copy_from_slice(self);
        both[self.length..].copy_from_slice(next);
        both
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_aligned_and_keeps_its_bytes() {
        for length in [0, 1, 64, 1000] {
            let mut one = Aligned::zeroed(length);
            assert_eq!((one.len(), one.as_ptr() as usize % ALIGNMENT), (length, 0));
            one.fill(7);
            let both = one.followed_by(&Aligned::zeroed(3));
            assert_eq!((both.len(), both.iter().filter(|&&byte| byte == 7).count()), (length + 3, length));
            assert_eq!(both.as_ptr() as usize % ALIGNMENT, 0);
        }
    }
}
