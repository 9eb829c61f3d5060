//! The way that a tag's value came: read back from promotion to promotion.
//!
//! A tag remembers the one place it was promoted from, and the history of that
//! place remembers the value it had then. A promotion that would lead back to
//! a place on this way is a loop, whatever stands there by now: what stands
//! there is the same, or newer.

use crate::event::Cause;
use crate::limits;
use crate::oci::{RepoName, Tag};
use crate::store::record::{TagPast, TagValue};
use crate::store::{Read, RepoId, StoreError, repo, tag};

/// The tags that `value` came through, the nearest first. It ends where a
/// client or another registry brought the image in, and where the history ends.
pub fn came_through(read: &impl Read, value: &TagValue) -> Result<Vec<(RepoName, Tag)>, StoreError> {
    let mut way = Vec::new();
    let mut at = value.clone();
    while let Cause::Promotion { repository, tag, .. } = &at.cause {
        way.push((repository.clone(), tag.clone()));
        if way.len() >= usize::from(limits::PROMOTION_HOPS) {
            break;
        }
        let Some(before) = before(read, &at)? else { break };
        at = before;
    }
    Ok(way)
}

/// The value that a promoted one was promoted from, if it is still known.
fn before(read: &impl Read, at: &TagValue) -> Result<Option<TagValue>, StoreError> {
    let Cause::Promotion { policy, repository, tag } = &at.cause else { return Ok(None) };
    let Some(place) = repo::get(read, repository)? else { return Ok(None) };
    // A person's promotion begins a new chain, so what it came from may
    // have had any.
    let chain = policy.and_then(|_| at.chain.split_last()).map(|(_, before)| before);
    let fits = |before: &TagValue| {
        before.digest == at.digest && before.seq < at.seq && chain.is_none_or(|chain| chain == before.chain)
    };
    find(read, place.number, tag, fits)
}

/// What `value` is, for the question which of two images is the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The event that brought the image in: a client's push, a pull from
    /// another registry, a person's promotion.
    pub seq: u64,
    /// Whether a policy put the tag where it is.
    pub by_policy: bool,
}

/// Where `value` comes from. The image of a policy's promotion is as old as
/// that of the tag it was promoted from, as far back as is known; what a person
/// or another registry set is as new as that act.
pub fn origin(read: &impl Read, value: &TagValue) -> Result<Origin, StoreError> {
    let by_policy = is_by_policy(value);
    let mut at = value.clone();
    for _ in 0..limits::PROMOTION_HOPS {
        match before(read, &at)? {
            Some(earlier) if is_by_policy(&at) => at = earlier,
            _ => break,
        }
    }
    Ok(Origin { seq: at.seq, by_policy })
}

fn is_by_policy(value: &TagValue) -> bool {
    matches!(value.cause, Cause::Promotion { policy: Some(_), .. })
}

/// The newest value of a tag, current or past, that fits.
fn find(
    read: &impl Read,
    repository: RepoId,
    name: &Tag,
    fits: impl Fn(&TagValue) -> bool,
) -> Result<Option<TagValue>, StoreError> {
    if let Some(value) = tag::get(read, repository, name)?.filter(&fits) {
        return Ok(Some(value));
    }
    let past = tag::history(read, repository, name, None, limits::TAG_HISTORY)?;
    Ok(past.into_iter().filter_map(TagPast::value).find(fits))
}
