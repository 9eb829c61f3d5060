//! Manifests: put, get. How they are removed stands in `removal`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::access::Level;
use crate::audit::{Action, Audit};
use crate::chance::Id;
use crate::event::{Actor, Cause, Kind};
use crate::limits;
use crate::oci::{Condition, Digest, Links, Manifest, ManifestError, MediaType, Reference, RepoName, Tag, attachment};
use crate::store::file::{BlobFile, FileError, SealError, UploadId};
use crate::store::quarantine::Held;
use crate::store::record::manifest::Bytes as Stored;
use crate::store::record::{ManifestBody, ManifestLinks, Referrer, Repository};
use crate::store::{
    Change, Lane, Operation, Read, RepoId, Snapshot, StoreError, blob, event, hole, manifest, referrer, repo, scrub,
    tag,
};

use super::claims::Claims;
use super::condition::{holds, or_unmet};
use super::quarantine::damaged_in;
use super::quota::{self, Cost};
use super::tag::{Setting, may_change, set};
use super::unnamed::Unnamed;
use super::upload::OwnUpload;
use super::{Caller, Registry, RegistryError, Sparse, depth, tag_limit};

/// A manifest to be stored.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// Where.
    pub repository: RepoName,
    /// What it hashes to; checked.
    pub digest: Digest,
    /// The tags it gets.
    pub tags: Vec<Tag>,
    /// Its bytes.
    pub bytes: Bytes,
    /// What was read from the bytes.
    pub manifest: Manifest,
    /// Who puts it there.
    pub actor: Actor,
    /// Why.
    pub cause: Cause,
    /// Policies that brought it here.
    pub chain: Vec<Id>,
    /// What must hold of every tag that it gets; where it gets none, of itself.
    pub condition: Condition,
}

/// A manifest as a client sends it.
#[derive(Clone, Debug, Default)]
pub struct Sent<'h> {
    /// `Content-Type`.
    pub content_type: Option<&'h str>,
    /// Its bytes.
    pub bytes: Bytes,
    /// Tags beyond the one in the path.
    pub tags: Vec<Tag>,
    /// What must hold of all of its tags; where it gets none, of itself.
    pub condition: Condition,
}

/// A manifest as it is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// What it hashes to.
    pub digest: Digest,
    /// Its kind.
    pub kind: MediaType,
    /// Its length in bytes.
    pub size: u64,
    /// Where it was asked for.
    repository: RepoId,
    /// Where its bytes are.
    body: Stored,
}

/// How much of what a manifest names is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// So many are not there.
    pub count: usize,
    /// Of so many.
    pub named: usize,
}

struct PutManifest {
    caller: Caller,
    new: NewManifest,
    /// The file with the bytes, when they are too many for the database.
    file: Option<Unnamed>,
    absence: Absence,
}

/// What a manifest that was put has come to.
struct Put {
    /// It brought back what was damaged.
    healed: bool,
    /// Where it is.
    at: RepoId,
    /// It has a tag that was not there and that a tag limit counts.
    has_new_tag: bool,
}

/// What a manifest may name that is not there.
struct Absence {
    sparse: Sparse,
    claims: Claims,
    now: tokio::time::Instant,
}

impl Absence {
    /// Whether a layer may be absent: never one that a client was told is here,
    /// and that was collected since.
    fn takes_layer(&self, repo: RepoId, digest: &Digest) -> bool {
        self.sparse == Sparse::Images && !self.was_told(repo, digest)
    }

    /// The same of an entry of an index.
    fn takes_entry(&self, repo: RepoId, digest: &Digest) -> bool {
        self.sparse != Sparse::Refused && !self.was_told(repo, digest)
    }

    fn was_told(&self, repo: RepoId, digest: &Digest) -> bool {
        self.claims.was_told(&(repo, *digest), self.now, limits::CLAIM)
    }
}

