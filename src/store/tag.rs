//! Tags: the current value, the past ones, and the way back from a digest.

use std::ops::{Bound, ControlFlow};

use super::record::{TagPast, TagRemoved, TagValue};
use super::{Change, Key, Order, Parts, Read, RepoId, Span, StoreError, Stored as _, Table};
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::{Digest, Tag};

fn key(repo: RepoId, tag: &Tag) -> Key {
    Key::new().repo(repo).tag(tag)
}

fn history_prefix(repo: RepoId, tag: &Tag) -> Key {
    Key::new().repo(repo).text_then(tag.as_str())
}

/// The tag's current value.
pub fn get(read: &impl Read, repo: RepoId, tag: &Tag) -> Result<Option<TagValue>, StoreError> {
    read.record(Table::Tags, &key(repo, tag))
}

/// Hands the tags of `repo` after `last` to `each`, in byte order.
pub fn walk(
    read: &impl Read,
    repo: RepoId,
    last: Option<&str>,
    mut each: impl FnMut(Tag, TagValue) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    walk_names(read, repo, last, |name, value| {
        let record = TagValue::decode(value).map_err(|why| StoreError::damaged(Table::Tags, name.as_bytes(), why))?;
        match name.parse() {
            Ok(tag) => each(tag, record),
            Err(_) => Ok(ControlFlow::Continue(())),
        }
    })
}

/// The same with nothing of a value but the number of the event that set it:
/// for a look at all of them.
pub fn walk_set(
    read: &impl Read,
    repo: RepoId,
    mut each: impl FnMut(&str, u64) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    walk_names(read, repo, None, |name, value| {
        let seq = TagValue::seq_of(value).map_err(|why| StoreError::damaged(Table::Tags, name.as_bytes(), why))?;
        each(name, seq)
    })
}

