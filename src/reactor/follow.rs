//! What comes later follows what it belongs to.
//!
//! A signature or an SBOM often arrives after its image was promoted or
//! mirrored, and so may an entry of an index. Whatever it is, it is linked into
//! every repository that something above it was promoted to, and every mirror
//! that sent something above it owes that again. Above a manifest are the
//! indexes that list it, the manifests it is attached to, and what is above
//! those. What is linked elsewhere has an event there, so it goes on from
//! there by itself.
//!
//! The steps are read from a snapshot and done in slices, each an operation of
//! its own. Nothing is missed between the two: what is promoted after the
//! snapshot takes along what was linked before it. A step that is done twice
//! does nothing the second time but ask a mirror to look again.

use std::collections::{HashSet, VecDeque};

use crate::access::Level;
use crate::chance::Id;
use crate::event::{Actor, Cause};
use crate::jobs::owe::owe_again;
use crate::limits;
use crate::oci::{Digest, RepoName, Tag, attachment};
use crate::policy::Reason;
use crate::registry::copy::{Closure, closure, link_closure};
use crate::registry::tag::{Setting, may_change, set};
use crate::registry::trail::came_through;
use crate::registry::{Caller, RegistryError};
use crate::store::record::{Decided, Policy, PolicyBody, PolicyStatus, Repository};
use crate::store::{Change, Read, RepoId, StoreError, manifest, policy, tag, transfer};

use super::decide::{BLOCKED, is_final};

/// Something that came later than what it belongs to.
#[derive(Clone, Debug)]
pub struct Late {
    /// Where.
    pub repository: RepoId,
    /// Its name.
    pub name: RepoName,
    /// What.
    pub digest: Digest,
    /// The tag of the older scheme that attaches it, if that is what came.
    pub tag: Option<Tag>,
}

/// A slice of what follows from it.
#[derive(Clone, Debug)]
pub struct Follow {
    late: Late,
    steps: Vec<Step>,
}

/// One place to follow to.
#[derive(Clone, Debug)]
enum Step {
    /// Into a repository that `root`, which is above it, was promoted to.
    Link { root: Digest, target: RepoName, policy: Id },
    /// To another registry, with `root` under its tag.
    Send { root: Digest, tag: Tag, policy: Id, job: Id },
}

impl Late {
    /// Everything that follows, in slices.
    pub fn plan(self, read: &impl Read, mut new_id: impl FnMut() -> Id) -> Result<Vec<Follow>, StoreError> {
        let policies = policy::of(read, self.repository)?;
        let promotes = policies.iter().any(|policy| matches!(policy.body, PolicyBody::Promotion { .. }));
        let mirrors: Vec<Id> = policies
            .iter()
            .filter_map(|policy| matches!(policy.body, PolicyBody::Push { .. }).then_some(policy.id))
            .collect();
        let mut steps = Vec::new();
        if !promotes && mirrors.is_empty() {
            return Ok(Vec::new());
        }
        for root in self.above(read)? {
            for (target, policy) in policy::sent(read, self.repository, &root)? {
                steps.push(Step::Link { root, target, policy });
            }
            if mirrors.is_empty() {
                continue;
            }
            for name in tag::of_digest(read, self.repository, &root, limits::FOLLOW_TAGS)? {
                for policy in &mirrors {
                    if transfer::get(read, policy, &name)?.is_some_and(|row| row.want == root) {
                        steps.push(Step::Send { root, tag: name.clone(), policy: *policy, job: new_id() });
                    }
                }
            }
        }
        let slices = steps.chunks(limits::FOLLOW_STEPS);
        Ok(slices.map(|steps| Follow { late: self.clone(), steps: steps.to_vec() }).collect())
    }

    /// What is above it in its repository, the nearest first.
    fn above(&self, read: &impl Read) -> Result<Vec<Digest>, StoreError> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([self.digest]);
        let mut work = VecDeque::from([self.digest]);
        while let Some(at) = work.pop_front() {
            let room = limits::CLOSURE_MANIFESTS - found.len();
            let mut next = manifest::parents_in(read, self.repository, &at, room + 1)?;
            next.extend(manifest::links(read, &at)?.and_then(|record| record.links.subject));
            if at != self.digest {
                let names = tag::of_digest(read, self.repository, &at, limits::FOLLOW_TAGS)?;
                next.extend(names.iter().filter_map(attachment::subject));
            } else if let Some(name) = &self.tag {
                // Its other tags have events of their own.
                next.extend(attachment::subject(name));
            }
            for digest in next {
                if !manifest::is_linked(read, self.repository, &digest)? || !seen.insert(digest) {
                    continue;
                }
                if found.len() == limits::CLOSURE_MANIFESTS {
                    let (repository, digest) = (self.name.as_str(), self.digest);
                    tracing::warn!(repo.name = repository, %digest, most = found.len(), "it belongs to more manifests than are followed");
                    return Ok(found);
                }
                found.push(digest);
                work.push_back(digest);
            }
        }
        Ok(found)
    }
}

