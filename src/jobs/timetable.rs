//! The daemon's own schedules: a slot that has come puts a job into the queue,
//! in the commit that writes down that it ran. A slot that was missed is caught
//! up once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lifecycle::Scope;
use crate::policy::schedule::Schedule;
use crate::store::record::{Cron, JobAction};
use crate::store::{Change, Lane, Operation, Store, StoreError, error_chain, policy};

use super::system::{QueueSystem, Queued};

/// How often it looks whether a slot has come.
const EVERY: Duration = Duration::from_secs(1);

/// What is done, and when.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What.
    pub action: JobAction,
    /// When.
    pub schedule: Schedule,
    /// How.
    pub parameters: BTreeMap<String, String>,
}

/// Watches the schedules until the scope is told to stop.
pub async fn run(store: Store, entries: Vec<Entry>, scope: Scope) {
    let began = store.now();
    for entry in &entries {
        // A host that is off whenever a slot comes would wait for its first for
        // ever, if each start counted anew.
        match scope.until_stopped(note_start(&store, entry)).await {
            None | Some(Err(StoreError::Stopped)) => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::error!(error = %error_chain(&error), "noting a schedule failed"),
        }
    }
    while scope.until_stopped(tokio::time::sleep(EVERY)).await.is_some() {
        for entry in &entries {
            match scope.until_stopped(tick(&store, entry, began)).await {
                None | Some(Err(StoreError::Stopped)) => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::error!(error = %error_chain(&error), "looking at schedules failed"),
            }
        }
    }
}

/// Writes down from when on the slots of a schedule count.
struct NoteStart(JobAction);

impl Operation for NoteStart {
    type Plan = bool;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "note schedule";
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<bool, Self::Refusal>, StoreError> {
        Ok(Ok(policy::cron(tables, &self.0.schedule_id())?.is_none()))
    }

    fn apply(&self, is_new: bool, tables: &mut Change<'_>) -> Result<(), StoreError> {
        if is_new {
            let last = tables.now();
            policy::set_cron(tables, &self.0.schedule_id(), &Cron { last, job: None })?;
        }
        Ok(())
    }
}

async fn note_start(store: &Store, entry: &Entry) -> Result<(), StoreError> {
    if policy::cron(&store.snapshot()?, &entry.action.schedule_id())?.is_none() {
        store.submit(Lane::Background, NoteStart(entry.action)).await?.unwrap_or_else(|never| match never {});
    }
    Ok(())
}

/// Queues the job of `entry` when its slot has come. The first slot after a
/// daemon's first start counts from `began`.
async fn tick(store: &Store, entry: &Entry, began: crate::clock::Timestamp) -> Result<(), StoreError> {
    let last = policy::cron(&store.snapshot()?, &entry.action.schedule_id())?.map(|cron| cron.last);
    if entry.schedule.due(last.unwrap_or(began), store.now()).is_none() {
        return Ok(());
    }
    let (action, parameters, job) = (entry.action, entry.parameters.clone(), store.chance().id());
    let queue = QueueSystem { action, parameters, job, after: Some(last) };
    let queued = store.submit(Lane::Background, queue).await?.unwrap_or_else(|never| match never {});
    if matches!(queued, Queued::New(_)) {
        tracing::debug!(job.id = %job, action = action.as_str(), "queued by schedule");
    }
    Ok(())
}
