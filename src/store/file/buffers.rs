//! Buffers that a download lends out as chunks and gets back.
//!
//! A chunk goes to the connection as [`Bytes`]; when the last of it is
//! written its buffer comes home, already filled once, so that the next read
//! neither allocates nor clears memory that it is about to overwrite.
//!
//! All downloads together hold [`limits::READ_LENT_BYTES`], and beyond that one
//! small chunk each. What the kernel keeps for a connection takes the first
//! megabytes at once, so a slow client begins like a quick one; and a
//! connection asks for chunk after chunk until it has a quarter of a megabyte
//! to write. Without a bound, a thousand such clients held half a gigabyte.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::limits;

/// The bytes of all buffers of all downloads. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lending(Arc<AtomicUsize>);

/// The buffers of one download: one at home at most, the rest on loan.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    home: Arc<Mutex<Home>>,
    lending: Lending,
}

#[derive(Debug, Default)]
struct Home {
    kept: Option<Buffer>,
    /// Chunks on loan.
    out: usize,
    /// Who waits until there is none.
    waiting: Option<Waker>,
}

/// A buffer, counted.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    counted: usize,
    lending: Lending,
}

/// A buffer on loan.
struct Loan {
    buffer: Option<Buffer>,
    filled: usize,
    home: Buffers,
}

impl Buffers {
    /// None yet.
    pub(super) fn new(lending: Lending) -> Self {
        Self { home: Arc::default(), lending }
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for another `length` bytes in what all downloads
    /// may hold.
    pub(super) fn is_roomy(&self, length: usize) -> bool {
        self.lending.0.load(Ordering::Relaxed).saturating_add(length) <= limits::READ_LENT_BYTES
    }

    /// Waits until no chunk of this download is on loan.
    pub(super) async fn all_home(&self) {
        poll_fn(|context| {
            let mut home = self.home();
            if home.out == 0 {
                return Poll::Ready(());
            }
            home.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A buffer of `length` bytes with anything in it.
    pub(super) fn take(&self, length: usize) -> Buffer {
        let kept = self.home().kept.take();
        // A client that has become slow keeps no large buffer.
        let fits = |buffer: &Buffer| (length..=2 * length).contains(&buffer.bytes.capacity());
        let mut buffer = kept.filter(fits).unwrap_or_else(|| Buffer::new(length, self.lending.clone()));
        buffer.bytes.resize(length, 0);
        buffer
    }

    /// The first `filled` bytes of `buffer`, on loan until the last copy of
    /// them is dropped.
    pub(super) fn lend(&self, buffer: Buffer, filled: usize) -> Bytes {
        self.home().out += 1;
        Bytes::from_owner(Loan { buffer: Some(buffer), filled, home: self.clone() })
    }
}

impl Buffer {
    fn new(length: usize, lending: Lending) -> Self {
        let bytes = vec![0; length];
        let counted = bytes.capacity();
        lending.0.fetch_add(counted, Ordering::Relaxed);
        Self { bytes, counted, lending }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.lending.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[..self.filled])
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let (waiting, _replaced) = {
            let mut home = self.home.home();
            home.out -= 1;
            let replaced = std::mem::replace(&mut home.kept, self.buffer.take());
            (if home.out == 0 { home.waiting.take() } else { None }, replaced)
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_buffer_comes_home_when_the_last_of_its_bytes_is_dropped() {
        let buffers = Buffers::new(Lending::default());
        let mut buffer = buffers.take(1_000);
        buffer.fill(7);
        let place = buffer.as_ptr();
        let chunk = buffers.lend(buffer, 600);
        assert_eq!(chunk, [7; 600][..]);
        let end = chunk.slice(590..);
        drop(chunk);
        let other = buffers.take(1_000);
        assert_ne!(other.as_ptr(), place);
        assert!(buffers.all_home().now_or_never().is_none());
        drop(end);
        assert!(buffers.all_home().now_or_never().is_some());
        let same = buffers.take(1_000);
        assert_eq!(same.as_ptr(), place);
    }

    #[test]
    fn a_large_buffer_is_not_kept_for_small_chunks() {
        let buffers = Buffers::new(Lending::default());
        drop(buffers.lend(buffers.take(512 * 1024), 1));
        let small = buffers.take(16 * 1024);
        assert_eq!(small.len(), 16 * 1024);
        assert!(small.bytes.capacity() <= 32 * 1024);
    }

    #[test]
    fn every_byte_is_counted_until_it_is_freed() {
        let lending = Lending::default();
        let held = || lending.0.load(Ordering::Relaxed);
        let (one, two) = (Buffers::new(lending.clone()), Buffers::new(lending.clone()));
        let most = limits::READ_LENT_BYTES;
        let chunk = one.lend(one.take(most - 10), 1);
        assert!(two.is_roomy(10) && !two.is_roomy(11));
        drop(chunk);
        // It is kept for the next, and counts.
        assert_eq!(held(), most - 10);
        let smaller = one.take(10);
        assert_eq!(held(), 10);
        drop((smaller, one));
        assert_eq!(held(), 0);
    }
}
