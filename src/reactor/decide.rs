//! Decisions about one tag, applied: promotions done, transfers owed, the
//! verdict written, all in the transaction of whoever calls.
//!
//! What was allowed and done for this value and version is final and is not
//! done again. A promotion that its target refuses, or whose owner lost the
//! right, is written as blocked, with the reason; the others go on.

use std::collections::HashMap;

use crate::access::Level;
use crate::chance::Id;
use crate::event::Actor;
use crate::jobs::owe::{Owed, owe};
use crate::jobs::push_mirror::owner_may;
use crate::jobs::settle::SUCCESS;
use crate::oci::{Digest, RepoName, Tag};
use crate::policy::{Decision, Intent, Outcome, Plan, PolicyId, Reason};
use crate::registry::copy::Promotion;
use crate::registry::trail::{came_through, origin};
use crate::registry::{Caller, RegistryError};
use crate::store::crash::crash_point;
use crate::store::record::{Decided, Direction, Policy, PolicyStatus, TagValue, Verdict};
use crate::store::{Change, Read, RepoId, StoreError, audit, policy, repo, tag};

use super::view::Basis;

/// The code of a policy that would act, and may not.
pub const BLOCKED: &str = "BLOCKED";

/// A plan for one value of one tag, ready to be applied.
#[derive(Clone, Debug)]
pub struct Deciding {
    /// The repository.
    pub repository: RepoId,
    /// Its name.
    pub name: RepoName,
    /// The tag.
    pub tag: Tag,
    /// The event that set the value.
    pub seq: u64,
    /// The value.
    pub digest: Digest,
    /// On what occasion it is decided about.
    pub occasion: Occasion,
    /// The plan.
    pub plan: Plan,
    /// What the plan was made from.
    pub basis: Basis,
    /// Ids for the jobs that transfers may need, one an intent.
    pub jobs: Vec<Id>,
}

/// Why a tag is decided about now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It was set.
    Set,
    /// The sweep found it.
    Sweep,
    /// A policy was saved, and existing tags are walked.
    Walk {
        /// The event of the save.
        since: u64,
        /// Whether what was done and is gone since is done again.
        again: bool,
    },
}

/// Whether a plan can still be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing it was made from has moved.
    Good,
    /// The tag has another value by now, which has (or will have) an event of
    /// its own.
    Superseded,
    /// The policies have moved: plan again.
    Moved,
}

impl Deciding {
    /// Looks whether what the plan was made from still stands.
    pub fn standing(&self, read: &impl Read) -> Result<Standing, StoreError> {
        let value = tag::get(read, self.repository, &self.tag)?;
        if value.is_none_or(|value| value.seq != self.seq) {
            return Ok(Standing::Superseded);
        }
        let same = Basis::now(read, self.repository)? == self.basis;
        Ok(if same { Standing::Good } else { Standing::Moved })
    }

    /// Applies the plan and writes the verdict; how many things moved.
    pub fn apply(&self, change: &mut Change<'_>) -> Result<usize, StoreError> {
        audit::led_by(change, self.seq);
        let before = policy::verdict(change, self.repository, &self.tag)?.filter(|verdict| verdict.seq == self.seq);
        let mut decisions = before.map(|verdict| verdict.decisions).unwrap_or_default();
        let stands: Vec<PolicyId> = policy::of(change, self.repository)?.iter().map(|p| PolicyId::new(p.id)).collect();
        decisions.retain(|decided| stands.contains(&decided.decision.policy));
        let mut moved = 0;
        let intents: HashMap<PolicyId, (usize, &Intent)> =
            self.plan.intents.iter().enumerate().map(|(place, intent)| (policy_of(intent), (place, intent))).collect();
        for decision in &self.plan.decisions {
            let known = decisions.iter().position(|decided| decided.decision.policy == decision.policy);
            let again = matches!(self.occasion, Occasion::Walk { again: true, .. });
            if !again && known.is_some_and(|at| is_final(&decisions[at].decision, decision.version)) {
                continue;
            }
            let made = match intents.get(&decision.policy) {
                Some((place, intent)) => {
                    let (made, has_moved) = self.act(change, decision, intent, self.jobs.get(*place).copied())?;
                    moved += usize::from(has_moved);
                    made
                }
                None => decision.clone(),
            };
            let decided = Decided { decision: made, at: change.now() };
            match known {
                Some(at) => decisions[at] = decided,
                None => decisions.push(decided),
            }
        }
        let verdict = Verdict { seq: self.seq, digest: self.digest, decisions };
        // A promotion into this very repository may have set the tag again.
        if tag::get(change, self.repository, &self.tag)?.is_some_and(|value| value.seq == self.seq) {
            policy::set_verdict(change, self.repository, &self.tag, &verdict)?;
        }
        Ok(moved)
    }

    /// Does what a policy allows; the decision as it turned out, and whether
    /// anything is elsewhere, or owed there, that was not.
    fn act(
        &self,
        change: &mut Change<'_>,
        decision: &Decision,
        intent: &Intent,
        job: Option<Id>,
    ) -> Result<(Decision, bool), StoreError> {
        let id = *decision.policy.id();
        let Some(policy) = policy::get(change, &id)? else {
            return Ok((decision.clone().blocked(Reason::failed("the policy is gone")), false));
        };
        let Some(value) = tag::get(change, self.repository, &self.tag)? else {
            return Ok((decision.clone().blocked(Reason::failed("the tag is gone")), false));
        };
        match intent {
            Intent::Promote { target, tag, .. } => self.promote(change, decision, &policy, &value, target, tag),
            Intent::Mirror { remote_tag, .. } => {
                if let Err(why) = owner_may(change, &policy, Level::ReadOnly)? {
                    return Ok((decision.clone().blocked(Reason::right_lost(&policy.owner.label(), why)), false));
                }
                let owed = Owed {
                    policy: id,
                    tag: self.tag.clone(),
                    remote_tag: remote_tag.to_string(),
                    want: self.digest,
                    direction: Direction::Push,
                    version: policy.version,
                    seq: self.seq,
                };
                let is_new = match job {
                    Some(job) => owe(change, &owed, job)?,
                    None => false,
                };
                Ok((decision.clone(), is_new))
            }
        }
    }