impl Follow {
    /// Follows; how many places it went to.
    pub fn apply(&self, change: &mut Change<'_>) -> Result<usize, StoreError> {
        let late = &self.late;
        if !manifest::is_linked(change, late.repository, &late.digest)? {
            return Ok(0);
        }
        let Ok(closure) = closure(change, late.repository, &late.digest)? else { return Ok(0) };
        let mut places = 0;
        for step in &self.steps {
            let has_gone = match step {
                Step::Link { root, target, policy } => self.link(change, &closure, root, (target, policy))?,
                Step::Send { root, tag, policy, job } => {
                    let row = transfer::get(change, policy, tag)?;
                    let is_wanted = row.is_some_and(|row| row.want == *root) && policy::get(change, policy)?.is_some();
                    if is_wanted {
                        owe_again(change, policy, tag, *job)?;
                    }
                    is_wanted
                }
            };
            places += usize::from(has_gone);
        }
        Ok(places)
    }

    fn link(
        &self,
        change: &mut Change<'_>,
        closure: &Closure,
        root: &Digest,
        (target, id): (&RepoName, &Id),
    ) -> Result<bool, StoreError> {
        let Some(policy) = policy::get(change, id)?.filter(|policy| policy.enabled) else { return Ok(false) };
        let Some(owner) = Caller::of_owner(change, policy.owner)? else { return Ok(false) };
        if owner.require(change, &self.late.name, Level::ReadOnly)?.is_err() {
            return Ok(false);
        }
        let Ok(place) = owner.require(change, target, Level::ReadWrite)? else { return Ok(false) };
        // What it belongs to may be gone from there; nothing is brought back.
        if !manifest::is_linked(change, place.number, root)? {
            return Ok(false);
        }
        if let Err(refusal) = closure.fits(change, (target, place.number))? {
            self.block(change, root, (target, &place), (&policy, refusal))?;
            return Ok(false);
        }
        let actor = Actor::Policy(policy.id);
        link_closure(change, self.late.repository, (target, &place), closure, &actor)?;
        let Some(name) = &self.late.tag else { return Ok(true) };
        // A newer value has an event of its own.
        let value = tag::get(change, self.late.repository, name)?.filter(|value| value.digest == self.late.digest);
        let Some(value) = value else { return Ok(true) };
        let is_there = tag::get(change, place.number, name)?.is_some_and(|stands| stands.digest == value.digest);
        let came_back = value.chain.contains(&policy.id)
            || came_through(change, &value)?.iter().any(|(repository, tag)| (repository, tag) == (target, name));
        if is_there || came_back || may_change(change, (target, &place), name, Some(&value.digest))?.is_err() {
            return Ok(true);
        }
        let cause = Cause::Promotion { policy: Some(policy.id), repository: self.late.name.clone(), tag: name.clone() };
        let mut chain = value.chain.clone();
        chain.push(policy.id);
        let (digest, kind, size) = (value.digest, value.kind, value.size);
        set(change, (target, &place), name, Setting { digest, kind, size, actor, cause, chain })?;
        Ok(true)
    }
}

impl Follow {
    /// Writes down that the target has no room for what came late: the decision
    /// that sent what it belongs to is blocked again, so the sweep looks at it
    /// until there is room, and then takes along what is attached by then.
    fn block(
        &self,
        change: &mut Change<'_>,
        root: &Digest,
        (target, place): (&RepoName, &Repository),
        (policy, refusal): (&Policy, RegistryError),
    ) -> Result<(), StoreError> {
        let late = &self.late;
        let reason = Reason::target_refused(&refusal);
        for name in tag::of_digest(change, late.repository, root, limits::FOLLOW_TAGS)? {
            let Some(value) = tag::get(change, late.repository, &name)? else { continue };
            let verdict = policy::verdict(change, late.repository, &name)?.filter(|verdict| verdict.seq == value.seq);
            let Some(mut verdict) = verdict else { continue };
            let sent = verdict.decisions.iter_mut().find(|decided| decided.decision.policy.id() == &policy.id);
            let Some(sent) = sent.filter(|sent| is_final(&sent.decision, policy.version)) else { continue };
            // A tag that somebody removed over there is not set again.
            let stands = match &sent.decision.tag {
                Some(there) if sent.decision.target.as_ref() == Some(target) => tag::get(change, place.number, there)?,
                Some(_) | None => None,
            };
            if stands.is_some_and(|stands| stands.digest == *root) {
                *sent = Decided { decision: sent.decision.clone().blocked(reason.clone()), at: change.now() };
                policy::set_verdict(change, late.repository, &name, &verdict)?;
            }
        }
        let last_moved_at = policy::status(change, &policy.id)?.last_moved_at;
        let detail = format!("{}: what belongs to {root} and came later: {reason}", late.name);
        let status = PolicyStatus { last_moved_at, code: BLOCKED.to_owned(), detail, at: Some(change.now()) };
        policy::set_status(change, &policy.id, &status)
    }
}

#[cfg(test)]
impl Follow {
    /// How many steps it has.
    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }
}
