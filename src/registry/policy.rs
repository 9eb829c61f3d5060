//! Policies: saved, changed, looked at, removed.
//!
//! What a policy says was parsed by whoever calls; here it is decided whether
//! it may be saved, and written with its event and its walk over the tags that
//! exist already.

use crate::access::Level;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::Kind;
use crate::limits;
use crate::oci::RepoName;
use crate::policy::rule::RawRule;
use crate::store::record::{Cron, Evaluation, Policy, PolicyBody, PolicyStatus, Repository};
use crate::store::{Change, Key, Lane, Operation, Read, StoreError, Table, audit, event, policy, repo, transfer};

use super::{Caller, Registry, RegistryError};

/// What a policy is saved as.
#[derive(Clone, Debug)]
pub struct Saving {
    /// The policy that changes; none makes a new one.
    pub id: Option<Id>,
    /// The repository it stands on.
    pub repository: RepoName,
    /// Whether it acts.
    pub enabled: bool,
    /// All must hold.
    pub rules: Vec<RawRule>,
    /// How the tag is called on the other side.
    pub tag_template: String,
    /// The time zone of the template and the schedule.
    pub time_zone: String,
    /// What it does.
    pub body: PolicyBody,
    /// Whether the tags that exist already are evaluated too.
    pub evaluate: bool,
    /// Whether what was done for them and is gone since is done again.
    pub again: bool,
}

/// A policy as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The policy.
    pub policy: Policy,
    /// What it did last.
    pub status: PolicyStatus,
    /// The repository it stands on.
    pub repository: RepoName,
}

struct SavePolicy {
    caller: Caller,
    saving: Saving,
    new_id: Id,
    /// What the change was made from, where it was made from something.
    over: Option<Policy>,
}

/// Why a policy was not saved.
enum NotSaved {
    Refused(RegistryError),
    /// It is not what the change was made from any more.
    Moved,
}

