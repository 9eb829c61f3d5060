//! The database's file, watched: what failed on it, and how.
//!
//! After a failed write redb refuses every later one until it is opened again.
//! Whether that helps depends on what failed, and redb does not say: a write
//! for want of room leaves the last commit whole, and works again when there
//! is room; a failed sync may have lost what was written before, and only a
//! restart can tell.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::medium::OpenFile;
use crate::limits;

/// What has failed on a file since it was opened. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    worst: AtomicU8,
    /// Lets a test say that there is no room.
    #[cfg(test)]
    has_no_room: std::sync::atomic::AtomicBool,
}

const NONE: u8 = 0;
const FULL: u8 = 1;
const FATAL: u8 = 2;

impl Faults {
    /// Whether all that failed was for want of room.
    pub(super) fn is_full(&self) -> bool {
        self.0.worst.load(Ordering::Acquire) == FULL
    }

    fn note(&self, error: &io::Error) {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        self.0.worst.fetch_max(if is_full { FULL } else { FATAL }, Ordering::AcqRel);
    }

    /// From now on there is no room, or there is again.
    #[cfg(test)]
    pub(super) fn pretend_full(&self, full: bool) {
        self.0.has_no_room.store(full, Ordering::Release);
    }

    /// Whether something may be written.
    fn room(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.0.has_no_room.load(Ordering::Acquire) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn clear(&self) {
        self.0.worst.store(NONE, Ordering::Release);
    }
}

/// redb's file, with an eye on it.
#[derive(Debug)]
pub(super) struct WatchedFile {
    inner: FileBackend,
    file: OpenFile,
    faults: Faults,
}

impl WatchedFile {
    pub(super) fn new(file: OpenFile, faults: Faults) -> Result<Self, redb::DatabaseError> {
        let other = file.file().try_clone().map_err(redb::StorageError::from)?;
        Ok(Self { inner: FileBackend::new(other)?, file, faults })
    }
}

impl WatchedFile {
    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.faults.note(error))
    }
}

impl StorageBackend for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    /// Grows the file with room behind it, where there is some: pages that are
    /// free inside the file can then be written on a disk that is full.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.inner.len()?;
        self.watch(self.faults.room().and_then(|()| self.file.set_len(len)))?;
        let more = len.saturating_sub(before);
        if more > 0 && more <= limits::DATABASE_AHEAD_BYTES {
            // Without it the file has holes, which are filled when written.
            if let Err(error) = self.file.allocate(before, more) {
                tracing::debug!(error = %error, "the database grows without room behind it");
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_bytes().inspect_err(|_| self.faults.0.worst.store(FATAL, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watch(self.faults.room().and_then(|()| self.file.write_all_at(data, offset)))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
