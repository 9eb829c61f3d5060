//! The walk over existing tags after a policy was saved: in slices, with its
//! place in a row, so that it goes on where it was after a restart.
//!
//! Tags set after the reactor's cursor are left to their own events.

use std::ops::ControlFlow;

use crate::audit::{Action, Audit};
use crate::chance::Id;
use crate::lifecycle::Scope;
use crate::limits;
use crate::oci::{Tag, attachment};
use crate::policy::{PolicyId, Trigger};
use crate::store::record::{Evaluation, Policy, TagValue};
use crate::store::{Change, Lane, Operation, Read, Store, StoreError, error_chain, event, policy, repo, tag};

use super::decide::{Deciding, Occasion, Standing};
use super::view::View;

/// Tags decided about in one commit: their promotions are a bounded piece of
/// work in the background lane.
const SLICE: usize = 16;

/// Applies a slice of a walk, or of a sweep.
pub(super) struct Decide {
    /// The walk it belongs to; none for a sweep.
    pub(super) walk: Option<Walk>,
    /// The tags of the slice.
    pub(super) tags: Vec<Deciding>,
}

/// A walk, before a slice of it and after.
pub(super) struct Walk {
    policy: Id,
    from: Evaluation,
    /// Where it stands afterwards; `None` ends it.
    after: Option<String>,
}

/// The walk was overtaken: the policy changed or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overtaken;

impl Operation for Decide {
    /// Which of the tags still stand.
    type Plan = Vec<bool>;
    /// How many things were moved.
    type Done = usize;
    type Refusal = Overtaken;
    const NAME: &'static str = "evaluate";
    const AUDIT: Audit = Audit::Acts(&[Action::TagPromote, Action::TagDelete]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Vec<bool>, Overtaken>, StoreError> {
        if let Some(walk) = &self.walk
            && policy::evaluation(tables, &walk.policy)?.as_ref() != Some(&walk.from)
        {
            return Ok(Err(Overtaken));
        }
        let mut good = Vec::with_capacity(self.tags.len());
        for deciding in &self.tags {
            match deciding.standing(tables)? {
                Standing::Good => good.push(true),
                Standing::Superseded => good.push(false),
                Standing::Moved => return Ok(Err(Overtaken)),
            }
        }
        Ok(Ok(good))
    }

    fn apply(&self, good: Vec<bool>, tables: &mut Change<'_>) -> Result<usize, StoreError> {
        let mut moved = 0;
        for (deciding, is_good) in self.tags.iter().zip(good) {
            // An earlier one of the slice may have set the tag again.
            if is_good && deciding.standing(tables)? == Standing::Good {
                moved += deciding.apply(tables)?;
            }
        }
        if let Some(Walk { policy, from, after }) = &self.walk {
            match after {
                Some(after) => {
                    policy::set_evaluation(tables, policy, &Evaluation { after: after.clone(), ..from.clone() })?;
                }
                None => {
                    policy::end_evaluation(tables, policy)?;
                }
            }
        }
        Ok(moved)
    }
}

/// Runs walks as policies are saved, until the scope is told to stop.
pub async fn run(store: Store, scope: Scope) {
    let mut commits = store.writer().commits();
    while !scope.is_stopping() {
        commits.mark_unchanged();
        match scope.until_stopped(walk_all(&store)).await {
            None | Some(Err(StoreError::Stopped)) => break,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                if !matches!(error, StoreError::Full) {
                    tracing::error!(error = %error_chain(&error), "evaluating a saved policy failed; it is tried again");
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

/// Brings every walk to its end.
pub async fn walk_all(store: &Store) -> Result<(), StoreError> {
    loop {
        let walks = policy::evaluations(&store.snapshot()?)?;
        if walks.is_empty() {
            return Ok(());
        }
        for id in walks {
            while step(store, &id).await? {}
        }
    }
}

/// One slice of one walk; whether there is more.
async fn step(store: &Store, id: &Id) -> Result<bool, StoreError> {
    let slice = {
        let read = store.snapshot()?;
        let Some(walk) = policy::evaluation(&read, id)? else { return Ok(false) };
        match policy::get(&read, id)? {
            Some(saved) if saved.version == walk.version && saved.enabled => gather(store, &read, &saved, walk)?,
            _ => Decide { walk: Some(Walk { policy: *id, from: walk, after: None }), tags: Vec::new() },
        }
    };
    let is_last = matches!(slice.walk, Some(Walk { after: None, .. }));
    let count = slice.tags.len();
    match store.submit(Lane::Background, slice).await? {
        Ok(moved) => {
            tracing::info!(policy.id = %id, tags = count, moved, done = is_last, "a saved policy was applied to existing tags");
            Ok(!is_last)
        }
        Err(Overtaken) => Ok(true),
    }
}

fn gather(store: &Store, read: &impl Read, saved: &Policy, walk: Evaluation) -> Result<Decide, StoreError> {
    let cursor = event::cursor(read)?;
    let mut found: Vec<(Tag, TagValue)> = Vec::new();
    let mut last = None;
    let mut more = false;
    let after = Some(walk.after.as_str()).filter(|after| !after.is_empty());
    tag::walk(read, saved.repository, after, |name, value| {
        if found.len() == SLICE {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        last = Some(name.to_string());
        if value.seq <= cursor {
            found.push((name, value));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let after = if more { last } else { None };
    let mut tags = Vec::new();
    if let Some(name) = repo::name_of(read, saved.repository)? {
        let view = View::read(read, saved.repository, name)?;
        for (tag, value) in found {
            if !follows_subject(read, saved.repository, &tag)? {
                let trigger = Trigger::PolicySaved(PolicyId::new(saved.id));
                let occasion = Occasion::Walk { since: walk.since, again: walk.again };
                tags.push(deciding(store, &view, (trigger, occasion), tag, &value));
            }
        }
    }
    Ok(Decide { walk: Some(Walk { policy: saved.id, from: walk, after }), tags })
}

/// Whether a tag of the older scheme stands for something attached to a
/// manifest that is here.
pub(super) fn follows_subject(read: &impl Read, repo: crate::store::RepoId, tag: &Tag) -> Result<bool, StoreError> {
    match attachment::subject(tag) {
        Some(subject) => crate::store::manifest::is_linked(read, repo, &subject),
        None => Ok(false),
    }
}

/// A plan for a tag, ready to be applied.
pub(super) fn deciding(
    store: &Store,
    view: &View,
    (trigger, occasion): (Trigger, Occasion),
    tag: Tag,
    value: &TagValue,
) -> Deciding {
    let plan = view.plan(trigger, &tag, value);
    Deciding {
        repository: view.repository,
        name: view.name.clone(),
        tag,
        seq: value.seq,
        digest: value.digest,
        occasion,
        jobs: plan.intents.iter().map(|_| store.chance().id()).collect(),
        plan,
        basis: view.basis(),
    }
}
