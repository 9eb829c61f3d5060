//! What collection may remove: lookups that say whether anything still needs a
//! manifest or a blob, and the removals that keep all tables in step.
//!
//! Nothing is counted and nothing is marked: the back indexes say at any
//! moment who names what, so every question is answered from the state itself,
//! in the very transaction that removes.
//!
//! A manifest is kept in a repository while a tag names it there, while one
//! that is kept there names it as an entry, while it refers to one that is kept
//! there, or while it is young: it came, or lost a tag, after the cut-off. A
//! blob is kept in a repository while a manifest that is kept there names it,
//! or while it is young. What is readable nowhere has no name any more.
//!
//! That is what can go. It goes from the top: nothing is removed while something
//! that is there names it, whether that is kept or not. A manifest goes in one
//! commit with those that lead to it, and a blob when none names it any more.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::quarantine::{self, Held};
use super::record::manifest::Bytes;
use super::record::{Holder, Linked};
use super::{Change, Key, Parts, Read, RepoId, StoreError, Table, blob, manifest, referrer, usage};
use crate::clock::Timestamp;
use crate::oci::Digest;

/// What is young: linked, or touched, at or after these moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// For blobs that no manifest names.
    pub blobs: Timestamp,
    /// For manifests that no tag leads to.
    pub manifests: Timestamp,
}

/// Answers whether a manifest is kept, remembering what it has found. Good for
/// one transaction or snapshot.
#[derive(Debug)]
pub struct Kept<'r, R> {
    read: &'r R,
    cut_off: CutOff,
    known: HashMap<(RepoId, Digest), bool>,
}

impl<'r, R: Read> Kept<'r, R> {
    /// Asks `read`.
    pub fn new(read: &'r R, cut_off: CutOff) -> Self {
        Self { read, cut_off, known: HashMap::new() }
    }

    /// Whether `digest` is needed in `repo`, as a manifest that is linked there.
    /// Walks upwards, to the manifests that name it and to its subject, without
    /// visiting one twice: an index that is nested a thousand ways costs no more
    /// than its manifests (zot's collection was exponential here, issue 4318).
    pub fn manifest(&mut self, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
        if let Some(kept) = self.known.get(&(repo, *digest)) {
            return Ok(*kept);
        }
        let mut seen = HashSet::from([*digest]);
        let mut left = vec![*digest];
        let mut kept = false;
        while let Some(at) = left.pop() {
            match self.known.get(&(repo, at)) {
                Some(true) => kept = true,
                Some(false) => continue,
                None => kept = self.by_itself(repo, &at)?,
            }
            if kept {
                // Those on the way up are kept too, but which of them were on
                // that way is not known here; only the two ends are certain.
                self.known.insert((repo, at), true);
                break;
            }
            for above in self.above(repo, &at)? {
                if seen.insert(above) {
                    left.push(above);
                }
            }
        }
        if kept {
            self.known.insert((repo, *digest), true);
        } else {
            // None of all that lead to it is kept, so none of them is.
            self.known.extend(seen.into_iter().map(|digest| ((repo, digest), false)));
        }
        Ok(kept)
    }

