//! The daemon itself: what it can do, which version it is, whether its store
//! keeps its promises.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::lifecycle;
use crate::limits;
use crate::store::StoreError;
use crate::store::verify::{Depth, FilesFrom, Report, hash_files, verify as verify_store};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

/// DTR's features. Nothing here is licensed; scanning is not there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FeaturesShape {
    scanning_enabled: bool,
    scanning_licensed: bool,
    promotion_licensed: bool,
    mirroring_licensed: bool,
    metadata_store_opted_in: bool,
    #[serde(rename = "onlineGCEnabled")]
    online_gc_enabled: bool,
    #[serde(rename = "db_version")]
    db_version: u32,
    ucp_host: &'static str,
}

#[derive(Debug, Serialize)]
struct VersionShape {
    version: &'static str,
}

/// What `verify` found, of a daemon and of a folder alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Whether nothing was found.
    pub clean: bool,
    /// How deep it was looked: `names` or `bytes`.
    pub depth: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub more_findings: u64,
    /// How many of each kind of thing were looked at.
    pub checked: BTreeMap<String, u64>,
    /// Bytes of the files that were looked at.
    pub file_bytes: u64,
    /// Files that nothing names. A crash leaves them, and upkeep takes them.
    pub orphans: u64,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of damage.
    pub kind: String,
    /// Where, in words.
    pub detail: String,
}

/// A slice of the files, hashed.
#[derive(Debug, Serialize)]
struct SliceShape {
    clean: bool,
    findings: Vec<Finding>,
    bytes: u64,
    /// What to give as `files` for the next slice; absent after the last.
    next: Option<String>,
}

/// `GET /api/v0/meta/features`
pub(super) fn features() -> Answer {
    Answer::ok(&FeaturesShape {
        scanning_enabled: false,
        scanning_licensed: false,
        promotion_licensed: true,
        mirroring_licensed: true,
        metadata_store_opted_in: true,
        online_gc_enabled: false,
        db_version: 0,
        ucp_host: "",
    })
}

/// `GET /api/v0/admin/version`
pub(super) fn version() -> Answer {
    Answer::ok(&VersionShape { version: env!("CARGO_PKG_VERSION") })
}

/// `POST /api/v0/admin/verify?depth=names|bytes`, or `?files=PLACE` for a slice
/// of the files alone: whoever asks for one after the other sees how far it
/// is, and no answer takes long.
pub(super) async fn verify(call: Call<'_>) -> Result<Answer, ApiError> {
    if let Some(from) = call.query.first("files") {
        return verify_files(call, from).await;
    }
    let depth = match call.query.filled("depth") {
        Some("names") => Depth::Names,
        None | Some("bytes") => Depth::Bytes,
        Some(other) => {
            let why = format!("{other:?} is neither \"names\" nor \"bytes\"");
            return Err(ApiError::Parameter { name: "depth", why });
        }
    };
    let registry = call.registry().clone();
    let report = lifecycle::blocking(move || -> Result<Report, StoreError> {
        // Before the snapshot: an upload that ends in between is named in it.
        let live: HashSet<_> = registry.open_uploads().into_iter().collect();
        let store = registry.store();
        let mut report = verify_store(&store.snapshot()?, store.files(), Depth::Names, &live)?;
        let mut from = (depth == Depth::Bytes).then_some(FilesFrom::START);
        while let Some(place) = from {
            let mut slice = hash_files(store, place, Instant::now() + limits::VERIFY_SLICE)?;
            from = slice.next.take();
            report.add(slice);
        }
        // What is served and wrong must not be served on.
        report.suspects.iter().for_each(|held| registry.suspect(*held));
        Ok(report)
    })
    .await?;
    Ok(Answer::ok(&VerifyReport::new(report, depth)))
}

async fn verify_files(call: Call<'_>, from: &str) -> Result<Answer, ApiError> {
    let from: FilesFrom =
        from.parse().map_err(|error| ApiError::Parameter { name: "files", why: format!("{from:?}: {error}") })?;
    let store = call.registry().store().clone();
    let done = lifecycle::blocking(move || {
        // Those who push go first: every slice is work that can be left.
        hash_files(&store, from, Instant::now() + limits::VERIFY_SLICE)
    })
    .await?;
    // What is served and wrong must not be served on.
    done.suspects.iter().for_each(|held| call.registry().suspect(*held));
    let findings: Vec<Finding> = done.findings.into_iter().map(Finding::from).collect();
    let next = done.next.map(|next| next.to_string());
    Ok(Answer::ok(&SliceShape { clean: findings.is_empty(), findings, bytes: done.bytes, next }))
}

impl VerifyReport {
    /// What was found, looking that deep.
    pub fn new(report: Report, depth: Depth) -> Self {
        Self {
            clean: report.is_clean(),
            depth: depth.as_str().to_owned(),
            findings: report.findings.into_iter().map(Finding::from).collect(),
            more_findings: report.more_findings,
            checked: report.checked.into_iter().map(|(what, count)| (what.to_owned(), count)).collect(),
            file_bytes: report.file_bytes,
            orphans: report.orphans,
        }
    }
}

impl From<crate::store::verify::Finding> for Finding {
    fn from(found: crate::store::verify::Finding) -> Self {
        Self { kind: found.kind.to_owned(), detail: found.detail }
    }
}
