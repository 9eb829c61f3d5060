//! The event log, followed: one operation an event, in order, each moving the
//! cursor in the commit that does what the event asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Action, Audit};
use crate::event::{Cause, Event, Kind};
use crate::lifecycle::Scope;
use crate::limits;
use crate::oci::{Digest, RepoName, Tag};
use crate::policy::Trigger;
use crate::registry::tag_limit;
use crate::store::crash::crash_point;
use crate::store::{Change, Lane, Operation, Read, RepoId, Store, StoreError, audit, error_chain, event, tag};

use super::decide::{Deciding, Occasion, Standing};
use super::evaluate::{deciding, follows_subject};
use super::follow::{Follow, Late};
use super::view::{Basis, View};

/// Events that are planned from one snapshot and handed in together.
const BATCH: usize = 64;

/// What an event asks for.
#[derive(Clone, Debug)]
enum Work {
    /// Nothing beyond moving on.
    Pass,
    /// Nothing beyond moving on, as long as no policy stands on the repository.
    Free(RepoId),
    /// Decisions about a tag.
    Decide(Box<Deciding>),
    /// Something came later than what it belongs to.
    Follow(Follow),
}

/// Handles one event, or a slice of it; the last slice moves the cursor.
struct React {
    /// The cursor this was planned behind.
    after: u64,
    /// The event, for its last slice.
    seq: Option<u64>,
    work: Arc<Work>,
}

/// An event and what it asks for: at least one piece of work.
struct Planned {
    /// The cursor it was planned behind.
    after: u64,
    event: Event,
    works: Vec<Arc<Work>>,
}

impl Planned {
    /// Whether it asks for nothing.
    fn is_idle(&self) -> bool {
        self.works.iter().all(|work| matches!(**work, Work::Pass | Work::Free(_)))
    }

