//! A repository that keeps so many tags and no more: a new one pushes the
//! oldest out (DTR's "tag limit", first in, first out).
//!
//! The oldest is the one that was set longest ago: a tag that is pushed again
//! is young again. Tags that stand for something attached to an image
//! (`sha256-<hex>.sig` and the like) belong to that image and are neither
//! counted nor pushed out. While tags are immutable the limit rests.

use std::ops::ControlFlow;

use crate::event::Actor;
use crate::limits;
use crate::oci::{RepoName, Tag, attachment};
use crate::store::record::{Removal, Repository, TagValue};
use crate::store::{Change, Read, StoreError, tag};

use super::tag::unset;

/// Removes what is too much after `newest` was set for the first time.
pub(super) fn enforce(
    change: &mut Change<'_>,
    repository: (&RepoName, &Repository),
    newest: &Tag,
) -> Result<(), StoreError> {
    let limit = repository.1.tag_limit;
    if limit == 0 || repository.1.immutable_tags || attachment::is_one(newest) {
        return Ok(());
    }
    for (name, value) in too_many(change, repository.1, newest, limit)? {
        unset(change, repository, &name, value, (Actor::System, Removal::Limit))?;
    }
    Ok(())
}

/// The oldest tags beyond the limit, at most [`limits::BACKGROUND_ROWS`].
fn too_many(
    read: &impl Read,
    repository: &Repository,
    newest: &Tag,
    limit: u64,
) -> Result<Vec<(Tag, TagValue)>, StoreError> {
    let mut others = Vec::new();
    tag::walk(read, repository.number, None, |name, value| {
        if name != *newest && !attachment::is_one(&name) {
            others.push((name, value));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // With the new one.
    let count = others.len() as u64 + 1;
    let surplus = usize::try_from(count.saturating_sub(limit)).unwrap_or(usize::MAX);
    others.sort_unstable_by_key(|(_, value)| value.seq);
    others.truncate(surplus.min(limits::BACKGROUND_ROWS));
    Ok(others)
}
