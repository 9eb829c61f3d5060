//! The event log, followed: one operation an event, in order, each moving the
//! cursor in the commit that does what the event asked for.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Kind};
use crate::lifecycle::Scope;
use crate::limits;
use crate::oci::Tag;
use crate::policy::Trigger;
use crate::store::crash::crash_point;
use crate::store::{Change, Lane, Operation, Read, RepoId, Store, StoreError, error_chain, event, policy, tag};

use super::decide::{Deciding, Standing};
use super::follow::Attached;
use super::view::{View, attached_to};

/// Events that are planned from one snapshot and handed in together.
const BATCH: usize = 64;

/// What an event asks for.
#[derive(Clone, Debug)]
enum Work {
    /// Nothing beyond moving on.
    Pass,
    /// Decisions about a tag.
    Decide(Box<Deciding>),
    /// Something was attached to a manifest.
    Follow(Attached),
}

/// Handles one event and moves the cursor.
struct React {
    /// The cursor this was planned behind.
    after: u64,
    /// The event.
    seq: u64,
    work: Arc<Work>,
}

/// The state moved on; plan again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PlanAgain;

impl Operation for React {
    /// Whether there is something to do beside moving on.
    type Plan = bool;
    /// How many things were moved.
    type Done = usize;
    type Refusal = PlanAgain;
    const NAME: &'static str = "react";

    fn check(&self, tables: &Change<'_>) -> Result<Result<bool, PlanAgain>, StoreError> {
        if event::cursor(tables)? != self.after {
            return Ok(Err(PlanAgain));
        }
        Ok(match &*self.work {
            Work::Pass => Ok(false),
            Work::Follow(_) => Ok(true),
            Work::Decide(deciding) => match deciding.standing(tables)? {
                Standing::Good => Ok(true),
                Standing::Superseded => Ok(false),
                Standing::Moved => Err(PlanAgain),
            },
        })
    }

    fn apply(&self, acts: bool, tables: &mut Change<'_>) -> Result<usize, StoreError> {
        let moved = match &*self.work {
            Work::Decide(deciding) if acts => deciding.apply(tables)?,
            Work::Follow(attached) if acts => attached.apply(tables)?,
            Work::Pass | Work::Decide(_) | Work::Follow(_) => 0,
        };
        event::set_cursor(tables, self.seq)?;
        crash_point!("cursor-moved");
        Ok(moved)
    }
}

/// Follows the log until the scope is told to stop.
pub async fn run(store: Store, scope: Scope) {
    let mut commits = store.writer().commits();
    while !scope.is_stopping() {
        // The wake-up is registered before looking, so none is missed.
        commits.mark_unchanged();
        match catch_up(&store).await {
            Ok(()) => {}
            Err(StoreError::Stopped) => break,
            Err(error) => {
                // Without room it goes on when there is some; the disk's watch says so.
                if !matches!(error, StoreError::Full) {
                    tracing::error!(error = %error_chain(&error), "following the event log failed; it is tried again");
                }
                if scope.until_stopped(tokio::time::sleep(limits::RETRY_FIRST)).await.is_none() {
                    break;
                }
                continue;
            }
        }
        if scope.until_stopped(commits.changed()).await.is_none() {
            break;
        }
    }
}

