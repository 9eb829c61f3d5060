//! The daemon's own schedules: a slot that has come puts a job into the queue,
//! in the commit that writes down that it ran. A slot that was missed is caught
//! up once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::Audit;
use crate::event::Actor;
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
    const AUDIT: Audit = Audit::Nothing("nothing is done yet");
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
    let queue = QueueSystem { action, parameters, job, after: Some(last), by: Actor::System };
    let queued = store.submit(Lane::Background, queue).await?.unwrap_or_else(|never| match never {});
    if matches!(queued, Queued::New(_)) {
        tracing::debug!(job.id = %job, action = action.as_str(), "queued by schedule");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::clock::{Clock, Timestamp};
    use crate::store::queue;
    use crate::store::record::JobStatus;

    fn open() -> (tempfile::TempDir, Store, Clock, Entry) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let store = Store::open(folder.path(), clock.clone(), Chance::seeded(1)).unwrap();
        let schedule = "@every 10h".parse().unwrap();
        let entry = Entry { action: JobAction::Scrub, schedule, parameters: BTreeMap::new() };
        (folder, store, clock, entry)
    }

    fn cron(store: &Store) -> Option<Cron> {
        policy::cron(&store.snapshot().unwrap(), &JobAction::Scrub.schedule_id()).unwrap()
    }

    #[tokio::test]
    async fn a_host_that_is_off_when_a_slot_comes_catches_it_up() {
        // Each start once counted its first slot anew, so what was switched off
        // every night never collected and never scrubbed.
        let (_folder, store, clock, entry) = open();
        note_start(&store, &entry).await.unwrap();
        let noted = cron(&store).unwrap();
        assert_eq!(noted.job, None);
        for _ in 0..3 {
            clock.advance(Duration::from_secs(4 * 3_600));
            let began = store.now();
            note_start(&store, &entry).await.unwrap();
            tick(&store, &entry, began).await.unwrap();
        }
        assert!(cron(&store).unwrap().job.is_some(), "twelve hours later it has run");
    }

    #[tokio::test]
    async fn a_slot_that_comes_while_one_runs_is_over_with_it() {
        // It was asked for again every second, each time with a commit.
        let (_folder, store, clock, entry) = open();
        note_start(&store, &entry).await.unwrap();
        clock.advance(Duration::from_secs(11 * 3_600));
        tick(&store, &entry, store.now()).await.unwrap();
        let first = cron(&store).unwrap();
        clock.advance(Duration::from_secs(11 * 3_600));
        tick(&store, &entry, store.now()).await.unwrap();
        let second = cron(&store).unwrap();
        assert_eq!(second.job, first.job, "one of a kind");
        assert!(second.last > first.last);
        let job = queue::get(&store.snapshot().unwrap(), &first.job.unwrap()).unwrap().unwrap();
        assert_eq!(job.status, JobStatus::Waiting);
    }
}
