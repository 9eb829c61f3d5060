//! Claims what is due, runs it, writes down how it went.
//!
//! A remote has a few workers at most, and each of them ends some day, so that
//! one far side that hangs or trickles delays only its own.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use crate::backoff::Retry;
use crate::chance::Id;
use crate::lifecycle::Scope;
use crate::limits;
use crate::registry::Registry;
use crate::remote::Origin;
use crate::store::crash::crash_point;
use crate::store::record::{Direction, Job, JobAction, JobStatus, Policy, Transfer};
use crate::store::{Lane, Read as _, StoreError, Stored as _, Table, policy, queue, transfer};

use super::claims::{Claim, Options};
use super::gc::collect;
use super::heal::{SettleHeal, heal};
use super::log::JobLog;
use super::look::{LOOK_EVERY, Place, Round};
use super::poll_queue::SettlePoll;
use super::pull_mirror::{Poll, Pull};
use super::push_mirror::Push;
use super::rekey::rekey;
use super::remote::Remotes;
use super::scrub::scrub;
use super::settle::{Begin, BeginTransfer, Forget, Outcome, SettleTransfer};
use super::system::SettleSystem;

/// Shortest time between two rounds: commits come faster than that matters.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The runner of jobs and transfers. Clones share it.
#[derive(Clone, Debug)]
pub struct Runner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    remotes: Remotes,
    options: Options,
    claims: Mutex<Place>,
    freed: Notify,
}

impl Runner {
    /// A runner; nothing runs yet.
    pub fn new(registry: Registry, remotes: Remotes, options: Options) -> Self {
        let claims = Mutex::default();
        Self(Arc::new(Inner { registry, remotes, options, claims, freed: Notify::new() }))
    }

