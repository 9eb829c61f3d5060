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
//!
//! A client that has sent all of a layer asks for its end with its next
//! request. What only its habit announces counts for a moment, and then no
//! more.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::writer::Writer;

/// The announced operations, by number.
#[derive(Debug, Default)]
pub(super) struct Coming {
    next: u64,
    /// With the moment from which each counts no more, if there is one.
    announced: BTreeMap<u64, Option<Instant>>,
}

/// An operation that was announced; it is over when this is dropped.
#[derive(Debug)]
pub struct Announced {
    writer: Writer,
    number: u64,
}

impl Coming {
    /// Announces one, for good or for so long; its number.
    pub(super) fn announce(&mut self, counts_for: Option<Duration>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.announced.insert(number, counts_for.map(|time| Instant::now() + time));
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

    /// Until when to wait for those below `number` that have not come yet:
    /// `None` when there is none, `Some(None)` when one counts for good.
    pub(super) fn below(&self, number: u64, now: Instant) -> Option<Option<Instant>> {
        let counting = self.announced.range(..number).map(|(_, until)| *until);
        let counting = counting.filter(|until| until.is_none_or(|until| now < until));
        // The latest of all; one without an end is later than any.
        counting.reduce(|latest, until| latest.zip(until).map(|(latest, until)| latest.max(until)))
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
