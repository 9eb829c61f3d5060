//! Tags: the one way to set one, and to remove one.
//!
//! `may_change` is the choke point for immutability: every path that moves
//! or removes a tag passes it.

use std::ops::ControlFlow;

use crate::access::{self, Level};
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::event::{Actor, Cause, Kind};
use crate::oci::page::Page;
use crate::oci::{Condition, Digest, MediaType, Reference, RepoName, Tag};
use crate::store::record::{Removal, Repository, TagRemoved, TagValue};
use crate::store::{Change, Lane, Operation, Read, StoreError, audit, event, tag};

use super::condition::{holds, or_unmet};
use super::{Caller, Registry, RegistryError, tag_limit};

/// What a tag is set to, by whom and why.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The manifest.
    pub digest: Digest,
    /// Its kind.
    pub kind: MediaType,
    /// Its length.
    pub size: u64,
    /// Who sets it.
    pub actor: Actor,
    /// Why.
    pub cause: Cause,
    /// Policies that brought it here, oldest first.
    pub chain: Vec<Id>,
}

/// Whether `tag` may become `digest` (`None`: be removed). In a repository
/// with immutable tags only a new tag may be set, or the same value again; a
/// new one needs room.
pub fn may_change(
    read: &impl Read,
    repository: (&RepoName, &Repository),
    name: &Tag,
    digest: Option<&Digest>,
) -> Result<Result<(), RegistryError>, StoreError> {
    Ok(match tag::get(read, repository.1.number, name)? {
        Some(value) if repository.1.immutable_tags && Some(&value.digest) != digest => {
            Err(RegistryError::TagImmutable { tag: name.clone(), repository: repository.0.clone() })
        }
        None if digest.is_some() => return tag_limit::has_room(read, repository, 1),
        Some(_) | None => Ok(()),
    })
}

/// Sets a tag and writes the event; what it is then. [`may_change`] comes
/// first, in the same transaction, and `tag_limit::keep` after its commit.
pub fn set(
    change: &mut Change<'_>,
    repository: (&RepoName, &Repository),
    name: &Tag,
    setting: Setting,
) -> Result<TagValue, StoreError> {
    let number = repository.1.number;
    let before = tag::get(change, number, name)?;
    let kind = Kind::TagSet {
        tag: name.clone(),
        digest: setting.digest,
        previous: before.as_ref().map(|value| value.digest),
        cause: setting.cause.clone(),
        chain: setting.chain.clone(),
    };
    let seq = event::append(change, setting.actor.clone(), (number, repository.0), kind)?;
    let now = change.now();
    let value = TagValue {
        digest: setting.digest,
        kind: setting.kind,
        size: setting.size,
        seq,
        set_at: now,
        created_at: before.as_ref().map_or(now, |value| value.created_at),
        actor: setting.actor,
        cause: setting.cause,
        chain: setting.chain,
        previous: before.map(|value| value.digest),
    };
    tag::put(change, number, name, &value)?;
    audit::append(change, &value.actor, told(repository.0, name, &value))?;
    Ok(value)
}

/// Something done to a tag.
fn of_tag(action: Action, repository: &RepoName, name: &Tag) -> Act {
    Act::new(action, ObjectKind::Tag, format_args!("{repository}:{name}")).within(repository.namespace())
}

/// A tag that was set. Its history tells the same for as long as the tag is
/// there, and not from where it was set.
fn told(repository: &RepoName, name: &Tag, value: &TagValue) -> Act {
    let of = |action| of_tag(action, repository, name);
    let act = match &value.cause {
        Cause::Push => of(Action::TagPush),
        Cause::Restore => of(Action::TagRestore),
        Cause::Promotion { policy, repository, tag } => {
            of(Action::TagPromote).by_policy(*policy).because(format_args!("from {repository}:{tag}"))
        }
        Cause::PullMirror { policy, host, repository, tag } => {
            of(Action::TagPull).by_policy(Some(*policy)).because(format_args!("from {host}/{repository}:{tag}"))
        }
    };
    act.event(value.seq).digests(value.previous, Some(value.digest))
}

/// Removes a tag and writes the event; the manifest stays. [`may_change`] comes
/// first, in the same transaction.
pub fn unset(
    change: &mut Change<'_>,
    repository: (&RepoName, &Repository),
    name: &Tag,
    value: TagValue,
    (actor, cause): (Actor, Removal),
) -> Result<(), StoreError> {
    let (number, digest) = (repository.1.number, value.digest);
    let kind = Kind::TagDeleted { tag: name.clone(), digest };
    let seq = event::append(change, actor.clone(), (number, repository.0), kind)?;
    let words = match cause {
        Removal::Tag => "",
        Removal::Manifest => "its manifest was removed",
        Removal::Limit => "the repository keeps no more tags",
    };
    let act = of_tag(Action::TagDelete, repository.0, name).event(seq).because(words);
    audit::append(change, &actor, act.digests(Some(digest), None))?;
    let removed = TagRemoved { digest, seq, at: change.now(), actor, cause };
    tag::remove(change, number, name, value, removed)
}

/// Removes a tag; the manifest stays.
struct DeleteTag {
    caller: Caller,
    repository: RepoName,
    tag: Tag,
    condition: Condition,
}

impl Operation for DeleteTag {
    type Plan = (Repository, TagValue);
    type Done = ();
    type Refusal = RegistryError;
    const NAME: &'static str = "delete tag";
    const AUDIT: Audit = Audit::Acts(&[Action::TagDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let reference = Reference::Tag(self.tag.clone());
        let repository = match self.caller.require(tables, &self.repository, access::Action::Delete)? {
            Ok(repository) => repository,
            Err(refusal) => return Ok(Err(or_unmet(refusal, &self.condition, &reference))),
        };
        let place = (&self.repository, &repository);
        if let Err(refusal) = holds(tables, &self.condition, place, &reference)? {
            return Ok(Err(refusal));
        }
        let Some(value) = tag::get(tables, repository.number, &self.tag)? else {
            return Ok(Err(RegistryError::ManifestUnknown { reference, repository: self.repository.clone() }));
        };
        if let Err(refusal) = may_change(tables, place, &self.tag, None)? {
            return Ok(Err(refusal));
        }
        Ok(Ok((repository, value)))
    }

    fn apply(&self, (repository, value): Self::Plan, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let by = (self.caller.actor(), Removal::Tag);
        unset(tables, (&self.repository, &repository), &self.tag, value, by)
    }
}

impl Registry {
    /// Removes a tag.
    pub async fn delete_tag(
        &self,
        caller: &Caller,
        repository: &RepoName,
        tag: &Tag,
        condition: Condition,
    ) -> Result<(), RegistryError> {
        let (caller, repository, tag) = (caller.clone(), repository.clone(), tag.clone());
        let operation = DeleteTag { caller, repository, tag, condition };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// One page of a repository's tags in byte order, and whether more follow.
    pub fn tags(&self, caller: &Caller, repository: &RepoName, page: &Page) -> Result<(Vec<Tag>, bool), RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mut names = Vec::new();
        let mut more = false;
        if page.entries == 0 {
            return Ok((names, false));
        }
        tag::walk_names(&read, record.number, page.last.as_deref(), |name, _| {
            if names.len() == page.entries {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            names.extend(name.parse::<Tag>());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((names, more))
    }
}
