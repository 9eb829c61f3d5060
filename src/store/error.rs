//! What can go wrong below the protocol: the disk, the database, a record.
//!
//! Absence is no error here. None of these is a client's fault, so above this
//! row they are all "the daemon's trouble", but for the ones that opening
//! returns, which an operator reads on one line.

use std::path::PathBuf;
use std::sync::Arc;

use super::file::FileError;
use super::record::Damage;
use super::tables::Table;

/// A failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be read or written.
    #[error("the database failed")]
    Database(#[source] Arc<redb::Error>),
    /// A blob file could not be read or written.
    #[error("a file of the store failed")]
    File(#[source] Arc<FileError>),
    /// A stored record makes no sense.
    #[error("a record in table {} is damaged (key {key}): {why}", table.name())]
    Damaged {
        /// The table it is in.
        table: Table,
        /// Its key, in hexadecimal.
        key: String,
        /// What is wrong with it.
        why: Damage,
    },
    /// There is no room on the disk; nothing was written.
    #[error("the disk is full; deletes and reads go on, and writes do as soon as there is room")]
    Full,
    /// An operation panicked; nothing of it was written.
    #[error("the operation `{0}` failed by a fault in the program; nothing was written")]
    Panicked(&'static str),
    /// A write failed before, and nothing is acknowledged any more.
    #[error("the store stopped after a failed write; the daemon restarts")]
    Stopped,
}

impl StoreError {
    pub(super) fn damaged(table: Table, key: &[u8], why: Damage) -> Self {
        Self::Damaged { table, key: hex::encode(key), why }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(Arc::new(error.into()))
            }
        }
    )*};
}

from_redb!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::DatabaseError);

impl From<redb::SetDurabilityError> for StoreError {
    fn from(error: redb::SetDurabilityError) -> Self {
        Self::Database(Arc::new(error.into()))
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        Self::File(Arc::new(error))
    }
}

/// Why a data folder cannot be opened; each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it.
    #[error("cannot use the data folder {}", path.display())]
    Folder {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something else lies where the folder should be.
    #[error("the data folder {} is a file, not a folder; move it away, or choose another folder", path.display())]
    NotAFolder {
        /// Which path.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("another tidegate is running on the data folder {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// The file is no database of ours, or is broken.
    #[error("the database {} is damaged or none of ours: {why}; restore it from a backup", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What redb said.
        why: String,
    },
    /// Blobs without their database, or with an older one.
    #[error(
        "in the data folder {} {how}: starting would lose images. Restore the database that goes with the blobs",
        path.display()
    )]
    Mismatch {
        /// The data folder.
        path: PathBuf,
        /// What is wrong.
        how: Mismatch,
    },
    /// Blobs are named, and there are none.
    #[error(
        "the database names {names} blob{}, and the folder {} is empty or missing: mount the disk that they are on; where they are lost, `tidegate restore` makes a data folder from a backup",
        if *names == 1 { "" } else { "s" },
        path.display()
    )]
    NoBlobs {
        /// The folder of the blobs.
        path: PathBuf,
        /// How many are named.
        names: u64,
    },
    /// Written by a newer version.
    #[error("the data folder {} was written by a newer tidegate (format {found}); this one reads up to {known}", path.display())]
    Newer {
        /// The data folder.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// The file half.
    #[error(transparent)]
    Files(#[from] FileError),
    /// Anything else the store says.
    #[error("cannot open the data folder: {}", error_chain(.0))]
    Store(StoreError),
}

/// How a database does not go with the blobs beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// There is none.
    #[error("there are blobs, but the database that names them is missing")]
    Missing,
    /// It is an old copy.
    #[error("the database is older than the blobs beside it")]
    Older,
    /// Nothing says whose the blobs are.
    #[error(
        "there are blobs, but the file `generation` beside them is missing, which says whose they are; put it back, \
         or restore a backup into an empty folder"
    )]
    Unmarked,
    /// It is another instance's.
    #[error("the database is another one than the blobs beside it belong to")]
    Different,
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// An error and its sources, on one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        source = inner.source();
    }
    words
}