/// The same, with the value as it is stored: for listings of names.
pub fn walk_names(
    read: &impl Read,
    repo: RepoId,
    last: Option<&str>,
    mut each: impl FnMut(&str, &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut span = Key::new().repo(repo).prefix();
    if let Some(last) = last {
        span = span.after(&Key::new().repo(repo).text(last));
    }
    read.walk(Table::Tags, &span, Order::Forward, |key, value| {
        let mut parts = Parts::of(key);
        parts.repo();
        parts.text().map_or(Ok(ControlFlow::Continue(())), |name| each(name, value))
    })
}

/// Up to `limit` tags of `repo` that name `digest`.
pub fn of_digest(read: &impl Read, repo: RepoId, digest: &Digest, limit: usize) -> Result<Vec<Tag>, StoreError> {
    let keys = read.keys(Table::DigestTags, &Key::new().repo(repo).digest(digest).prefix(), limit)?;
    let tag = |key: &Vec<u8>| {
        let mut parts = Parts::of(key);
        parts.repo();
        parts.digest();
        parts.tag()
    };
    Ok(keys.iter().filter_map(tag).collect())
}

/// Up to `limit` past values and removals of a tag, newest first, beginning
/// with the one that event `from` made.
pub fn history(
    read: &impl Read,
    repo: RepoId,
    tag: &Tag,
    from: Option<u64>,
    limit: usize,
) -> Result<Vec<TagPast>, StoreError> {
    let prefix = history_prefix(repo, tag);
    let mut span = prefix.prefix();
    if let Some(from) = from {
        span = span.through(&prefix.number(from));
    }
    let mut found = Vec::new();
    read.walk(Table::TagHistory, &span, Order::Backward, |key, value| {
        if found.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        found.push(TagPast::decode(value).map_err(|why| StoreError::damaged(Table::TagHistory, key, why))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// A slice of the history of all tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastSlice {
    /// Keys of what had ended before the cut-off.
    pub ended: Vec<Vec<u8>>,
    /// The last key that was looked at; none when there are no more.
    pub last: Option<Vec<u8>>,
}

/// Looks at up to `limit` rows of the history behind `last`. A row ends when
/// the next takes its place: what was true for years and ended yesterday is of
/// yesterday. One that cannot be read is left to `verify`.
pub fn ended_before(
    read: &impl Read,
    cut_off: Timestamp,
    last: Option<Vec<u8>>,
    limit: usize,
) -> Result<PastSlice, StoreError> {
    let mut rows: Vec<(Vec<u8>, Timestamp)> = Vec::new();
    let span = Span { from: last.map_or(Bound::Unbounded, Bound::Excluded), to: Bound::Unbounded };
    read.walk(Table::TagHistory, &span, Order::Forward, |key, value| {
        rows.push((key.to_vec(), TagPast::decode(value).map_or(Timestamp::MAX, |past| past.at())));
        // One more than are looked at, for the end of the last.
        Ok(if rows.len() <= limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let mut slice = PastSlice::default();
    for (index, (key, at)) in rows.iter().enumerate().take(limit) {
        slice.last = Some(key.clone());
        let next = rows.get(index + 1).filter(|(next, _)| tag_of(next) == tag_of(key));
        let end = match next {
            Some((_, next)) => *next,
            None => current(read, key)?.map_or(*at, |value| value.set_at),
        };
        if end < cut_off {
            slice.ended.push(key.clone());
        }
    }
    Ok(slice)
}

/// Takes rows out of the history.
pub fn forget(change: &mut Change<'_>, keys: &[Vec<u8>]) -> Result<(), StoreError> {
    for key in keys {
        change.remove_raw(Table::TagHistory, key)?;
    }
    Ok(())
}

/// The tag that a row of the history is of.
fn tag_of(key: &[u8]) -> Option<(RepoId, &str)> {
    let mut parts = Parts::of(key);
    Some((parts.repo()?, parts.text_then()?))
}

fn current(read: &impl Read, key: &[u8]) -> Result<Option<TagValue>, StoreError> {
    let Some((repo, name)) = tag_of(key) else { return Ok(None) };
    name.parse().map_or(Ok(None), |tag| get(read, repo, &tag))
}

/// Sets a tag: value, history, back index, count.
pub fn put(change: &mut Change<'_>, repo: RepoId, tag: &Tag, value: &TagValue) -> Result<(), StoreError> {
    let before = get(change, repo, tag)?;
    change.put_mark(Table::DigestTags, &Key::new().repo(repo).digest(&value.digest).tag(tag))?;
    change.put(Table::Tags, &key(repo, tag), value)?;
    let Some(before) = before else { return super::repo::tag_came(change, repo) };
    if before.digest != value.digest {
        change.remove(Table::DigestTags, &Key::new().repo(repo).digest(&before.digest).tag(tag))?;
        super::manifest::touch(change, repo, &before.digest)?;
    }
    remember(change, repo, tag, &TagPast::Value(before))
}

/// Removes a tag and its verdict; its value and its removal go to the history.
pub fn remove(
    change: &mut Change<'_>,
    repo: RepoId,
    tag: &Tag,
    value: TagValue,
    removed: TagRemoved,
) -> Result<(), StoreError> {
    change.remove(Table::DigestTags, &Key::new().repo(repo).digest(&value.digest).tag(tag))?;
    if change.remove(Table::Tags, &key(repo, tag))? {
        super::repo::tag_gone(change, repo)?;
    }
    change.remove(Table::Verdicts, &key(repo, tag))?;
    super::manifest::touch(change, repo, &value.digest)?;
    remember(change, repo, tag, &TagPast::Value(value))?;
    remember(change, repo, tag, &TagPast::Removed(removed))
}

/// Puts a row into the history and takes the oldest beyond the limit out.
fn remember(change: &mut Change<'_>, repo: RepoId, tag: &Tag, past: &TagPast) -> Result<(), StoreError> {
    let prefix = history_prefix(repo, tag);
    change.put(Table::TagHistory, &prefix.clone().number(past.seq()), past)?;
    let keys = change.keys(Table::TagHistory, &prefix.prefix(), limits::TAG_HISTORY + 1)?;
    if keys.len() > limits::TAG_HISTORY {
        change.remove_raw(Table::TagHistory, &keys[0])?;
    }
    Ok(())
}
