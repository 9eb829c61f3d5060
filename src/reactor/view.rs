//! What a plan is made from: one tag's facts and the policies of its
//! repository, read from one snapshot.

use crate::chance::Id;
use crate::oci::{RepoName, Tag};
use crate::policy::{self, Decision, Facts, Outcome, Plan, PolicyId, Reason, Trigger};
use crate::store::record::{Policy, PolicyBody, TagValue};
use crate::store::{Read, RepoId, StoreError, policy as policies};

/// The policies of one repository, as they were read.
#[derive(Clone, Debug)]
pub struct View {
    /// The repository.
    pub repository: RepoId,
    /// Its name.
    pub name: RepoName,
    /// Its promotion and push mirror policies.
    pub policies: Vec<Policy>,
    parsed: Vec<policy::Policy>,
    /// Stored policies that are not understood any more, and why.
    broken: Vec<(Policy, String)>,
}

/// What a set of decisions was made from; they hold while it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis(Vec<(Id, u32, bool, u64)>);

impl View {
    /// Reads the policies that stand on a repository.
    pub fn read(read: &impl Read, repository: RepoId, name: RepoName) -> Result<Self, StoreError> {
        let mut view = Self { repository, name, policies: Vec::new(), parsed: Vec::new(), broken: Vec::new() };
        for policy in policies::of(read, repository)? {
            match policy.to_plan() {
                Ok(Some(parsed)) => {
                    view.parsed.push(parsed);
                    view.policies.push(policy);
                }
                Ok(None) => {}
                Err(why) => view.broken.push((policy, why)),
            }
        }
        Ok(view)
    }

    /// Whether there is nothing to decide.
    pub fn is_empty(&self) -> bool {
        self.parsed.is_empty() && self.broken.is_empty()
    }

    /// What plans of this view are made from.
    pub fn basis(&self) -> Basis {
        let all = self.policies.iter().chain(self.broken.iter().map(|(policy, _)| policy));
        let mut rows: Vec<_> =
            all.map(|policy| (policy.id, policy.version, policy.enabled, policy.applies_from)).collect();
        rows.sort_unstable();
        Basis(rows)
    }

    /// What the policies do about a tag.
    pub fn plan(&self, trigger: Trigger, tag: &Tag, value: &TagValue) -> Plan {
        let mut plan = policy::plan(&self.parsed, trigger, &facts(&self.name, tag, value));
        for (policy, why) in &self.broken {
            let is_asked = !matches!(trigger, Trigger::PolicySaved(saved) if saved != PolicyId::new(policy.id));
            if is_asked {
                plan.decisions.push(Decision {
                    policy: PolicyId::new(policy.id),
                    version: policy.version,
                    kind: policy.kind(),
                    outcome: Outcome::Deny,
                    reason: Reason::failed(format!("the stored policy is not understood: {why}")),
                    target: match &policy.body {
                        PolicyBody::Promotion { target } => target.parse().ok(),
                        PolicyBody::Push { .. } | PolicyBody::Pull { .. } => None,
                    },
                    tag: None,
                });
            }
        }
        plan
    }
}

impl Basis {
    /// Whether no policy stands there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The basis as it stands in `read`.
    pub fn now(read: &impl Read, repository: RepoId) -> Result<Self, StoreError> {
        let mut rows: Vec<_> = policies::of(read, repository)?
            .iter()
            .filter(|policy| !matches!(policy.body, PolicyBody::Pull { .. }))
            .map(|policy| (policy.id, policy.version, policy.enabled, policy.applies_from))
            .collect();
        rows.sort_unstable();
        Ok(Self(rows))
    }
}

/// The facts of a tag as a plan reads them.
pub fn facts(source: &RepoName, tag: &Tag, value: &TagValue) -> Facts {
    Facts {
        source: source.clone(),
        tag: tag.clone(),
        digest: value.digest,
        seq: value.seq,
        set_at: value.set_at,
        hops: u8::try_from(value.chain.len()).unwrap_or(u8::MAX),
        passed: value.chain.iter().copied().map(PolicyId::new).collect(),
    }
}
