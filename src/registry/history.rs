//! What a tag was: who set it to what, when and why, and who removed it; and
//! the way back.
//!
//! The history holds what was; what is stands in the tag itself. A reader gets
//! both in one row of changes, newest first. It is bounded by count and age
//! (`limits::TAG_HISTORY`, `limits::TAG_HISTORY_KEPT`), and a change can be
//! taken back for as long as its manifest is kept here: a manifest's age is
//! counted from when it lost its last tag, so that collection leaves the last
//! ones for a while (`limits::UNTAGGED_KEPT`).

use crate::access::Level;
use crate::audit::{Action, Audit};
use crate::clock::Timestamp;
use crate::event::{Actor, Cause};
use crate::limits;
use crate::oci::{Condition, Digest, MediaType, Reference, RepoName, Tag};
use crate::store::quarantine::Held;
use crate::store::record::{ManifestBody, Removal, Repository, TagPast, TagValue};
use crate::store::{Change, Lane, Operation, Read, RepoId, StoreError, manifest, tag};

use super::condition::{holds, or_unmet};
use super::quarantine::damaged_in;
use super::tag::{Setting, may_change, set};
use super::{Caller, Registry, RegistryError, tag_limit};

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// The sequence number of its event.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What the tag named before; none where it named nothing, or where the
    /// history does not reach back so far.
    pub previous: Option<Digest>,
    /// What it was from then on.
    pub became: Became,
}

/// What a change made of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was set.
    Value {
        /// The manifest.
        digest: Digest,
        /// Its kind.
        kind: MediaType,
        /// Its length in bytes.
        size: u64,
        /// Why.
        cause: Cause,
        /// Whether the manifest is still here, so that the tag can be set back.
        is_here: bool,
        /// Whether the tag is this now.
        is_current: bool,
    },
    /// It was removed, for this reason.
    Nothing(Removal),
}

/// A page of changes, newest first, and the number of the one that follows.
pub type ChangePage = (Vec<TagChange>, Option<u64>);

impl Registry {
    /// Up to `limit` changes of a tag, newest first, from the one that event
    /// `start` made. A tag that is gone has a history too, for as long as it
    /// is kept.
    pub fn tag_history(
        &self,
        caller: &Caller,
        repository: &RepoName,
        name: &Tag,
        start: Option<u64>,
        limit: usize,
    ) -> Result<ChangePage, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let current = tag::get(&read, record.number, name)?;
        let current_seq = current.as_ref().map(|value| value.seq);
        // One more than are shown is the next page's first, and tells what
        // the last one shown followed.
        let more = limit.saturating_add(1);
        let mut rows: Vec<TagPast> = current.map(TagPast::Value).into_iter().collect();
        rows.extend(tag::history(&read, record.number, name, start, more)?);
        if rows.is_empty() && start.is_none() {
            let reference = Reference::Tag(name.clone());
            return Err(RegistryError::ManifestUnknown { reference, repository: repository.clone() });
        }
        rows.retain(|row| start.is_none_or(|start| row.seq() <= start));
        let next = rows.get(limit).map(TagPast::seq);
        let mut changes = Vec::with_capacity(rows.len().min(limit));
        for (index, row) in rows.iter().enumerate().take(limit) {
            changes.push(change(&read, record.number, row, rows.get(index + 1), current_seq)?);
        }
        Ok((changes, next))
    }

    /// How many changes of a tag are known.
    pub fn tag_history_len(&self, caller: &Caller, repository: &RepoName, name: &Tag) -> Result<usize, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let current = usize::from(tag::get(&read, record.number, name)?.is_some());
        Ok(current + tag::history(&read, record.number, name, None, limits::TAG_HISTORY)?.len())
    }

    /// Sets a tag back to something that it was; what it is then.
    pub async fn restore_tag(
        &self,
        caller: &Caller,
        repository: &RepoName,
        tag: &Tag,
        digest: &Digest,
        condition: Condition,
    ) -> Result<TagValue, RegistryError> {
        let (caller, name, tag) = (caller.clone(), repository.clone(), tag.clone());
        let operation = RestoreTag { caller, repository: name, tag, digest: *digest, condition };
        let value = self.store().submit(Lane::Foreground, operation).await??;
        tag_limit::keep(self.store(), repository).await;
        Ok(value)
    }
}