    /// The operations, in their order.
    fn reacts(&self) -> impl Iterator<Item = React> {
        self.works.iter().enumerate().map(|(place, work)| {
            let seq = (place + 1 == self.works.len()).then_some(self.event.seq);
            React { after: self.after, seq, work: Arc::clone(work) }
        })
    }
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
    const AUDIT: Audit = Audit::Acts(&[Action::TagPromote]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<bool, PlanAgain>, StoreError> {
        if event::cursor(tables)? != self.after {
            return Ok(Err(PlanAgain));
        }
        Ok(match &*self.work {
            Work::Pass => Ok(false),
            Work::Free(repository) if Basis::now(tables, *repository)?.is_empty() => Ok(false),
            Work::Free(_) => Err(PlanAgain),
            Work::Follow(_) => Ok(true),
            Work::Decide(deciding) => match deciding.standing(tables)? {
                Standing::Good => Ok(true),
                Standing::Superseded => Ok(false),
                Standing::Moved => Err(PlanAgain),
            },
        })
    }

    fn apply(&self, acts: bool, tables: &mut Change<'_>) -> Result<usize, StoreError> {
        // Events come one after the other, and this is of the one behind the cursor.
        audit::led_by(tables, self.seq.unwrap_or(self.after + 1));
        let moved = match &*self.work {
            Work::Decide(deciding) if acts => deciding.apply(tables)?,
            Work::Follow(follow) if acts => follow.apply(tables)?,
            Work::Pass | Work::Free(_) | Work::Decide(_) | Work::Follow(_) => 0,
        };
        if let Some(seq) = self.seq {
            event::set_cursor(tables, seq)?;
            crash_point!("cursor-moved");
        }
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

/// Handles every event that is there. Where nothing is to be done about the
/// last of them, the cursor moves past them with the next commit.
pub async fn catch_up(store: &Store) -> Result<(), StoreError> {
    let mut again = 0_u32;
    loop {
        let planned = plan_batch(store)?;
        let Some(first) = planned.first().map(|planned| planned.after) else { return Ok(()) };
        let grown: BTreeSet<_> = planned.iter().filter_map(|planned| grown_by(&planned.event)).collect();
        for repository in grown {
            tag_limit::keep(store, repository).await;
        }
        // A commit for nothing but the cursor wears the disk, and each push
        // would bring one. Who reads the log again meanwhile, or after a death,
        // finds the same: nothing to do.
        if planned.len() < BATCH && planned.iter().all(Planned::is_idle) {
            planned.iter().flat_map(Planned::reacts).for_each(|react| store.ride(react));
            return Ok(());
        }
        // They go into the inbox in order; each expects the one before it.
        let submitted = planned.iter().flat_map(|planned| {
            planned.reacts().map(move |react| async move {
                let (after, work) = (react.after, Arc::clone(&react.work));
                (after, &planned.event, work, store.submit(Lane::Foreground, react).await)
            })
        });
        let mut failure = None;
        for (after, event, work, answer) in futures_util::future::join_all(submitted).await {
            match answer {
                Ok(Ok(moved)) => tell(event, moved),
                Ok(Err(PlanAgain)) => break,
                Err(error) => {
                    failure = Some((after, event.seq, work, error));
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

/// The repository that has a tag more by a promotion of ours. Whoever else sets
/// a tag keeps to its limit too.
fn grown_by(event: &Event) -> Option<&RepoName> {
    let is_ours =
        matches!(event.kind, Kind::TagSet { previous: None, cause: Cause::Promotion { policy: Some(_), .. }, .. });
    is_ours.then_some(&event.repository)
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
        Work::Pass | Work::Free(_) | Work::Follow(_) => Work::Pass,
    };
    for work in [failed, Work::Pass] {
        let react = React { after, seq: Some(seq), work: Arc::new(work) };
        match store.submit(Lane::Foreground, react).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Panicked(_) | StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(error)
}

fn plan_batch(store: &Store) -> Result<Vec<Planned>, StoreError> {
    let read = store.snapshot()?;
    let mut after = event::cursor(&read)?;
    let mut planned = Vec::new();
    for event in event::after(&read, after, BATCH)? {
        let works = plan_event(store, &read, &event)?.into_iter().map(Arc::new).collect();
        let seq = event.seq;
        planned.push(Planned { after, event, works });
        after = seq;
    }
    Ok(planned)
}

fn plan_event(store: &Store, read: &impl Read, event: &Event) -> Result<Vec<Work>, StoreError> {
    let number = RepoId(event.repository_number);
    match &event.kind {
        Kind::TagSet { tag, .. } => {
            let Some(value) = tag::get(read, number, tag)?.filter(|value| value.seq == event.seq) else {
                return Ok(vec![Work::Pass]);
            };
            if follows_subject(read, number, tag)? {
                return follow(store, read, event, (value.digest, Some(tag.clone())));
            }
            let view = View::read(read, number, event.repository.clone())?;
            if view.is_empty() {
                return Ok(vec![Work::Free(number)]);
            }
            let deciding = deciding(store, &view, (Trigger::TagSet, Occasion::Set), tag.clone(), &value);
            Ok(vec![Work::Decide(Box::new(deciding))])
        }
        Kind::ManifestLinked { digest, .. } => follow(store, read, event, (*digest, None)),
        Kind::RepositoryCreated
        | Kind::RepositoryDeleted
        | Kind::TagDeleted { .. }
        | Kind::ManifestDeleted { .. }
        | Kind::PolicySaved { .. }
        | Kind::PolicyDeleted { .. }
        | Kind::Promoted { .. }
        | Kind::PushMirrored { .. }
        | Kind::PullMirrored { .. } => Ok(vec![Work::Pass]),
    }
}

fn follow(
    store: &Store,
    read: &impl Read,
    event: &Event,
    (digest, tag): (Digest, Option<Tag>),
) -> Result<Vec<Work>, StoreError> {
    let repository = RepoId(event.repository_number);
    let late = Late { repository, name: event.repository.clone(), digest, tag };
    let slices = late.plan(read, || store.chance().id())?;
    Ok(if slices.is_empty() { vec![Work::Pass] } else { slices.into_iter().map(Work::Follow).collect() })
}

fn tell(event: &Event, moved: usize) {
    if moved > 0
        && let Kind::TagSet { tag, digest, .. } = &event.kind
    {
        let repository = event.repository.as_str();
        tracing::info!(repo.name = repository, tag = %tag, digest = %digest, moved, event.seq = event.seq, "policies acted");
    }
}
