//! The open database, behind a gate that drains readers.
//!
//! After a write has failed for want of room, redb takes no other until the
//! file is opened again. The gate lets those who read finish, keeps others
//! waiting for the moment that takes, closes and opens.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::backend::Faults;
use super::error::{OpenError, StoreError};
use super::guard::{Writing, guarded};
use crate::{limits, telemetry};

/// The database that is open now: shared by all who read and the one who
/// writes. Dropped, it is closed.
pub(super) struct Pages {
    /// `None` only while it is opened again, or when that failed.
    database: RwLock<Option<Database>>,
    /// Each transaction that reads holds one.
    readers: Arc<()>,
    again: Option<Again>,
}

/// How the file is opened once more.
struct Again {
    faults: Faults,
    open: Opener,
}

/// Opens the file once more.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// A transaction that reads, and its place among the readers.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) transaction: ReadTransaction,
    _place: Arc<()>,
}

impl Pages {
    /// A database that is opened once.
    pub(super) fn new(database: Database) -> Self {
        Self::over(database, None)
    }

    /// One on a file, which `open` opens again after `faults` for want of room.
    pub(super) fn on_file(database: Database, faults: Faults, open: Opener) -> Self {
        Self::over(database, Some(Again { faults, open }))
    }

    fn over(database: Database, again: Option<Again>) -> Self {
        Self { database: RwLock::new(Some(database)), readers: Arc::new(()), again }
    }

    /// Begins to read, after an opening that is under way.
    pub(super) fn begin_read(&self) -> Result<Reading, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Stopped)?;
        let transaction = guarded(|| database.begin_read())?;
        Ok(Reading { transaction, _place: Arc::clone(&self.readers) })
    }

    /// Begins to write.
    pub(super) fn begin_write(&self) -> Result<Writing, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Stopped)?;
        guarded(|| database.begin_write()).map(Writing::new)
    }

    /// Whether a write failed since it was opened, for want of room and for
    /// nothing else: then opening it again helps.
    pub(super) fn is_full(&self) -> bool {
        self.again.as_ref().is_some_and(|again| again.faults.is_full())
    }

    /// What fails on the file.
    #[cfg(test)]
    pub(super) fn faults(&self) -> &Faults {
        &self.again.as_ref().expect("it is on a file").faults
    }

    /// Closes the database and opens it again. Blocks, and blocks those who
    /// want to read. Readers that take longer than their time are cut off.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let Some(again) = &self.again else { return Ok(()) };
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let looks = limits::READERS_DRAIN.as_millis() / DRAIN_LOOK.as_millis();
        for _ in 0..looks {
            if Arc::strong_count(&self.readers) == 1 {
                break;
            }
            std::thread::park_timeout(DRAIN_LOOK);
        }
        // It has failed before; what it says now changes nothing.
        let closed = database.take().map(|database| telemetry::catch(|| database.close()));
        tracing::debug!(closed = ?closed, "the database was closed, to be opened again");
        again.faults.clear();
        *database = Some((again.open)()?);
        Ok(())
    }
}

/// How often it looks whether all readers are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(2);

impl Drop for Pages {
    /// Closing writes to the file, and may meet a damaged page as well.
    fn drop(&mut self) {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(why) = telemetry::catch(|| drop(database)) {
            tracing::error!(why, "the database could not be closed well; the next start repairs it");
        }
    }
}
