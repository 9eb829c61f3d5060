//! The daemon itself: what it can do, which version it is, whether its store
//! keeps its promises.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::lifecycle;
use crate::store::StoreError;
use crate::store::verify::{Depth, Report, verify as verify_store};

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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportShape {
    clean: bool,
    findings: Vec<FindingShape>,
    /// Findings beyond those that are listed.
    more_findings: u64,
    checked: BTreeMap<&'static str, u64>,
    orphans: u64,
}

#[derive(Debug, Serialize)]
struct FindingShape {
    kind: &'static str,
    detail: String,
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

/// `POST /api/v0/admin/verify?depth=names|bytes`
pub(super) async fn verify(call: Call<'_>) -> Result<Answer, ApiError> {
    let depth = match call.query.filled("depth") {
        None | Some("names") => Depth::Names,
        Some("bytes") => Depth::Bytes,
        Some(other) => {
            let why = format!("{other:?} is neither \"names\" nor \"bytes\"");
            return Err(ApiError::Parameter { name: "depth", why });
        }
    };
    let registry = call.registry().clone();
    let report = lifecycle::blocking(move || -> Result<Report, StoreError> {
        // Before the snapshot: an upload that ends in between is named in it.
        let live: HashSet<_> = registry.open_uploads().into_iter().collect();
        let report = verify_store(&registry.store().snapshot()?, registry.store().files(), depth, &live)?;
        // What is served and wrong must not be served on.
        report.suspects.iter().for_each(|held| registry.suspect(*held));
        Ok(report)
    })
    .await?;
    Ok(Answer::ok(&ReportShape::from(report)))
}

impl From<Report> for ReportShape {
    fn from(report: Report) -> Self {
        let clean = report.is_clean();
        let findings = report.findings.into_iter();
        Self {
            clean,
            findings: findings.map(|found| FindingShape { kind: found.kind, detail: found.detail }).collect(),
            more_findings: report.more_findings,
            checked: report.checked,
            orphans: report.orphans,
        }
    }
}
