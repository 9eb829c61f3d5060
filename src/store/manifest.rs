//! Manifests: kind and bytes, what they name, and where they are readable.

use std::ops::ControlFlow;

use super::file::UploadId;
use super::quarantine::{self, Held};
use super::record::manifest::Bytes;
use super::record::{Linked, ManifestBody, ManifestLinks};
use super::{Change, Key, Order, Parts, Read, RepoId, StoreError, Table, hole, usage};
use crate::oci::{Digest, Links};

/// Kind and bytes, whoever may read it.
pub fn body(read: &impl Read, digest: &Digest) -> Result<Option<ManifestBody>, StoreError> {
    read.record(Table::Manifests, &Key::new().digest(digest))
}

/// Kind and bytes, if it is linked in `repo`.
pub fn body_in(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<Option<ManifestBody>, StoreError> {
    if is_linked(read, repo, digest)? { body(read, digest) } else { Ok(None) }
}

/// What it names.
pub fn links(read: &impl Read, digest: &Digest) -> Result<Option<ManifestLinks>, StoreError> {
    read.record(Table::ManifestLinks, &Key::new().digest(digest))
}

/// The file that holds a large manifest.
pub fn file_of(read: &impl Read, digest: &Digest) -> Result<Option<UploadId>, StoreError> {
    Ok(body(read, digest)?.and_then(|body| match body.bytes {
        Bytes::File(upload) => Some(upload),
        Bytes::Inline(_) => None,
    }))
}

/// Whether it is linked in `repo`.
pub fn is_linked(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    read.has(Table::RepositoryManifests, &Key::new().repo(repo).digest(digest))
}

/// Whether it is linked in `repo` and its bytes are good.
pub fn is_readable(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    Ok(is_linked(read, repo, digest)? && read.has(Table::Manifests, &Key::new().digest(digest))?)
}

/// Hands the manifests of `repo` after `last` to `each`, in the order of their
/// digests.
pub fn walk(
    read: &impl Read,
    repo: RepoId,
    last: Option<&Digest>,
    mut each: impl FnMut(Digest) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut span = Key::new().repo(repo).prefix();
    if let Some(last) = last {
        span = span.after(&Key::new().repo(repo).digest(last));
    }
    read.walk(Table::RepositoryManifests, &span, Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        parts.repo();
        parts.digest().map_or(Ok(ControlFlow::Continue(())), &mut each)
    })
}

/// Whether any manifest in `repo` names `digest` (as blob or as child).
pub fn is_named_in(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    let mut named = false;
    read.walk(Table::Parents, &Key::new().digest(digest).prefix(), Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        parts.digest();
        if let Some(parent) = parts.digest() {
            named = is_linked(read, repo, &parent)?;
        }
        Ok(if named { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(named)
}

/// Up to `limit` manifests in `repo` that name `digest`.
pub fn parents_in(read: &impl Read, repo: RepoId, digest: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::Parents, &Key::new().digest(digest).prefix(), Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        parts.digest();
        if let Some(parent) = parts.digest()
            && is_linked(read, repo, &parent)?
        {
            found.push(parent);
        }
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Writes a manifest that was not there, or was damaged: body, links and back
/// indexes. Whether this brought back what was damaged.
pub fn put(
    change: &mut Change<'_>,
    digest: &Digest,
    body: &ManifestBody,
    links: &ManifestLinks,
) -> Result<bool, StoreError> {
    let key = Key::new().digest(digest);
    change.put(Table::Manifests, &key, body)?;
    usage::stored(change, Table::Manifests, &key, body.size)?;
    change.put(Table::ManifestLinks, &Key::new().digest(digest), links)?;
    for named in named(&links.links) {
        change.put_mark(Table::Parents, &Key::new().digest(&named).digest(digest))?;
    }
    let file = match body.bytes {
        Bytes::File(upload) => Some(upload),
        Bytes::Inline(_) => None,
    };
    Ok(quarantine::lift(change, &Held::manifest(*digest), file)?.is_some())
}

/// Removes a manifest that is readable nowhere: body, links and back indexes.
pub fn remove(change: &mut Change<'_>, digest: &Digest) -> Result<(), StoreError> {
    let key = Key::new().digest(digest);
    if let Some(body) = body(change, digest)? {
        usage::gone(change, Table::Manifests, &key, body.size)?;
    }
    if let Some(record) = links(change, digest)? {
        for named in named(&record.links) {
            change.remove(Table::Parents, &Key::new().digest(&named).digest(digest))?;
        }
    }
    change.remove(Table::ManifestLinks, &Key::new().digest(digest))?;
    change.remove(Table::Manifests, &key)?;
    Ok(())
}

/// Makes a manifest readable in `repo`; whether it was not before.
pub fn link(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    let key = Key::new().repo(repo).digest(digest);
    let is_new = !change.has(Table::RepositoryManifests, &key)?;
    let linked = Linked { at: change.age() };
    change.put(Table::RepositoryManifests, &key, &linked)?;
    change.put_mark(Table::ManifestRepositories, &Key::new().digest(digest).repo(repo))?;
    if is_new {
        usage::linked(change, repo, Held::manifest(*digest))?;
        hole::fill(change, repo, digest)?;
        if let Some(record) = links(change, digest)? {
            hole::mark(change, repo, digest, &record.links)?;
        }
    }
    Ok(is_new)
}

/// Counts from now how long a manifest has been needed by nothing: it has just
/// lost a tag.
pub fn touch(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<(), StoreError> {
    if !is_linked(change, repo, digest)? {
        return Ok(());
    }
    let linked = Linked { at: change.age() };
    change.put(Table::RepositoryManifests, &Key::new().repo(repo).digest(digest), &linked)
}

/// Makes a manifest unreadable in `repo`; whether it was readable.
pub fn unlink(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    change.remove(Table::ManifestRepositories, &Key::new().digest(digest).repo(repo))?;
    let was_linked = change.remove(Table::RepositoryManifests, &Key::new().repo(repo).digest(digest))?;
    if was_linked {
        usage::unlinked(change, repo, Held::manifest(*digest))?;
        hole::gone(change, repo, digest)?;
    }
    Ok(was_linked)
}

/// Every digest that a manifest names: blobs, entries, foreign layers.
fn named(links: &Links) -> impl Iterator<Item = Digest> + '_ {
    let foreign = links.foreign.iter().map(|link| link.digest);
    links.blobs().map(|link| link.digest).chain(foreign).chain(links.children.iter().map(|child| child.digest))
}
