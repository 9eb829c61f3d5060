//! Histories of tags end: what a tag was is forgotten once it has not been so
//! for long enough. A slice is looked at on a snapshot, and its rows go in one
//! small commit of the background lane; rows are written once and never
//! changed, so what was old on the snapshot is old in the commit.

use std::time::Duration;

use crate::lifecycle;
use crate::limits;
use crate::registry::{Registry, RegistryError};
use crate::store::{Change, Lane, Operation, StoreError, tag};

/// Takes rows out of the history.
struct Forget(Vec<Vec<u8>>);

impl Operation for Forget {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "forget history";
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        tag::forget(tables, &self.0)
    }
}

/// Forgets what tags have not been for `kept`; how many rows went. Measured on
/// a clock that nobody sets.
pub(super) async fn forget(registry: &Registry, kept: Duration) -> Result<usize, RegistryError> {
    let store = registry.store();
    let cut_off = store.steady().before(kept);
    let (mut removed, mut last) = (0, None);
    loop {
        let reader = store.clone();
        let slice =
            lifecycle::blocking(move || tag::ended_before(&reader.snapshot()?, cut_off, last, limits::BACKGROUND_ROWS))
                .await?;
        if slice.last.is_none() {
            return Ok(removed);
        }
        last = slice.last;
        if !slice.ended.is_empty() {
            removed += slice.ended.len();
            store.submit(Lane::Background, Forget(slice.ended)).await?.unwrap_or_else(|never| match never {});
        }
    }
}
