//! Tags: the current value, the past ones, and the way back from a digest.

use std::ops::ControlFlow;

use super::record::TagValue;
use super::{Change, Key, Order, Parts, Read, RepoId, StoreError, Stored as _, Table};
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

/// Past values of a tag, newest first.
pub fn history(read: &impl Read, repo: RepoId, tag: &Tag, limit: usize) -> Result<Vec<TagValue>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::TagHistory, &history_prefix(repo, tag).prefix(), Order::Backward, |key, value| {
        if found.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        found.push(TagValue::decode(value).map_err(|why| StoreError::damaged(Table::TagHistory, key, why))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Sets a tag: value, history, back index.
pub fn put(change: &mut Change<'_>, repo: RepoId, tag: &Tag, value: &TagValue) -> Result<(), StoreError> {
    if let Some(before) = get(change, repo, tag)? {
        change.remove(Table::DigestTags, &Key::new().repo(repo).digest(&before.digest).tag(tag))?;
        if before.digest != value.digest {
            super::manifest::touch(change, repo, &before.digest)?;
        }
        remember(change, repo, tag, &before)?;
    }
    change.put_mark(Table::DigestTags, &Key::new().repo(repo).digest(&value.digest).tag(tag))?;
    change.put(Table::Tags, &key(repo, tag), value)
}

/// Removes a tag and its verdict; its value goes to the history.
pub fn remove(change: &mut Change<'_>, repo: RepoId, tag: &Tag, value: &TagValue) -> Result<(), StoreError> {
    change.remove(Table::DigestTags, &Key::new().repo(repo).digest(&value.digest).tag(tag))?;
    change.remove(Table::Tags, &key(repo, tag))?;
    change.remove(Table::Verdicts, &key(repo, tag))?;
    super::manifest::touch(change, repo, &value.digest)?;
    remember(change, repo, tag, value)
}

/// Puts a value into the history and takes the oldest beyond the limit out.
fn remember(change: &mut Change<'_>, repo: RepoId, tag: &Tag, value: &TagValue) -> Result<(), StoreError> {
    let prefix = history_prefix(repo, tag);
    change.put(Table::TagHistory, &prefix.clone().number(value.seq), value)?;
    let keys = change.keys(Table::TagHistory, &prefix.prefix(), limits::TAG_HISTORY + 1)?;
    if keys.len() > limits::TAG_HISTORY {
        change.remove_raw(Table::TagHistory, &keys[0])?;
    }
    Ok(())
}
