//! From a snapshot to a stream, a piece each time somebody asks.
//!
//! Between two pieces nothing runs: a piece begins behind the last key of the
//! one before it. So a reader that goes away leaves nothing but the snapshot,
//! which goes with its lease.

use std::ops::{Bound, ControlFlow};

use super::stream::{Head, Writer, push_row};
use crate::limits;
use crate::store::{Order, Read as _, Snapshot, Span, StoreError, Table};

/// The rows of a snapshot, on their way out.
pub(super) struct Rows {
    snapshot: Snapshot,
    writer: Writer,
    /// The table that is next, or under way; none when all are out.
    table: Option<usize>,
    /// The last key that went out of it.
    last: Option<Vec<u8>>,
}

impl Rows {
    pub(super) fn new(snapshot: Snapshot, head: &Head) -> Self {
        Self { snapshot, writer: Writer::new(head), table: Some(0), last: None }
    }

    /// The next piece; `None` when all are out. Blocks.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = 0;
        let mut is_some = false;
        while let Some(number) = self.table
            && bytes < limits::BACKUP_PIECE_BYTES
        {
            is_some = true;
            match Table::ALL.get(number) {
                Some(table) => bytes += self.of(*table)?,
                None => {
                    self.writer.end();
                    self.table = None;
                }
            }
        }
        Ok(is_some.then(|| self.writer.take()))
    }

    /// Writes rows of `table`, behind the last that went out; how many bytes.
    fn of(&mut self, table: Table) -> Result<usize, StoreError> {
        let from = match self.last.take() {
            None => {
                self.writer.table(table.name());
                Bound::Unbounded
            }
            Some(last) => Bound::Excluded(last),
        };
        let (mut rows, mut count, mut last) = (Vec::new(), 0, None);
        let span = Span { from, to: Bound::Unbounded };
        self.snapshot.walk(table, &span, Order::Forward, |key, value| {
            push_row(&mut rows, key, value);
            count += 1;
            if rows.len() < limits::BACKUP_PIECE_BYTES {
                return Ok(ControlFlow::Continue(()));
            }
            last = Some(key.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        if count > 0 {
            self.writer.rows(&rows, count);
        }
        if last.is_none() {
            self.table = self.table.map(|number| number + 1);
        }
        self.last = last;
        Ok(rows.len())
    }
}
