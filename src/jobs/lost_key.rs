//! Sealing keys that are missing: looked for until they are back, and then what
//! waited for them is tried at once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::audit::Audit;
use crate::chance::Id;
use crate::lifecycle::{self, Scope};
use crate::limits;
use crate::store::record::JobStatus;
use crate::store::{Change, Lane, Operation, Store, StoreError, error_chain, policy, queue, transfer};

use super::rekey::uses;
use super::remote::{Remotes, UNOPENED};

/// Makes due what failed for want of a key.
struct Hurry {
    policies: BTreeSet<Id>,
}

impl Operation for Hurry {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "hurry after a key";
    const AUDIT: Audit = Audit::Nothing("nothing was done");
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        let now = tables.now();
        for id in &self.policies {
            transfer::hurry(tables, id, |row| row.last_error.contains(UNOPENED))?;
            let Some(job) = policy::cron(tables, id)?.and_then(|cron| cron.job) else { continue };
            let waits =
                |job: &crate::store::record::Job| job.status == JobStatus::Waiting && job.last_error.contains(UNOPENED);
            if let Some(mut row) = queue::get(tables, &job)?.filter(waits) {
                row.scheduled_at = row.scheduled_at.min(now);
                queue::put(tables, &job, &row)?;
            }
        }
        Ok(())
    }
}

/// Looks for missing keys until the scope is told to stop.
pub async fn run(store: Store, remotes: Remotes, scope: Scope) {
    // Put back while the daemon was down, a key is not missing any more, and
    // what failed without it still waits.
    if let Err(error) = hurry(&store, None).await {
        tracing::error!(error = %error_chain(&error), "what waited for a sealing key could not be hurried");
    }
    let mut told = None;
    loop {
        match look(&store, &remotes).await {
            Ok(problem) => {
                if let Some(why) = problem.as_ref().filter(|why| told.as_ref() != Some(*why)) {
                    tracing::error!(error = %why, "the sealing key file cannot be used: its keys are as lost ones");
                }
                if told.is_some() && problem.is_none() {
                    tracing::info!("the sealing key file can be used again");
                }
                told = problem;
            }
            Err(error) => tracing::error!(error = %error_chain(&error), "looking for sealing keys failed"),
        }
        let wait = if remotes.keys().is_whole() { Duration::MAX } else { limits::SEALING_KEY_LOOK };
        let asked = tokio::time::timeout(wait, remotes.keys().asked_to_look());
        if scope.until_stopped(asked).await.is_none() {
            return;
        }
    }
}

/// One look; what is wrong with the files, if anything is.
async fn look(store: &Store, remotes: &Remotes) -> Result<Option<String>, StoreError> {
    let (of, keys) = (store.clone(), remotes.keys().clone());
    let looked = lifecycle::blocking(move || {
        let found = if keys.is_whole() { Ok(BTreeSet::new()) } else { keys.look() };
        let uses = uses(&of.snapshot()?)?;
        keys.set_sealed_by(&uses.keys().cloned().collect());
        Ok::<_, StoreError>((found, uses, keys.missing().is_empty()))
    });
    let (found, uses, is_whole) = looked.await?;
    let found = match found {
        Ok(found) => found,
        Err(error) => return Ok(Some(error_chain(&error))),
    };
    if found.is_empty() {
        return Ok(None);
    }
    for key in &found {
        tracing::info!(key.id = key, whole = is_whole, "a sealing key is back; what waited for it goes on");
    }
    let policies = found.iter().filter_map(|key| uses.get(key)).flatten().copied().collect();
    hurry(store, Some(policies)).await?;
    Ok(None)
}

/// Hurries mirrors: these, or all that say that they wait for a key.
async fn hurry(store: &Store, these: Option<BTreeSet<Id>>) -> Result<(), StoreError> {
    let policies = match these {
        Some(these) => these,
        None => {
            let store = store.clone();
            lifecycle::blocking(move || {
                let read = store.snapshot()?;
                let mut waiting = BTreeSet::new();
                for id in uses(&read)?.into_values().flatten() {
                    if policy::status(&read, &id)?.detail.contains(UNOPENED) {
                        waiting.insert(id);
                    }
                }
                Ok::<_, StoreError>(waiting)
            })
            .await?
        }
    };
    if !policies.is_empty() {
        store.submit(Lane::Background, Hurry { policies }).await?.unwrap_or_else(|never| match never {});
    }
    Ok(())
}
