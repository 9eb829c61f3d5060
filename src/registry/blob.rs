//! Blobs: read, link, mount, delete.

use crate::access::{self, Level};
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::oci::{Digest, RepoName};
use crate::store::file::{BlobFile, BlobReader, FileError, Sealed};
use crate::store::quarantine::Held;
use crate::store::record::Repository;
use crate::store::{Announced, Change, Lane, Operation, RepoId, Snapshot, StoreError, audit, blob, manifest};

use super::quarantine::damaged_in;
use super::quota::{self, Cost};
use super::unnamed::Unnamed;
use super::{Caller, Registry, RegistryError};

/// Names a sealed upload and makes it readable where it was sent.
struct LinkUpload {
    caller: Caller,
    repository: RepoName,
    sealed: Sealed,
    file: Unnamed,
}

impl Operation for LinkUpload {
    type Plan = Repository;
    /// Whether it brought back what was damaged.
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "link upload";
    const AUDIT: Audit = Audit::Nothing("a blob means nothing until a manifest names it");

    fn check(&self, tables: &Change<'_>) -> Result<Result<Repository, RegistryError>, StoreError> {
        self.file.set_named(false);
        let repository = match self.caller.require(tables, &self.repository, Level::ReadWrite)? {
            Ok(repository) => repository,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let cost = || Cost::of_blob(tables, repository.number, &self.sealed.digest, self.sealed.size);
        Ok(quota::fits(tables, (&self.repository, repository.number), cost)?.map(|()| repository))
    }

    fn apply(&self, repository: Repository, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        self.file.set_named(true);
        let healed = blob::name(tables, &self.sealed.digest, self.sealed.size, self.sealed.file.upload)?;
        blob::link(tables, repository.number, &self.sealed.digest)?;
        Ok(healed)
    }
}

/// Makes a blob of one repository readable in another.
struct Mount {
    caller: Caller,
    /// Where from; none: anywhere the caller may read.
    source: Option<RepoName>,
    target: RepoName,
    digest: Digest,
}

/// Most repositories that are looked through for a blob without `from`.
const MOUNT_LOOKS: usize = 64;

impl Operation for Mount {
    type Plan = Option<Repository>;
    /// Whether the blob is readable in the target now.
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "mount blob";
    const AUDIT: Audit = Audit::Nothing("a blob means nothing until a manifest names it");

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let target = match self.caller.require(tables, &self.target, Level::ReadWrite)? {
            Ok(target) => target,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // What is damaged is not to be had: the client sends it, and heals it.
        if blob::is_readable(tables, target.number, &self.digest)? {
            return Ok(Ok(Some(target)));
        }
        let sources = match &self.source {
            Some(name) => vec![name.clone()],
            None => {
                let mut names = Vec::new();
                for number in blob::repositories(tables, &self.digest, MOUNT_LOOKS)? {
                    names.extend(crate::store::repo::name_of(tables, number)?);
                }
                names
            }
        };
        for name in sources {
            // No hint whether it was the right or the blob that was missing.
            if let Ok(source) = self.caller.require(tables, &name, Level::ReadOnly)?
                && blob::is_readable(tables, source.number, &self.digest)?
            {
                let cost = || Cost::of_link(tables, target.number, &Held::blob(self.digest));
                return Ok(quota::fits(tables, (&self.target, target.number), cost)?.map(|()| Some(target)));
            }
        }
        Ok(Ok(None))
    }

