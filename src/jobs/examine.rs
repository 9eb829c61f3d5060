//! Looks at stored bytes at the pace of a budget, and is sure before it says
//! that they are damaged.

use tokio::time::Instant;

use crate::lifecycle;
use crate::limits;
use crate::store::file::{BlobFile, FileError, Files, Flaw, Inspector, Step};

use super::budget::{Budget, Rate};

/// Looks at one file after the other.
#[derive(Debug)]
pub(super) struct Examiner {
    /// Lent to the blocking pool while it reads.
    inspector: Option<Inspector>,
    files: Files,
    budget: Budget,
}

/// What was seen of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is as it should be.
    Whole,
    /// It was wrong once and right when it was read again.
    Unsteady(Flaw),
    /// It is damaged.
    Flawed(Flaw),
    /// The system could not look: that says nothing about the bytes.
    Unseen(String),
}

impl Examiner {
    pub(super) fn new(files: &Files, rate: Rate, now: Instant) -> Self {
        let budget = Budget::new(rate, files.traffic().clone(), now);
        Self { inspector: None, files: files.clone(), budget }
    }

    /// Pays for bytes that were looked at elsewhere.
    pub(super) async fn spend(&mut self, bytes: u64) {
        self.budget.spend(bytes).await;
    }

    /// Looks at a file. Bytes that are wrong, or that the disk does not give,
    /// are read once more: a cable or a memory bar can be at fault as well.
    pub(super) async fn look(&mut self, file: &BlobFile, size: u64) -> Seen {
        let first = match self.read(file, size).await {
            Err(error) => return Seen::Unseen(crate::store::error_chain(&error)),
            Ok(None) => return Seen::Whole,
            Ok(Some(flaw)) => flaw,
        };
        match first {
            Flaw::Missing | Flaw::Short { .. } | Flaw::Long { .. } => Seen::Flawed(first),
            Flaw::Altered { .. } | Flaw::Unreadable { .. } => match self.read(file, size).await {
                Err(error) => Seen::Unseen(crate::store::error_chain(&error)),
                Ok(None) => Seen::Unsteady(first),
                Ok(Some(again)) => Seen::Flawed(again),
            },
        }
    }

    async fn read(&mut self, file: &BlobFile, size: u64) -> Result<Option<Flaw>, FileError> {
        let mut inspector = self.inspector.take().unwrap_or_else(|| Inspector::new(self.files.clone()));
        inspector.start_over();
        // A disk looks for a file before it gives the first byte.
        let mut least = limits::SCRUB_FILE_BYTES;
        loop {
            let file = *file;
            let (back, step) = lifecycle::blocking(move || {
                let step = inspector.look(&file, size);
                (inspector, step)
            })
            .await;
            inspector = back;
            let (read, seen) = match step {
                Ok(Step::More(read)) => (read, None),
                Ok(Step::Whole(read)) => (read, Some(Ok(None))),
                Ok(Step::Flawed(flaw)) => (0, Some(Ok(Some(flaw)))),
                Err(error) => (0, Some(Err(error))),
            };
            self.budget.spend(read.max(least)).await;
            least = 0;
            if let Some(seen) = seen {
                self.inspector = Some(inspector);
                return seen;
            }
        }
    }
}