    fn promote(
        &self,
        change: &mut Change<'_>,
        decision: &Decision,
        policy: &Policy,
        value: &TagValue,
        target: &RepoName,
        target_tag: &Tag,
    ) -> Result<(Decision, bool), StoreError> {
        // What stands on the way that the image came is the same or newer.
        if came_through(change, value)?.iter().any(|(repository, tag)| (repository, tag) == (target, target_tag)) {
            let reason = Reason::CameThrough { repository: target.clone(), tag: target_tag.clone() };
            return Ok((decision.clone().denied(reason), false));
        }
        if let Some(reason) = self.overtaken(change, value, target, target_tag)? {
            return Ok((decision.clone().denied(reason), false));
        }
        let Some(owner) = Caller::of_owner(change, policy.owner)? else {
            let reason = Reason::right_lost(&policy.owner.label(), "the account is gone; save the policy again");
            return Ok((self.block(change, decision, policy, reason)?, false));
        };
        let promotion = Promotion {
            source: self.name.clone(),
            tag: self.tag.clone(),
            digest: self.digest,
            target: target.clone(),
            target_tag: target_tag.clone(),
            policy: Some(policy.id),
            chain: value.chain.clone(),
        };
        let checked = match promotion.check(change, &owner)? {
            Ok(checked) => checked,
            Err(refusal) => {
                let reason = match refusal {
                    // Not a right that was lost: it can be made again.
                    _ if repo::get(change, target)?.is_none() => {
                        Reason::target_refused(format_args!("the repository {target} does not exist"))
                    }
                    RegistryError::Denied { .. } | RegistryError::RepositoryUnknown { .. } => {
                        Reason::right_lost(owner.label(), refusal)
                    }
                    other => Reason::target_refused(other),
                };
                return Ok((self.block(change, decision, policy, reason)?, false));
            }
        };
        let has_moved = promotion.apply(checked, Actor::Policy(policy.id), change)?;
        crash_point!("promotion-applied");
        policy::set_sent(change, self.repository, &self.digest, target, &policy.id)?;
        let now = change.now();
        let last_moved_at = if has_moved { Some(now) } else { policy::status(change, &policy.id)?.last_moved_at };
        let how = if has_moved { "to" } else { "was already at" };
        let detail = format!("{}:{} {how} {target}:{target_tag}", self.name, self.tag);
        let status = PolicyStatus { last_moved_at, code: SUCCESS.to_owned(), detail, at: Some(now) };
        policy::set_status(change, &policy.id, &status)?;
        Ok((decision.clone(), has_moved))
    }

    /// Whether the target has something newer than `value`. A promotion that
    /// comes late (it was blocked, the daemon was down, existing tags are
    /// walked by name) must end as if each image had been promoted when it
    /// came. A person who saves a policy with its evaluation wants what others
    /// put at the target until then replaced.
    fn overtaken(
        &self,
        read: &impl Read,
        value: &TagValue,
        target: &RepoName,
        target_tag: &Tag,
    ) -> Result<Option<Reason>, StoreError> {
        let Some(repository) = repo::get(read, target)? else { return Ok(None) };
        let Some(stands) = tag::get(read, repository.number, target_tag)? else { return Ok(None) };
        if stands.digest == value.digest {
            return Ok(None);
        }
        let (theirs, ours) = (origin(read, &stands)?, origin(read, value)?);
        let allowed = match self.occasion {
            Occasion::Walk { since, .. } if !theirs.by_policy => ours.seq.max(since),
            Occasion::Walk { .. } | Occasion::Sweep | Occasion::Set => ours.seq,
        };
        Ok((theirs.seq > allowed).then_some(Reason::Overtaken { by: stands.seq, seq: ours.seq }))
    }

    fn block(
        &self,
        change: &mut Change<'_>,
        decision: &Decision,
        policy: &Policy,
        reason: Reason,
    ) -> Result<Decision, StoreError> {
        let last_moved_at = policy::status(change, &policy.id)?.last_moved_at;
        let detail = format!("{}:{}: {reason}", self.name, self.tag);
        let status = PolicyStatus { last_moved_at, code: BLOCKED.to_owned(), detail, at: Some(change.now()) };
        policy::set_status(change, &policy.id, &status)?;
        Ok(decision.clone().blocked(reason))
    }

    /// The same tag with every policy's decision replaced by a failure, for an
    /// event that cannot be handled: the cursor must move on.
    #[must_use]
    pub fn failed(mut self, why: &str) -> Self {
        self.plan.intents.clear();
        for decision in &mut self.plan.decisions {
            if decision.outcome == Outcome::Allow {
                *decision = decision.clone().blocked(Reason::failed(why));
            }
        }
        self
    }
}

/// Whether a decision stands for good: allowed and done, for this version.
pub fn is_final(decision: &Decision, version: u32) -> bool {
    decision.outcome == Outcome::Allow && decision.version == version
}

fn policy_of(intent: &Intent) -> PolicyId {
    match intent {
        Intent::Promote { policy, .. } | Intent::Mirror { policy, .. } => *policy,
    }
}
