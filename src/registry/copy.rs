//! Moving an image to another repository here: its whole closure becomes
//! readable there, and its tag is set, in one transaction and without copying
//! a byte.
//!
//! The closure of a manifest is the manifest, its entries (recursively), the
//! blobs of all of them, and everything attached to any of them: referrers,
//! and the tags under which older tools keep signatures (`sha256-<hex>.sig`,
//! `.att`, `.sbom`) and referrers (`sha256-<hex>`).

use std::collections::{BTreeSet, HashSet};

use crate::access::Level;
use crate::audit::{Action, Audit};
use crate::chance::Id;
use crate::event::{Actor, Cause, Kind};
use crate::limits;
use crate::oci::{Digest, Reference, RepoName, Tag, attachment};
use crate::store::quarantine::{self, Held};
use crate::store::record::{Repository, TagValue};
use crate::store::{Change, Lane, Operation, Read, RepoId, StoreError, blob, event, manifest, referrer, tag};

use super::quota::{self, Cost};
use super::tag::{Setting, may_change, set};
use super::trail::came_through;
use super::{Caller, Registry, RegistryError, tag_limit};

/// Everything that moves with a manifest, as one repository has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// The manifests: entries before the index that names them, the root after
    /// its entries, and what is attached after what it is attached to.
    pub manifests: Vec<Digest>,
    /// The blobs of all of them that the repository has.
    pub blobs: BTreeSet<Digest>,
    /// Tags that stand for attachments in the older scheme.
    pub attachments: Vec<(Tag, Digest)>,
    /// What one of the manifests needs and cannot be had.
    pub lacks: Option<Lack>,
}

/// What keeps an image from being passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A blob that the repository has not.
    Absent(Digest),
    /// A blob or manifest whose bytes are damaged.
    Damaged(Held),
}

/// Collects the closure of `root` in `repo`. Entries that the repository does
/// not have are holes of a sparse index and are left out.
pub fn closure(read: &impl Read, repo: RepoId, root: &Digest) -> Result<Result<Closure, RegistryError>, StoreError> {
    let mut found = Closure::default();
    let mut seen = HashSet::new();
    // A manifest is met twice: before its entries (to queue them) and after
    // (to be listed). Attachments are queued when it is listed.
    let mut work = vec![(*root, false)];
    let mut later = Vec::new();
    loop {
        let Some((digest, entered)) = work.pop() else {
            match later.pop() {
                Some(digest) => work.push((digest, false)),
                None => return Ok(Ok(found)),
            }
            continue;
        };
        if entered {
            found.manifests.push(digest);
            let room = limits::CLOSURE_MANIFESTS + 1 - found.manifests.len().min(limits::CLOSURE_MANIFESTS);
            later.extend(referrer::digests(read, repo, &digest, room)?);
            for (name, value) in attached_tags(read, repo, &digest)? {
                later.push(value.digest);
                found.attachments.push((name, value.digest));
            }
            continue;
        }
        if !seen.insert(digest) || !manifest::is_linked(read, repo, &digest)? {
            continue;
        }
        if seen.len() > limits::CLOSURE_MANIFESTS {
            return Ok(Err(RegistryError::ClosureTooLarge { digest: *root }));
        }
        let Some(record) = manifest::links(read, &digest)? else { continue };
        if quarantine::has(read, &Held::manifest(digest))? {
            found.lacks = Some(Lack::Damaged(Held::manifest(digest)));
        }
        work.push((digest, true));
        for child in record.links.children.iter().rev() {
            if child.is_manifest {
                work.push((child.digest, false));
            } else {
                found.take(read, repo, &child.digest)?;
            }
        }
        for link in record.links.blobs() {
            if !found.take(read, repo, &link.digest)? {
                found.lacks = found.lacks.or(Some(Lack::Absent(link.digest)));
            }
        }
        for link in &record.links.foreign {
            found.take(read, repo, &link.digest)?;
        }
    }
}

impl Closure {
    /// Whether the quotas leave room for what of it a repository has not.
    pub fn fits(&self, read: &impl Read, place: (&RepoName, RepoId)) -> Result<Result<(), RegistryError>, StoreError> {
        let cost = || {
            let mut cost = Cost::default();
            let blobs = self.blobs.iter().copied().map(Held::blob);
            for held in blobs.chain(self.manifests.iter().copied().map(Held::manifest)) {
                cost += Cost::of_link(read, place.1, &held)?;
            }
            Ok(cost)
        };
        quota::fits(read, place, cost)
    }

