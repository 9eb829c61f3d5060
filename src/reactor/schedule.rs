//! The schedules of pull mirrors: a slot that has come puts a look into the
//! queue, in the commit that writes down that it ran.
//!
//! A slot that was missed (the box was off) is caught up once. The clock may
//! jump: a last run in the future counts as one that has to run now.

use std::time::Duration;

use crate::jobs::poll_queue::QueuePoll;
use crate::lifecycle::Scope;
use crate::store::record::PolicyBody;
use crate::store::{Lane, Store, StoreError, error_chain, policy};

/// How often it looks whether a slot has come.
const EVERY: Duration = Duration::from_millis(500);

/// Watches the schedules until the scope is told to stop.
pub async fn run(store: Store, scope: Scope) {
    while scope.until_stopped(tokio::time::sleep(EVERY)).await.is_some() {
        match scope.until_stopped(tick(&store)).await {
            None | Some(Err(StoreError::Stopped)) => break,
            // Without room a slot waits; it is not lost.
            Some(Ok(_) | Err(StoreError::Full)) => {}
            Some(Err(error)) => tracing::error!(error = %error_chain(&error), "looking at schedules failed"),
        }
    }
}

/// Queues every look whose slot has come; how many.
pub async fn tick(store: &Store) -> Result<usize, StoreError> {
    let now = store.now();
    let mut due = Vec::new();
    {
        let read = store.snapshot()?;
        for stored in policy::all(&read)? {
            if !matches!(stored.body, PolicyBody::Pull { .. }) || !stored.enabled {
                continue;
            }
            let mirror = match stored.to_pull() {
                Ok(Some(mirror)) => mirror,
                Ok(None) => continue,
                Err(why) => {
                    tracing::debug!(policy.id = %stored.id, why, "a stored pull mirror is not understood");
                    continue;
                }
            };
            let last = policy::cron(&read, &stored.id)?.map_or(stored.updated_at, |cron| cron.last);
            if mirror.schedule.due(last, now).is_some() {
                due.push((stored.id, policy::cron(&read, &stored.id)?.map(|cron| cron.last)));
            }
        }
    }
    for (id, after) in &due {
        let queue = QueuePoll { policy: *id, job: store.chance().id(), after: *after, by: None };
        store.submit(Lane::Foreground, queue).await?.unwrap_or_else(|never| match never {});
    }
    Ok(due.len())
}