impl Operation for PutManifest {
    type Plan = Repository;
    type Done = Put;
    type Refusal = RegistryError;
    const NAME: &'static str = "put manifest";
    const AUDIT: Audit = Audit::Acts(&[Action::TagPush, Action::TagPull]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Repository, RegistryError>, StoreError> {
        let (name, condition, places) = (&self.new.repository, &self.new.condition, self.new.places());
        self.file.iter().for_each(|file| file.set_named(false));
        let repository = match self.caller.require(tables, name, Level::ReadWrite)? {
            Ok(repository) => repository,
            Err(refusal) => return Ok(Err(or_unmet(refusal, condition, &places[0]))),
        };
        for place in &places {
            if let Err(refusal) = holds(tables, condition, (name, &repository), place)? {
                return Ok(Err(refusal));
            }
        }
        if let Err(refusal) = check_links(tables, (name, repository.number), &self.new.manifest.links, &self.absence)? {
            return Ok(Err(refusal));
        }
        let NewManifest { digest, manifest, .. } = &self.new;
        if let Err(refusal) = depth::check(tables, repository.number, digest, &manifest.links)? {
            return Ok(Err(refusal));
        }
        let mut new_tags = 0;
        for tag in &self.new.tags {
            if let Err(refusal) = may_change(tables, (name, &repository), tag, Some(&self.new.digest))? {
                return Ok(Err(refusal));
            }
            new_tags += u64::from(tag::get(tables, repository.number, tag)?.is_none());
        }
        if let Err(refusal) = tag_limit::has_room(tables, (name, &repository), new_tags)? {
            return Ok(Err(refusal));
        }
        if let Err(refusal) = tag_limit::takes((name, &repository), &self.new.tags) {
            return Ok(Err(refusal));
        }
        let cost = || Cost::of_manifest(tables, repository.number, digest, self.new.bytes.len() as u64);
        Ok(quota::fits(tables, (name, repository.number), cost)?.map(|()| repository))
    }

    fn apply(&self, repository: Repository, tables: &mut Change<'_>) -> Result<Put, StoreError> {
        let (mut healed, mut has_new_tag) = (false, false);
        let (new, number) = (&self.new, repository.number);
        let size = new.bytes.len() as u64;
        self.file.iter().for_each(|file| file.set_named(true));
        if manifest::body(tables, &new.digest)?.is_none() {
            let bytes = match &self.file {
                Some(file) => Stored::File(file.file().upload),
                None => Stored::Inline(new.bytes.to_vec()),
            };
            let body = ManifestBody { kind: new.manifest.kind, size, bytes };
            let links =
                ManifestLinks { links: new.manifest.links.clone(), artifact_type: new.manifest.artifact_type.clone() };
            healed = manifest::put(tables, &new.digest, &body, &links)?;
        } else if let Some(file) = &self.file {
            blob::drop_file(tables, &new.digest, file.file().upload)?;
        }
        let subject = new.manifest.links.subject;
        if let Some(subject) = subject {
            let row = Referrer::from_descriptor(&new.manifest.descriptor(new.digest, size));
            referrer::put(tables, number, &subject, &new.digest, &row)?;
        }
        if manifest::link(tables, number, &new.digest)? {
            let kind = Kind::ManifestLinked { digest: new.digest, subject };
            event::append(tables, new.actor.clone(), (number, &new.repository), kind)?;
        }
        for tag in &new.tags {
            let setting = Setting {
                digest: new.digest,
                kind: new.manifest.kind,
                size,
                actor: new.actor.clone(),
                cause: new.cause.clone(),
                chain: new.chain.clone(),
            };
            let value = set(tables, (&new.repository, &repository), tag, setting)?;
            has_new_tag |= value.previous.is_none() && !attachment::is_one(tag);
        }
        if new.cause == Cause::Push && !new.tags.is_empty() {
            repo::count(tables, number, 0, 1)?;
        }
        Ok(Put { healed, at: number, has_new_tag })
    }
}

impl NewManifest {
    /// What the condition is about; never empty.
    fn places(&self) -> Vec<Reference> {
        if self.tags.is_empty() {
            return vec![Reference::Digest(self.digest)];
        }
        self.tags.iter().cloned().map(Reference::Tag).collect()
    }
}

impl Registry {
    /// Refuses a manifest whose caller may not put it there, whatever it is.
    pub fn may_put_manifest(
        &self,
        caller: &Caller,
        repository: &RepoName,
        reference: &Reference,
        condition: &Condition,
    ) -> Result<(), RegistryError> {
        let allowed = caller.require(&self.store().snapshot()?, repository, Level::ReadWrite)?;
        allowed.map(drop).map_err(|refusal| or_unmet(refusal, condition, reference))
    }

