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
    while let Cause::Promotion { policy, repository, tag } = &at.cause {
        way.push((repository.clone(), tag.clone()));
        if way.len() >= usize::from(limits::PROMOTION_HOPS) {
            break;
        }
        let Some(place) = repo::get(read, repository)? else { break };
        // A person's promotion begins a new chain, so what it came from may
        // have had any.
        let chain = policy.and_then(|_| at.chain.split_last()).map(|(_, before)| before);
        let fits = |before: &TagValue| {
            before.digest == at.digest && before.seq < at.seq && chain.is_none_or(|chain| chain == before.chain)
        };
        let Some(before) = find(read, place.number, tag, fits)? else { break };
        at = before;
    }
    Ok(way)
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
