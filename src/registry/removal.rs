//! Removing a manifest from a repository, with the tags that name it.
//!
//! What a tag leads to through an index stays: an index that is tagged and has
//! lost an entry is there, and nobody can pull it. An index that has no tag
//! keeps nothing, so whoever empties a repository may do so in any order.

use std::collections::HashSet;

use crate::access;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::event::Kind;
use crate::limits;
use crate::oci::{Condition, Digest, Reference, RepoName, Tag};
use crate::store::record::{Removal, Repository};
use crate::store::{Change, Lane, Operation, Read, RepoId, StoreError, audit, event, manifest, referrer, tag};

use super::condition::{holds, or_unmet};
use super::tag::{may_change, unset};
use super::{Caller, Registry, RegistryError};

#[derive(Clone)]
struct DeleteManifest {
    caller: Caller,
    repository: RepoName,
    digest: Digest,
    condition: Condition,
}

/// What one commit removes.
struct Going {
    repository: Repository,
    tags: Vec<Tag>,
    /// It has no other tags, so the manifest goes with these.
    is_all: bool,
}

impl Operation for DeleteManifest {
    type Plan = Going;
    /// Where it was; none when it is still there, and has some tags less.
    type Done = Option<RepoId>;
    type Refusal = RegistryError;
    const NAME: &'static str = "delete manifest";
    const AUDIT: Audit = Audit::Acts(&[Action::ManifestDelete, Action::TagDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let reference = Reference::Digest(self.digest);
        let repository = match self.caller.require(tables, &self.repository, access::Action::Delete)? {
            Ok(repository) => repository,
            Err(refusal) => return Ok(Err(or_unmet(refusal, &self.condition, &reference))),
        };
        if let Err(refusal) = holds(tables, &self.condition, (&self.repository, &repository), &reference)? {
            return Ok(Err(refusal));
        }
        if !manifest::is_linked(tables, repository.number, &self.digest)? {
            return Ok(Err(RegistryError::ManifestUnknown { reference, repository: self.repository.clone() }));
        }
        let mut tags = tag::of_digest(tables, repository.number, &self.digest, limits::BACKGROUND_ROWS + 1)?;
        let is_all = tags.len() <= limits::BACKGROUND_ROWS;
        tags.truncate(limits::BACKGROUND_ROWS);
        for tag in &tags {
            if let Err(refusal) = may_change(tables, (&self.repository, &repository), tag, None)? {
                return Ok(Err(refusal));
            }
        }
        let (digest, name) = (self.digest, || self.repository.clone());
        match lead(tables, repository.number, &self.digest)? {
            Lead::None => Ok(Ok(Going { repository, tags, is_all })),
            Lead::Tag(tag) => {
                let is_immutable = repository.immutable_tags;
                Ok(Err(RegistryError::TagLeads { digest, tag, repository: name(), is_immutable }))
            }
            Lead::Many => Ok(Err(RegistryError::NamedByMany { digest, repository: name() })),
        }
    }

    fn apply(&self, going: Going, tables: &mut Change<'_>) -> Result<Option<RepoId>, StoreError> {
        let Going { repository, tags, is_all } = going;
        let number = repository.number;
        for name in tags {
            if let Some(value) = tag::get(tables, number, &name)? {
                let by = (self.caller.actor(), Removal::Manifest);
                unset(tables, (&self.repository, &repository), &name, value, by)?;
            }
        }
        if !is_all {
            return Ok(None);
        }
        manifest::unlink(tables, number, &self.digest)?;
        if let Some(subject) = manifest::links(tables, &self.digest)?.and_then(|record| record.links.subject) {
            referrer::remove(tables, number, &subject, &self.digest)?;
        }
        let kind = Kind::ManifestDeleted { digest: self.digest };
        let seq = event::append(tables, self.caller.actor(), (number, &self.repository), kind)?;
        let name = format_args!("{}@{}", self.repository, self.digest);
        let act = Act::new(Action::ManifestDelete, ObjectKind::Manifest, name).within(self.repository.namespace());
        audit::append(tables, &self.caller.actor(), act.event(seq))?;
        Ok(Some(number))
    }
}

impl Registry {
    /// Removes a manifest from a repository, with the tags that name it: in one
    /// commit, or where they are many a slice of tags in each, and the manifest
    /// with the last. Where this ends before that, some tags are gone and all
    /// others can be pulled.
    pub async fn delete_manifest(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
        condition: Condition,
    ) -> Result<(), RegistryError> {
        let (caller, repository) = (caller.clone(), repository.clone());
        let operation = DeleteManifest { caller, repository, digest: *digest, condition };
        let mut lane = Lane::Foreground;
        loop {
            if let Some(number) = self.store().submit(lane, operation.clone()).await?? {
                self.claims().drop_all(&(number, *digest));
                return Ok(());
            }
            // Others need not wait for the rest.
            lane = Lane::Background;
        }
    }
}

/// What keeps a manifest where it is.
enum Lead {
    None,
    /// This tag is of an index that leads to it.
    Tag(Tag),
    /// So many lead to it that nobody looked at all of them.
    Many,
}

/// Whether a tag leads to a manifest through what names it. A subject does not:
/// what is attached to an image can be taken off it.
fn lead(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<Lead, StoreError> {
    let mut seen = HashSet::from([*digest]);
    let mut left = vec![*digest];
    while let Some(at) = left.pop() {
        for above in manifest::parents_in(read, repo, &at, limits::LEADING_MANIFESTS + 1)? {
            if !seen.insert(above) {
                continue;
            }
            if let Some(tag) = tag::of_digest(read, repo, &above, 1)?.pop() {
                return Ok(Lead::Tag(tag));
            }
            // One of them is the manifest itself.
            if seen.len() > limits::LEADING_MANIFESTS + 1 {
                return Ok(Lead::Many);
            }
            left.push(above);
        }
    }
    Ok(Lead::None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::registry::account::NewAccount;
    use crate::registry::manifest::Sent;
    use crate::registry::repository::Settings;
    use crate::store::verify::{Depth, verify};
    use crate::store::{Key, Store, Table, repo};

    /// Says that so many indexes in the first repository name a digest.
    struct Name(Digest, usize);

    impl Operation for Name {
        type Plan = ();
        type Done = ();
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "name";
        const AUDIT: Audit = Audit::Nothing("a test's");

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
            for at in 0..self.1 {
                let index = Digest::sha256_of(&at.to_be_bytes());
                tables.put_mark(Table::Parents, &Key::new().digest(&self.0).digest(&index))?;
                tables.put_mark(Table::RepositoryManifests, &Key::new().repo(RepoId(1)).digest(&index))?;
            }
            Ok(())
        }
    }

    /// Whoever has an image named by a hundred thousand indexes must not have
    /// all of them looked at while others wait.
    #[tokio::test]
    async fn of_very_many_indexes_not_all_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap();
        let digest = Digest::sha256_of(b"an image");
        for (indexes, is_many) in [(limits::LEADING_MANIFESTS, false), (limits::LEADING_MANIFESTS + 1, true)] {
            store.submit(Lane::Foreground, Name(digest, indexes)).await.unwrap().unwrap();
            let found = lead(&store.snapshot().unwrap(), RepoId(1), &digest).unwrap();
            assert_eq!((matches!(found, Lead::None), matches!(found, Lead::Many)), (!is_many, is_many));
        }
        store.close();
    }

    /// A manifest with more than 100,000 tags went with 100,000 of them, in one
    /// commit that held up everybody, and left the others dangling.
    #[tokio::test]
    async fn many_tags_go_before_their_manifest_and_none_dangles_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new(Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap()).unwrap();
        let (name, full_name) = ("ann".to_owned(), String::new());
        let new = NewAccount { name, full_name, is_org: false, is_admin: false, is_active: true, password_hash: None };
        registry.create_account(&Caller::System, new).await.unwrap();
        let repository: RepoName = "ann/app".parse().unwrap();
        registry.create_repository(&Caller::System, &repository, Settings::default()).await.unwrap();
        let number = repo::get(&registry.store().snapshot().unwrap(), &repository).unwrap().unwrap().number;
        let kind = "application/vnd.oci.image.index.v1+json";
        let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[]}}"#).into_bytes();
        let digest = Digest::sha256_of(&bytes);
        let tags: Vec<Tag> = (0..limits::BACKGROUND_ROWS * 2 + 9).map(|at| format!("t{at}").parse().unwrap()).collect();
        for some in tags.chunks(limits::TAG_PARAMETERS) {
            let (bytes, tags) = (bytes.clone(), some.to_vec());
            let sent = Sent { content_type: Some(kind), bytes: bytes.into(), tags, condition: Condition::default() };
            registry.put_manifest(&Caller::System, &repository, &Reference::Digest(digest), sent).await.unwrap();
        }
        let left = || {
            let read = registry.store().snapshot().unwrap();
            let report = verify(&read, registry.store().files(), Depth::Names, &HashSet::new()).unwrap();
            assert!(report.is_clean(), "{:?}", report.findings);
            let tags = read.keys(Table::Tags, &Key::new().repo(number).prefix(), usize::MAX).unwrap();
            (tags.len(), manifest::is_linked(&read, number, &digest).unwrap())
        };
        // What a crash after the first commit leaves.
        let condition = Condition::default();
        let operation = DeleteManifest { caller: Caller::System, repository: repository.clone(), digest, condition };
        let gone = registry.store().submit(Lane::Foreground, operation).await.unwrap().unwrap();
        assert_eq!((gone, left()), (None, (limits::BACKGROUND_ROWS + 9, true)));
        registry.delete_manifest(&Caller::System, &repository, &digest, Condition::default()).await.unwrap();
        assert_eq!(left(), (0, false));
        registry.store().close();
    }
}
