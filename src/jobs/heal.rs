//! Gets the right bytes of what is damaged back: from the kept file, where it
//! reads well after all, from another file of the same digest, from a mirror.
//!
//! One job does it for all that is in quarantine. Each row says when it is
//! tried next, so what cannot be had holds up nothing else; the job waits for
//! the earliest and is done when there is none left.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::backoff::{self, Retry};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::lifecycle;
use crate::limits;
use crate::registry::{Registry, RegistryError};
use crate::store::crash::crash_point;
use crate::store::quarantine::{self, Held};
use crate::store::record::{Job, JobAction, JobStatus, Quarantined};
use crate::store::{Change, Lane, Operation, Read, Store, StoreError, audit, policy, queue};

use super::heal_source::Sources;
use super::log::JobLog;
use super::remote::Remotes;
use super::settle::Outcome;
use super::system::begin;

/// Rows that are taken up together.
const SLICE: usize = 64;

/// Asks for the job that heals, now; the job that will. To be called in the
/// commit that puts something into quarantine.
pub(super) fn wish_heal(change: &mut Change<'_>, new_job: Id) -> Result<(Id, Job), StoreError> {
    let last = policy::cron(change, &JobAction::Heal.schedule_id())?.and_then(|cron| cron.job);
    if let Some(id) = last
        && let Some(mut job) = queue::get(change, &id)?.filter(|job| !job.status.is_over())
    {
        if job.status == JobStatus::Waiting {
            job.scheduled_at = job.scheduled_at.min(change.now());
            queue::put(change, &id, &job)?;
        }
        return Ok((id, job));
    }
    let job = begin(change, JobAction::Heal, &BTreeMap::new(), new_job)?;
    Ok((new_job, job))
}

/// Asks for the job that heals; what waits for its next try is tried now.
pub struct QueueHeal {
    /// The id of a job that may be needed.
    pub job: Id,
    /// A person asks: there is to be a job even where nothing is damaged.
    pub by: Option<Actor>,
}

impl Operation for QueueHeal {
    type Plan = bool;
    /// The job, new or waiting already; none when nothing is damaged and nobody
    /// asked.
    type Done = Option<(Id, Job)>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "queue heal";
    const AUDIT: Audit = Audit::Acts(&[Action::HealStart]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<bool, Self::Refusal>, StoreError> {
        Ok(Ok(self.by.is_some() || next_due(tables)?.is_some()))
    }

    fn apply(&self, is_wanted: bool, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        if !is_wanted {
            return Ok(None);
        }
        let now = tables.now();
        for (held, mut row) in rows(tables, limits::HURRY_ROWS, |row| row.next_at > now)? {
            row.next_at = now;
            quarantine::put(tables, &held, &row)?;
        }
        let (id, job) = wish_heal(tables, self.job)?;
        if let Some(by) = &self.by {
            let act = Act::new(Action::HealStart, ObjectKind::Registry, "quarantine").by_job(id);
            audit::append(tables, by, act)?;
        }
        Ok(Some((id, job)))
    }
}

/// Goes on with what an earlier run of the daemon found damaged. A try that was
/// cut off with it looks like one that waits, so all of it is due.
pub(super) async fn go_on(store: &Store) -> Result<(), StoreError> {
    if next_due(&store.snapshot()?)?.is_some() {
        let queue = QueueHeal { job: store.chance().id(), by: None };
        store.submit(Lane::Background, queue).await?.unwrap_or_else(|never| match never {});
    }
    Ok(())
}

/// Writes down that a row is tried: a try that never ends does not come first
/// again.
struct BeginHeal {
    held: Held,
    wait: Duration,
}

impl Operation for BeginHeal {
    type Plan = Option<Quarantined>;
    type Done = Option<Quarantined>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "begin heal";
    const AUDIT: Audit = Audit::Nothing("what is damaged stands in the quarantine");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(quarantine::get(tables, &self.held)?))
    }

    fn apply(&self, row: Self::Plan, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        let Some(mut row) = row else { return Ok(None) };
        row.attempts = row.attempts.saturating_add(1);
        row.next_at = tables.now().after(self.wait);
        quarantine::put(tables, &self.held, &row)?;
        Ok(Some(row))
    }
}

/// Writes down why a try failed.
struct NoteHeal {
    held: Held,
    why: String,
    wait: Duration,
    /// When it was to be tried again, had this try not ended.
    begun: Timestamp,
}

impl Operation for NoteHeal {
    type Plan = Option<Quarantined>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "note heal";
    const AUDIT: Audit = Audit::Nothing("what is damaged stands in the quarantine");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(quarantine::get(tables, &self.held)?))
    }

    fn apply(&self, row: Self::Plan, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut row) = row else { return Ok(()) };
        row.last_error.clone_from(&self.why);
        // A person who asked meanwhile is not put off.
        if row.next_at == self.begun {
            row.next_at = tables.now().after(self.wait);
        }
        quarantine::put(tables, &self.held, &row)
    }
}

/// Writes down how the job went: done when nothing is damaged any more, in the
/// very transaction that looks, so that what comes in between is not forgotten.
pub(super) struct SettleHeal {
    pub(super) job: Id,
    pub(super) outcome: Outcome,
    pub(super) lines: Vec<String>,
    pub(super) random: u64,
}