fn change(
    read: &impl Read,
    repo: RepoId,
    row: &TagPast,
    before: Option<&TagPast>,
    current: Option<u64>,
) -> Result<TagChange, StoreError> {
    let (seq, at) = (row.seq(), row.at());
    Ok(match row {
        TagPast::Value(value) => {
            // What the first version of the record did not say, the row before
            // does, where this was not the tag's first value.
            let told = before.filter(|_| value.created_at < value.set_at).and_then(|before| match before {
                TagPast::Value(before) => Some(before.digest),
                TagPast::Removed(_) => None,
            });
            let became = Became::Value {
                digest: value.digest,
                kind: value.kind,
                size: value.size,
                cause: value.cause.clone(),
                is_here: manifest::is_linked(read, repo, &value.digest)?,
                is_current: current == Some(seq),
            };
            let previous = value.previous.or(told);
            TagChange { seq, at, actor: value.actor.clone(), previous, became }
        }
        TagPast::Removed(removed) => {
            let (actor, previous) = (removed.actor.clone(), Some(removed.digest));
            TagChange { seq, at, actor, previous, became: Became::Nothing(removed.cause) }
        }
    })
}

/// Sets a tag back to something that it was.
struct RestoreTag {
    caller: Caller,
    repository: RepoName,
    tag: Tag,
    digest: Digest,
    condition: Condition,
}

/// What a tag is set back to, or is already.
enum Restored {
    Already(TagValue),
    From(Repository, ManifestBody),
}

impl Operation for RestoreTag {
    type Plan = Restored;
    type Done = TagValue;
    type Refusal = RegistryError;
    const NAME: &'static str = "restore tag";
    const AUDIT: Audit = Audit::Acts(&[Action::TagRestore]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Restored, RegistryError>, StoreError> {
        let (name, reference) = (&self.repository, Reference::Tag(self.tag.clone()));
        let repository = match self.caller.require(tables, name, Level::ReadWrite)? {
            Ok(repository) => repository,
            Err(refusal) => return Ok(Err(or_unmet(refusal, &self.condition, &reference))),
        };
        if let Err(refusal) = holds(tables, &self.condition, (name, &repository), &reference)? {
            return Ok(Err(refusal));
        }
        let number = repository.number;
        let current = tag::get(tables, number, &self.tag)?;
        let past = tag::history(tables, number, &self.tag, None, limits::TAG_HISTORY)?;
        if current.is_none() && past.is_empty() {
            return Ok(Err(RegistryError::ManifestUnknown { reference, repository: name.clone() }));
        }
        if let Some(value) = current.filter(|value| value.digest == self.digest) {
            return Ok(Ok(Restored::Already(value)));
        }
        if !past.into_iter().filter_map(TagPast::value).any(|value| value.digest == self.digest) {
            let (tag, digest) = (self.tag.clone(), self.digest);
            return Ok(Err(RegistryError::NeverNamed { tag, digest, repository: name.clone() }));
        }
        let Some(body) = manifest::body_in(tables, number, &self.digest)? else {
            let (held, reference) = (Held::manifest(self.digest), Reference::Digest(self.digest));
            return Ok(Err(match damaged_in(tables, number, &held)? {
                true => RegistryError::Quarantined { held },
                false => RegistryError::ManifestUnknown { reference, repository: name.clone() },
            }));
        };
        let allowed = may_change(tables, (name, &repository), &self.tag, Some(&self.digest))?;
        Ok(allowed.map(|()| Restored::From(repository, body)))
    }

    fn apply(&self, plan: Restored, tables: &mut Change<'_>) -> Result<TagValue, StoreError> {
        let (repository, body) = match plan {
            Restored::Already(value) => return Ok(value),
            Restored::From(repository, body) => (repository, body),
        };
        let setting = Setting {
            digest: self.digest,
            kind: body.kind,
            size: body.size,
            actor: self.caller.actor(),
            cause: Cause::Restore,
            // A person's act begins a new chain.
            chain: Vec::new(),
        };
        set(tables, (&self.repository, &repository), &self.tag, setting)
    }
}
