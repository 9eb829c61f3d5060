//! Backup and restore: the whole store, elsewhere, as of one commit.
//!
//! A daemon that runs holds its folder for itself, and under a service manager
//! it cannot write anywhere else. So it only reads: a *lease* (`lease`) holds
//! a snapshot whose rows leave as a *stream* (`stream`, `rows`), and keeps
//! blob files that lose their name from being removed while it is used. The
//! other side writes: it builds a database from the stream (`draft`), brings
//! the files that this database names into a *backup folder* (`folder`), and
//! puts the database in place last. `restore` makes a data folder of it.
//!
//! **At any moment a backup folder holds one whole backup**, from the first
//! that was finished: files are only added until the new database stands where
//! the old one stood, in one rename; what only the old one named goes after
//! that. A backup that is interrupted leaves files that the next one finds.
//!
//! `docs/FORMAT.md` describes stream and folder byte for byte.

/// A database, made from a stream.
pub mod draft;
/// What can go wrong.
pub mod error;
/// The folder that a backup lies in.
pub mod folder;
/// What a backup in the making holds on to in the daemon.
pub mod lease;
/// The files that a database names.
pub mod named;
/// From a backup to a data folder.
pub mod restore;
/// From a snapshot to a stream.
mod rows;
/// The form of the stream.
pub mod stream;

pub use draft::{Description, Draft};
pub use error::BackupError;
pub use folder::{ADDED_KEYS, BackupFolder, IncomingFile, KEY_FILES, Pruned, SEALING_KEY};
pub use lease::{BackupOver, Leases};
pub use named::{Named, NamedFiles};
pub use restore::{Restored, Restoring, restore};
pub use stream::{Head, StreamError};
