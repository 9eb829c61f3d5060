//! The database file while it is being opened: what redb writes is held back.
//!
//! Opening writes: a mark that the file is in use, a repair, a new generation.
//! A file that is only looked at is never accepted: it is opened for reading
//! alone, and what redb writes goes with the process.
//!
//! A file that turns out to be damaged, foreign or of another time is refused,
//! and then it must lie there as it was found, for whoever restores it. So the
//! writes wait in memory, in their order and with the syncs between them, until
//! the file is accepted; from then on this is the file and nothing else.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{BackendError, DatabaseError, StorageBackend};

use super::backend::{Faults, WatchedFile};
use super::medium::{Medium, OpenFile};

/// A file whose writes are held back until [`HeldFile::release`], or for ever.
#[derive(Clone, Debug)]
pub(super) struct HeldFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: WatchedFile,
    /// Opened for reading alone: nothing is ever released.
    is_looked_at: bool,
    is_released: AtomicBool,
    held: Mutex<Held>,
}

/// What was written, and how long the file would be.
#[derive(Debug)]
struct Held {
    acts: Vec<Act>,
    len: u64,
}

#[derive(Debug)]
enum Act {
    Write(u64, Box<[u8]>),
    SetLen(u64),
    Sync,
}

impl HeldFile {
    /// Opens the file at `path`, which is there and is not empty. What fails on
    /// it goes to `faults`.
    pub(super) fn open(medium: &Medium, path: &Path, faults: Faults) -> std::result::Result<Self, DatabaseError> {
        Self::over(medium.open(path)?, faults, false)
    }

    /// Opens the file at `path` to look at it: on a file system that takes no
    /// writes as well, and beside others who only look.
    pub(super) fn look(path: &Path) -> std::result::Result<Self, DatabaseError> {
        Self::over(OpenFile::unwatched(File::open(path)?), Faults::default(), true)
    }

    fn over(file: OpenFile, faults: Faults, is_looked_at: bool) -> std::result::Result<Self, DatabaseError> {
        let len = file.file().metadata()?.len();
        if len == 0 {
            let empty = Error::new(ErrorKind::InvalidData, "it is empty");
            return Err(empty.into());
        }
        let held = Mutex::new(Held { acts: Vec::new(), len });
        let (file, is_released) = (WatchedFile::new(file, faults)?, AtomicBool::new(false));
        Ok(Self(Arc::new(Inner { file, is_looked_at, is_released, held })))
    }

    /// Writes what was held back. Not while the database is used.
    pub(super) fn release(&self) -> Result<()> {
        let acts = self.hold(|held| std::mem::take(&mut held.acts));
        for act in acts {
            match act {
                Act::Write(offset, bytes) => self.0.file.write(offset, &bytes)?,
                Act::SetLen(len) => self.0.file.set_len(len)?,
                Act::Sync => self.0.file.sync_data()?,
            }
        }
        self.0.is_released.store(true, Ordering::Release);
        Ok(())
    }

    fn is_released(&self) -> bool {
        self.0.is_released.load(Ordering::Acquire)
    }

    fn hold<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.0.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StorageBackend for HeldFile {
    fn len(&self) -> Result<u64> {
        if self.is_released() { self.0.file.len() } else { Ok(self.hold(|held| held.len)) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        if self.is_released() {
            return self.0.file.read(offset, out);
        }
        self.hold(|held| {
            let end = offset.saturating_add(out.len() as u64);
            if end > held.len {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            out.fill(0);
            let there = within(out, offset, self.0.file.len()?);
            self.0.file.read(offset, there)?;
            for act in &held.acts {
                match act {
                    Act::Write(at, bytes) => overlay(out, offset, *at, bytes),
                    Act::SetLen(len) => {
                        let kept = within(out, offset, *len).len();
                        out[kept..].fill(0);
                    }
                    Act::Sync => {}
                }
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        if self.is_released() {
            return self.0.file.set_len(len);
        }
        self.hold(|held| {
            held.acts.push(Act::SetLen(len));
            held.len = len;
        });
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        if self.is_released() {
            return self.0.file.sync_data();
        }
        self.hold(|held| held.acts.push(Act::Sync));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        if self.is_released() {
            return self.0.file.write(offset, data);
        }
        self.hold(|held| {
            held.acts.push(Act::Write(offset, data.into()));
            held.len = held.len.max(offset.saturating_add(data.len() as u64));
        });
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.0.file.close()
    }

    /// A file that is read alone can only be locked like that. It keeps those
    /// out who write, and lets in others who look.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<bool, BackendError> {
        if self.0.is_looked_at {
            return self.0.file.try_lock_shared_range(start, end);
        }
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        if self.0.is_looked_at {
            return self.0.file.lock_shared_range(start, end);
        }
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}

/// The part of `out`, which lies at `offset`, that a file of `len` bytes has.
fn within(out: &mut [u8], offset: u64, len: u64) -> &mut [u8] {
    let has = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
    let has = has.min(out.len());
    &mut out[..has]
}

/// Puts `bytes`, written at `at`, over what of `out` they meet.
fn overlay(out: &mut [u8], offset: u64, at: u64, bytes: &[u8]) {
    let (first, last) = (offset.max(at), (offset + out.len() as u64).min(at + bytes.len() as u64));
    if first < last {
        let part = |from: u64| (first - from) as usize..(last - from) as usize;
        out[part(offset)].copy_from_slice(&bytes[part(at)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_and_the_file_has_it_only_when_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let held = HeldFile::open(&Medium::default(), &path, Faults::default()).unwrap();
        held.write(2, b"ab").unwrap();
        held.sync_data().unwrap();
        held.set_len(6).unwrap();
        held.set_len(9).unwrap();
        held.write(8, b"xyz").unwrap();
        held.write(3, b"B").unwrap();
        let read = |offset, length| {
            let mut out = vec![1; length];
            held.read(offset, &mut out).map(|()| out)
        };
        let whole = b"01aB45\0\0xyz".to_vec();
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                assert_eq!(read(from as u64, to - from).unwrap(), whole[from..to]);
            }
        }
        assert_eq!(read(9, 3).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(held.len().unwrap(), 11);
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");

        held.release().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        held.write(0, b"!").unwrap();
        held.set_len(2).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), held.len().unwrap()), (b"!1".to_vec(), 2));
    }

    #[test]
    fn an_empty_file_is_no_database() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            HeldFile::open(&Medium::default(), file.path(), Faults::default()),
            Err(DatabaseError::Storage(redb::StorageError::Io(_)))
        ));
    }
}
