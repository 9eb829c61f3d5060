//! Policies, what they did last, the walks for those just saved, and verdicts.

use std::ops::ControlFlow;

use super::record::{Cron, Evaluation, Policy, PolicyBody, PolicyStatus, Verdict};
use super::{Change, Key, Order, Parts, Read, RepoId, Span, StoreError, Table};
use crate::chance::Id;
use crate::oci::{Digest, RepoName, Tag};

fn key(id: &Id) -> Key {
    Key::new().id(id)
}

/// One policy.
pub fn get(read: &impl Read, id: &Id) -> Result<Option<Policy>, StoreError> {
    read.record(Table::Policies, &key(id))
}

/// The policies that stand on a repository, of all kinds, by id.
pub fn of(read: &impl Read, repo: RepoId) -> Result<Vec<Policy>, StoreError> {
    let mut ids = Vec::new();
    read.walk(Table::PoliciesOf, &Key::new().repo(repo).prefix(), Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        parts.repo();
        ids.extend(parts.id());
        Ok(ControlFlow::Continue(()))
    })?;
    collect(read, &ids)
}

/// The promotion policies that target a repository, by id.
pub fn into(read: &impl Read, target: &RepoName) -> Result<Vec<Policy>, StoreError> {
    let mut ids = Vec::new();
    read.walk(Table::PoliciesInto, &Key::new().text_then(target.as_str()).prefix(), Order::Forward, |key, _| {
        let mut parts = Parts::of(key);
        parts.text_then();
        ids.extend(parts.id());
        Ok(ControlFlow::Continue(()))
    })?;
    collect(read, &ids)
}

/// Every policy, by id.
pub fn all(read: &impl Read) -> Result<Vec<Policy>, StoreError> {
    let mut ids = Vec::new();
    read.walk(Table::Policies, &Span::all(), Order::Forward, |key, _| {
        ids.extend(Parts::of(key).id());
        Ok(ControlFlow::Continue(()))
    })?;
    collect(read, &ids)
}

