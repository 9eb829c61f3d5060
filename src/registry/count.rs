//! How often repositories are used.
//!
//! A push is a manifest that a client puts under a tag, counted in its own
//! commit. A pull is an image manifest that a client reads: every client does
//! that once for each image, whatever it asks before (the tag, an index). It is
//! counted in memory and written down from time to time, in the background.

use crate::audit::Audit;
use crate::limits;
use crate::store::record::Counts;
use crate::store::{Change, Lane, Operation, Read, RepoId, Store, StoreError, repo};

use super::Registry;

/// Writes pulls down.
struct WritePulls(Vec<(RepoId, u64)>);

impl Operation for WritePulls {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "write pulls";
    const AUDIT: Audit = Audit::Nothing("pulls are counted, not told: there are too many of them");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        for (number, pulls) in &self.0 {
            // Nothing is written for what was deleted since.
            if repo::name_of(tables, *number)?.is_some() {
                repo::count(tables, *number, *pulls, 0)?;
            }
        }
        Ok(())
    }
}

/// Writes down what was pulled since the last time, in slices.
pub async fn write_pulls(store: &Store) -> Result<(), StoreError> {
    loop {
        let taken = store.pulls().take(limits::BACKGROUND_ROWS);
        if taken.is_empty() {
            return Ok(());
        }
        match store.submit(Lane::Background, WritePulls(taken.clone())).await {
            Ok(done) => done.unwrap_or_else(|never| match never {}),
            Err(error) => {
                store.pulls().put_back(&taken);
                return Err(error);
            }
        }
    }
}

impl Registry {
    /// How often a repository was used until now.
    pub fn counts(&self, read: &impl Read, number: RepoId) -> Result<Counts, StoreError> {
        let written = repo::counts(read, number)?;
        Ok(Counts { pulls: written.pulls.saturating_add(self.store().pulls().of(number)), ..written })
    }
}
