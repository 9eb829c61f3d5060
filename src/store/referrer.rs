//! Referrers: manifests that are attached to another one, per repository.

use std::ops::ControlFlow;

use super::record::Referrer;
use super::{Change, Key, Order, Parts, Read, RepoId, StoreError, Stored as _, Table};
use crate::oci::{Descriptor, Digest};

fn key(repo: RepoId, subject: &Digest) -> Key {
    Key::new().repo(repo).digest(subject)
}

/// Hands the referrers of `subject` in `repo` after `last` to `each`, in the
/// order of their digests.
pub fn walk(
    read: &impl Read,
    repo: RepoId,
    subject: &Digest,
    last: Option<&Digest>,
    mut each: impl FnMut(Descriptor) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut span = key(repo, subject).prefix();
    if let Some(last) = last {
        span = span.after(&key(repo, subject).digest(last));
    }
    read.walk(Table::Referrers, &span, Order::Forward, |key, value| {
        let mut parts = Parts::of(key);
        parts.repo();
        parts.digest();
        let Some(digest) = parts.digest() else { return Ok(ControlFlow::Continue(())) };
        let referrer = Referrer::decode(value).map_err(|why| StoreError::damaged(Table::Referrers, key, why))?;
        each(referrer.descriptor(digest))
    })
}

/// Up to `limit` digests of referrers of `subject` in `repo`.
pub fn digests(read: &impl Read, repo: RepoId, subject: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    walk(read, repo, subject, None, |descriptor| {
        found.push(descriptor.digest);
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Lists a referrer.
pub fn put(
    change: &mut Change<'_>,
    repo: RepoId,
    subject: &Digest,
    digest: &Digest,
    referrer: &Referrer,
) -> Result<(), StoreError> {
    change.put(Table::Referrers, &key(repo, subject).digest(digest), referrer)
}

/// The row that lists one referrer.
pub fn get(read: &impl Read, repo: RepoId, subject: &Digest, digest: &Digest) -> Result<Option<Referrer>, StoreError> {
    read.record(Table::Referrers, &key(repo, subject).digest(digest))
}

/// Takes a referrer off the list.
pub fn remove(change: &mut Change<'_>, repo: RepoId, subject: &Digest, digest: &Digest) -> Result<bool, StoreError> {
    change.remove(Table::Referrers, &key(repo, subject).digest(digest))
}