/// The repositories that policies stand on, each once.
pub fn repositories(read: &impl Read) -> Result<Vec<RepoId>, StoreError> {
    let mut found: Vec<RepoId> = Vec::new();
    read.walk(Table::PoliciesOf, &Span::all(), Order::Forward, |key, _| {
        if let Some(repo) = Parts::of(key).repo().filter(|repo| found.last() != Some(repo)) {
            found.push(repo);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn collect(read: &impl Read, ids: &[Id]) -> Result<Vec<Policy>, StoreError> {
    let mut policies = Vec::with_capacity(ids.len());
    for id in ids {
        policies.extend(get(read, id)?);
    }
    Ok(policies)
}

/// Writes a policy with its back indexes; `before` is what it replaces.
pub fn put(change: &mut Change<'_>, policy: &Policy, before: Option<&Policy>) -> Result<(), StoreError> {
    if let Some(before) = before {
        remove_indexes(change, before)?;
    }
    change.put(Table::Policies, &key(&policy.id), policy)?;
    change.put_mark(Table::PoliciesOf, &Key::new().repo(policy.repository).id(&policy.id))?;
    if let PolicyBody::Promotion { target } = &policy.body {
        change.put_mark(Table::PoliciesInto, &Key::new().text_then(target).id(&policy.id))?;
    }
    Ok(())
}

/// Removes a policy, what hangs on it, and what it still owes to others.
pub fn remove(change: &mut Change<'_>, policy: &Policy) -> Result<(), StoreError> {
    remove_indexes(change, policy)?;
    for table in [Table::Policies, Table::PolicyStatus, Table::Evaluations, Table::Crons] {
        change.remove(table, &key(&policy.id))?;
    }
    Ok(())
}

fn remove_indexes(change: &mut Change<'_>, policy: &Policy) -> Result<(), StoreError> {
    change.remove(Table::PoliciesOf, &Key::new().repo(policy.repository).id(&policy.id))?;
    if let PolicyBody::Promotion { target } = &policy.body {
        change.remove(Table::PoliciesInto, &Key::new().text_then(target).id(&policy.id))?;
    }
    Ok(())
}

/// What a policy did last.
pub fn status(read: &impl Read, id: &Id) -> Result<PolicyStatus, StoreError> {
    Ok(read.record(Table::PolicyStatus, &key(id))?.unwrap_or_default())
}

/// Writes down what a policy did.
pub fn set_status(change: &mut Change<'_>, id: &Id, status: &PolicyStatus) -> Result<(), StoreError> {
    change.put(Table::PolicyStatus, &key(id), status)
}

/// The walks that are under way.
pub fn evaluations(read: &impl Read) -> Result<Vec<Id>, StoreError> {
    Ok(read.keys(Table::Evaluations, &Span::all(), usize::MAX)?.iter().filter_map(|key| Parts::of(key).id()).collect())
}

/// One walk.
pub fn evaluation(read: &impl Read, id: &Id) -> Result<Option<Evaluation>, StoreError> {
    read.record(Table::Evaluations, &key(id))
}

/// Begins a walk, or moves it on.
pub fn set_evaluation(change: &mut Change<'_>, id: &Id, evaluation: &Evaluation) -> Result<(), StoreError> {
    change.put(Table::Evaluations, &key(id), evaluation)
}

/// Ends a walk.
pub fn end_evaluation(change: &mut Change<'_>, id: &Id) -> Result<bool, StoreError> {
    change.remove(Table::Evaluations, &key(id))
}

/// What was decided about a tag.
pub fn verdict(read: &impl Read, repo: RepoId, tag: &Tag) -> Result<Option<Verdict>, StoreError> {
    read.record(Table::Verdicts, &Key::new().repo(repo).tag(tag))
}

/// Writes what was decided about a tag.
pub fn set_verdict(change: &mut Change<'_>, repo: RepoId, tag: &Tag, verdict: &Verdict) -> Result<(), StoreError> {
    change.put(Table::Verdicts, &Key::new().repo(repo).tag(tag), verdict)
}

/// Writes down that a manifest was promoted somewhere, so that what is
/// attached to it later follows.
pub fn set_sent(
    change: &mut Change<'_>,
    source: RepoId,
    subject: &Digest,
    target: &RepoName,
    policy: &Id,
) -> Result<(), StoreError> {
    change.put_bytes(Table::Sent, &Key::new().repo(source).digest(subject).text(target.as_str()), policy.bytes())
}

/// Where a manifest was promoted to by policies, and by which.
pub fn sent(read: &impl Read, source: RepoId, subject: &Digest) -> Result<Vec<(RepoName, Id)>, StoreError> {
    let mut found = Vec::new();
    read.walk(Table::Sent, &Key::new().repo(source).digest(subject).prefix(), Order::Forward, |key, value| {
        let mut parts = Parts::of(key);
        parts.repo();
        parts.digest();
        let target = parts.text().and_then(|text| text.parse().ok());
        let policy = Parts::of(value).id();
        found.extend(target.zip(policy));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// When a policy's schedule last ran, and the job it made.
pub fn cron(read: &impl Read, id: &Id) -> Result<Option<Cron>, StoreError> {
    read.record(Table::Crons, &key(id))
}

/// Writes down that a schedule ran.
pub fn set_cron(change: &mut Change<'_>, id: &Id, cron: &Cron) -> Result<(), StoreError> {
    change.put(Table::Crons, &key(id), cron)
}

fn baseline_key(id: &Id, version: u32) -> Key {
    key(id).number(version.into())
}

/// What a remote tag was when a pull mirror first looked, in this version of
/// its policy: another remote or other rules begin anew.
pub fn baseline(read: &impl Read, id: &Id, version: u32, tag: &Tag) -> Result<Option<Digest>, StoreError> {
    let key = baseline_key(id, version).tag(tag);
    Ok(read.with(Table::Baselines, &key, |bytes| Digest::from_key(bytes).map(|(digest, _)| digest))?.flatten())
}

/// Writes down what a remote tag was.
pub fn set_baseline(
    change: &mut Change<'_>,
    id: &Id,
    version: u32,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), StoreError> {
    change.put_bytes(Table::Baselines, &baseline_key(id, version).tag(tag), &digest.key())
}

/// Whether a pull mirror has looked at what was there when it was saved.
pub fn has_baseline(read: &impl Read, id: &Id, version: u32) -> Result<bool, StoreError> {
    read.has(Table::Baselines, &baseline_key(id, version))
}

/// Writes down that the look is complete.
pub fn end_baseline(change: &mut Change<'_>, id: &Id, version: u32) -> Result<(), StoreError> {
    change.put_mark(Table::Baselines, &baseline_key(id, version))
}
