//! Blobs: which file holds one, and in which repositories it is readable.

use std::ops::ControlFlow;

use super::file::{BlobFile, UploadId};
use super::quarantine::{self, Held};
use super::record::{Blob, Linked};
use super::{Change, Key, Order, Parts, Read, RepoId, StoreError, Table, usage};
use crate::oci::Digest;

/// The blob's size and file, whoever may read it.
pub fn get(read: &impl Read, digest: &Digest) -> Result<Option<Blob>, StoreError> {
    read.record(Table::Blobs, &Key::new().digest(digest))
}

/// The blob, if it is linked in `repo`.
pub fn get_in(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<Option<Blob>, StoreError> {
    if is_linked(read, repo, digest)? { get(read, digest) } else { Ok(None) }
}

/// Whether the blob is linked in `repo`.
pub fn is_linked(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    read.has(Table::RepositoryBlobs, &Key::new().repo(repo).digest(digest))
}

/// Whether the blob is linked in `repo` and its bytes are good.
pub fn is_readable(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    Ok(is_linked(read, repo, digest)? && read.has(Table::Blobs, &Key::new().digest(digest))?)
}

/// Up to `limit` repositories that link the blob.
pub fn repositories(read: &impl Read, digest: &Digest, limit: usize) -> Result<Vec<RepoId>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::BlobRepositories, &Key::new().digest(digest).prefix(), Order::Forward, |key, _| {
        if found.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        let mut parts = Parts::of(key);
        parts.digest();
        found.extend(parts.repo());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Whether the database names this file, for a blob or for a manifest, or as one
/// that is damaged and kept.
pub fn names_file(read: &impl Read, file: &BlobFile) -> Result<bool, StoreError> {
    if get(read, &file.digest)?.is_some_and(|blob| blob.upload == file.upload) {
        return Ok(true);
    }
    Ok(super::manifest::file_of(read, &file.digest)?.is_some_and(|upload| upload == file.upload)
        || quarantine::keeps_file(read, file)?)
}

/// Names the file of a new upload. When the digest has a file already, that
/// one stays and the new one becomes a row to unlink. Whether this brought back
/// what was damaged.
pub fn name(change: &mut Change<'_>, digest: &Digest, size: u64, upload: UploadId) -> Result<bool, StoreError> {
    match get(change, digest)? {
        None => {
            let key = Key::new().digest(digest);
            change.put(Table::Blobs, &key, &Blob { size, upload })?;
            usage::stored(change, Table::Blobs, &key, size)?;
            Ok(quarantine::lift(change, &Held::blob(*digest), Some(upload))?.is_some())
        }
        Some(blob) if blob.upload == upload => Ok(false),
        Some(_) => drop_file(change, digest, upload).map(|()| false),
    }
}

/// Makes a blob readable in `repo`.
pub fn link(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<(), StoreError> {
    let linked = Linked { at: change.age() };
    if change.put_new(Table::RepositoryBlobs, &Key::new().repo(repo).digest(digest), &linked)? {
        usage::linked(change, repo, Held::blob(*digest))?;
    }
    change.put_mark(Table::BlobRepositories, &Key::new().digest(digest).repo(repo))?;
    super::hole::fill(change, repo, digest)
}

/// Makes a blob unreadable in `repo`; whether it was readable.
pub fn unlink(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    change.remove(Table::BlobRepositories, &Key::new().digest(digest).repo(repo))?;
    let was_linked = change.remove(Table::RepositoryBlobs, &Key::new().repo(repo).digest(digest))?;
    if was_linked {
        usage::unlinked(change, repo, Held::blob(*digest))?;
    }
    Ok(was_linked)
}

/// Writes down that a file has no name any more and has to go.
pub fn drop_file(change: &mut Change<'_>, digest: &Digest, upload: UploadId) -> Result<(), StoreError> {
    change.put_mark(Table::Unlinks, &unlink_key(&BlobFile { digest: *digest, upload }))
}

/// Up to `limit` files that have to go.
pub fn files_to_unlink(read: &impl Read, limit: usize) -> Result<Vec<BlobFile>, StoreError> {
    let mut files = Vec::new();
    for key in read.keys(Table::Unlinks, &super::Span::all(), limit)? {
        let mut parts = Parts::of(&key);
        if let (Some(digest), Some(id)) = (parts.digest(), parts.id()) {
            files.push(BlobFile { digest, upload: UploadId::from_bytes(*id.bytes()) });
        }
    }
    Ok(files)
}

/// Whether a file has to go.
pub fn is_to_unlink(read: &impl Read, file: &BlobFile) -> Result<bool, StoreError> {
    read.has(Table::Unlinks, &unlink_key(file))
}

/// Forgets a file that is gone from the disk.
pub fn unlinked(change: &mut Change<'_>, file: &BlobFile) -> Result<bool, StoreError> {
    change.remove(Table::Unlinks, &unlink_key(file))
}

fn unlink_key(file: &BlobFile) -> Key {
    Key::new().digest(&file.digest).id(&crate::chance::Id::from_bytes(*file.upload.bytes()))
}