    /// Puts jobs back that were running when the process died.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let store = self.0.registry.store();
        let mut running = Vec::new();
        {
            let read = store.snapshot()?;
            read.walk(Table::Jobs, &crate::store::Span::all(), crate::store::Order::Forward, |key, value| {
                let job = Job::decode(value).ok().filter(|job| job.status == JobStatus::Running);
                running.extend(job.and_then(|_| crate::store::Parts::of(key).id()));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        for job in &running {
            let settle = SettlePoll {
                job: *job,
                outcome: Outcome::Interrupted,
                summary: String::new(),
                lines: vec![format!("{} the daemon was interrupted; going on", store.clock().now())],
                random: 0,
            };
            store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
        }
        Ok(running.len())
    }

    /// Claims and runs until the scope is told to stop; then lets what runs
    /// reach a safe point.
    pub async fn run(self, scope: Scope) {
        let workers = scope.child();
        let mut commits = self.0.registry.store().writer().commits();
        loop {
            // The wake-up is registered before looking, so none is missed.
            commits.mark_unchanged();
            let freed = self.0.freed.notified();
            let next = match self.claim(&workers) {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(error = %crate::store::error_chain(&error), "looking for due work failed");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = scope.stopped() => break,
                _ = commits.changed() => {}
                () = freed => {}
                () = tokio::time::sleep(next) => {}
            }
            if scope.until_stopped(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
                break;
            }
        }
        workers.drain(limits::DRAIN).await;
    }

    /// How many jobs and transfers run now.
    pub fn running(&self) -> usize {
        self.claims().running.len()
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Place> {
        self.0.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is due and has room; how long until the next is due.
    fn claim(&self, workers: &Scope) -> Result<Duration, StoreError> {
        let read = self.0.registry.store().snapshot()?;
        let mut claims = self.claims();
        let round = Round::look(&read, self.0.registry.store().now(), &mut claims, &self.0.options)?;
        for (claim, remote) in claims.running.take(round.wanted, &self.0.options) {
            workers.spawn(self.clone().work(claim, remote, workers.clone()));
        }
        Ok(round.next.max(LOOK_AGAIN))
    }

    fn release(&self, claim: &Claim, remote: &Option<Origin>) {
        self.claims().running.release(claim, remote);
        self.0.freed.notify_waiters();
    }

    async fn work(self, claim: Claim, remote: Option<Origin>, scope: Scope) {
        let done = match &claim {
            Claim::Transfer(policy, tag) => self.transfer(policy, tag, &scope).await,
            Claim::Job(job, _) => self.job(job, &scope).await,
        };
        if let Err(error) = done {
            tracing::error!(error = %crate::store::error_chain(&error), "a job could not be settled; it is tried again");
            // Nothing was written down, so it is due at once: wait a little.
            let _ = scope.until_stopped(tokio::time::sleep(limits::RETRY_FIRST)).await;
        }
        self.release(&claim, &remote);
    }

    async fn transfer(&self, id: &Id, tag: &crate::oci::Tag, scope: &Scope) -> Result<(), StoreError> {
        let store = self.0.registry.store();
        let (policy, row) = {
            let read = store.snapshot()?;
            (policy::get(&read, id)?, transfer::get(&read, id, tag)?)
        };
        if !row.is_some_and(|row| row.is_owed()) {
            return Ok(());
        }
        let Some(policy) = policy else {
            store
                .submit(Lane::Background, Forget { policy: *id, tag: tag.clone() })
                .await?
                .unwrap_or_else(|never| match never {});
            return Ok(());
        };
        let begin = BeginTransfer { policy: *id, tag: tag.clone(), new_job: store.chance().id() };
        let begun = store.submit(Lane::Background, begin).await?.unwrap_or_else(|never| match never {});
        let Some(row) = begun else { return Ok(()) };
        let log = JobLog::new(store.clone(), row.job);
        let outcome = if policy.enabled {
            self.drive(&policy, tag, &row, &log, scope).await
        } else {
            let why = "the policy is switched off".to_owned();
            Outcome::Failed { why, retry: Retry::Slowly, bytes: 0 }
        };
        // The far side may have everything by now, and nothing says so here.
        crash_point!("transfer-moved");
        tell(&outcome, &policy, tag);
        let settle = SettleTransfer {
            policy: *id,
            tag: tag.clone(),
            generation: row.generation,
            want: row.want,
            outcome,
            lines: log.take(),
            random: store.chance().next(),
        };
        store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
        Ok(())
    }

    async fn drive(
        &self,
        policy: &Policy,
        tag: &crate::oci::Tag,
        row: &Transfer,
        log: &JobLog,
        scope: &Scope,
    ) -> Outcome {
        let (registry, remotes) = (&self.0.registry, &self.0.remotes);
        let bytes = AtomicU64::new(0);
        let work = async {
            match row.direction {
                Direction::Push => Push { registry, remotes, policy, tag, transfer: row, log, bytes }.run().await,
                Direction::Pull => Pull { registry, remotes, policy, tag, transfer: row, log, bytes }.run().await,
            }
        };
        watched(work, log, scope).await
    }

    async fn job(&self, id: &Id, scope: &Scope) -> Result<(), StoreError> {
        let store = self.0.registry.store();
        let (job, policy) = {
            let read = store.snapshot()?;
            let job = queue::get(&read, id)?;
            let policy = match job.as_ref().and_then(|job| job.policy) {
                Some(policy) => policy::get(&read, &policy)?,
                None => None,
            };
            (job, policy)
        };
        let Some(job) = job.filter(|job| job.status == JobStatus::Waiting) else { return Ok(()) };
        let log = JobLog::new(store.clone(), *id);
        let (outcome, summary) = match (job.action, policy) {
            (JobAction::PollMirror, Some(policy)) if policy.enabled => {
                store.submit(Lane::Background, Begin { job: *id }).await?.unwrap_or_else(|never| match never {});
                let poll = Poll { registry: &self.0.registry, remotes: &self.0.remotes, policy: &policy, log: &log };
                let summary = Mutex::new(String::new());
                let outcome = watched(
                    async {
                        let (outcome, words) = poll.run().await;
                        *summary.lock().unwrap_or_else(PoisonError::into_inner) = words;
                        outcome
                    },
                    &log,
                    scope,
                )
                .await;
                tracing::debug!(job.id = %id, policy.id = %policy.id, outcome = ?outcome, "polled");
                (outcome, summary.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            (JobAction::PollMirror, Some(_)) => {
                (Outcome::Gone { why: "the policy is switched off".to_owned() }, String::new())
            }
            (JobAction::PollMirror, None) => (Outcome::Gone { why: "the policy is gone".to_owned() }, String::new()),
            (JobAction::OnlineGc, _) => {
                store.submit(Lane::Background, Begin { job: *id }).await?.unwrap_or_else(|never| match never {});
                return self.collect(id, &job, &log, scope).await;
            }
            (JobAction::Scrub, _) => {
                store.submit(Lane::Background, Begin { job: *id }).await?.unwrap_or_else(|never| match never {});
                let work = scrub(&self.0.registry, self.0.options.scrub, *id, &job, &log);
                let outcome = watched(work, &log, scope).await;
                let (found, lines, random) = (BTreeMap::new(), log.take(), store.chance().next());
                let settle = SettleSystem { job: *id, outcome, found, lines, random };
                store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
                return Ok(());
            }
            (JobAction::Heal, _) => {
                store.submit(Lane::Background, Begin { job: *id }).await?.unwrap_or_else(|never| match never {});
                let outcome = watched(heal(&self.0.registry, &self.0.remotes, &log), &log, scope).await;
                let settle = SettleHeal { job: *id, outcome, lines: log.take(), random: store.chance().next() };
                store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
                return Ok(());
            }
            (JobAction::Rekey, _) => {
                store.submit(Lane::Background, Begin { job: *id }).await?.unwrap_or_else(|never| match never {});
                let outcome = watched(rekey(&self.0.registry, &self.0.remotes, *id, &log), &log, scope).await;
                let (found, lines, random) = (BTreeMap::new(), log.take(), store.chance().next());
                let settle = SettleSystem { job: *id, outcome, found, lines, random };
                store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
                return Ok(());
            }
            // These only show a transfer, which is driven by its own row.
            (JobAction::PullMirrorTag | JobAction::PushMirrorTag | JobAction::LdapSync | JobAction::CleanupDb, _) => {
                return Ok(());
            }
        };
        let settle = SettlePoll { job: *id, outcome, summary, lines: log.take(), random: store.chance().next() };
        store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
        Ok(())
    }
}

impl Runner {
    async fn collect(&self, id: &Id, job: &Job, log: &JobLog, scope: &Scope) -> Result<(), StoreError> {
        let store = self.0.registry.store();
        let found = Mutex::new(BTreeMap::new());
        let outcome = watched(
            async {
                let (outcome, what) = collect(&self.0.registry, self.0.options.collection, &job.parameters, log).await;
                *found.lock().unwrap_or_else(PoisonError::into_inner) = what;
                outcome
            },
            log,
            scope,
        )
        .await;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let settle = SettleSystem { job: *id, outcome, found, lines: log.take(), random: store.chance().next() };
        store.submit(Lane::Background, settle).await?.unwrap_or_else(|never| match never {});
        Ok(())
    }
}

/// Runs work with its log committed meanwhile; ends it when the daemon stops,
/// and turns a panic into a failure.
async fn watched(work: impl Future<Output = Outcome>, log: &JobLog, scope: &Scope) -> Outcome {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::select! {
        done = work => done.unwrap_or_else(|_| {
            tracing::error!("a job panicked");
            let why = "a fault in the program; the log of the daemon says more".to_owned();
            Outcome::Failed { why, retry: Retry::Slowly, bytes: 0 }
        }),
        never = log.follow() => match never {},
        () = scope.stopped() => Outcome::Interrupted,
        () = tokio::time::sleep(limits::JOB_TRY_LONGEST) => {
            let why = format!("not done after {} hours; what it has moved is kept", limits::JOB_TRY_LONGEST.as_secs() / 3_600);
            Outcome::Failed { why, retry: Retry::Soon, bytes: 0 }
        }
    }
}

/// One line for each act that changed something, or failed to.
fn tell(outcome: &Outcome, policy: &Policy, tag: &crate::oci::Tag) {
    let id = policy.id;
    match outcome {
        Outcome::Done { bytes, moved: true } => {
            tracing::info!(policy.id = %id, tag = %tag, size_bytes = bytes, kind = policy.kind().as_str(), "mirrored");
        }
        Outcome::Done { .. } | Outcome::Interrupted => {
            tracing::debug!(policy.id = %id, tag = %tag, outcome = ?outcome, "mirror try ended");
        }
        Outcome::Gone { why } => tracing::info!(policy.id = %id, tag = %tag, why, "mirroring called off"),
        Outcome::Failed { why, .. } => tracing::warn!(policy.id = %id, tag = %tag, why, "mirroring failed"),
    }
}
