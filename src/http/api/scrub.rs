//! Scrub: how the pass over everything that is stored stands, and what is
//! damaged.
//!
//! `GET /api/v0/admin/scrub`: 200 and the state of it.
//! `GET /api/v0/admin/quarantine?start=…&limit=…`: 200 and
//! `{"quarantined": [...], "total": …}`, in the order of digests, without the
//! first `start`. A pass is begun by `POST /api/v0/jobs` with
//! `{"action": "scrub", "parameters": {"rate": "4MiB", "restart": "true"}}`, and
//! what is damaged is tried again at once by `{"action": "heal"}`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::jobs::scrub::expected;
use crate::lifecycle;
use crate::limits;
use crate::store::file::BlobFile;
use crate::store::quarantine::{self, Held};
use crate::store::record::{Holder, JobAction, JobStatus, Pass, Quarantined};
use crate::store::scrub::{Which, pass};
use crate::store::{Read, RepoId, StoreError, gc, manifest, policy, queue, repo, tag};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusShape {
    /// When passes begin by themselves; "never" when they do not.
    schedule: String,
    /// When the next does; empty when none will.
    next_run: String,
    /// Bytes a second; 0 without a bound.
    rate: u64,
    /// Blobs and manifests that are damaged now.
    quarantined: u64,
    /// The job that works, or waits to go on; empty when there is none.
    #[serde(rename = "jobID")]
    job_id: String,
    /// Whether it works now.
    running: bool,
    /// What stopped it last; empty when nothing did.
    last_error: String,
    /// The pass that is under way.
    pass: Option<PassShape>,
    /// The last that came to its end.
    last_pass: Option<PassShape>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PassShape {
    began_at: String,
    /// Empty while it is under way.
    ended_at: String,
    percent: u64,
    blobs: u64,
    manifests: u64,
    bytes: u64,
    total_bytes: u64,
    /// What it found damaged.
    damaged: u64,
    /// Files that the system did not let it look at.
    unseen: u64,
    /// Seconds until its end at the usual rate, when nobody else reads; 0 when
    /// it ended or has no rate.
    seconds_left: u64,
}

#[derive(Debug, Serialize)]
struct QuarantineShape {
    quarantined: Vec<EntryShape>,
    /// How many there are in all.
    total: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryShape {
    digest: String,
    /// `blob` or `manifest`.
    kind: &'static str,
    size: u64,
    /// `missing`, `short`, `long`, `altered` or `unreadable`.
    flaw: &'static str,
    /// The same in words.
    detail: String,
    found_at: String,
    /// The kept file, below the folder `blobs`; empty for what lay in the
    /// database.
    file: String,
    /// Repositories that link it.
    repositories: Vec<String>,
    /// Images that cannot be pulled for it: some of them, where there are many.
    images: Vec<String>,
    /// Tries to get the right bytes that failed.
    attempts: u32,
    next_try_at: String,
    last_error: String,
}

/// `GET /api/v0/admin/scrub`
pub(super) fn status(call: Call<'_>) -> Result<Answer, ApiError> {
    let store = call.registry().store();
    let read = store.snapshot()?;
    let settings = call.state.scrub();
    let cron = policy::cron(&read, &JobAction::Scrub.schedule_id())?;
    let id = cron.and_then(|cron| cron.job);
    let job = match id {
        Some(id) => queue::get(&read, &id)?.filter(|job| !job.status.is_over()),
        None => None,
    };
    let now = store.now();
    let next = settings.schedule.as_ref().and_then(|schedule| {
        let last = cron.map_or(now, |cron| cron.last);
        if schedule.due(last, now).is_some() { Some(now) } else { schedule.next_after(last.max(now)) }
    });
    let shape = |which| -> Result<Option<PassShape>, StoreError> {
        Ok(pass(&read, which)?.map(|pass| PassShape::of(&pass, &settings.rate)))
    };
    Ok(Answer::ok(&StatusShape {
        schedule: settings.schedule.as_ref().map_or_else(|| "never".to_owned(), ToString::to_string),
        next_run: next.map(Timestamp::rfc3339).unwrap_or_default(),
        rate: settings.rate.bytes().unwrap_or(0),
        quarantined: quarantine::count(&read)?,
        job_id: job.as_ref().and(id).map(|id| id.to_string()).unwrap_or_default(),
        running: job.as_ref().is_some_and(|job| job.status == JobStatus::Running),
        last_error: job.map(|job| job.last_error).unwrap_or_default(),
        pass: shape(Which::Current)?,
        last_pass: shape(Which::Last)?,
    }))
}

/// `GET /api/v0/admin/quarantine`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let start = call.number("start")?.unwrap_or(0);
    let store = call.registry().store().clone();
    let shape = lifecycle::blocking(move || {
        let read = store.snapshot()?;
        let mut found = Vec::new();
        let mut total = 0;
        quarantine::walk(&read, None, |held, row| {
            if total >= start && found.len() < page.size {
                found.push((held, row));
            }
            total += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let quarantined = found.into_iter().map(|(held, row)| entry(&read, &held, row)).collect::<Result<_, _>>()?;
        Ok::<_, StoreError>(QuarantineShape { quarantined, total: total as u64 })
    });
    Ok(Answer::ok(&shape.await?))
}

impl PassShape {
    fn of(pass: &Pass, rate: &crate::jobs::budget::Rate) -> Self {
        let left = pass.total_bytes.saturating_sub(pass.bytes);
        let seconds = expected(left, *rate).filter(|_| pass.ended_at.is_none());
        Self {
            began_at: pass.began_at.rfc3339(),
            ended_at: pass.ended_at.map(Timestamp::rfc3339).unwrap_or_default(),
            percent: pass.percent(),
            blobs: pass.blobs,
            manifests: pass.manifests,
            bytes: pass.bytes,
            total_bytes: pass.total_bytes,
            damaged: pass.flawed,
            unseen: pass.unseen,
            seconds_left: seconds.map_or(0, |time| time.as_secs()),
        }
    }
}

fn entry(read: &impl Read, held: &Held, row: Quarantined) -> Result<EntryShape, StoreError> {
    let digest = held.digest;
    let numbers = match held.holder {
        Holder::Blob => gc::places_of_blob(read, &digest)?,
        Holder::Manifest => gc::places_of_manifest(read, &digest)?,
    };
    let mut repositories = Vec::new();
    let mut images = BTreeSet::new();
    for number in numbers.into_iter().take(limits::HEAL_PLACES) {
        let Some(name) = repo::name_of(read, number)? else { continue };
        for tag in tags_above(read, number, held)? {
            images.insert(format!("{name}:{tag}"));
        }
        repositories.push(name.to_string());
    }
    let file = row.upload.map(|upload| BlobFile { digest, upload }.to_string());
    Ok(EntryShape {
        digest: digest.to_string(),
        kind: held.holder.as_str(),
        size: row.size,
        flaw: row.flaw.kind(),
        detail: row.flaw.to_string(),
        found_at: row.found_at.rfc3339(),
        file: file.unwrap_or_default(),
        repositories,
        images: images.into_iter().take(limits::QUARANTINE_IMAGES).collect(),
        attempts: row.attempts,
        next_try_at: row.next_at.rfc3339(),
        last_error: row.last_error,
    })
}

/// Tags in one repository whose images need it, a bounded look upwards.
fn tags_above(read: &impl Read, number: RepoId, held: &Held) -> Result<Vec<String>, StoreError> {
    let mut seen = BTreeSet::new();
    let mut left = match held.holder {
        Holder::Manifest => vec![held.digest],
        Holder::Blob => manifest::parents_in(read, number, &held.digest, limits::QUARANTINE_IMAGES)?,
    };
    let mut tags = Vec::new();
    while let Some(at) = left.pop() {
        if tags.len() >= limits::QUARANTINE_IMAGES || seen.len() >= limits::QUARANTINE_IMAGES * 4 {
            break;
        }
        if !seen.insert(at) {
            continue;
        }
        let named = tag::of_digest(read, number, &at, limits::QUARANTINE_IMAGES)?;
        tags.extend(named.into_iter().map(|tag| tag.to_string()));
        left.extend(manifest::parents_in(read, number, &at, limits::QUARANTINE_IMAGES)?);
    }
    Ok(tags)
}
