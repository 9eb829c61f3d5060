//! Mirror policies: to and from other registries.

use serde::{Deserialize, Serialize};

use crate::chance::Id;
use crate::jobs::poll_queue::QueuePoll;
use crate::jobs::remote::Plain;
use crate::jobs::settle::{FAILED, SUCCESS};
use crate::jobs::standing::standing;
use crate::limits;
use crate::oci::RepoName;
use crate::policy::Kind;
use crate::policy::rule::RawRule;
use crate::registry::RegistryError;
use crate::registry::policy::{Saving, Shown};
use crate::remote::{Permissions, RemoteHost};
use crate::store::Lane;
use crate::store::record::{Policy, PolicyBody, Remote};

use super::answer::{Answer, moment};
use super::call::Call;
use super::error::ApiError;
use super::job;
use super::mirror_form::{Draft, MirrorForm};
use super::policy::{StatusShape, find};
use super::route::GivenId;

/// A mirror policy. There is no field for its credentials.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MirrorShape {
    id: String,
    /// In lists of both kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirroring_type: Option<&'static str>,
    enabled: bool,
    local_repository: String,
    remote_host: String,
    remote_repository: String,
    #[serde(rename = "remoteCA")]
    remote_ca: String,
    #[serde(rename = "skipTLSVerification")]
    skip_tls_verification: bool,
    username: String,
    rules: Vec<RawRule>,
    tag_template: String,
    time_zone: String,
    /// Of a pull mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    version: u32,
    last_mirrored_at: String,
    last_status: StatusShape,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckShape {
    registry_type: &'static str,
    permissions: PermissionsShape,
}

