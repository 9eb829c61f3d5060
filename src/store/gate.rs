//! The open database, behind a gate that drains readers.
//!
//! After a write has failed for want of room, redb takes no other until the
//! file is opened again. The gate lets those who read finish, keeps others
//! waiting for the moment that takes, closes and opens.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase as _, WriteTransaction};

use super::backend::Faults;
use super::error::{OpenError, StoreError};
use crate::limits;

/// How the database is opened again.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

/// The database that is open now. Shared by all who read and the one who writes.
pub(super) struct Gate {
    /// `None` only while it is opened again.
    database: RwLock<Option<Database>>,
    /// Each transaction that reads holds one.
    readers: Arc<()>,
    opener: Opener,
    faults: Faults,
}

/// A transaction that reads, and its place among the readers.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) transaction: ReadTransaction,
    _place: Arc<()>,
}

impl Gate {
    pub(super) fn new(database: Database, opener: Opener, faults: Faults) -> Self {
        Self { database: RwLock::new(Some(database)), readers: Arc::new(()), opener, faults }
    }

    /// Begins to read, after an opening that is under way.
    pub(super) fn read(&self) -> Result<Reading, StoreError> {
        let database = self.database.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Stopped)?;
        Ok(Reading { transaction: database.begin_read()?, _place: Arc::clone(&self.readers) })
    }

    /// Begins to write.
    pub(super) fn write(&self) -> Result<WriteTransaction, StoreError> {
        let database = self.database.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(database.as_ref().ok_or(StoreError::Stopped)?.begin_write()?)
    }

    /// Whether all that failed since it was opened was for want of room.
    pub(super) fn is_full(&self) -> bool {
        self.faults.is_full()
    }

    /// Closes the database and opens it again. Blocks, and blocks those who
    /// want to read. Readers that take longer than their time are cut off.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let mut database = self.database.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waits = limits::READERS_DRAIN.as_millis() / DRAIN_LOOK.as_millis();
        for _ in 0..waits {
            if Arc::strong_count(&self.readers) == 1 {
                break;
            }
            std::thread::park_timeout(DRAIN_LOOK);
        }
        if let Some(database) = database.take()
            && let Err(error) = database.close()
        {
            // It has failed before; what it says now changes nothing.
            tracing::debug!(error = %error, "closing the database");
        }
        self.faults.clear();
        *database = Some((self.opener)()?);
        Ok(())
    }
}

/// How often it looks whether all readers are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(2);

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}
