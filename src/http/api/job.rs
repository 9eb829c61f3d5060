//! Jobs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::chance::Id;
use crate::clock::Timestamp;
use crate::jobs::heal::QueueHeal;
use crate::jobs::query::{self, Cancel, Filter, NothingToPoll};
use crate::jobs::system::{QueueSystem, Queued};
use crate::jobs::{gc, scrub};
use crate::oci::RepoName;
use crate::store::record::{Job, JobAction, JobStatus, Policy, PolicyBody};
use crate::store::{Lane, Read, Store, StoreError, policy, queue, repo};
use crate::{lifecycle, limits};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::mirror::queue_poll;
use super::route::GivenId;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JobForm {
    action: Option<String>,
    parameters: Option<BTreeMap<String, serde_json::Value>>,
    scheduled_at: Option<String>,
}

/// A job with every field that DTR's has, and ours behind them. What belongs to
/// DTR's cluster of runners (capacity, deadlines, retries under another id) is
/// empty. Nothing is ever given up, so retries are not counted down: a job that
/// failed stays `waiting` until it is done, with `retriesLeft` 1 while another
/// try is to come, and `lastError`, `attempts` and `nextTryAt` say how it fares.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobShape {
    id: String,
    #[serde(rename = "retryFromID")]
    retry_from_id: String,
    #[serde(rename = "workerID")]
    worker_id: String,
    status: &'static str,
    scheduled_at: String,
    last_updated: String,
    action: &'static str,
    retries_left: u32,
    retries_total: u32,
    capacity_map: BTreeMap<String, u32>,
    parameters: BTreeMap<String, String>,
    deadline: String,
    stop_timeout: String,
    /// Tries that failed.
    attempts: u32,
    /// What went wrong at the last try; empty when nothing did.
    last_error: String,
    /// When it is tried next; empty while it runs and when it is over.
    next_try_at: String,
    /// What it works on: `dev/web:1.4`, or the repository that a look is for.
    subject: String,
}

#[derive(Debug, Serialize)]
struct JobsShape {
    jobs: Vec<JobShape>,
}

/// The first job, as DTR has it, and all of them beside.
#[derive(Debug, Serialize)]
struct QueuedShape {
    #[serde(flatten)]
    first: JobShape,
    jobs: Vec<JobShape>,
    /// Pull mirrors that were not asked.
    skipped: Vec<SkippedShape>,
}

/// A pull mirror that does not look, and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SkippedShape {
    #[serde(rename = "policyID")]
    policy_id: String,
    repository: String,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LineShape {
    line_num: u64,
    data: String,
}

/// `POST /api/v0/jobs`
pub(super) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: JobForm = call.form()?;
    match form.action.as_deref() {
        Some(word) if word == JobAction::PollMirror.as_str() => {}
        Some(word) if word == JobAction::OnlineGc.as_str() => return system(call, JobAction::OnlineGc, form).await,
        Some(word) if word == JobAction::Scrub.as_str() => return system(call, JobAction::Scrub, form).await,
        Some(word) if word == JobAction::Heal.as_str() => return heal(call, form).await,
        Some(word) if word == JobAction::Rekey.as_str() => return system(call, JobAction::Rekey, form).await,
        other => {
            let given = other.unwrap_or_default();
            let why = format!(
                "{given:?} cannot be started by hand; \"poll_mirror\", \"onlinegc\", \"scrub\", \"heal\" and \"rekey\" can"
            );
            return Err(ApiError::Parameter { name: "action", why });
        }
    }
    not_later(call, form.scheduled_at.as_deref())?;
    let (wanted, of_repository) = meant_by(form.parameters.unwrap_or_default())?;
    let store = call.registry().store().clone();
    let mirrors = lifecycle::blocking(move || pull_mirrors(&store)).await?;
    let is_meant = |name: &RepoName, policy: &Policy| {
        wanted.is_none_or(|wanted| policy.id == wanted) && of_repository.as_ref().is_none_or(|only| only == name)
    };
    let meant = mirrors.into_iter().filter(|(name, policy)| is_meant(name, policy));
    let (due, disabled): (Vec<_>, Vec<_>) = meant.partition(|(_, policy)| policy.enabled);
    if due.is_empty() && wanted.is_some() {
        return Err(ApiError::Parameter { name: "policyID", why: "no enabled pull mirror has this id".to_owned() });
    }
    let mut jobs = Vec::new();
    for (_, policy) in due {
        if let Some(queued) = queue_poll(call, policy.id, true).await? {
            jobs.extend(of(call, &queued)?);
        }
    }
    let skipped: Vec<SkippedShape> = disabled
        .into_iter()
        .map(|(name, policy)| SkippedShape {
            policy_id: policy.id.to_string(),
            repository: name.to_string(),
            reason: "the policy is disabled",
        })
        .collect();
    if jobs.is_empty() {
        let store = call.registry().store();
        let id = store.chance().id();
        let why = match skipped.len() {
            0 => "there is no enabled pull mirror".to_owned(),
            count => format!("there is no enabled pull mirror; {count} disabled skipped"),
        };
        let job = store.submit(Lane::Foreground, NothingToPoll { job: id, why }).await?;
        let read = store.snapshot()?;
        jobs.push(shape(call, &read, id, job.unwrap_or_else(|never| match never {}))?);
    }
    match jobs.first().cloned() {
        Some(first) => Ok(Answer::accepted(&QueuedShape { first, jobs, skipped })),
        None => Err(ApiError::NoSuchJob),
    }
}