    /// Stores what a client sent: checks bytes, digest and links, and sets the
    /// tags, all in one commit. The digest it is served under.
    pub async fn put_manifest(
        &self,
        caller: &Caller,
        repository: &RepoName,
        reference: &Reference,
        sent: Sent<'_>,
    ) -> Result<(Digest, Option<Digest>), RegistryError> {
        let Sent { content_type, bytes, tags, condition } = sent;
        // Rights come before anything is told about the content.
        self.may_put_manifest(caller, repository, reference, &condition)?;
        let manifest = Manifest::parse(&bytes, content_type)?;
        let (digest, mut all) = match reference {
            Reference::Tag(tag) => (Digest::sha256_of(&bytes), vec![tag.clone()]),
            Reference::Digest(expected) => {
                let found = Digest::of(expected.algorithm(), &bytes);
                if found != *expected {
                    return Err(RegistryError::DigestMismatch { expected: *expected, found });
                }
                (found, Vec::new())
            }
        };
        // One that is named twice is set once.
        for tag in tags {
            if !all.contains(&tag) {
                all.push(tag);
            }
        }
        let subject = manifest.links.subject;
        let new = NewManifest {
            repository: repository.clone(),
            digest,
            tags: all,
            bytes,
            manifest,
            actor: caller.actor(),
            cause: Cause::Push,
            chain: Vec::new(),
            condition,
        };
        self.store_manifest(caller, new).await?;
        Ok((digest, subject))
    }

    /// Stores a manifest whose digest is known to be right: what a client's
    /// push and a pull mirror have in common.
    pub async fn store_manifest(&self, caller: &Caller, new: NewManifest) -> Result<(), RegistryError> {
        let file = self.write_large(&new.digest, &new.bytes).await?;
        let held = Held::manifest(new.digest);
        // What the daemon brings itself it brings whole.
        let sparse = match (&new.cause, self.0.options.sparse) {
            (Cause::Push, sparse) => sparse,
            (_, Sparse::Images) => Sparse::Indexes,
            (_, sparse) => sparse,
        };
        let absence = Absence { sparse, claims: self.claims().clone(), now: self.store().clock().monotonic() };
        let relied_on = relied_on(&new.manifest.links);
        if new.tags.is_empty() {
            // An index will name it, or a tag will be set to it.
            self.note_claim(caller, &new.repository, &new.digest)?;
        }
        let repository = new.repository.clone();
        // A clone stays here, so that a file that was refused is not removed by
        // the writer's thread.
        let operation = PutManifest { caller: caller.clone(), new, file: file.clone(), absence };
        let Put { healed, at, has_new_tag } = self.store().submit(Lane::Foreground, operation).await??;
        drop(file);
        self.claims().fulfil(relied_on.into_iter().map(|digest| (at, digest)));
        self.tell_healed(held, healed, "a push");
        if has_new_tag {
            tag_limit::keep(self.store(), &repository).await;
        }
        Ok(())
    }

    /// Writes a manifest that is too large for the database into a file of its
    /// own; none when it is not too large.
    pub(super) async fn write_large(&self, digest: &Digest, bytes: &Bytes) -> Result<Option<Unnamed>, RegistryError> {
        if bytes.len() <= limits::MANIFEST_INLINE_BYTES {
            return Ok(None);
        }
        let id = UploadId::new(self.store().chance());
        let own = OwnUpload::new(self.sessions(), id);
        let (files, bytes, digest) = (self.store().files().clone(), bytes.clone(), *digest);
        let write = move || {
            let sealed = files.write_small(&digest, &bytes, id)?;
            Ok(Unnamed::new(files, sealed.file, own))
        };
        match crate::lifecycle::blocking(write).await {
            Ok(file) => Ok(Some(file)),
            Err(SealError::Mismatch { found }) => Err(RegistryError::DigestMismatch { expected: digest, found }),
            Err(SealError::File(error)) => {
                if error.is_fatal() {
                    self.store().writer().stop(&error);
                }
                Err(error.into())
            }
        }
    }

