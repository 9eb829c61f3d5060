//! Manifests: kind and bytes, what they name, and where they are readable.

use std::ops::ControlFlow;

use super::file::UploadId;
use super::quarantine::{self, Held};
use super::record::manifest::Bytes;
use super::record::{Linked, ManifestBody, ManifestLinks};
use super::{Change, Key, Order, Parts, Read, RepoId, Span, StoreError, Table, hole, usage};
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
    Ok(!parents_in(read, repo, digest, 1)?.is_empty())
}

/// Up to `limit` manifests in `repo` that name `digest`.
pub fn parents_in(read: &impl Read, repo: RepoId, digest: &Digest, limit: usize) -> Result<Vec<Digest>, StoreError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    walk_parents(read, repo, digest, |parent| {
        found.push(parent);
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Hands the manifests in `repo` that name `digest` to `each`, in the order of
/// their digests.
///
/// Those that name it anywhere may be many, and somebody else's; so may the
/// manifests of the repository. Both lie in the order of digests, so each is
/// entered anew where the other goes on: a walk takes as many steps as the
/// shorter of the two has rows.
pub fn walk_parents(
    read: &impl Read,
    repo: RepoId,
    digest: &Digest,
    mut each: impl FnMut(Digest) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let (naming, linked) = (Key::new().digest(digest), Key::new().repo(repo));
    let mut span = naming.prefix();
    loop {
        let Some(parent) = first(read, Table::Parents, &span, naming.bytes().len())? else { return Ok(()) };
        let from = linked.prefix().starting(&linked.clone().digest(&parent));
        match first(read, Table::RepositoryManifests, &from, linked.bytes().len())? {
            None => return Ok(()),
            Some(here) if here == parent => {
                if each(parent)?.is_break() {
                    return Ok(());
                }
                span = span.after(&naming.clone().digest(&parent));
            }
            Some(here) => span = span.starting(&naming.clone().digest(&here)),
        }
    }
}

/// The digest that stands behind the first `front` bytes of the first key of
/// `span`.
fn first(read: &impl Read, table: Table, span: &Span, front: usize) -> Result<Option<Digest>, StoreError> {
    let mut found = None;
    read.walk(table, span, Order::Forward, |key, _| {
        found = key.get(front..).and_then(Digest::from_key).map(|(digest, _)| digest);
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::audit::Audit;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::store::{Lane, Operation, Snapshot, Store};

    /// Says who names a digest, and what is linked in a repository.
    struct Rows {
        repo: RepoId,
        named: Digest,
        naming: Vec<Digest>,
        linked: Vec<Digest>,
    }

    impl Operation for Rows {
        type Plan = ();
        type Done = ();
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "rows";
        const AUDIT: Audit = Audit::Nothing("a test's");

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
            for parent in &self.naming {
                tables.put_mark(Table::Parents, &Key::new().digest(&self.named).digest(parent))?;
            }
            for here in &self.linked {
                tables.put_mark(Table::RepositoryManifests, &Key::new().repo(self.repo).digest(here))?;
            }
            Ok(())
        }
    }

    /// Counts the rows that are handed out.
    struct Counting<'s>(&'s Snapshot, Cell<usize>);

    impl Read for Counting<'_> {
        fn with<T>(&self, table: Table, key: &Key, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, StoreError> {
            self.0.with(table, key, read)
        }

        fn walk(
            &self,
            table: Table,
            span: &Span,
            order: Order,
            mut each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
        ) -> Result<(), StoreError> {
            self.0.walk(table, span, order, |key, value| {
                self.1.set(self.1.get() + 1);
                each(key, value)
            })
        }
    }

    /// `{}` is the configuration of tens of thousands of manifests of others,
    /// and to remove it from a repository that has two looked at all of them, in
    /// the commit that everybody waits for.
    #[tokio::test]
    async fn what_names_a_digest_here_is_found_without_a_look_at_all_that_name_it_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap();
        let many: Vec<Digest> = (0..2_000_u32).map(|at| Digest::sha256_of(&at.to_be_bytes())).collect();
        let (named, rare, other) = (Digest::sha256_of(b"{}"), Digest::sha256_of(b"rare"), Digest::sha256_of(b"other"));
        let (small, large) = (RepoId(1), RepoId(2));
        for rows in [
            Rows { repo: small, named, naming: many.clone(), linked: vec![many[7], many[1_900], other] },
            Rows { repo: large, named: rare, naming: vec![many[3], other], linked: many.clone() },
        ] {
            store.submit(Lane::Foreground, rows).await.unwrap().unwrap();
        }
        let read = store.snapshot().unwrap();
        let counting = Counting(&read, Cell::new(0));
        let mut expected = vec![many[7], many[1_900]];
        expected.sort_unstable();
        assert_eq!(parents_in(&counting, small, &named, usize::MAX).unwrap(), expected);
        assert_eq!(parents_in(&counting, small, &named, 1).unwrap(), expected[..1]);
        assert_eq!(parents_in(&counting, large, &rare, usize::MAX).unwrap(), [many[3]]);
        assert!(counting.1.get() <= 20, "{} rows", counting.1.get());
        assert_eq!(parents_in(&read, large, &named, usize::MAX).unwrap().len(), many.len());
        assert_eq!(parents_in(&read, RepoId(3), &named, usize::MAX).unwrap(), []);
        drop(read);
        store.close();
    }
}