/// What a look for changes is meant for: a policy, the policies of a repository,
/// or all where nothing is named. What is not known is refused: a job for
/// everything is not what was asked for.
fn meant_by(parameters: BTreeMap<String, serde_json::Value>) -> Result<(Option<Id>, Option<RepoName>), ApiError> {
    let (mut policy, mut repository) = (None, None);
    for (name, value) in parameters {
        let text = match &value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) if text.is_empty() => continue,
            serde_json::Value::String(text) => text.as_str(),
            _ => {
                let why = format!("{name:?} takes a text");
                return Err(ApiError::Parameter { name: "parameters", why });
            }
        };
        match name.as_str() {
            "policyID" | "policy" => {
                let wrong = |_| ApiError::Parameter { name: "policyID", why: format!("{text:?} is no id of a policy") };
                let id: Id = text.parse().map_err(wrong)?;
                if policy.is_some_and(|other| other != id) {
                    let why = "`policy` and `policyID` name two policies".to_owned();
                    return Err(ApiError::Parameter { name: "policyID", why });
                }
                policy = Some(id);
            }
            "repository" => {
                let wrong = |error| ApiError::Parameter { name: "repository", why: format!("{text:?}: {error}") };
                repository = Some(text.parse::<RepoName>().map_err(wrong)?);
            }
            _ => {
                let why = format!("{name:?} is none of \"poll_mirror\", which takes \"policyID\" and \"repository\"");
                return Err(ApiError::Parameter { name: "parameters", why });
            }
        }
    }
    Ok((policy, repository))
}

/// Starts a job of the daemon's own, or gives the one that waits or runs.
async fn system(call: Call<'_>, action: JobAction, form: JobForm) -> Result<Answer, ApiError> {
    not_later(call, form.scheduled_at.as_deref())?;
    let mut parameters = BTreeMap::new();
    for (name, value) in form.parameters.unwrap_or_default() {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        parameters.insert(name, text);
    }
    let checked = match action {
        JobAction::Rekey => match parameters.first_key_value() {
            Some((name, _)) => {
                let why = format!("{name:?} is none of \"rekey\", which takes none");
                return Err(ApiError::Parameter { name: "parameters", why });
            }
            None => Ok(()),
        },
        JobAction::Scrub => scrub::Wish::default().with(&parameters).map(drop),
        _ => gc::Collection::default().with(&parameters).map(drop),
    };
    checked.map_err(|bad| ApiError::Parameter { name: bad.name, why: bad.why })?;
    let store = call.registry().store();
    let id = store.chance().id();
    let queue = QueueSystem { action, parameters, job: id, after: None, by: call.caller.actor() };
    let (id, job) = match store.submit(Lane::Foreground, queue).await?.unwrap_or_else(|never| match never {}) {
        Queued::New(job) => (id, job),
        Queued::Busy(busy, job) => {
            let why = format!("job {busy} of the same kind is {}; wait for it or call it off", job.status.as_str());
            return Err(ApiError::Parameter { name: "action", why });
        }
        Queued::Overtaken => return Err(ApiError::NoSuchJob),
    };
    let read = store.snapshot()?;
    let first = shape(call, &read, id, job)?;
    Ok(Answer::accepted(&QueuedShape { jobs: vec![first.clone()], first, skipped: Vec::new() }))
}

/// Asks for what is damaged to be tried again now.
async fn heal(call: Call<'_>, form: JobForm) -> Result<Answer, ApiError> {
    not_later(call, form.scheduled_at.as_deref())?;
    let store = call.registry().store();
    let queue = QueueHeal { job: store.chance().id(), by: Some(call.caller.actor()) };
    let queued = store.submit(Lane::Foreground, queue).await?.unwrap_or_else(|never| match never {});
    let (id, job) = queued.ok_or(ApiError::NoSuchJob)?;
    let first = shape(call, &store.snapshot()?, id, job)?;
    Ok(Answer::accepted(&QueuedShape { jobs: vec![first.clone()], first, skipped: Vec::new() }))
}

