//! Counting what repositories, namespaces and all hold, in a data folder that
//! has no counters yet: once, behind its back, in slices of the background lane
//! with a pause as long as each took.

use crate::audit::Audit;
use crate::lifecycle::Scope;
use crate::limits;
use crate::store::{Change, Lane, Operation, Store, StoreError, error_chain, usage};

/// Counts some rows more.
struct Count;

impl Operation for Count {
    type Plan = ();
    /// Whether there may be others.
    type Done = bool;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "count usage";
    const AUDIT: Audit = Audit::Nothing("counters follow what was told");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<bool, StoreError> {
        usage::count(tables, limits::COUNT_ROWS)
    }
}

/// Counts until everything is counted or the scope is told to stop.
pub async fn run(store: Store, scope: Scope) {
    while let Some(counted) = scope.until_stopped(count(&store)).await {
        match counted {
            Ok(()) | Err(StoreError::Stopped) => return,
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "counting what is held failed; it is tried again");
                if scope.until_stopped(tokio::time::sleep(limits::RETRY_LONGEST)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Counts everything that is not counted yet.
pub async fn count(store: &Store) -> Result<(), StoreError> {
    if usage::is_whole(&store.snapshot()?)? {
        return Ok(());
    }
    tracing::info!("counting what repositories hold; quotas hold when that is done");
    loop {
        let begun = store.clock().monotonic();
        if !store.submit(Lane::Background, Count).await?.unwrap_or_else(|never| match never {}) {
            tracing::info!("what repositories hold is counted");
            return Ok(());
        }
        tokio::time::sleep(store.clock().monotonic().duration_since(begun)).await;
    }
}
