//! Why a backup is not made, or not restored: each is one line that names the
//! file or folder.

use std::io;
use std::path::{Path, PathBuf};

use super::stream::StreamError;
use crate::chance::Id;
use crate::store::StoreError;

/// What stops a backup or a restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for the backup holds something else.
    #[error("{} holds something else ({found}): choose an empty folder, or one that holds a backup", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// The folder for the backup is a data folder, or lies in one.
    #[error("{} is a data folder, and a backup must lie elsewhere", path.display())]
    DataFolder {
        /// The data folder.
        path: PathBuf,
    },
    /// Another process works on the folder.
    #[error("another backup or restore is using {}", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds the backup of another registry.
    #[error("{} holds the backup of another registry (instance {found}, this one is {wanted}): choose another folder", path.display())]
    Another {
        /// The folder.
        path: PathBuf,
        /// Whose backup it holds.
        found: Id,
        /// Whose was to be put there.
        wanted: Id,
    },
    /// The rows did not arrive whole.
    #[error("the rows of the database did not arrive whole")]
    Stream(#[from] StreamError),
    /// The folder holds no backup that was finished.
    #[error("{} holds no finished backup: {} is missing", folder.display(), path.display())]
    Unfinished {
        /// The folder.
        folder: PathBuf,
        /// What is missing.
        path: PathBuf,
    },
    /// A file of a backup is not what it was.
    #[error("the backup is damaged: {} {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What came for a file is not what it should be.
    #[error("the registry gave other bytes for {} than its name says ({why}): `tidegate verify` says more", path.display())]
    WrongBytes {
        /// The file that was to be made.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Made by a newer version.
    #[error("{} was made by a newer tidegate (format {found}); this one reads up to {known}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// What was backed up does not fit together.
    #[error(
        "what was backed up does not fit together: {first}, {count} findings in all; `tidegate verify` says more, --no-verify backs it up as it is"
    )]
    Findings {
        /// The first finding.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// The folder to restore into is not empty.
    #[error("{} is not empty ({found}): restore into an empty or a missing folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// Hard links do not reach from one file system to another.
    #[error("{} and {} are not on one file system: restore without --link", backup.display(), data.display())]
    TwoFileSystems {
        /// The backup.
        backup: PathBuf,
        /// The folder to restore into.
        data: PathBuf,
    },
    /// A database could not be read or written.
    #[error("the database {} failed", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// What it said.
        source: StoreError,
    },
}

impl BackupError {
    /// For `map_err`: `action` on `path` failed.
    pub(super) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: the database at `path` failed.
    pub(super) fn of<E: Into<StoreError>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::Database { path, source: error.into() }
    }
}
