//! The database of a backup, made from a stream.
//!
//! It is an ordinary database of ours with every row as it was, and one more:
//! `backup` in `meta` says what the backup is. So the database alone tells
//! whether a backup is whole, in the same rename that makes it one.

use std::io;
use std::path::{Path, PathBuf};

use redb::Durability;
use serde::{Deserialize, Serialize};

use super::error::BackupError;
use super::named::in_row;
use super::stream::{Frame, Head, Reader, StreamError, moment, pull_row};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::store::backend::{Faults, WatchedFile};
use crate::store::gate::Pages;
use crate::store::guard::guarded;
use crate::store::medium::Medium;
use crate::store::{Key, Read as _, Snapshot, StoreError, Table, open};

/// What a backup is: the row `backup` in its database, and `backup.json`
/// beside it, where people and programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The format of backup folders.
    pub format: u64,
    /// The version of the program that made it.
    pub tidegate: String,
    /// Whose it is.
    pub instance: Id,
    /// How often that store had been opened.
    pub generation: u64,
    /// The number of the last event in it.
    pub event_sequence: u64,
    /// When it was taken, by the daemon's clock.
    #[serde(with = "moment")]
    pub taken_at: Timestamp,
    /// Rows of the database.
    pub rows: u64,
    /// Files that the database names.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Blobs and manifests that were damaged there, and are not in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quarantined: u64,
    /// Bytes of the database; in `backup.json` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<u64>,
    /// Key files that lie in `keys/`; in `backup.json` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// A database that was built and is not in place yet.
pub struct Draft {
    path: PathBuf,
    pages: Pages,
    description: Description,
    lease: Id,
}

/// The format of backup folders that this program writes.
pub(super) const FORMAT: u64 = 1;
/// The row in `meta`.
pub(super) const ROW: &str = "backup";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Draft {
    /// Builds the database at `path`, in place of what lies there. Blocks until
    /// the stream has ended, and gives up what was built if it does not end
    /// well. `begun` is told the head as soon as it is there.
    ///
    /// # Errors
    /// When the stream is not whole, or the file cannot be written.
    pub fn build(
        path: &Path,
        stream: impl io::Read,
        begun: impl FnOnce(&Head) -> Result<(), BackupError>,
    ) -> Result<Self, BackupError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BackupError::on("remove", path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut reader = Reader::new(stream)?;
        let Frame::Head(head) = reader.next()? else { return Err(StreamError::Frame("it has no head").into()) };
        if head.format > open::FORMAT {
            return Err(BackupError::Newer { path: path.to_owned(), found: head.format, known: open::FORMAT });
        }
        begun(&head)?;
        let mut description = Description {
            format: FORMAT,
            tidegate: env!("CARGO_PKG_VERSION").to_owned(),
            instance: head.instance,
            generation: head.generation,
            event_sequence: head.event_sequence,
            taken_at: head.taken_at,
            rows: 0,
            files: 0,
            file_bytes: 0,
            quarantined: 0,
            database_bytes: None,
            keys: Vec::new(),
        };
        let file = Medium::default().create(path).map_err(BackupError::on("create", path))?;
        let file = WatchedFile::new(file, Faults::default()).map_err(BackupError::of(path))?;
        let database = guarded(|| open::builder().create_with_backend(file)).map_err(BackupError::of(path))?;
        let mut transaction = guarded(|| database.begin_write()).map_err(BackupError::of(path))?;
        transaction.set_durability(Durability::Immediate).map_err(BackupError::of(path))?;
        transaction.set_quick_repair(true);
        let mut into = None;
        loop {
            match reader.next()? {
                Frame::Head(_) => return Err(StreamError::Frame("a second head").into()),
                Frame::Table(name) => {
                    let known = Table::ALL.into_iter().find(|table| table.name() == name);
                    into = Some(known.ok_or(StreamError::Table(name))?);
                }
                Frame::Rows(rows) => {
                    let table = into.ok_or(StreamError::Frame("rows of no table"))?;
                    fill(&transaction, table, &rows, &mut description).map_err(BackupError::of(path))?;
                }
                Frame::End => break,
            }
        }
        description.rows = reader.rows();
        let row = serde_json::to_vec(&description).expect("a description is plain data");
        guarded(|| {
            for table in Table::ALL {
                transaction.open_table(table.definition())?;
            }
            let mut meta = transaction.open_table(Table::Meta.definition())?;
            meta.insert(ROW.as_bytes(), row.as_slice())?;
            Ok::<_, StoreError>(())
        })
        .and_then(|()| guarded(|| transaction.commit()))
        .map_err(BackupError::of(path))?;
        let lease = head.lease;
        Ok(Self { path: path.to_owned(), pages: Pages::new(database), description, lease })
    }

    /// What it is.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The lease under which its files can be had.
    pub fn lease(&self) -> Id {
        self.lease
    }

    /// All of it, to be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, BackupError> {
        self.pages.begin_read().map(Snapshot::new).map_err(BackupError::of(&self.path))
    }

    /// Closes it, durably; where it is, and how many bytes it has. No snapshot
    /// of it may be held.
    ///
    /// # Errors
    /// When the file cannot be synced.
    pub(super) fn close(self) -> Result<(PathBuf, u64), BackupError> {
        let Self { path, pages, .. } = self;
        drop(pages);
        let synced = std::fs::File::open(&path).and_then(|file| {
            file.sync_all()?;
            Ok(file.metadata()?.len())
        });
        let bytes = synced.map_err(BackupError::on("sync", &path))?;
        Ok((path, bytes))
    }
}

/// What the database of a backup says it is; `None` when it is not one's.
pub(super) fn described(read: &Snapshot) -> Result<Option<Description>, StoreError> {
    let found = read.with(Table::Meta, &Key::new().text(ROW), |bytes| serde_json::from_slice(bytes).ok())?;
    Ok(found.flatten())
}

/// Writes rows as they came, and counts the files they name.
fn fill(
    transaction: &redb::WriteTransaction,
    table: Table,
    rows: &[u8],
    description: &mut Description,
) -> Result<(), StoreError> {
    guarded(|| {
        let mut open = transaction.open_table(table.definition())?;
        let mut rest = rows;
        while let Some((key, value, left)) = pull_row(rest) {
            open.insert(key, value)?;
            description.quarantined += u64::from(table == Table::Quarantine);
            let digest = Digest::from_key(key).map(|(digest, _)| digest);
            if let Some(digest) = digest.filter(|_| matches!(table, Table::Blobs | Table::Manifests))
                && let Some(named) = in_row(table, digest, value)?
            {
                description.files += 1;
                description.file_bytes += named.size;
            }
            rest = left;
        }
        Ok::<_, StoreError>(())
    })
}
