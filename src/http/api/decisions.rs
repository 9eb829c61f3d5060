//! Why a tag is where it is: what the policies of its repository decided about
//! it, and where it came from.

use serde::Serialize;

use crate::access::Level;
use crate::clock::Timestamp;
use crate::event::Cause;
use crate::oci::{Reference, RepoName, Tag};
use crate::policy::{Check, Decision, Kind, Outcome, Reason};
use crate::reactor::why::why;
use crate::registry::RegistryError;
use crate::store::record::TagValue;
use crate::store::{Read, StoreError, policy, tag, transfer};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Serialize)]
struct DecisionsShape {
    repository: String,
    tag: String,
    digest: String,
    decisions: Vec<DecisionShape>,
    origin: Option<OriginShape>,
    plan: Vec<DecisionShape>,
}

/// What one policy decided.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DecisionShape {
    #[serde(rename = "policyID")]
    policy_id: String,
    kind: Kind,
    version: u32,
    outcome: Outcome,
    /// The rule that decided, or the first that held.
    rule: Option<RuleShape>,
    /// In words.
    reason: String,
    target_repository: Option<String>,
    target_tag: Option<String>,
    /// When it was decided; not for a plan.
    at: Option<String>,
    /// Whether the policy has other rules or another target since, or is gone.
    outdated: bool,
    /// How far a push mirror has come with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<TransferShape>,
}

/// One rule and what it found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleShape {
    index: u32,
    field: String,
    operator: String,
    values: Vec<String>,
    more_values: u32,
    saw: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TransferShape {
    done: bool,
    attempts: u32,
    last_error: String,
    next_at: Option<String>,
    #[serde(rename = "jobID")]
    job_id: String,
}

/// Where a tag came from, when nobody pushed it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OriginShape {
    kind: Kind,
    /// Absent for a promotion by hand.
    #[serde(rename = "policyID")]
    policy_id: Option<String>,
    /// The other registry, for what was pulled in.
    host: Option<String>,
    repository: String,
    tag: String,
    actor: String,
    at: String,
}

/// `GET …/tags/{tag}/decisions`
pub(super) fn get(call: Call<'_>, repository: &RepoName, name: &Tag) -> Result<Answer, ApiError> {
    let read = call.registry().store().snapshot()?;
    let record = call.caller.require(&read, repository, Level::ReadOnly)??;
    let value = tag::get(&read, record.number, name)?.ok_or_else(|| RegistryError::ManifestUnknown {
        reference: Reference::Tag(name.clone()),
        repository: repository.clone(),
    })?;
    let why = why(&read, (repository, &record), name, &value)?;
    let mut decisions = Vec::with_capacity(why.decisions.len());
    for decided in why.decisions {
        decisions.push(shape(&read, name, decided.decision, Some(decided.at))?);
    }
    let mut plan = Vec::with_capacity(why.today.len());
    for decision in why.today {
        plan.push(shape(&read, name, decision, None)?);
    }
    Ok(Answer::ok(&DecisionsShape {
        repository: repository.to_string(),
        tag: name.to_string(),
        digest: value.digest.to_string(),
        decisions,
        origin: origin(value),
        plan,
    }))
}

fn shape(read: &impl Read, tag: &Tag, decision: Decision, at: Option<Timestamp>) -> Result<DecisionShape, StoreError> {
    let id = *decision.policy.id();
    let policy = policy::get(read, &id)?;
    let outdated = policy.as_ref().is_none_or(|policy| policy.version != decision.version);
    let remote =
        policy.and_then(|policy| policy.remote().map(|remote| format!("{}/{}", remote.host, remote.repository)));
    let owed = match (decision.kind, decision.outcome, at) {
        (Kind::PushMirror, Outcome::Allow, Some(_)) => transfer::get(read, &id, tag)?,
        _ => None,
    };
    Ok(DecisionShape {
        policy_id: decision.policy.to_string(),
        kind: decision.kind,
        version: decision.version,
        outcome: decision.outcome,
        rule: rule(&decision.reason),
        reason: decision.reason.to_string(),
        target_repository: decision.target.map(|target| target.to_string()).or(remote),
        target_tag: decision.tag.map(|tag| tag.to_string()),
        at: at.map(Timestamp::rfc3339),
        outdated,
        transfer: owed.map(|row| TransferShape {
            done: !row.is_owed() && row.have == Some(row.want),
            attempts: row.attempts,
            next_at: row.is_owed().then(|| row.next_at.rfc3339()),
            last_error: row.last_error,
            job_id: row.job.to_string(),
        }),
    })
}

/// The rule that a reason speaks of.
pub(super) fn rule(reason: &Reason) -> Option<RuleShape> {
    let check: &Check = match reason {
        Reason::RuleFailed(check) => check,
        Reason::Matched { checks, .. } => checks.first()?,
        Reason::Disabled
        | Reason::NotYetApplying { .. }
        | Reason::Loop
        | Reason::HopLimit { .. }
        | Reason::Template { .. }
        | Reason::Itself
        | Reason::NotATag { .. }
        | Reason::TargetRefused { .. }
        | Reason::RightLost { .. }
        | Reason::Failed { .. }
        | Reason::CameThrough { .. }
        | Reason::Overtaken { .. } => return None,
    };
    Some(RuleShape {
        index: check.rule,
        field: check.field.to_string(),
        operator: check.operator.to_string(),
        values: check.values.clone(),
        more_values: check.more,
        saw: check.saw.clone(),
    })
}

fn origin(value: TagValue) -> Option<OriginShape> {
    let (actor, at) = (value.actor.label(), value.set_at.rfc3339());
    match value.cause {
        Cause::Push | Cause::Restore => None,
        Cause::Promotion { policy, repository, tag } => Some(OriginShape {
            kind: Kind::Promotion,
            policy_id: policy.map(|policy| policy.to_string()),
            host: None,
            repository: repository.to_string(),
            tag: tag.to_string(),
            actor,
            at,
        }),
        Cause::PullMirror { policy, host, repository, tag } => Some(OriginShape {
            kind: Kind::PullMirror,
            policy_id: Some(policy.to_string()),
            host: Some(host),
            repository,
            tag,
            actor,
            at,
        }),
    }
}
