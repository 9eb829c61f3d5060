//! What a backup in the making holds on to: a snapshot until its rows are out,
//! and every blob file until the backup is over.
//!
//! In memory only. A lease is renewed by use, and one that nobody uses ends by
//! itself, so a command line that is gone pauses nothing for long; the next
//! backup to the same folder ends it at once. The snapshot
//! has an end of its own: a reader that takes a byte a minute would pin pages
//! for ever.
//!
//! A file that the snapshot names has its name in the current state or waits in
//! `unlinks`; whoever removes files that wait there asks
//! `Store::is_backed_up` first. The lease is taken before the snapshot, so
//! what was about to be removed then was named by neither.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use bytes::Bytes;
use tokio::time::Instant;

use super::rows::Rows;
use super::stream::Head;
use crate::chance::Id;
use crate::limits;
use crate::store::file::Level;
use crate::store::{Store, StoreError, event};

/// The leases of a store.
#[derive(Debug, Default)]
pub struct Leases(Mutex<HashMap<Id, Lease>>);

struct Lease {
    /// The folder that the backup goes to, as whoever writes it calls it.
    folder: String,
    begun: Instant,
    used: Instant,
    rows: Arc<Mutex<Option<Rows>>>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({:?})", self.used)
    }
}

/// Why a backup does not go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupOver {
    /// The lease ended, or there never was one.
    #[error("no backup is under way under this id: it took too long, was idle for {} min, or the daemon was restarted", limits::BACKUP_IDLE.as_secs() / 60)]
    Ended,
    /// As many backups as may be are under way.
    #[error("{} backups are under way already, and no more may be", limits::BACKUPS)]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Takes a lease and a snapshot. Blocks. A `folder` that has a name takes
    /// one backup at a time: an earlier one to it was cut off, and is over.
    ///
    /// # Errors
    /// [`BackupOver::TooMany`], or when the store cannot be read.
    pub fn begin_backup(&self, folder: &str) -> Result<Id, BackupOver> {
        let (id, now) = (self.chance().id(), self.clock().monotonic());
        let rows = Arc::new(Mutex::new(None));
        self.leases().hold(|leases| {
            leases.retain(|_, lease| !lease.is_over(now) && (folder.is_empty() || lease.folder != folder));
            if leases.len() >= limits::BACKUPS {
                return Err(BackupOver::TooMany);
            }
            let folder = folder.to_owned();
            leases.insert(id, Lease { folder, begun: now, used: now, rows: Arc::clone(&rows) });
            Ok(())
        })?;
        let filled = self.rows_of(id).map(|made| *rows.lock().unwrap_or_else(PoisonError::into_inner) = Some(made));
        if filled.is_err() {
            self.end_backup(&id);
        }
        filled?;
        Ok(id)
    }

    /// The next piece of the rows; `None` when all are out. Blocks.
    ///
    /// # Errors
    /// [`BackupOver::Ended`], or when the store cannot be read.
    pub fn backup_rows(&self, id: &Id) -> Result<Option<Bytes>, BackupOver> {
        let now = self.clock().monotonic();
        let rows = self.leases().hold(|leases| {
            let lease = leases.get_mut(id).filter(|lease| !lease.is_over(now))?;
            lease.used = now;
            Some(Arc::clone(&lease.rows))
        });
        let rows = rows.ok_or(BackupOver::Ended)?;
        let mut held = rows.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = held.as_mut().ok_or(BackupOver::Ended)?.next()?;
        if piece.is_none() {
            // All are out: the pages are free to be written again.
            *held = None;
        }
        Ok(piece.map(Bytes::from))
    }

    /// Uses a lease; whether there is one.
    pub fn renew_backup(&self, id: &Id) -> bool {
        let now = self.clock().monotonic();
        self.leases().hold(|leases| match leases.get_mut(id).filter(|lease| !lease.is_over(now)) {
            Some(lease) => {
                lease.used = now;
                true
            }
            None => false,
        })
    }

    /// Ends a lease; whether there was one.
    pub fn end_backup(&self, id: &Id) -> bool {
        self.leases().hold(|leases| leases.remove(id).is_some())
    }

    /// Whether files that have lost their name must stay for a backup. Ends
    /// leases that nobody uses; to be asked from time to time. On a disk that
    /// is full to the brim they must not: a backup can be made again, a push
    /// cannot wait.
    pub fn is_backed_up(&self) -> bool {
        let now = self.clock().monotonic();
        let is_held = self.leases().hold(|leases| {
            leases.retain(|id, lease| {
                let is_over = lease.is_over(now);
                if is_over {
                    tracing::warn!(backup.id = %id, "a backup was not used any more and is over");
                }
                !is_over
            });
            for lease in leases.values() {
                lease.drop_late_rows(now);
            }
            !leases.is_empty()
        });
        is_held && self.files().disk().level() > Level::Bare
    }

    /// Whether any backup is under way.
    pub fn has_backups(&self) -> bool {
        let now = self.clock().monotonic();
        self.leases().hold(|leases| leases.values().any(|lease| !lease.is_over(now)))
    }

    fn rows_of(&self, lease: Id) -> Result<Rows, StoreError> {
        let snapshot = self.snapshot()?;
        let (format, generation) = crate::store::open::numbers(&snapshot)?;
        let head = Head {
            format,
            instance: self.instance(),
            generation,
            event_sequence: event::last(&snapshot)?,
            taken_at: self.now(),
            lease,
        };
        Ok(Rows::new(snapshot, &head))
    }
}

impl Leases {
    fn hold<T>(&self, work: impl FnOnce(&mut HashMap<Id, Lease>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lease {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= limits::BACKUP_IDLE
    }

    /// Lets go of a snapshot whose rows take too long. One that is read from
    /// at this very moment is met the next time.
    fn drop_late_rows(&self, now: Instant) {
        if now.saturating_duration_since(self.begun) < limits::BACKUP_ROWS {
            return;
        }
        match self.rows.try_lock() {
            Ok(mut rows) => *rows = None,
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = None,
            Err(TryLockError::WouldBlock) => {}
        }
    }
}