    /// As [`Registry::manifest`], for a caller that asks whether it is here (HEAD)
    /// and that will not send it when it is.
    pub fn manifest_told(
        &self,
        caller: &Caller,
        repository: &RepoName,
        reference: &Reference,
    ) -> Result<Served, RegistryError> {
        if let Reference::Digest(digest) = reference {
            let read = self.store().snapshot()?;
            let number = caller.require(&read, repository, Level::ReadOnly)??.number;
            if manifest::is_linked(&read, number, digest)?
                && !self.is_told(&read, caller, (repository, number), digest)?
            {
                let (reference, repository) = (reference.clone(), repository.clone());
                return Err(RegistryError::ManifestUnknown { reference, repository });
            }
        }
        self.manifest(caller, repository, reference)
    }

    /// A manifest that the caller may read: kind, length and digest. Its bytes
    /// come from [`Registry::manifest_bytes`].
    pub fn manifest(
        &self,
        caller: &Caller,
        repository: &RepoName,
        reference: &Reference,
    ) -> Result<Served, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let unknown =
            || RegistryError::ManifestUnknown { reference: reference.clone(), repository: repository.clone() };
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(name) => tag::get(&read, record.number, name)?.ok_or_else(unknown)?.digest,
        };
        let held = Held::manifest(digest);
        let body = match manifest::body_in(&read, record.number, &digest)? {
            Some(body) => body,
            None if damaged_in(&read, record.number, &held)? => {
                return Err(RegistryError::Quarantined { held });
            }
            None => return Err(unknown()),
        };
        Ok(Served { digest, kind: body.kind, size: body.size, repository: record.number, body: body.bytes })
    }

    /// What a manifest that may be sparse names and that is not in `repository`;
    /// `None` when all of it is.
    pub fn absent(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
    ) -> Result<Option<Absent>, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let Some(links) = manifest::links(&read, digest)?.map(|record| record.links) else { return Ok(None) };
        let mut found = Absent { count: 0, named: links.blobs().count() + links.children.len() };
        for named in links.blobs().map(|link| link.digest).chain(links.children.iter().map(|child| child.digest)) {
            if hole::is_known(&read, record.number, &named, digest)? {
                found.count += 1;
            }
        }
        Ok((found.count > 0).then_some(found))
    }

    /// The bytes of a manifest that was found. That of an image counts as a
    /// pull.
    pub async fn manifest_bytes(&self, served: Served) -> Result<Vec<u8>, RegistryError> {
        let bytes = read_body(self, &served.digest, served.size, served.body).await?;
        if !served.kind.is_index() {
            self.store().pulls().add(served.repository);
        }
        Ok(bytes)
    }

    /// The bytes and kind of a manifest in one repository, for the daemon's
    /// own work; `None` when it is not there.
    pub async fn manifest_of(
        &self,
        repo: RepoId,
        digest: &Digest,
    ) -> Result<Option<(MediaType, Vec<u8>)>, RegistryError> {
        let found = manifest::body_in(&self.store().snapshot()?, repo, digest)?;
        match found {
            Some(body) => Ok(Some((body.kind, read_body(self, digest, body.size, body.bytes).await?))),
            None => Ok(None),
        }
    }

    /// The bytes of a manifest, which hash to its digest: they are few, so each
    /// reading is hashed. Blocks where they are in a file.
    pub(super) fn read_now(&self, digest: &Digest, size: u64, body: Stored) -> Result<Vec<u8>, RegistryError> {
        let held = Held::manifest(*digest);
        let bytes = match body {
            Stored::Inline(bytes) => bytes,
            Stored::File(upload) => {
                let file = BlobFile { digest: *digest, upload };
                let read = || -> Result<Vec<u8>, FileError> {
                    let reader = self.store().files().open_blob(&file, size)?.ok_or_else(|| FileError::gone(&file))?;
                    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(limits::MANIFEST_BYTES)];
                    reader.read_exact_at(&mut bytes, 0)?;
                    Ok(bytes)
                };
                read().map_err(|error| self.flawed(held, error))?
            }
        };
        match scrub::flaw(digest, &bytes) {
            None => Ok(bytes),
            Some(flaw) => Err(self.altered(held, &flaw)),
        }
    }

    /// The digests of a repository's manifests, at most `limit`.
    pub fn manifests(
        &self,
        caller: &Caller,
        repository: &RepoName,
        limit: usize,
    ) -> Result<Vec<Digest>, RegistryError> {
        let read: Snapshot = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mut found = Vec::new();
        manifest::walk(&read, record.number, None, |digest| {
            found.push(digest);
            Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }
}

/// What a client may have been told is here before it put a manifest.
fn relied_on(links: &Links) -> BTreeSet<Digest> {
    let children = links.children.iter().map(|child| child.digest);
    links.blobs().map(|link| link.digest).chain(children).chain(links.subject).collect()
}

/// Whether what a manifest names is there (blobs that it needs) and as long as
/// it says (all that is there). A client checks lengths when it pulls, so a
/// wrong one makes an image that nobody can pull.
fn check_links(
    read: &impl Read,
    (name, number): (&RepoName, RepoId),
    links: &Links,
    absence: &Absence,
) -> Result<Result<(), RegistryError>, StoreError> {
    let wrong = |digest, stated, found| Ok(Err(ManifestError::Size { digest, stated, found }.into()));
    // An image without any of its layers is not sparse but a mistake.
    let mut has_layer = false;
    for link in &links.layers {
        has_layer = has_layer || blob::is_linked(read, number, &link.digest)?;
    }
    for link in links.blobs() {
        match blob::get_in(read, number, &link.digest)? {
            Some(blob) if blob.size != link.size => return wrong(link.digest, link.size, blob.size),
            Some(_) => {}
            // What an image is cannot be told without its configuration.
            // Damaged is not absent: the client is asked for it, and heals it.
            None if links.config.is_none_or(|config| config.digest != link.digest)
                && has_layer
                && absence.takes_layer(number, &link.digest)
                && !damaged_in(read, number, &Held::blob(link.digest))? => {}
            None => {
                let (digest, repository) = (link.digest, name.clone());
                return Ok(Err(RegistryError::ManifestBlobUnknown { digest, repository }));
            }
        }
    }
    for link in &links.foreign {
        if let Some(blob) = blob::get_in(read, number, &link.digest)?.filter(|blob| blob.size != link.size) {
            return wrong(link.digest, link.size, blob.size);
        }
    }
    for child in &links.children {
        let (held, found) = if child.is_manifest {
            let body = manifest::body_in(read, number, &child.digest)?;
            (Held::manifest(child.digest), body.map(|body| body.size))
        } else {
            (Held::blob(child.digest), blob::get_in(read, number, &child.digest)?.map(|blob| blob.size))
        };
        match found {
            Some(found) if found != child.size => return wrong(child.digest, child.size, found),
            Some(_) => {}
            None if absence.takes_entry(number, &child.digest) && !damaged_in(read, number, &held)? => {}
            None => {
                let (digest, repository) = (child.digest, name.clone());
                return Ok(Err(RegistryError::ManifestBlobUnknown { digest, repository }));
            }
        }
    }
    Ok(Ok(()))
}

/// The bytes of a manifest, on the blocking pool where they are in a file.
async fn read_body(registry: &Registry, digest: &Digest, size: u64, body: Stored) -> Result<Vec<u8>, RegistryError> {
    match body {
        Stored::Inline(_) => registry.read_now(digest, size, body),
        Stored::File(_) => {
            let (registry, digest) = (registry.clone(), *digest);
            crate::lifecycle::blocking(move || registry.read_now(&digest, size, body)).await
        }
    }
}

/// Whether `repository` holds everything that `digest` names, itself included.
pub fn is_complete(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
    if !manifest::is_readable(read, repo, digest)? {
        return Ok(false);
    }
    let Some(record) = manifest::links(read, digest)? else { return Ok(false) };
    for link in record.links.blobs() {
        if !blob::is_readable(read, repo, &link.digest)? {
            return Ok(false);
        }
    }
    Ok(true)
}
