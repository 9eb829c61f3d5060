//! How many tags a repository keeps: those that an operator sets (DTR's "tag
//! limit", first in, first out), where a new one pushes the oldest out; and the
//! most there may be in any, where a new one is refused.
//!
//! The oldest is the one that was set longest ago: a tag that is pushed again
//! is young again. Tags that stand for something attached to an image
//! (`sha256-<hex>.sig` and the like) belong to that image and are neither
//! counted nor pushed out. While tags are immutable the limit rests.
//!
//! Which are the oldest is found on a snapshot, after the commit that set a new
//! one: it takes a look at all of them, and whoever else pushes must not wait
//! for that. The commit that removes them asks again of each whether it is what
//! it was. Whoever set the tag is answered when that is done. A crash between
//! the two leaves some too many, and the next new tag pushes them out as well.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use crate::audit::{Action, Audit};
use crate::event::Actor;
use crate::lifecycle;
use crate::limits;
use crate::oci::{RepoName, Tag, attachment};
use crate::store::record::{Removal, Repository};
use crate::store::{Change, Lane, Operation, Read, RepoId, Store, StoreError, error_chain, repo, tag};

use super::RegistryError;
use super::tag::unset;

/// Whether `new` tags more may be in a repository. Where nobody has counted
/// them yet they are counted when one is set.
pub(super) fn has_room(
    read: &impl Read,
    (name, repository): (&RepoName, &Repository),
    new: u64,
) -> Result<Result<(), RegistryError>, StoreError> {
    let tags = repo::counts(read, repository.number)?.tags.unwrap_or(0);
    if new > 0 && tags.saturating_add(new) > limits::TAGS_PER_REPOSITORY {
        return Ok(Err(RegistryError::TooManyTags { repository: name.clone() }));
    }
    Ok(Ok(()))
}

/// Whether one request may set all of `tags`: not when it would push out tags
/// that it sets itself.
pub(super) fn takes((name, repository): (&RepoName, &Repository), tags: &[Tag]) -> Result<(), RegistryError> {
    let (limit, count) = (repository.tag_limit, tags.iter().filter(|tag| !attachment::is_one(tag)).count());
    if is_at_rest(repository) || count as u64 <= limit {
        return Ok(());
    }
    Err(RegistryError::BeyondTagLimit { repository: name.clone(), count, limit })
}

fn is_at_rest(repository: &Repository) -> bool {
    repository.tag_limit == 0 || repository.immutable_tags
}

/// Removes what is too much in a repository where a tag was set for the first
/// time. That has been done and told, so a failure is no failure of whoever set
/// it: the next new tag makes up for it.
pub async fn keep(store: &Store, name: &RepoName) {
    if let Err(error) = try_to_keep(store, name).await {
        let error = error_chain(&error);
        tracing::warn!(repo.name = %name, error, "tags beyond the limit were not removed; the next new tag does it");
    }
}

async fn try_to_keep(store: &Store, name: &RepoName) -> Result<(), StoreError> {
    let record = repo::get(&store.snapshot()?, name)?;
    let Some(repository) = record.filter(|record| !is_at_rest(record)) else { return Ok(()) };
    let (number, limit) = (repository.number, repository.tag_limit);
    let looking = store.clone();
    let surplus = lifecycle::blocking(move || too_many(&looking.snapshot()?, number, limit)).await?;
    for some in surplus.chunks(limits::BACKGROUND_ROWS) {
        let operation = PushOut { repository: name.clone(), number, limit, tags: some.to_vec() };
        store.submit(Lane::Background, operation).await?.unwrap_or_else(|never| match never {});
    }
    Ok(())
}

/// The oldest tags beyond the limit, each with the number of the event that set
/// it; at most [`limits::TAGS_PUSHED_OUT`].
fn too_many(read: &impl Read, repo: RepoId, limit: u64) -> Result<Vec<(Tag, u64)>, StoreError> {
    // The oldest so far, the youngest of them on top.
    let mut oldest = BinaryHeap::new();
    let mut count = 0_u64;
    tag::walk_set(read, repo, |name, seq| {
        let is_older = oldest.len() < limits::TAGS_PUSHED_OUT || oldest.peek().is_some_and(|(top, _)| seq < *top);
        if let Some(tag) = name.parse::<Tag>().ok().filter(|tag| !attachment::is_one(tag)) {
            count += 1;
            if is_older {
                oldest.push((seq, tag));
            }
            if oldest.len() > limits::TAGS_PUSHED_OUT {
                oldest.pop();
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let surplus = usize::try_from(count.saturating_sub(limit)).unwrap_or(usize::MAX);
    Ok(oldest.into_sorted_vec().into_iter().take(surplus).map(|(seq, tag)| (tag, seq)).collect())
}

/// Removes tags that are too many, where they are still what they were.
struct PushOut {
    repository: RepoName,
    number: RepoId,
    /// The limit that they are beyond of.
    limit: u64,
    tags: Vec<(Tag, u64)>,
}

impl Operation for PushOut {
    /// None when the limit is another one by now.
    type Plan = Option<Repository>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "keep tag limit";
    const AUDIT: Audit = Audit::Acts(&[Action::TagDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let record = repo::get(tables, &self.repository)?;
        Ok(Ok(record
            .filter(|record| record.number == self.number && record.tag_limit == self.limit && !is_at_rest(record))))
    }

    fn apply(&self, repository: Option<Repository>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(repository) = repository else { return Ok(()) };
        for (name, seq) in &self.tags {
            if let Some(value) = tag::get(tables, self.number, name)?.filter(|value| value.seq == *seq) {
                unset(tables, (&self.repository, &repository), name, value, (Actor::System, Removal::Limit))?;
            }
        }
        Ok(())
    }
}