    fn apply(&self, target: Option<Repository>, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        match target {
            Some(target) => blob::link(tables, target.number, &self.digest).map(|()| true),
            None => Ok(false),
        }
    }
}

/// Makes a blob unreadable in one repository.
struct DeleteBlob {
    caller: Caller,
    repository: RepoName,
    digest: Digest,
}

impl Operation for DeleteBlob {
    type Plan = Repository;
    /// Where it was.
    type Done = RepoId;
    type Refusal = RegistryError;
    const NAME: &'static str = "delete blob";
    const AUDIT: Audit = Audit::Acts(&[Action::BlobDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Repository, RegistryError>, StoreError> {
        let repository = match self.caller.require(tables, &self.repository, access::Action::Delete)? {
            Ok(repository) => repository,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (digest, name) = (self.digest, || self.repository.clone());
        if !blob::is_linked(tables, repository.number, &digest)? {
            return Ok(Err(RegistryError::BlobUnknown { digest, repository: name() }));
        }
        if manifest::is_named_in(tables, repository.number, &digest)? {
            return Ok(Err(RegistryError::StillNamed { digest, repository: name() }));
        }
        Ok(Ok(repository))
    }

    fn apply(&self, repository: Repository, tables: &mut Change<'_>) -> Result<RepoId, StoreError> {
        blob::unlink(tables, repository.number, &self.digest)?;
        let name = format_args!("{}@{}", self.repository, self.digest);
        let act = Act::new(Action::BlobDelete, ObjectKind::Blob, name).within(self.repository.namespace());
        audit::append(tables, &self.caller.actor(), act)?;
        Ok(repository.number)
    }
}

impl Registry {
    /// The length of a blob that the caller may read. One that is damaged is not
    /// there for whoever asks this: a client that pushes then sends it.
    pub fn blob_size(&self, caller: &Caller, repository: &RepoName, digest: &Digest) -> Result<u64, RegistryError> {
        let unknown = || RegistryError::BlobUnknown { digest: *digest, repository: repository.clone() };
        let number = {
            let read = self.store().snapshot()?;
            let record = caller.require(&read, repository, Level::ReadOnly)??;
            let is_there = blob::is_linked(&read, record.number, digest)?;
            if is_there && !self.is_told(&read, caller, (repository, record.number), digest)? {
                return Err(unknown());
            }
            record.number
        };
        let found = blob::get_in(&self.store().snapshot()?, number, digest)?;
        found.map(|blob| blob.size).ok_or_else(unknown)
    }

    /// Tells a caller that something is here: who may push will not send it, and
    /// has a claim on it. The claim goes before the look, so that no collection
    /// comes between; false when it is being collected.
    pub(super) fn is_told(
        &self,
        read: &Snapshot,
        caller: &Caller,
        (repository, number): (&RepoName, RepoId),
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        if caller.require(read, repository, Level::ReadWrite)?.is_err() {
            return Ok(true);
        }
        Ok(self.claims().claim((number, *digest), caller.account_id(), self.store().clock().monotonic()))
    }

    /// A reader over a blob that the caller may read.
    pub fn open_blob(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
    ) -> Result<BlobReader, RegistryError> {
        let read = self.store().snapshot()?;
        let (file, size) = find(&read, caller, repository, digest)?;
        let opened = self.store().files().open_blob(&file, size);
        let gone = || FileError::gone(&file);
        opened.and_then(|reader| reader.ok_or_else(gone)).map_err(|error| self.flawed(Held::blob(*digest), error))
    }

    /// Claims a blob or an entry for whoever is bringing it: the manifest that
    /// names it comes next.
    pub(super) fn note_claim(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        if let Some(record) = crate::store::repo::get(&self.store().snapshot()?, repository)? {
            self.claims().note((record.number, *digest), caller.account_id(), self.store().clock().monotonic());
        }
        Ok(())
    }

    /// Names a sealed upload and links it into `repository`.
    pub(super) async fn link_upload(
        &self,
        caller: &Caller,
        repository: &RepoName,
        (sealed, file): (Sealed, Unnamed),
        announced: Option<Announced>,
    ) -> Result<(), RegistryError> {
        self.note_claim(caller, repository, &sealed.digest)?;
        // A clone stays here, so that a file that was refused is not removed by
        // the writer's thread.
        let (caller, repository, named) = (caller.clone(), repository.clone(), file.clone());
        let operation = LinkUpload { caller, repository, sealed, file: named };
        let answer = self.store().submit_announced(operation, announced).await?;
        self.tell_healed(Held::blob(sealed.digest), answer?, "an upload");
        drop(file);
        Ok(())
    }

    /// Makes a blob that the caller may read in `source` (none: anywhere)
    /// readable in `target`; false when there was none to be had.
    pub async fn mount(
        &self,
        caller: &Caller,
        source: Option<&RepoName>,
        target: &RepoName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        // Who may not push here has no claim on anything here.
        let place = (caller.require(&self.store().snapshot()?, target, Level::ReadWrite)??.number, *digest);
        self.claims().note(place, caller.account_id(), self.store().clock().monotonic());
        let operation =
            Mount { caller: caller.clone(), source: source.cloned(), target: target.clone(), digest: *digest };
        let mounted = self.store().submit(Lane::Foreground, operation).await?;
        if !matches!(mounted, Ok(true)) {
            // It is not here, so nobody relies on it; an upload claims it anew.
            self.claims().fulfil([place]);
        }
        mounted
    }

    /// Makes a blob unreadable in a repository. The bytes go with collection.
    pub async fn delete_blob(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let operation = DeleteBlob { caller: caller.clone(), repository: repository.clone(), digest: *digest };
        let number = self.store().submit(Lane::Foreground, operation).await??;
        self.claims().drop_all(&(number, *digest));
        Ok(())
    }
}

/// The file and size of a blob that is readable in `repository`.
fn find(
    read: &Snapshot,
    caller: &Caller,
    repository: &RepoName,
    digest: &Digest,
) -> Result<(BlobFile, u64), RegistryError> {
    let record = caller.require(read, repository, Level::ReadOnly)??;
    let held = Held::blob(*digest);
    match blob::get_in(read, record.number, digest)? {
        Some(blob) => Ok((BlobFile { digest: *digest, upload: blob.upload }, blob.size)),
        None if damaged_in(read, record.number, &held)? => Err(RegistryError::Quarantined { held }),
        None => Err(RegistryError::BlobUnknown { digest: *digest, repository: repository.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::limits;
    use crate::registry::account::NewAccount;
    use crate::registry::repository::Settings;
    use crate::store::{Store, account, repo};

    /// Anyone with a name could keep anything from being collected, in
    /// repositories that it may not even see, by asking for it again and again.
    #[tokio::test]
    async fn a_mount_that_is_refused_claims_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        for name in ["ann", "dev"] {
            let (name, full_name) = (name.to_owned(), String::new());
            let new =
                NewAccount { name, full_name, is_org: false, is_admin: false, is_active: true, password_hash: None };
            registry.create_account(&Caller::System, new).await.expect("is made");
        }
        let name: RepoName = "dev/x".parse().expect("a name");
        registry.create_repository(&Caller::System, &name, Settings::default()).await.expect("is made");
        let read = registry.store().snapshot().expect("reads");
        let ann = account::get(&read, "ann").expect("reads").expect("is there");
        let place = (repo::get(&read, &name).expect("reads").expect("is there").number, Digest::sha256_of(b"x"));
        let is_claimed = || registry.claims().is_claimed(&place, registry.store().clock().monotonic(), limits::CLAIM);
        let stranger = Caller::account_of(ann.id, "ann".to_owned());
        let refused = registry.mount(&stranger, None, &name, &place.1).await;
        assert!(matches!(refused, Err(RegistryError::RepositoryUnknown { .. })), "{refused:?}");
        assert!(!is_claimed());
        assert!(!registry.mount(&Caller::System, None, &name, &place.1).await.expect("is answered"));
        assert!(!is_claimed(), "what is not there is nothing to rely on");
    }
}
