//! Reading: one interface over a snapshot and over a transaction being
//! written, so that a lookup is written once.

use std::ops::ControlFlow;

use redb::{AccessGuard, TableError};

use super::error::StoreError;
use super::guard::guarded_in;
use super::key::{Key, Span};
use super::record::Stored;
use super::tables::Table;
use super::usage::Tally;

/// Something that tables can be read from.
pub trait Read {
    /// The value under `key`, handed to `read` in place.
    fn with<T>(&self, table: Table, key: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError>;

    /// Hands every pair of `span` to `each`, in order (or from the end), until
    /// it breaks off.
    fn walk(
        &self,
        table: Table,
        span: &Span,
        order: Order,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError>;

    /// Counters that are not written yet, where something is being written.
    fn tally(&self) -> Option<&Tally> {
        None
    }

    /// The record under `key`.
    fn record<R: Stored>(&self, table: Table, key: &Key) -> Result<Option<R>, StoreError> {
        self.with(table, key, |bytes| R::decode(bytes).map_err(|why| StoreError::damaged(table, key.bytes(), why)))?
            .transpose()
    }

    /// Whether `key` is there.
    fn has(&self, table: Table, key: &Key) -> Result<bool, StoreError> {
        Ok(self.with(table, key, |_| ())?.is_some())
    }

    /// Up to `limit` keys of `span`, copied.
    fn keys(&self, table: Table, span: &Span, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        self.walk(table, span, Order::Forward, |key, _| {
            keys.push(key.to_vec());
            Ok(if keys.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(keys)
    }
}

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the first key.
    Forward,
    /// From the last key.
    Backward,
}

/// The state as of one commit. Hold it for one answer, not for long: it pins
/// pages of the database file.
#[derive(Debug)]
pub struct Snapshot(super::gate::Reading);

impl Snapshot {
    pub(super) fn new(reading: super::gate::Reading) -> Self {
        Self(reading)
    }
}

impl Read for Snapshot {
    fn with<T>(&self, table: Table, key: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
        let found = guarded_in(table, key.bytes(), || match self.0.transaction.open_table(table.definition()) {
            Ok(table) => Ok::<_, StoreError>(table.get(key.bytes())?),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        in_place(table, key, found.as_ref(), read)
    }

    fn walk(
        &self,
        table: Table,
        span: &Span,
        order: Order,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let opened = guarded_in(table, &[], || match self.0.transaction.open_table(table.definition()) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error),
        })?;
        opened.map_or(Ok(()), |opened| walk(table, &opened, span, order, each))
    }
}

/// Hands a value that was found to `read`.
pub(super) fn in_place<T>(
    table: Table,
    key: &Key,
    found: Option<&AccessGuard<'_, &'static [u8]>>,
    read: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>, StoreError> {
    found.map(|found| guarded_in(table, key.bytes(), || Ok::<_, StoreError>(found.value())).map(read)).transpose()
}

/// Hands every pair of `span` in `table`, which is `opened`, to `each`.
pub(super) fn walk(
    table: Table,
    opened: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    span: &Span,
    order: Order,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut last = Vec::new();
    let mut range = guarded_in(table, &last, || opened.range::<&[u8]>(span.bounds()))?;
    loop {
        let next = guarded_in(table, &last, || {
            match order {
                Order::Forward => range.next(),
                Order::Backward => range.next_back(),
            }
            .transpose()
        })?;
        let Some((key, value)) = next else { return Ok(()) };
        let (key, value) = guarded_in(table, &last, || Ok::<_, StoreError>((key.value(), value.value())))?;
        if each(key, value)?.is_break() {
            return Ok(());
        }
        last.clear();
        last.extend_from_slice(key);
    }
}