#[derive(Debug, Serialize)]
struct PermissionsShape {
    read: bool,
    write: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdForm {
    id: Option<String>,
}

/// `POST /api/v0/remote/registry`
pub(super) async fn check(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: MirrorForm = call.form()?;
    let (remote, plain) = form.remote(is_admin(call)?);
    let permissions = ask(call, Kind::PushMirror, &remote, plain).await?;
    if !permissions.read && !permissions.write {
        return Err(ApiError::Remote(format!(
            "the credentials may neither read nor write {} at {}",
            remote.repository, remote.host
        )));
    }
    let is_hub = remote.host.parse().is_ok_and(|host: RemoteHost| host.is_docker_hub());
    Ok(Answer::created(&CheckShape {
        registry_type: if is_hub { "hub" } else { "registry" },
        permissions: PermissionsShape { read: permissions.read, write: permissions.write },
    }))
}

/// `GET …/pushMirroringPolicies`, `GET …/pollMirroringPolicies`
pub(super) fn list_kind(call: Call<'_>, kind: Kind, repository: &RepoName) -> Result<Answer, ApiError> {
    let shown = call.registry().policies(call.caller, repository)?;
    let of_kind = shown.iter().filter(|shown| shown.policy.kind() == kind);
    let shapes: Vec<Option<MirrorShape>> = of_kind.map(|shown| shape(call, shown, false)).collect::<Result<_, _>>()?;
    Ok(Answer::ok(&shapes.into_iter().flatten().collect::<Vec<_>>()))
}

/// `GET …/mirroringPolicies`: both kinds, paged by id.
pub(super) fn list(call: Call<'_>, repository: &RepoName) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let mut shown = call.registry().policies(call.caller, repository)?;
    shown.retain(|shown| shown.policy.remote().is_some());
    shown.sort_by_key(|shown| shown.policy.id);
    let all = shown.len();
    if let Some(start) = page.start.and_then(|start| start.parse::<Id>().ok()) {
        shown.retain(|shown| shown.policy.id >= start);
    }
    let next = shown.get(page.size).map(|shown| shown.policy.id);
    shown.truncate(page.size);
    let shapes: Vec<Option<MirrorShape>> =
        shown.iter().map(|shown| shape(call, shown, true)).collect::<Result<_, _>>()?;
    let shapes: Vec<MirrorShape> = shapes.into_iter().flatten().collect();
    Ok(Answer::ok(&shapes).next(next).count(page.count.then_some(all)))
}

/// `DELETE …/mirroringPolicies` with `[{"id":…},…]`
pub(super) async fn delete(call: Call<'_>, repository: &RepoName) -> Result<Answer, ApiError> {
    let forms: Vec<IdForm> = call.list()?;
    let named: Vec<Id> = forms.into_iter().filter_map(|form| form.id?.parse().ok()).collect();
    for shown in call.registry().policies(call.caller, repository)? {
        if shown.policy.remote().is_some() && named.contains(&shown.policy.id) {
            call.registry().delete_policy(call.caller, repository, shown.policy.id).await?;
        }
    }
    Ok(Answer::nothing())
}

/// `POST …/pushMirroringPolicies`, `POST …/pollMirroringPolicies`
pub(super) async fn create(call: Call<'_>, kind: Kind, repository: RepoName) -> Result<Answer, ApiError> {
    let draft = Draft::read(kind, call.form()?, None, is_admin(call)?)?;
    let id = call.registry().store().chance().id();
    let evaluate = call.flag("initialEvaluation", true)?;
    let saved = save(call, kind, repository, (None, id), draft, evaluate, !evaluate).await?;
    answer(call, kind, &saved.ok_or(ApiError::Overtaken)?, Answer::created)
}

/// `GET …/{id}`
pub(super) fn get(call: Call<'_>, kind: Kind, repository: &RepoName, id: GivenId) -> Result<Answer, ApiError> {
    answer(call, kind, &find(call, kind, repository, id)?, Answer::ok)
}

/// `PUT …/{id}`
pub(super) async fn update(call: Call<'_>, kind: Kind, mut before: Shown) -> Result<Answer, ApiError> {
    let evaluate = call.flag("initialEvaluation", true)?;
    for _ in 0..limits::POLICY_SAVE_TRIES {
        let draft = Draft::read(kind, call.form()?, Some(&before.policy), is_admin(call)?)?;
        // What was there when a pull mirror was first saved stays what it was.
        let changes_only = match before.policy.body {
            PolicyBody::Pull { changes_only, .. } => changes_only,
            PolicyBody::Promotion { .. } | PolicyBody::Push { .. } => false,
        };
        let (id, repository) = (before.policy.id, before.repository);
        let over = (Some(before.policy), id);
        if let Some(shown) = save(call, kind, repository.clone(), over, draft, evaluate, changes_only).await? {
            return answer(call, kind, &shown, Answer::ok);
        }
        before = find(call, kind, &repository, Some(id))?;
    }
    Err(ApiError::Overtaken)
}

/// `POST …/pollMirroringPolicies/{id}/run`
pub(super) async fn run(call: Call<'_>, repository: &RepoName, id: GivenId) -> Result<Answer, ApiError> {
    let found = find(call, Kind::PullMirror, repository, id)?;
    let no_such = || ApiError::NoSuchPolicy { kind: Kind::PullMirror, repository: repository.clone() };
    if !found.policy.enabled {
        return Err(ApiError::Parameter { name: "id", why: "the policy is disabled; enable it first".to_owned() });
    }
    let queued = queue_poll(call, found.policy.id, true).await?.ok_or_else(no_such)?;
    Ok(Answer::accepted(&job::of(call, &queued)?.ok_or_else(no_such)?))
}

/// Queues a look for changes; its job. `is_asked`: it is what somebody asked
/// for, and not what follows from it.
pub(super) async fn queue_poll(call: Call<'_>, policy: Id, is_asked: bool) -> Result<Option<Id>, ApiError> {
    let store = call.registry().store();
    let poll = QueuePoll { policy, job: store.chance().id(), after: None, by: is_asked.then(|| call.caller.actor()) };
    Ok(store.submit(Lane::Foreground, poll).await?.unwrap_or_else(|never| match never {}))
}

/// Saves a mirror, over the one it was made from; `None` when that is another
/// one by now.
async fn save(
    call: Call<'_>,
    kind: Kind,
    repository: RepoName,
    (over, id): (Option<Policy>, Id),
    mut draft: Draft,
    evaluate: bool,
    changes_only: bool,
) -> Result<Option<Shown>, ApiError> {
    if draft.asks && call.flag("check", true)? {
        let plain = draft.credentials(call.remotes(), &id)?;
        let found = ask(call, kind, &draft.remote, plain).await?;
        enough(kind, &draft.remote, found)?;
    }
    // Until it is written down, no key is taken away.
    let sealing = call.remotes().keys().sealing().await;
    if let Some(plain) = &draft.plain {
        call.remotes()
            .seal(&id, &mut draft.remote, plain)
            .await
            .map_err(|error| ApiError::Policy { kind, why: error.to_string() })?;
    }
    let remote = draft.remote;
    let (body, evaluate) = match kind {
        // A pull mirror has no tags here to walk over: it looks at once.
        Kind::PullMirror => (PolicyBody::Pull { remote, schedule: draft.schedule, changes_only }, false),
        Kind::PushMirror | Kind::Promotion => (PolicyBody::Push { remote }, evaluate),
    };
    let saving = Saving {
        id: over.as_ref().map(|_| id),
        repository,
        enabled: draft.enabled,
        rules: draft.rules,
        tag_template: draft.tag_template,
        time_zone: draft.time_zone,
        body,
        evaluate,
        again: call.choice("initialEvaluation")? == Some(true),
    };
    let saved = match over {
        Some(over) => call.registry().save_policy_over(call.caller, saving, over).await,
        None => call.registry().save_policy_as(call.caller, saving, id).await.map(Some),
    };
    drop(sealing);
    if !call.remotes().keys().is_whole() {
        call.remotes().keys().look_soon();
    }
    let shown = match saved {
        Err(RegistryError::PolicyUnknown { repository }) => return Err(ApiError::NoSuchPolicy { kind, repository }),
        saved => saved?,
    };
    if let Some(shown) = shown.as_ref().filter(|shown| kind == Kind::PullMirror && shown.policy.enabled) {
        queue_poll(call, shown.policy.id, false).await?;
    }
    Ok(shown)
}

/// Asks the other registry what the credentials allow; for a pull mirror only
/// by reading.
pub(super) async fn ask(call: Call<'_>, kind: Kind, remote: &Remote, plain: Plain) -> Result<Permissions, ApiError> {
    let client = call.remotes().client_with(remote, plain).map_err(|error| ApiError::Remote(error.to_string()))?;
    let found = match kind {
        Kind::PullMirror => client.check_read().await,
        Kind::PushMirror | Kind::Promotion => client.check().await,
    };
    found.map_err(|error| ApiError::Remote(error.chain()))
}

/// Whether what the credentials allow is what the mirror needs.
pub(super) fn enough(kind: Kind, remote: &Remote, found: Permissions) -> Result<(), ApiError> {
    let Remote { host, repository, .. } = remote;
    let lacks = match kind {
        Kind::PullMirror if !found.read => format!("the credentials may not read {repository} at {host}"),
        Kind::PullMirror if !found.exists => format!("{host} has no repository {repository}, or hides it"),
        Kind::PushMirror if !found.write => format!("the credentials may not write to {repository} at {host}"),
        Kind::PullMirror | Kind::PushMirror | Kind::Promotion => return Ok(()),
    };
    Err(ApiError::Remote(lacks))
}

/// Private addresses are dialled only for a system admin.
pub(super) fn is_admin(call: Call<'_>) -> Result<bool, ApiError> {
    Ok(call.caller.is_admin(&call.registry().store().snapshot()?)?)
}

fn answer(
    call: Call<'_>,
    kind: Kind,
    shown: &Shown,
    wrap: impl FnOnce(&MirrorShape) -> Answer,
) -> Result<Answer, ApiError> {
    let no_such = || ApiError::NoSuchPolicy { kind, repository: shown.repository.clone() };
    Ok(wrap(&shape(call, shown, false)?.ok_or_else(no_such)?))
}

/// The shape of a mirror policy; `None` for a promotion.
fn shape(call: Call<'_>, shown: &Shown, names_kind: bool) -> Result<Option<MirrorShape>, ApiError> {
    let policy = &shown.policy;
    let (remote, schedule, word) = match &policy.body {
        PolicyBody::Promotion { .. } => return Ok(None),
        PolicyBody::Push { remote } => (remote, None, "push"),
        PolicyBody::Pull { remote, schedule, .. } => (remote, Some(schedule.clone()), "poll"),
    };
    let mut status = shown.status.clone();
    // The last act may have gone well while something else is lacking.
    if status.code.is_empty() || status.code == SUCCESS {
        let store = call.registry().store();
        let lacks = standing(&store.snapshot()?, policy, store.now())?;
        if !lacks.is_good() {
            (status.code, status.detail) = (FAILED.to_owned(), lacks.to_string());
        }
    }
    Ok(Some(MirrorShape {
        id: policy.id.to_string(),
        mirroring_type: names_kind.then_some(word),
        enabled: policy.enabled,
        local_repository: shown.repository.to_string(),
        remote_host: remote.host.clone(),
        remote_repository: remote.repository.clone(),
        remote_ca: remote.ca.clone(),
        skip_tls_verification: remote.skip_tls_verification,
        username: remote.username.clone(),
        rules: policy.rules.clone(),
        tag_template: policy.tag_template.clone(),
        time_zone: policy.time_zone.clone(),
        schedule,
        version: policy.version,
        last_mirrored_at: moment(shown.status.last_moved_at),
        last_status: (&status).into(),
    }))
}
