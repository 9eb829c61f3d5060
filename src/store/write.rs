//! Writing: operations as data, committed in groups by one writer.
//!
//! redb has one writer at a time and every durable commit costs a sync, so
//! what arrives while one commit syncs goes into the next one together. An
//! [`Operation`] is data: `check` reads and may refuse, `apply` writes and
//! fails only when the disk does. In a batch each operation sees the ones
//! before it. Every answer, refusals included, waits for the commit.
//!
//! If we die before the commit, nothing of the batch happened and nobody was
//! told that it did; if we die after it, all of it happened.

use std::ops::ControlFlow;

use redb::{ReadableTable as _, Table as RedbTable, WriteTransaction};

use super::audit::{self, Book};
use super::error::StoreError;
use super::guard::{guarded, guarded_in};
use super::key::{Key, Span};
use super::read::{Order, Read, in_place, walk};
use super::record::Stored;
use super::tables::Table;
use super::usage::{self, Tally};
use crate::audit::Audit;
use crate::clock::Timestamp;

/// A change to the store, as data. It may run more than once before it is
/// committed, each time on a fresh transaction.
pub trait Operation: Send + 'static {
    /// What `check` finds out and `apply` needs.
    type Plan;
    /// The answer when it was done.
    type Done: Send + 'static;
    /// The answer when it may not be done.
    type Refusal: Send + 'static;
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// Whether it adds rows, and so has to wait when the disk is full. What
    /// gives room back, or settles what has been done, does not.
    const ADDS: bool = true;
    /// What it leaves in the audit log, or why it leaves nothing.
    const AUDIT: Audit;

    /// Reads, and decides whether this may be done. Writes nothing.
    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError>;

    /// Writes. Fails only when the store does.
    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError>;
}

/// Which queue an operation waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for the answer: requests and the reactor.
    Foreground,
    /// Jobs and sweeps: at least one of them in every batch.
    Background,
}

/// A transaction being written: all tables, open.
pub struct Change<'t> {
    tables: Vec<RedbTable<'t, &'static [u8], &'static [u8]>>,
    now: Timestamp,
    age: Timestamp,
    /// Counters that are in many hands: written once, when this ends.
    pub(super) tally: Tally,
    /// What of the audit log this writes.
    pub(super) audit: Book,
}

impl<'t> Change<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, now: Timestamp, age: Timestamp) -> Result<Self, StoreError> {
        let open = |table: Table| guarded(|| transaction.open_table(table.definition()));
        let tables = Table::ALL.into_iter().map(open).collect::<Result<_, StoreError>>()?;
        Ok(Self { tables, now, age, tally: Tally::default(), audit: Book::default() })
    }

    /// Writes what was kept back; before the transaction is committed.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        usage::write(&mut self)?;
        audit::write(&mut self)
    }

    /// The time of this commit: later than every commit's before it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The same on the store's own time line ([`Store::steady`](super::Store::steady)):
    /// for what has to be of some age before something is done to it.
    pub fn age(&self) -> Timestamp {
        self.age
    }

    /// Writes a record.
    pub fn put<R: Stored>(&mut self, table: Table, key: &Key, record: &R) -> Result<(), StoreError> {
        self.put_bytes(table, key, &record.encode())
    }

    /// Writes a record; whether there was none.
    pub fn put_new<R: Stored>(&mut self, table: Table, key: &Key, record: &R) -> Result<bool, StoreError> {
        let value = record.encode();
        guarded_in(table, key.bytes(), || {
            self.tables[table as usize].insert(key.bytes(), value.as_slice()).map(|was| was.is_none())
        })
    }

    /// Writes a key that says it all.
    pub fn put_mark(&mut self, table: Table, key: &Key) -> Result<(), StoreError> {
        self.put_bytes(table, key, &[])
    }

    /// Writes raw bytes.
    pub fn put_bytes(&mut self, table: Table, key: &Key, value: &[u8]) -> Result<(), StoreError> {
        guarded_in(table, key.bytes(), || self.tables[table as usize].insert(key.bytes(), value).map(|_| ()))
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, table: Table, key: &Key) -> Result<bool, StoreError> {
        self.remove_raw(table, key.bytes())
    }

    /// Removes a key as it stands in the table.
    pub fn remove_raw(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        guarded_in(table, key, || self.tables[table as usize].remove(key).map(|was| was.is_some()))
    }
}

impl Read for Change<'_> {
    fn tally(&self) -> Option<&Tally> {
        Some(&self.tally)
    }

    fn with<T>(&self, table: Table, key: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        let found = guarded_in(table, key.bytes(), || self.tables[table as usize].get(key.bytes()))?;
        in_place(table, key, found.as_ref(), read)
    }

    fn walk(
        &self,
        table: Table,
        span: &Span,
        order: Order,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        walk(table, &self.tables[table as usize], span, order, each)
    }
}