    /// Takes a blob with it, if the repository links it; whether it does.
    fn take(&mut self, read: &impl Read, repo: RepoId, digest: &Digest) -> Result<bool, StoreError> {
        if !blob::is_linked(read, repo, digest)? {
            return Ok(false);
        }
        if self.blobs.insert(*digest) && quarantine::has(read, &Held::blob(*digest))? {
            self.lacks = Some(Lack::Damaged(Held::blob(*digest)));
        }
        Ok(true)
    }
}

/// The tags of the older scheme that stand for what is attached to `digest`.
fn attached_tags(read: &impl Read, repo: RepoId, digest: &Digest) -> Result<Vec<(Tag, TagValue)>, StoreError> {
    let mut found = Vec::new();
    for name in attachment::tags(digest) {
        if let Some(value) = tag::get(read, repo, &name)? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// What is to be promoted, where to, by whom.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// Where it is.
    pub source: RepoName,
    /// The tag there.
    pub tag: Tag,
    /// What is moved: the tag was resolved once, and this is it.
    pub digest: Digest,
    /// Where it goes.
    pub target: RepoName,
    /// The tag there.
    pub target_tag: Tag,
    /// The policy; none by hand.
    pub policy: Option<Id>,
    /// Policies passed before, oldest first.
    pub chain: Vec<Id>,
}

/// What a promotion needs to be applied.
pub struct Checked {
    source: Repository,
    target: Repository,
    value: TagValue,
    closure: Closure,
}

impl Promotion {
    /// Whether `caller` may do it, and whether the target takes it.
    pub fn check(&self, read: &impl Read, caller: &Caller) -> Result<Result<Checked, RegistryError>, StoreError> {
        let source = match caller.require(read, &self.source, Level::ReadOnly)? {
            Ok(source) => source,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let target = match caller.require(read, &self.target, Level::ReadWrite)? {
            Ok(target) => target,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(value) = tag::get(read, source.number, &self.tag)?.filter(|value| value.digest == self.digest) else {
            let reference = Reference::Tag(self.tag.clone());
            return Ok(Err(RegistryError::ManifestUnknown { reference, repository: self.source.clone() }));
        };
        if let Err(refusal) = may_change(read, (&self.target, &target), &self.target_tag, Some(&self.digest))? {
            return Ok(Err(refusal));
        }
        Ok(match closure(read, source.number, &self.digest)? {
            // An image that lacks a layer is nothing to pass on.
            Ok(Closure { lacks: Some(Lack::Absent(digest)), .. }) => {
                Err(RegistryError::ManifestBlobUnknown { digest, repository: self.source.clone() })
            }
            Ok(Closure { lacks: Some(Lack::Damaged(held)), .. }) => Err(RegistryError::Quarantined { held }),
            Err(refusal) => Err(refusal),
            Ok(closure) => {
                closure.fits(read, (&self.target, target.number))?.map(|()| Checked { source, target, value, closure })
            }
        })
    }

    /// Links the closure into the target and sets the tag there; whether the
    /// tag moved. Where a policy finds the image under its tag already, what
    /// was attached since follows and the tag is left alone: setting it again
    /// would send the same image through the policies of the target again. A
    /// person's act is a new one.
    pub fn apply(&self, checked: Checked, actor: Actor, change: &mut Change<'_>) -> Result<bool, StoreError> {
        let Checked { source, target, value, closure } = checked;
        let place = (&self.target, &target);
        let stands = tag::get(change, target.number, &self.target_tag)?;
        let is_there = self.policy.is_some() && stands.is_some_and(|stands| stands.digest == self.digest);
        link_closure(change, source.number, place, &closure, &actor)?;
        let cause = Cause::Promotion { policy: self.policy, repository: self.source.clone(), tag: self.tag.clone() };
        let mut chain = self.chain.clone();
        chain.extend(self.policy);
        // Attachments keep their tags. Back in a repository that the image
        // came through, what stands there is the same or newer.
        let came_back = self.policy.is_some()
            && came_through(change, &value)?.iter().any(|(repository, _)| *repository == self.target);
        for (name, digest) in &closure.attachments {
            let stands = tag::get(change, target.number, name)?;
            if stands.as_ref().is_some_and(|value| came_back || value.digest == *digest)
                || may_change(change, place, name, Some(digest))?.is_err()
            {
                continue;
            }
            let Some(body) = manifest::body(change, digest)? else { continue };
            let (kind, size) = (body.kind, body.size);
            let setting = Setting {
                digest: *digest,
                kind,
                size,
                actor: actor.clone(),
                cause: cause.clone(),
                chain: chain.clone(),
            };
            set(change, place, name, setting)?;
        }
        if is_there {
            return Ok(false);
        }
        let promoted = Kind::Promoted {
            policy: self.policy,
            tag: self.tag.clone(),
            digest: self.digest,
            target: self.target.clone(),
            target_tag: self.target_tag.clone(),
        };
        event::append(change, actor.clone(), (source.number, &self.source), promoted)?;
        let setting = Setting { digest: self.digest, kind: value.kind, size: value.size, actor, cause, chain };
        set(change, place, &self.target_tag, setting)?;
        Ok(true)
    }
}

/// Makes everything of a closure readable in `target`.
pub fn link_closure(
    change: &mut Change<'_>,
    source: RepoId,
    target: (&RepoName, &Repository),
    closure: &Closure,
    actor: &Actor,
) -> Result<(), StoreError> {
    let number = target.1.number;
    for digest in &closure.blobs {
        blob::link(change, number, digest)?;
    }
    for digest in &closure.manifests {
        let subject = manifest::links(change, digest)?.and_then(|record| record.links.subject);
        if manifest::link(change, number, digest)? {
            let kind = Kind::ManifestLinked { digest: *digest, subject };
            event::append(change, actor.clone(), (number, target.0), kind)?;
        }
        if let Some(subject) = subject
            && let Some(row) = referrer::get(change, source, &subject, digest)?
        {
            referrer::put(change, number, &subject, digest, &row)?;
        }
    }
    Ok(())
}

/// A promotion by hand.
struct PromoteByHand {
    caller: Caller,
    source: RepoName,
    tag: Tag,
    target: RepoName,
    target_tag: Tag,
}

impl Operation for PromoteByHand {
    type Plan = (Promotion, Checked);
    type Done = Digest;
    type Refusal = RegistryError;
    const NAME: &'static str = "promote by hand";
    const AUDIT: Audit = Audit::Acts(&[Action::TagPromote]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let source = match self.caller.require(tables, &self.source, Level::ReadOnly)? {
            Ok(source) => source,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(value) = tag::get(tables, source.number, &self.tag)? else {
            let reference = Reference::Tag(self.tag.clone());
            return Ok(Err(RegistryError::ManifestUnknown { reference, repository: self.source.clone() }));
        };
        let promotion = Promotion {
            source: self.source.clone(),
            tag: self.tag.clone(),
            digest: value.digest,
            target: self.target.clone(),
            target_tag: self.target_tag.clone(),
            policy: None,
            // A person's act begins a new chain.
            chain: Vec::new(),
        };
        Ok(promotion.check(tables, &self.caller)?.map(|checked| (promotion, checked)))
    }

    fn apply(&self, (promotion, checked): Self::Plan, tables: &mut Change<'_>) -> Result<Digest, StoreError> {
        promotion.apply(checked, self.caller.actor(), tables)?;
        Ok(promotion.digest)
    }
}

impl Registry {
    /// Promotes one tag by hand: read on the source, write on the target.
    pub async fn promote(
        &self,
        caller: &Caller,
        source: (&RepoName, &Tag),
        target: (&RepoName, &Tag),
    ) -> Result<Digest, RegistryError> {
        let operation = PromoteByHand {
            caller: caller.clone(),
            source: source.0.clone(),
            tag: source.1.clone(),
            target: target.0.clone(),
            target_tag: target.1.clone(),
        };
        let digest = self.store().submit(Lane::Foreground, operation).await??;
        tag_limit::keep(self.store(), target.0).await;
        Ok(digest)
    }
}
