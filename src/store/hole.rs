//! Holes: what a manifest names in a repository and that is not there.
//!
//! An index may be sparse, and so may an image whose layers are somewhere else:
//! the specification leaves both to the registry. What is absent is written
//! down when the manifest is linked, and crossed out when it comes, so that an
//! absence is known from a loss.

use super::{Change, Key, Parts, Read, RepoId, StoreError, Table, blob, manifest};
use crate::oci::{Digest, Links};

/// Whether `absent` is known to be missing in `repo`, for the sake of `parent`.
pub fn is_known(read: &impl Read, repo: RepoId, absent: &Digest, parent: &Digest) -> Result<bool, StoreError> {
    read.has(Table::Holes, &key(repo, absent).digest(parent))
}

/// The first blob that `parent` names and that is not in `repo`.
pub fn first_blob(read: &impl Read, repo: RepoId, parent: &Digest) -> Result<Option<Digest>, StoreError> {
    let Some(record) = manifest::links(read, parent)? else { return Ok(None) };
    for link in record.links.blobs() {
        if !blob::is_linked(read, repo, &link.digest)? {
            return Ok(Some(link.digest));
        }
    }
    Ok(None)
}

/// Writes down what of `links` is not in `repo`.
pub(super) fn mark(change: &mut Change<'_>, repo: RepoId, parent: &Digest, links: &Links) -> Result<(), StoreError> {
    for link in links.blobs() {
        if !blob::is_linked(change, repo, &link.digest)? {
            change.put_mark(Table::Holes, &key(repo, &link.digest).digest(parent))?;
        }
    }
    for child in &links.children {
        let is_there = if child.is_manifest {
            manifest::is_linked(change, repo, &child.digest)?
        } else {
            blob::is_linked(change, repo, &child.digest)?
        };
        if !is_there {
            change.put_mark(Table::Holes, &key(repo, &child.digest).digest(parent))?;
        }
    }
    Ok(())
}

/// Crosses out what has come.
pub(super) fn fill(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<(), StoreError> {
    for key in change.keys(Table::Holes, &key(repo, digest).prefix(), usize::MAX)? {
        change.remove_raw(Table::Holes, &key)?;
    }
    Ok(())
}

/// Writes down that a manifest goes from `repo`: its own holes are nobody's any
/// more, and it is one of those that name it.
pub(super) fn gone(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<(), StoreError> {
    if let Some(record) = manifest::links(change, digest)? {
        let children = record.links.children.iter().map(|child| child.digest);
        let named: Vec<Digest> = record.links.blobs().map(|link| link.digest).chain(children).collect();
        for absent in named {
            change.remove(Table::Holes, &key(repo, &absent).digest(digest))?;
        }
    }
    for parent in manifest::parents_in(change, repo, digest, usize::MAX)? {
        change.put_mark(Table::Holes, &key(repo, digest).digest(&parent))?;
    }
    Ok(())
}

/// Where a stored hole is, what is absent there, and what names it.
pub fn parts(key: &[u8]) -> Option<(RepoId, Digest, Digest)> {
    let mut parts = Parts::of(key);
    Some((parts.repo()?, parts.digest()?, parts.digest()?))
}

fn key(repo: RepoId, absent: &Digest) -> Key {
    Key::new().repo(repo).digest(absent)
}