impl Operation for SettleHeal {
    type Plan = Option<Job>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "settle heal";
    const AUDIT: Audit = Audit::Nothing("what is damaged stands in the quarantine");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut job) = job else { return Ok(()) };
        let (now, mut lines) = (tables.now(), self.lines.clone());
        let was_canceled = job.status == JobStatus::Canceled;
        let left = quarantine::count(tables)?;
        job.status = JobStatus::Waiting;
        match (&self.outcome, next_due(tables)?) {
            (Outcome::Interrupted, _) => {}
            (Outcome::Failed { why, retry, .. }, _) => {
                job.attempts += 1;
                job.scheduled_at = now.after(backoff::wait(*retry, job.attempts, self.random));
                job.last_error.clone_from(why);
                lines.push(format!("{now} failed: {why}; next try at {}", job.scheduled_at));
            }
            (Outcome::Done { .. } | Outcome::Gone { .. }, None) => {
                job.status = JobStatus::Done;
                job.last_error.clear();
            }
            (Outcome::Done { .. } | Outcome::Gone { .. }, Some((next, why))) => {
                job.attempts += 1;
                job.scheduled_at = next;
                job.last_error = format!("{left} damaged and not healed; {why}");
            }
        }
        if was_canceled {
            job.status = JobStatus::Canceled;
        }
        job.parameters.insert("damaged".to_owned(), left.to_string());
        job.updated_at = now;
        queue::log(tables, &self.job, &mut job, &lines)?;
        queue::put(tables, &self.job, &job)
    }
}

/// Tries to heal what is due.
pub(super) async fn heal(registry: &Registry, remotes: &Remotes, log: &JobLog) -> Outcome {
    match (Healing { registry, remotes, log }).run().await {
        Ok(healed) => Outcome::Done { bytes: 0, moved: healed > 0 },
        Err(error) => Outcome::Failed { why: crate::store::error_chain(&error), retry: Retry::Soon, bytes: 0 },
    }
}

struct Healing<'a> {
    registry: &'a Registry,
    remotes: &'a Remotes,
    log: &'a JobLog,
}

impl Healing<'_> {
    /// Works until nothing is due; how much was healed. Safe to drop at any
    /// point: what was brought and not named is an orphan.
    async fn run(&self) -> Result<usize, RegistryError> {
        let mut healed = 0;
        loop {
            let store = self.registry.store().clone();
            let due = lifecycle::blocking(move || {
                let now = store.now();
                rows(&store.snapshot()?, SLICE, |row| row.next_at <= now)
            })
            .await?;
            if due.is_empty() {
                return Ok(healed);
            }
            for (held, row) in due {
                healed += usize::from(self.one(held, &row).await?);
            }
        }
    }

    /// Tries one; whether it is healed.
    async fn one(&self, held: Held, before: &Quarantined) -> Result<bool, RegistryError> {
        let store = self.registry.store();
        let begin = BeginHeal { held, wait: backoff::wait(Retry::Slowly, 1, store.chance().next()) };
        let Some(row) = store.submit(Lane::Background, begin).await?.unwrap_or_else(|never| match never {}) else {
            return Ok(false);
        };
        let sources = Sources { registry: self.registry, remotes: self.remotes, held, row: &row };
        match sources.find().await? {
            Ok((found, from)) => {
                crash_point!("heal-sealed");
                if self.registry.mend(held, found).await? {
                    crash_point!("heal-named");
                    self.log.line(format!("{held}: healed from {from}"));
                    tracing::info!(digest = %held.digest, kind = held.holder.as_str(), from, "damaged bytes were brought back; they are served again");
                }
                Ok(true)
            }
            Err(tried) => {
                if tried.why != before.last_error {
                    self.log.line(format!("{held}: {}", tried.why));
                    tracing::warn!(digest = %held.digest, kind = held.holder.as_str(), why = tried.why, "damaged bytes could not be brought back; it is tried again");
                }
                let wait = match tried.retry {
                    Retry::Slowly => limits::HEAL_AGAIN,
                    retry => backoff::wait(retry, row.attempts, store.chance().next()),
                };
                let note = NoteHeal { held, why: tried.why, wait, begun: row.next_at };
                store.submit(Lane::Background, note).await?.unwrap_or_else(|never| match never {});
                Ok(false)
            }
        }
    }
}

/// Up to `limit` rows that `are` wanted.
fn rows(
    read: &impl Read,
    limit: usize,
    are: impl Fn(&Quarantined) -> bool,
) -> Result<Vec<(Held, Quarantined)>, StoreError> {
    let mut found = Vec::new();
    quarantine::walk(read, None, |held, row| {
        if are(&row) {
            found.push((held, row));
        }
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// When something damaged is tried next, and what it waits for; none when
/// nothing is damaged.
fn next_due(read: &impl Read) -> Result<Option<(Timestamp, String)>, StoreError> {
    let mut next: Option<(Timestamp, String)> = None;
    quarantine::walk(read, None, |held, row| {
        if next.as_ref().is_none_or(|(at, _)| row.next_at < *at) {
            let why = if row.last_error.is_empty() { row.flaw.to_string() } else { row.last_error };
            next = Some((row.next_at, format!("{held}: {why}")));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next)
}
