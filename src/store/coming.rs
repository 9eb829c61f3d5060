//! Operations that are about to be handed in, so that those which come together
//! are committed together.
//!
//! Each layer of an image is made durable by itself and then linked by an
//! operation. The first to be ready would have a commit of its own, and the
//! others would wait for it and then for the next: two commits where one does.
//! So whoever begins on bytes that an operation will follow says so, and the
//! writer, with the first of them in its inbox, waits for those that had been
//! announced by then: never for later ones, and never for longer than its last
//! commit took, which is what one of them would have waited.

use std::collections::BTreeSet;

use super::writer::Writer;

/// The announced operations, by number.
#[derive(Debug, Default)]
pub(super) struct Coming {
    next: u64,
    announced: BTreeSet<u64>,
}

/// An operation that was announced; it is over when this is dropped.
#[derive(Debug)]
pub struct Announced {
    writer: Writer,
    number: u64,
}

impl Coming {
    /// Announces one; its number.
    pub(super) fn announce(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.announced.insert(number);
        number
    }

    /// It came, or does not come.
    pub(super) fn end(&mut self, number: u64) {
        self.announced.remove(&number);
    }

    /// The number that the next will get.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether one below `number` has not come yet.
    pub(super) fn has_below(&self, number: u64) -> bool {
        self.announced.first().is_some_and(|first| *first < number)
    }
}

impl Announced {
    pub(super) fn new(writer: Writer, number: u64) -> Self {
        Self { writer, number }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.writer.came(self.number);
    }
}