impl Operation for SavePolicy {
    type Plan = (Repository, Option<Policy>);
    type Done = Policy;
    type Refusal = NotSaved;
    const NAME: &'static str = "save policy";
    const AUDIT: Audit = Audit::Acts(&[Action::PolicyCreate, Action::PolicyUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, NotSaved>, StoreError> {
        let refused = |refusal| Ok(Err(NotSaved::Refused(refusal)));
        let saving = &self.saving;
        let repository = match self.caller.require(tables, &saving.repository, Level::Admin)? {
            Ok(repository) => repository,
            Err(refusal) => return refused(refusal),
        };
        if let PolicyBody::Promotion { target } = &saving.body
            && let Ok(target) = target.parse()
            && let Err(refusal) = self.caller.require(tables, &target, Level::Admin)?
        {
            return refused(refusal);
        }
        let before = match saving.id {
            None => None,
            Some(id) => match find(tables, repository.number, &id, &saving.body)? {
                Some(before) => Some(before),
                None => return refused(RegistryError::PolicyUnknown { repository: saving.repository.clone() }),
            },
        };
        if before.is_none() && policy::of(tables, repository.number)?.len() >= limits::POLICIES_PER_REPOSITORY {
            return refused(RegistryError::TooManyPolicies { repository: saving.repository.clone() });
        }
        if self.over.is_some() && self.over != before {
            return Ok(Err(NotSaved::Moved));
        }
        Ok(Ok((repository, before)))
    }

    fn apply(&self, (repository, before): Self::Plan, tables: &mut Change<'_>) -> Result<Policy, StoreError> {
        let (saving, now) = (&self.saving, tables.now());
        let seq = event::next(tables)?;
        let mut policy = Policy {
            id: before.as_ref().map_or(self.new_id, |before| before.id),
            version: 1,
            repository: repository.number,
            owner: self.caller.owner(),
            enabled: saving.enabled,
            applies_from: if saving.evaluate { 0 } else { seq },
            rules: saving.rules.clone(),
            tag_template: saving.tag_template.clone(),
            time_zone: saving.time_zone.clone(),
            created_at: now,
            updated_at: now,
            body: saving.body.clone(),
        };
        if let Some(before) = &before {
            policy.created_at = before.created_at;
            policy.version = before.version + u32::from(decides_differently(before, &policy));
        }
        policy::put(tables, &policy, before.as_ref())?;
        if saving.evaluate && policy.enabled {
            let evaluation =
                Evaluation { version: policy.version, after: String::new(), since: seq, again: saving.again };
            policy::set_evaluation(tables, &policy.id, &evaluation)?;
        } else {
            policy::end_evaluation(tables, &policy.id)?;
        }
        if policy.enabled && policy.remote().is_some() {
            transfer::hurry(tables, &policy.id, |_| true)?;
            if matches!(policy.body, PolicyBody::Push { .. }) {
                // Saving it again is how a person asks for what was called off.
                transfer::revive(tables, &policy.id, policy.version)?;
            }
        }
        if matches!(policy.body, PolicyBody::Pull { .. }) {
            let rescheduled = before.as_ref().is_none_or(|before| schedule(before) != schedule(&policy));
            if rescheduled {
                // A look that waits already is the one that is asked for.
                let job = policy::cron(tables, &policy.id)?.and_then(|cron| cron.job);
                policy::set_cron(tables, &policy.id, &Cron { last: now, job })?;
            }
        }
        let kind = Kind::PolicySaved { policy: policy.id };
        let seq = event::append(tables, self.caller.actor(), (repository.number, &saving.repository), kind)?;
        let act = saved(&saving.repository, before.as_ref(), &policy).event(seq);
        audit::append(tables, &self.caller.actor(), act)?;
        Ok(policy)
    }
}

/// Something done to a policy.
fn of_policy(action: Action, repository: &RepoName, policy: &Policy) -> Act {
    let act = Act::new(action, ObjectKind::Policy, repository).id(policy.id).within(repository.namespace());
    let kind = match policy.body {
        PolicyBody::Promotion { .. } => "promotion",
        PolicyBody::Push { .. } => "push mirror",
        PolicyBody::Pull { .. } => "pull mirror",
    };
    act.with("kind", kind)
}

/// A policy that was made or changed: what it does, never with what it signs
/// in elsewhere.
fn saved(repository: &RepoName, before: Option<&Policy>, after: &Policy) -> Act {
    let action = if before.is_some() { Action::PolicyUpdate } else { Action::PolicyCreate };
    let told = |policy: &Policy| {
        let when = schedule(policy).map(|(schedule, ..)| schedule.to_owned()).unwrap_or_default();
        let (username, skips) = policy.remote().map_or_else(Default::default, |remote| {
            (remote.username.clone(), remote.skip_tls_verification.to_string())
        });
        [
            ("enabled", policy.enabled.to_string()),
            ("owner", policy.owner.label()),
            ("target", target(policy)),
            ("rules", rules(policy)),
            ("tagTemplate", policy.tag_template.clone()),
            ("timeZone", policy.time_zone.clone()),
            ("schedule", when),
            ("username", username),
            ("skipTLSVerification", skips),
        ]
    };
    let was = before.map(told);
    let mut act = of_policy(action, repository, after);
    for (place, (name, is)) in told(after).into_iter().enumerate() {
        act = match &was {
            Some(was) => act.changed(name, was[place].1.clone(), is),
            None if is.is_empty() => act,
            None => act.with(name, is),
        };
    }
    let sealed = |policy: &Policy| policy.remote().map(|remote| (remote.password.clone(), remote.token.clone()));
    let has_new_secret = before.is_some_and(|before| sealed(before) != sealed(after));
    if has_new_secret { act.detail("credentials", None, None) } else { act }
}

/// Where it moves what it moves: for a pull mirror, where from.
fn target(policy: &Policy) -> String {
    match &policy.body {
        PolicyBody::Promotion { target } => target.clone(),
        PolicyBody::Push { remote } | PolicyBody::Pull { remote, .. } => {
            format!("{}/{}", remote.host, remote.repository)
        }
    }
}

fn rules(policy: &Policy) -> String {
    let rule = |rule: &RawRule| format!("{} {} {}", rule.field, rule.operator, rule.values.join(","));
    policy.rules.iter().map(rule).collect::<Vec<_>>().join("; ")
}

/// Whether the change is one after which tags are decided about again: rules,
/// template or where it goes; nothing else.
fn decides_differently(before: &Policy, after: &Policy) -> bool {
    let goes = |policy: &Policy| match &policy.body {
        PolicyBody::Promotion { target } => (target.clone(), String::new()),
        PolicyBody::Push { remote } | PolicyBody::Pull { remote, .. } => {
            (remote.host.clone(), remote.repository.clone())
        }
    };
    before.rules != after.rules
        || before.tag_template != after.tag_template
        || before.time_zone != after.time_zone
        || goes(before) != goes(after)
}

fn schedule(policy: &Policy) -> Option<(&str, &str, bool)> {
    match &policy.body {
        PolicyBody::Pull { schedule, .. } => Some((schedule, &policy.time_zone, policy.enabled)),
        PolicyBody::Promotion { .. } | PolicyBody::Push { .. } => None,
    }
}

/// The policy with this id, if it stands on the repository and is of the kind.
fn find(
    read: &impl Read,
    repository: crate::store::RepoId,
    id: &Id,
    kind: &PolicyBody,
) -> Result<Option<Policy>, StoreError> {
    let same = |policy: &Policy| {
        policy.repository == repository && std::mem::discriminant(&policy.body) == std::mem::discriminant(kind)
    };
    Ok(policy::get(read, id)?.filter(same))
}

struct DeletePolicy {
    caller: Caller,
    repository: RepoName,
    id: Id,
}

impl Operation for DeletePolicy {
    type Plan = Option<(Repository, Policy)>;
    type Done = bool;
    type Refusal = RegistryError;
    const NAME: &'static str = "delete policy";
    const AUDIT: Audit = Audit::Acts(&[Action::PolicyDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let found = policy::get(tables, &self.id)?;
        let source = match self.caller.require(tables, &self.repository, Level::Admin)? {
            Ok(repository) => {
                return Ok(Ok(found.filter(|p| p.repository == repository.number).map(|p| (repository, p))));
            }
            Err(refusal) => refusal,
        };
        // An admin of the target may remove a promotion into it too.
        let Some(found) = found else { return Ok(Err(source)) };
        let PolicyBody::Promotion { target } = &found.body else { return Ok(Err(source)) };
        let Ok(target) = target.parse() else { return Ok(Err(source)) };
        if self.caller.require(tables, &target, Level::Admin)?.is_err() {
            return Ok(Err(source));
        }
        let stands = repo::get(tables, &self.repository)?.filter(|repository| repository.number == found.repository);
        Ok(stands.map(|repository| Some((repository, found))).ok_or(source))
    }

    fn apply(&self, found: Self::Plan, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some((repository, policy)) = found else { return Ok(false) };
        policy::remove(tables, &policy)?;
        tables.put_mark(Table::Purges, &Key::new().id(&policy.id))?;
        let kind = Kind::PolicyDeleted { policy: policy.id };
        let seq = event::append(tables, self.caller.actor(), (repository.number, &self.repository), kind)?;
        let act = of_policy(Action::PolicyDelete, &self.repository, &policy).with("target", target(&policy));
        audit::append(tables, &self.caller.actor(), act.event(seq))?;
        Ok(true)
    }
}

impl Registry {
    /// Saves a policy, with its event and its walk over existing tags.
    pub async fn save_policy(&self, caller: &Caller, saving: Saving) -> Result<Shown, RegistryError> {
        self.save_policy_as(caller, saving, self.store().chance().id()).await
    }

    /// The same; a new policy gets `new_id`, for whoever sealed something to it
    /// before it was there.
    pub async fn save_policy_as(&self, caller: &Caller, saving: Saving, new_id: Id) -> Result<Shown, RegistryError> {
        let refusal = RegistryError::PolicyUnknown { repository: saving.repository.clone() };
        let operation = SavePolicy { caller: caller.clone(), saving, new_id, over: None };
        self.submit_policy(operation).await?.ok_or(refusal)
    }

    /// Saves a change that was made from `over`. `None` when the policy is
    /// something else by now: read it again, and merge again.
    pub async fn save_policy_over(
        &self,
        caller: &Caller,
        saving: Saving,
        over: Policy,
    ) -> Result<Option<Shown>, RegistryError> {
        let new_id = over.id;
        self.submit_policy(SavePolicy { caller: caller.clone(), saving, new_id, over: Some(over) }).await
    }

    async fn submit_policy(&self, operation: SavePolicy) -> Result<Option<Shown>, RegistryError> {
        let repository = operation.saving.repository.clone();
        let policy = match self.store().submit(Lane::Foreground, operation).await? {
            Ok(policy) => policy,
            Err(NotSaved::Moved) => return Ok(None),
            Err(NotSaved::Refused(refusal)) => return Err(refusal),
        };
        let status = policy::status(&self.store().snapshot()?, &policy.id)?;
        Ok(Some(Shown { policy, status, repository }))
    }

    /// Removes a policy; whether there was one.
    pub async fn delete_policy(&self, caller: &Caller, repository: &RepoName, id: Id) -> Result<bool, RegistryError> {
        let operation = DeletePolicy { caller: caller.clone(), repository: repository.clone(), id };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// The policies that stand on a repository that the caller may see.
    pub fn policies(&self, caller: &Caller, repository: &RepoName) -> Result<Vec<Shown>, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mut shown = Vec::new();
        for policy in policy::of(&read, record.number)? {
            let status = policy::status(&read, &policy.id)?;
            shown.push(Shown { policy, status, repository: repository.clone() });
        }
        shown.sort_by_key(|shown| shown.policy.created_at);
        Ok(shown)
    }

    /// The promotion policies that target a repository that the caller may see.
    pub fn policies_into(&self, caller: &Caller, target: &RepoName) -> Result<Vec<Shown>, RegistryError> {
        let read = self.store().snapshot()?;
        caller.require(&read, target, Level::ReadOnly)??;
        let mut shown = Vec::new();
        for policy in policy::into(&read, target)? {
            if let Some(repository) = repo::name_of(&read, policy.repository)? {
                let status = policy::status(&read, &policy.id)?;
                shown.push(Shown { policy, status, repository });
            }
        }
        shown.sort_by_key(|shown| shown.policy.created_at);
        Ok(shown)
    }

    /// One policy of a repository that the caller may see.
    pub fn policy(&self, caller: &Caller, repository: &RepoName, id: &Id) -> Result<Shown, RegistryError> {
        self.policies(caller, repository)?
            .into_iter()
            .find(|shown| shown.policy.id == *id)
            .ok_or_else(|| RegistryError::PolicyUnknown { repository: repository.clone() })
    }
}

impl Shown {
    /// When it last moved something.
    pub fn last_moved_at(&self) -> Option<Timestamp> {
        self.status.last_moved_at
    }
}