/// Handles every event that is there.
pub async fn catch_up(store: &Store) -> Result<(), StoreError> {
    let mut again = 0_u32;
    loop {
        let planned = plan_batch(store)?;
        let Some(&(first, _, _)) = planned.first() else { return Ok(()) };
        let submitted = planned.iter().map(|(after, event, work)| {
            let react = React { after: *after, seq: event.seq, work: Arc::clone(work) };
            store.submit(Lane::Foreground, react)
        });
        // They go into the inbox in order; each expects the one before it.
        let answers = futures_util::future::join_all(submitted).await;
        let mut failure = None;
        for ((after, event, work), answer) in planned.iter().zip(answers) {
            match answer {
                Ok(Ok(moved)) => tell(event, moved),
                Ok(Err(PlanAgain)) => break,
                Err(error) => {
                    failure = Some((*after, event.seq, Arc::clone(work), error));
                    break;
                }
            }
        }
        if let Some((after, seq, work, error)) = failure {
            give_up(store, after, seq, &work, error).await?;
        }
        // Planning that finds the state moved each time is a fault of ours.
        again = if event::cursor(&store.snapshot()?)? == first { again + 1 } else { 0 };
        if again > 16 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An event that cannot be handled gets a verdict that says so, and the cursor
/// moves on: a poison event delays only itself.
async fn give_up(store: &Store, after: u64, seq: u64, work: &Work, error: StoreError) -> Result<(), StoreError> {
    if !matches!(error, StoreError::Panicked(_) | StoreError::Damaged { .. }) {
        return Err(error);
    }
    tracing::error!(event.seq = seq, error = %error_chain(&error), "an event could not be handled; it is passed over");
    let failed = match work {
        Work::Decide(deciding) => Work::Decide(Box::new(deciding.as_ref().clone().failed(&error.to_string()))),
        Work::Pass | Work::Follow(_) => Work::Pass,
    };
    for work in [failed, Work::Pass] {
        let react = React { after, seq, work: Arc::new(work) };
        match store.submit(Lane::Foreground, react).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Panicked(_) | StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(error)
}

type Planned = (u64, Event, Arc<Work>);

fn plan_batch(store: &Store) -> Result<Vec<Planned>, StoreError> {
    let read = store.snapshot()?;
    let mut after = event::cursor(&read)?;
    let mut planned = Vec::new();
    for event in event::after(&read, after, BATCH)? {
        let work = plan_event(store, &read, &event)?;
        let seq = event.seq;
        planned.push((after, event, Arc::new(work)));
        after = seq;
    }
    Ok(planned)
}

fn plan_event(store: &Store, read: &impl Read, event: &Event) -> Result<Work, StoreError> {
    let number = RepoId(event.repository_number);
    let ids = |count: usize| (0..count).map(|_| store.chance().id()).collect::<Vec<_>>();
    match &event.kind {
        Kind::TagSet { tag, digest, .. } => {
            if let Some(subject) = attached_to(tag)
                && crate::store::manifest::is_linked(read, number, &subject)?
            {
                return follow(read, number, subject, *digest, Some(tag.clone()), ids);
            }
            let Some(value) = tag::get(read, number, tag)?.filter(|value| value.seq == event.seq) else {
                return Ok(Work::Pass);
            };
            let view = View::read(read, number, event.repository.clone())?;
            if view.is_empty() {
                return Ok(Work::Pass);
            }
            let plan = view.plan(Trigger::TagSet, tag, &value);
            let jobs = ids(plan.intents.len());
            let (name, basis) = (view.name.clone(), view.basis());
            let (tag, seq, digest) = (tag.clone(), event.seq, value.digest);
            Ok(Work::Decide(Box::new(Deciding { repository: number, name, tag, seq, digest, plan, basis, jobs })))
        }
        Kind::ManifestLinked { digest, subject: Some(subject) } => follow(read, number, *subject, *digest, None, ids),
        Kind::ManifestLinked { subject: None, .. }
        | Kind::RepositoryCreated
        | Kind::RepositoryDeleted
        | Kind::TagDeleted { .. }
        | Kind::ManifestDeleted { .. }
        | Kind::PolicySaved { .. }
        | Kind::PolicyDeleted { .. }
        | Kind::Promoted { .. }
        | Kind::PushMirrored { .. }
        | Kind::PullMirrored { .. } => Ok(Work::Pass),
    }
}

fn follow(
    read: &impl Read,
    repository: RepoId,
    subject: crate::oci::Digest,
    digest: crate::oci::Digest,
    tag: Option<Tag>,
    ids: impl Fn(usize) -> Vec<crate::chance::Id>,
) -> Result<Work, StoreError> {
    let is_needed = !policy::sent(read, repository, &subject)?.is_empty() || !policy::of(read, repository)?.is_empty();
    Ok(if is_needed {
        Work::Follow(Attached { repository, subject, digest, tag, jobs: ids(BATCH) })
    } else {
        Work::Pass
    })
}

fn tell(event: &Event, moved: usize) {
    if moved > 0
        && let Kind::TagSet { tag, digest, .. } = &event.kind
    {
        let repository = event.repository.as_str();
        tracing::info!(repo.name = repository, tag = %tag, digest = %digest, moved, event.seq = event.seq, "policies acted");
    }
}
