//! Seals all stored credentials anew, by the key that is current.
//!
//! Slice by slice, each in one commit of the background lane; whatever is
//! saved meanwhile is sealed by the current key already or is met again. Dying
//! anywhere leaves rows of either key, and both keys are there: the job goes on
//! at the next start. What cannot be opened is passed over and told.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::Audit;
use crate::backoff::Retry;
use crate::chance::Id;
use crate::lifecycle;
use crate::limits;
use crate::registry::Registry;
use crate::store::record::{Job, JobStatus, Policy, PolicyBody, Remote};
use crate::store::{Change, Lane, Operation, Store, StoreError, error_chain, policy, queue};

use super::log::JobLog;
use super::remote::{Remotes, sealed_by};
use super::settle::Outcome;

/// Credentials of one mirror before and after.
struct Resealed {
    policy: Id,
    before: Remote,
    after: Remote,
}

/// Writes a slice down.
struct Reseal {
    job: Id,
    slice: Vec<Resealed>,
    /// How far it is with this slice, as the job's parameters.
    found: BTreeMap<String, String>,
}

impl Operation for Reseal {
    type Plan = Option<Job>;
    /// Whether the job is still to be done.
    type Done = bool;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "seal credentials anew";
    const AUDIT: Audit = Audit::Nothing("how far it is; its start is told");
    // As many bytes as before; and a full disk is no reason to keep a bad key.
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?.filter(|job| job.status == JobStatus::Running)))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some(mut job) = job else { return Ok(false) };
        for Resealed { policy: id, before, after } in &self.slice {
            let Some(found) = policy::get(tables, id)?.filter(|found| found.remote() == Some(before)) else { continue };
            let mut changed = found.clone();
            match &mut changed.body {
                PolicyBody::Push { remote } | PolicyBody::Pull { remote, .. } => remote.clone_from(after),
                PolicyBody::Promotion { .. } => {}
            }
            policy::put(tables, &changed, Some(&found))?;
        }
        job.parameters.extend(self.found.clone());
        job.updated_at = tables.now();
        queue::put(tables, &self.job, &job)?;
        Ok(true)
    }
}

/// Does it: how it went.
pub(super) async fn rekey(registry: &Registry, remotes: &Remotes, job: Id, log: &JobLog) -> Outcome {
    let mut work = Rekeying { store: registry.store(), remotes, job, log, done: 0, unopened: BTreeMap::new() };
    match work.run().await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed { why: error_chain(&error), retry: Retry::Soon, bytes: 0 },
    }
}

struct Rekeying<'a> {
    store: &'a Store,
    remotes: &'a Remotes,
    job: Id,
    log: &'a JobLog,
    done: usize,
    /// What was passed over, and why.
    unopened: BTreeMap<Id, String>,
}

impl Rekeying<'_> {
    async fn run(&mut self) -> Result<Outcome, StoreError> {
        loop {
            let Some(current) = self.remotes.keys().current() else {
                return Ok(Outcome::Gone { why: "there is no sealing key: put it back first".to_owned() });
            };
            let left = self.left(&current).await?;
            if left.is_empty() {
                return Ok(self.ended(&current));
            }
            let total = self.done + left.len();
            for slice in left.chunks(limits::REKEY_SLICE) {
                if !self.slice(slice, total).await? {
                    return Ok(Outcome::Interrupted);
                }
            }
        }
    }

    /// The mirrors with credentials that another key than `current` sealed.
    async fn left(&self, current: &str) -> Result<Vec<Policy>, StoreError> {
        let (store, current) = (self.store.clone(), current.to_owned());
        let mut found = lifecycle::blocking(move || {
            let mut all = policy::all(&store.snapshot()?)?;
            all.retain(|policy| policy.remote().is_some_and(|remote| is_sealed_otherwise(remote, &current)));
            Ok::<_, StoreError>(all)
        })
        .await?;
        found.retain(|policy| !self.unopened.contains_key(&policy.id));
        Ok(found)
    }

    /// Seals a slice anew; whether the job is still to be done.
    async fn slice(&mut self, policies: &[Policy], total: usize) -> Result<bool, StoreError> {
        // The key is not taken away before this is written down.
        let sealing = self.remotes.keys().sealing().await;
        let mut slice = Vec::with_capacity(policies.len());
        for policy in policies {
            let Some(before) = policy.remote().cloned() else { continue };
            match self.remotes.reseal(&policy.id, &before) {
                Ok(after) => slice.push(Resealed { policy: policy.id, before, after }),
                Err(error) => {
                    self.log.line(format!("policy {}: {error}", policy.id));
                    self.unopened.insert(policy.id, error.to_string());
                }
            }
        }
        self.done += slice.len();
        let counts = [("resealed", self.done), ("total", total), ("unopened", self.unopened.len())];
        let found = counts.map(|(name, count)| (name.to_owned(), count.to_string())).into();
        let reseal = Reseal { job: self.job, slice, found };
        let goes_on = self.store.submit(Lane::Background, reseal).await?.unwrap_or_else(|never| match never {});
        drop(sealing);
        self.log.line(format!("sealed anew: {} of {total}", self.done));
        Ok(goes_on)
    }

    fn ended(&self, current: &str) -> Outcome {
        tracing::info!(
            key.id = current,
            resealed = self.done,
            unopened = self.unopened.len(),
            "credentials were sealed anew"
        );
        match self.unopened.iter().next() {
            None => {
                self.log.line(format!("everything is sealed by key {current}"));
                Outcome::Done { bytes: 0, moved: self.done > 0 }
            }
            Some((policy, why)) => {
                let count = self.unopened.len();
                Outcome::Gone { why: format!("{count} could not be sealed anew; policy {policy}: {why}") }
            }
        }
    }
}

fn is_sealed_otherwise(remote: &Remote, current: &str) -> bool {
    sealed_by(remote).iter().any(|key| key != current)
}

/// Comes after everything that waits to be written down: whoever asked for that
/// may have gone, and it is written all the same.
struct After;

impl Operation for After {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "wait for what is written";
    const AUDIT: Audit = Audit::Nothing("how far it is; its start is told");
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), _tables: &mut Change<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Waits until all that was handed in before is written down, of both lanes.
///
/// # Errors
/// When the store has failed.
pub async fn written(store: &Store) -> Result<(), StoreError> {
    store.submit(Lane::Background, After).await?.unwrap_or_else(|never| match never {});
    Ok(())
}

/// The mirrors whose credentials each key sealed.
///
/// # Errors
/// When the store cannot be read.
pub fn uses(read: &impl crate::store::Read) -> Result<BTreeMap<String, BTreeSet<Id>>, StoreError> {
    let mut uses: BTreeMap<String, BTreeSet<Id>> = BTreeMap::new();
    for policy in policy::all(read)? {
        for key in policy.remote().map(sealed_by).unwrap_or_default() {
            uses.entry(key).or_default().insert(policy.id);
        }
    }
    Ok(uses)
}
