//! Buffers that a download lends out as chunks and gets back.
//!
//! A chunk goes to the connection as [`Bytes`]; when the last of it is
//! written its buffer comes home, already filled once, so that the next read
//! neither allocates nor clears memory that it is about to overwrite.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The buffers of one download: one at home at most, the rest on loan.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<u8>>>);

/// A buffer on loan.
struct Loan {
    buffer: Vec<u8>,
    filled: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer of `length` bytes with anything in it.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if buffer.capacity() < length {
            return vec![0; length];
        }
        buffer.resize(length, 0);
        // A client that has become slow keeps no large buffer.
        if buffer.capacity() > 2 * length {
            buffer.shrink_to_fit();
        }
        buffer
    }

    /// The first `filled` bytes of `buffer`, on loan until the last copy of
    /// them is dropped.
    pub(super) fn lend(&self, buffer: Vec<u8>, filled: usize) -> Bytes {
        Bytes::from_owner(Loan { buffer, filled, home: self.clone() })
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        *self.home.0.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_home_when_the_last_of_its_bytes_is_dropped() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(1_000);
        buffer.fill(7);
        let place = buffer.as_ptr();
        let chunk = buffers.lend(buffer, 600);
        assert_eq!(chunk, [7; 600][..]);
        let end = chunk.slice(590..);
        drop(chunk);
        let other = buffers.take(1_000);
        assert_ne!(other.as_ptr(), place);
        drop(end);
        let same = buffers.take(1_000);
        assert_eq!(same.as_ptr(), place);
    }

    #[test]
    fn a_large_buffer_is_not_kept_for_small_chunks() {
        let buffers = Buffers::default();
        drop(buffers.lend(vec![1; 512 * 1024], 1));
        let small = buffers.take(16 * 1024);
        assert_eq!(small.len(), 16 * 1024);
        assert!(small.capacity() <= 32 * 1024);
    }
}