    /// Everything in `repo` that leads to a manifest that is not kept, and the
    /// manifest itself: those that are named before that come after those that
    /// name them, so that taking them in this order never leaves one that names
    /// what is gone. At most `limit`, from the top.
    pub fn lineage(&self, repo: RepoId, digest: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError> {
        // Depth first, each once what is above it is in the list. An index that
        // has its own subject as an entry is a ring, and is walked once.
        let mut order = Vec::new();
        let mut seen = HashSet::from([*digest]);
        let mut path = vec![(*digest, self.above(repo, digest)?)];
        while let Some((at, above)) = path.last_mut() {
            match above.pop() {
                Some(next) if seen.insert(next) => {
                    let further = self.above(repo, &next)?;
                    path.push((next, further));
                }
                Some(_) => {}
                None => {
                    order.push(*at);
                    path.pop();
                    if order.len() == limit {
                        break;
                    }
                }
            }
        }
        Ok(order)
    }

    /// Whether `digest` is needed in `repo`, as a blob that is linked there.
    pub fn blob(&mut self, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
        let key = Key::new().repo(repo).digest(digest);
        let Some(linked) = self.read.record::<Linked>(Table::RepositoryBlobs, &key)? else { return Ok(false) };
        if linked.at >= self.cut_off.blobs {
            return Ok(true);
        }
        let read = self.read;
        let mut kept = false;
        manifest::walk_parents(read, repo, digest, |parent| {
            kept = self.manifest(repo, &parent)?;
            Ok(if kept { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(kept)
    }

    /// Whether it is young or has a tag.
    fn by_itself(&self, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
        let key = Key::new().repo(repo).digest(digest);
        let Some(linked) = self.read.record::<Linked>(Table::RepositoryManifests, &key)? else { return Ok(false) };
        if linked.at >= self.cut_off.manifests {
            return Ok(true);
        }
        Ok(!self.read.keys(Table::DigestTags, &key.prefix(), 1)?.is_empty())
    }

    /// The manifests in `repo` that name it, and its subject there.
    fn above(&self, repo: RepoId, digest: &Digest) -> Result<Vec<Digest>, StoreError> {
        let mut above = manifest::parents_in(self.read, repo, digest, usize::MAX)?;
        if let Some(subject) = manifest::links(self.read, digest)?.and_then(|record| record.links.subject)
            && manifest::is_linked(self.read, repo, &subject)?
        {
            above.push(subject);
        }
        Ok(above)
    }
}

/// Makes a manifest unreadable in `repo`, with what lists it there; where that
/// was the last place, its bytes and links go too, and their length is given.
/// It must have no tag there.
pub fn remove_manifest(change: &mut Change<'_>, repo: RepoId, digest: &Digest) -> Result<Option<u64>, StoreError> {
    if let Some(subject) = manifest::links(change, digest)?.and_then(|record| record.links.subject) {
        referrer::remove(change, repo, &subject, digest)?;
    }
    for key in change.keys(Table::Sent, &Key::new().repo(repo).digest(digest).prefix(), usize::MAX)? {
        change.remove_raw(Table::Sent, &key)?;
    }
    manifest::unlink(change, repo, digest)?;
    forget_manifest(change, digest)
}

/// Removes bytes and links of a manifest that is readable nowhere, and gives
/// their length; none when there is nothing to remove.
pub fn forget_manifest(change: &mut Change<'_>, digest: &Digest) -> Result<Option<u64>, StoreError> {
    if is_linked_anywhere(change, Table::ManifestRepositories, digest)? {
        return Ok(None);
    }
    let damaged = quarantine::lift(change, &Held::manifest(*digest), None)?;
    let body = manifest::body(change, digest)?;
    let Some(size) = body.as_ref().map(|body| body.size).or(damaged.map(|row| row.size)) else { return Ok(None) };
    manifest::remove(change, digest)?;
    if let Some(Bytes::File(upload)) = body.map(|body| body.bytes) {
        blob::drop_file(change, digest, upload)?;
    }
    Ok(Some(size))
}

/// Takes the name off a blob that is readable nowhere; its file goes after the
/// grace period. Gives its length; none when there is nothing to remove.
pub fn forget_blob(change: &mut Change<'_>, digest: &Digest) -> Result<Option<u64>, StoreError> {
    if is_linked_anywhere(change, Table::BlobRepositories, digest)? {
        return Ok(None);
    }
    let Some(blob) = blob::get(change, digest)? else {
        return Ok(quarantine::lift(change, &Held::blob(*digest), None)?.map(|row| row.size));
    };
    change.remove(Table::Blobs, &Key::new().digest(digest))?;
    usage::gone(change, Table::Blobs, &Key::new().digest(digest), blob.size)?;
    blob::drop_file(change, digest, blob.upload)?;
    Ok(Some(blob.size))
}

/// The repositories that link a blob, all of them.
pub fn places_of_blob(read: &impl Read, digest: &Digest) -> Result<Vec<RepoId>, StoreError> {
    blob::repositories(read, digest, usize::MAX)
}

/// The blobs or manifests after `last`, up to `limit`, damaged ones among them.
pub fn digests(
    read: &impl Read,
    holder: Holder,
    last: Option<&Digest>,
    limit: usize,
) -> Result<Vec<Digest>, StoreError> {
    let table = match holder {
        Holder::Blob => Table::Blobs,
        Holder::Manifest => Table::Manifests,
    };
    let mut span = super::Span::all();
    if let Some(last) = last {
        span = span.after(&Key::new().digest(last));
    }
    let keys = read.keys(table, &span, limit)?;
    let mut found: Vec<Digest> = keys.iter().filter_map(|key| Parts::of(key).digest()).collect();
    // Two rows in the order of digests; the first of both together.
    let mut damaged = 0;
    let before = last.map(|digest| Held::manifest(*digest));
    quarantine::walk(read, before.as_ref(), |held, _| {
        if held.holder == holder {
            found.push(held.digest);
            damaged += 1;
        }
        Ok(if damaged < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    found.sort_unstable();
    found.truncate(limit);
    Ok(found)
}

/// The repositories that link a manifest, all of them.
pub fn places_of_manifest(read: &impl Read, digest: &Digest) -> Result<Vec<RepoId>, StoreError> {
    let keys = read.keys(Table::ManifestRepositories, &Key::new().digest(digest).prefix(), usize::MAX)?;
    let place = |key: &Vec<u8>| {
        let mut parts = Parts::of(key);
        parts.digest();
        parts.repo()
    };
    Ok(keys.iter().filter_map(place).collect())
}

fn is_linked_anywhere(read: &impl Read, table: Table, digest: &Digest) -> Result<bool, StoreError> {
    Ok(!read.keys(table, &Key::new().digest(digest).prefix(), 1)?.is_empty())
}