/// The pull mirrors with their repositories, by name.
fn pull_mirrors(store: &Store) -> Result<Vec<(RepoName, Policy)>, StoreError> {
    let read = store.snapshot()?;
    let mut found = Vec::new();
    for policy in policy::all(&read)? {
        if matches!(policy.body, PolicyBody::Pull { .. })
            && let Some(name) = repo::name_of(&read, policy.repository)?
        {
            found.push((name, policy));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// `GET /api/v0/jobs`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let action = match call.query.filled("action") {
        None | Some("any") => None,
        Some(word) => match JobAction::ALL.into_iter().find(|action| action.as_str() == word) {
            Some(action) => Some(action),
            // An action of DTR's that is none here has no jobs.
            None => return Ok(Answer::ok(&JobsShape { jobs: Vec::new() })),
        },
    };
    let taken = match call.query.filled("worker") {
        None | Some("any") => None,
        Some(worker) if worker == call.registry().store().instance().to_string() => Some(true),
        Some(_) => return Ok(Answer::ok(&JobsShape { jobs: Vec::new() })),
    };
    let filter = Filter { action, running: call.choice("running")?, taken };
    let start = call.number("start")?.unwrap_or(0);
    let store = call.registry().store().clone();
    let found = lifecycle::blocking(move || query::list(&store.snapshot()?, &filter, start, page.size)).await?;
    let read = call.registry().store().snapshot()?;
    let jobs = found.into_iter().map(|(id, job)| shape(call, &read, id, job)).collect::<Result<_, _>>()?;
    Ok(Answer::ok(&JobsShape { jobs }))
}

/// `GET /api/v0/jobs/{id}`
pub(super) fn get(call: Call<'_>, id: GivenId) -> Result<Answer, ApiError> {
    let id = id.ok_or(ApiError::NoSuchJob)?;
    Ok(Answer::ok(&of(call, &id)?.ok_or(ApiError::NoSuchJob)?))
}

/// `GET /api/v0/jobs/{id}/logs`
pub(super) fn logs(call: Call<'_>, id: GivenId) -> Result<Answer, ApiError> {
    let id = id.ok_or(ApiError::NoSuchJob)?;
    let offset = call.number("offset")?.unwrap_or(0);
    let all = limits::JOB_LOG_LINES as usize;
    let limit = call.number("limit")?.filter(|limit| *limit > 0).unwrap_or(all).min(all);
    let read = call.registry().store().snapshot()?;
    queue::get(&read, &id)?.ok_or(ApiError::NoSuchJob)?;
    let lines = queue::lines(&read, &id, offset as u64, limit)?;
    let shapes: Vec<LineShape> = lines.into_iter().map(|(line_num, data)| LineShape { line_num, data }).collect();
    Ok(Answer::ok(&shapes))
}

/// `POST /api/v0/jobs/{id}/cancel`, and `DELETE /api/v0/jobs/{id}`, which
/// removes it too and does not mind when it is gone.
pub(super) async fn cancel(call: Call<'_>, id: GivenId, remove: bool) -> Result<Answer, ApiError> {
    let found = match id {
        None => false,
        Some(job) => {
            let cancel = Cancel { job, by: call.caller.actor(), remove };
            let done = call.registry().store().submit(Lane::Foreground, cancel).await?;
            done.unwrap_or_else(|never| match never {})
        }
    };
    if found || remove { Ok(Answer::nothing()) } else { Err(ApiError::NoSuchJob) }
}

/// The shape of one job.
pub(super) fn of(call: Call<'_>, id: &Id) -> Result<Option<JobShape>, ApiError> {
    let read = call.registry().store().snapshot()?;
    queue::get(&read, id)?.map(|job| shape(call, &read, *id, job)).transpose()
}

/// A job is begun at once or not at all: what is to happen later has a
/// schedule.
fn not_later(call: Call<'_>, scheduled_at: Option<&str>) -> Result<(), ApiError> {
    let Some(text) = scheduled_at.filter(|text| !text.is_empty()) else { return Ok(()) };
    let refuse = |why: &str| ApiError::Parameter { name: "scheduledAt", why: format!("{text:?} {why}") };
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| refuse("is no RFC 3339 time"))?;
    if Timestamp::from_utc(at.with_timezone(&Utc)) > call.registry().store().clock().now() {
        return Err(refuse("is later than now; give the pull mirror a schedule instead"));
    }
    Ok(())
}

fn shape(call: Call<'_>, read: &impl Read, id: Id, job: Job) -> Result<JobShape, ApiError> {
    let worker_id = match job.status {
        JobStatus::Waiting => String::new(),
        JobStatus::Running | JobStatus::Done | JobStatus::Canceled | JobStatus::Errored => {
            call.registry().store().instance().to_string()
        }
    };
    let next = query::next_try(read, &id, &job)?;
    let subject = query::subject(read, &job)?;
    Ok(JobShape {
        id: id.to_string(),
        retry_from_id: String::new(),
        worker_id,
        status: job.status.as_str(),
        scheduled_at: job.scheduled_at.rfc3339(),
        last_updated: job.updated_at.rfc3339(),
        action: job.action.as_str(),
        retries_left: u32::from(job.attempts > 0 && !job.status.is_over()),
        retries_total: job.attempts,
        capacity_map: BTreeMap::new(),
        parameters: job.parameters,
        deadline: String::new(),
        stop_timeout: String::new(),
        attempts: job.attempts,
        last_error: job.last_error,
        next_try_at: next.map(Timestamp::rfc3339).unwrap_or_default(),
        subject,
    })
}
