//! Calls into redb, guarded.
//!
//! redb trusts what it reads from its file unless it repairs it: over a page
//! that the disk gave back as something else it panics. Every call into it goes
//! through here, so that such a page is an error with a place like any other,
//! of one request or one operation, and not the end of a thread.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use redb::WriteTransaction;

use super::error::StoreError;
use super::record::Damage;
use super::tables::Table;
use crate::telemetry;

/// A transaction being written. Dropped, it is abandoned.
pub(super) struct Writing(Option<WriteTransaction>);

/// Runs a call that reads or writes the file as a whole.
pub(super) fn guarded<T, E: Into<StoreError>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, StoreError> {
    telemetry::catch(call).map_err(corrupted)?.map_err(Into::into)
}

/// Runs a call that looks for `key` in `table`: what cannot be read there is
/// the trouble of whoever looks for it, and of nobody else.
pub(super) fn guarded_in<T, E: Into<StoreError>>(
    table: Table,
    key: &[u8],
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, StoreError> {
    guarded(call).map_err(|error| match corruption(&error) {
        Some(words) => StoreError::damaged(table, key, Damage::Page(words.to_owned())),
        None => error,
    })
}

/// What redb says of a file that is damaged, when that is the error.
pub(super) fn corruption(error: &StoreError) -> Option<&str> {
    match error {
        StoreError::Database(error) => match error.as_ref() {
            redb::Error::Corrupted(words) => Some(words),
            _ => None,
        },
        StoreError::Damaged { .. }
        | StoreError::File(_)
        | StoreError::Full
        | StoreError::Panicked(_)
        | StoreError::Stopped => None,
    }
}

impl Writing {
    pub(super) fn new(transaction: WriteTransaction) -> Self {
        Self(Some(transaction))
    }

    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        let transaction = self.0.take();
        guarded(|| transaction.map_or(Ok(()), WriteTransaction::commit))
    }

    /// Gives it up; nothing of it was written. What a panic left of it cannot
    /// be given up page by page: redb drops it whole, and takes its pages back
    /// at the next start.
    pub(super) fn abort(mut self) -> Result<(), StoreError> {
        let transaction = self.0.take();
        let aborted = telemetry::catch(|| transaction.map_or(Ok(()), WriteTransaction::abort));
        aborted.unwrap_or(Ok(())).map_err(Into::into)
    }
}

impl Deref for Writing {
    type Target = WriteTransaction;

    fn deref(&self) -> &WriteTransaction {
        self.0.as_ref().expect("it is taken when this ends, and only then")
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut WriteTransaction {
        self.0.as_mut().expect("it is taken when this ends, and only then")
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let transaction = self.0.take();
        // What it says, `abort` leaves out as well.
        let _ = telemetry::catch(|| drop(transaction));
    }
}

fn corrupted(words: String) -> StoreError {
    StoreError::Database(Arc::new(redb::Error::Corrupted(words)))
}
