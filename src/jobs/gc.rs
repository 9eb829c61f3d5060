//! Garbage collection: what nothing needs goes, while reads and pushes go on.
//!
//! Two halves, manifests before the blobs that they name; each is first only
//! looked at, slice by slice on fresh snapshots, so that the whole is known
//! before anything is removed. That is the dry run, and the fuse: a run that
//! would remove more than a fifth of the bytes wants somebody's consent,
//! because so much garbage is more often a mistake than garbage. Then the
//! slices are walked again and removed in small commits of the background
//! lane, with a pause after each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Retry;
use crate::clock::Timestamp;
use crate::lifecycle;
use crate::limits;
use crate::registry::collect::{Collected, Half};
use crate::registry::{Registry, RegistryError};
use crate::store::gc::CutOff;

use super::log::JobLog;
use super::settle::Outcome;

/// How often a run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How a run of collection is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Blobs that no manifest names are kept this long: a push takes its time.
    pub grace: Duration,
    /// What a push that is under way relies on is spared this long, whatever
    /// the grace.
    pub under_way: Duration,
    /// Manifests that no tag leads to are kept this long, so that a tag can be
    /// set back; `None`: for ever.
    pub untagged: Option<Duration>,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// Whether more than a fifth of the bytes may go.
    pub consent: bool,
}

impl Default for Collection {
    fn default() -> Self {
        let untagged = Some(limits::UNTAGGED_KEPT);
        let (grace, under_way) = (limits::COLLECT_GRACE, limits::PUSH_UNDER_WAY);
        Self { grace, under_way, untagged, dry_run: false, consent: false }
    }
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What can go, found before anything went.
    pub would: Collected,
    /// What went.
    pub done: Collected,
    /// It would have removed too much, and nobody had consented.
    pub blown: bool,
}

/// Why parameters of a run are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct BadParameter {
    /// Which.
    pub name: &'static str,
    /// What is wrong with it, and what is allowed.
    pub why: String,
}

impl Collection {
    /// Reads a job's parameters; what is not there is as it is here.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn with(self, parameters: &BTreeMap<String, String>) -> Result<Self, BadParameter> {
        let mut how = self;
        if let Some(text) = parameters.get(GRACE) {
            how.grace = duration(GRACE, text)?;
        }
        if let Some(text) = parameters.get(UNTAGGED) {
            how.untagged = if text == KEEP { None } else { Some(duration(UNTAGGED, text)?) };
        }
        how.dry_run = flag(DRY_RUN, parameters)?;
        how.consent = flag(CONSENT, parameters)?;
        Ok(how)
    }
}

/// How long a blob that no manifest names is kept.
pub const GRACE: &str = "grace";
/// How long a manifest that no tag leads to is kept, or [`KEEP`].
pub const UNTAGGED: &str = "untagged";
/// For ever.
pub const KEEP: &str = "keep";
/// Only say what would go.
pub const DRY_RUN: &str = "dryRun";
/// More than a fifth of the bytes may go.
pub const CONSENT: &str = "consent";

fn duration(name: &'static str, text: &str) -> Result<Duration, BadParameter> {
    let why = || format!("{text:?} is no duration; write one such as 36h, 14d or 0s");
    humantime::parse_duration(text).map_err(|_| BadParameter { name, why: why() })
}

pub(super) fn flag(name: &'static str, parameters: &BTreeMap<String, String>) -> Result<bool, BadParameter> {
    match parameters.get(name).map(String::as_str) {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(BadParameter { name, why: format!("{other:?} is neither true nor false") }),
    }
}

/// Runs the collection that `parameters` ask for: how it went, and what it
/// found, for programs.
pub(super) async fn collect(
    registry: &Registry,
    usual: Collection,
    parameters: &BTreeMap<String, String>,
    log: &JobLog,
) -> (Outcome, BTreeMap<String, String>) {
    let how = match usual.with(parameters) {
        Ok(how) => how,
        Err(error) => return (Outcome::Gone { why: error.to_string() }, BTreeMap::new()),
    };
    let report = match (Collecting { registry, how, log }).run().await {
        Ok(report) => report,
        Err(error) => {
            let why = crate::store::error_chain(&error);
            return (Outcome::Failed { why, retry: Retry::Soon, bytes: 0 }, BTreeMap::new());
        }
    };
    let numbers = |which: &str, sum: &Collected| {
        [("Manifests", sum.manifests), ("Blobs", sum.files), ("Bytes", sum.bytes)]
            .map(|(what, count)| (format!("{which}{what}"), count.to_string()))
    };
    let mut found: BTreeMap<String, String> = numbers("collectable", &report.would).into();
    found.extend(numbers("collected", &report.done));
    found.insert("storedBytes".to_owned(), report.would.of.to_string());
    if how.consent && !how.dry_run {
        match super::orphans::remove(registry, true).await {
            Ok(orphans) if orphans.removed > 0 => {
                log.line(format!("{} files that nothing names were removed", orphans.removed));
            }
            Ok(_) => {}
            Err(error) => log.line(format!("looking for files that nothing names failed: {error}")),
        }
    }
    if report.blown {
        let why = format!(
            "{} of {} can go, more than a fifth: nothing was removed; if that is meant, run `tidegate gc run --yes`",
            bytesize::ByteSize(report.would.bytes),
            bytesize::ByteSize(report.would.of)
        );
        tracing::warn!(why, "collection");
        return (Outcome::Gone { why }, found);
    }
    let Collected { manifests, files, bytes, .. } = report.done;
    if !how.dry_run && files + manifests > 0 {
        tracing::info!(manifests, files, bytes, "collected");
    }
    (Outcome::Done { bytes, moved: files > 0 }, found)
}

/// One run at work.
pub struct Collecting<'a> {
    /// Where.
    pub registry: &'a Registry,
    /// How.
    pub how: Collection,
    /// Where its progress goes.
    pub log: &'a JobLog,
}

impl Collecting<'_> {
    /// Runs to the end. Safe to drop at any point: what is left is found again.
    pub async fn run(&self) -> Result<Report, RegistryError> {
        let store = self.registry.store();
        // Whoever deletes a repository and collects wants its bytes to go now.
        super::upkeep::purge(store).await?;
        let now = store.steady();
        let cut_off = CutOff {
            blobs: now.before(self.how.grace),
            manifests: self.how.untagged.map_or(Timestamp::EPOCH, |age| now.before(age.max(self.how.grace))),
        };
        let mut report = Report::default();
        for half in [Half::Manifests, Half::Blobs] {
            report.would += self.walk(half, cut_off, true).await?;
        }
        let all = bytesize::ByteSize(report.would.of);
        self.log.line(format!("of {all}: {}", what_of(&report.would, "can go")));
        let is_much = report.would.bytes > report.would.of / limits::COLLECT_FUSE;
        report.blown = is_much && !self.how.consent && !self.how.dry_run;
        if report.blown {
            self.log.line("that is more than a fifth of all bytes: nothing was removed, because nobody agreed to it");
        }
        if report.blown || self.how.dry_run {
            return Ok(report);
        }
        for half in [Half::Manifests, Half::Blobs] {
            report.done += self.walk(half, cut_off, false).await?;
        }
        self.log.line(what_of(&report.done, "went"));
        if report.done.spared > 0 {
            self.log.line(format!("{} were left, because a push that is under way relies on them", report.done.spared));
        }
        Ok(report)
    }

    /// Walks one half: looks only, or removes too.
    async fn walk(&self, half: Half, cut_off: CutOff, look_only: bool) -> Result<Collected, RegistryError> {
        let clock = self.registry.store().clock().clone();
        let spared = Arc::new(self.registry.pulling()?);
        let (mut sum, mut last) = (Collected::default(), None);
        let mut told = clock.monotonic();
        loop {
            let began = clock.monotonic();
            let (registry, spared) = (self.registry.clone(), Arc::clone(&spared));
            let slice = lifecycle::blocking(move || registry.plan_collection(half, cut_off, last, &spared)).await?;
            if slice.last.is_none() {
                return Ok(sum);
            }
            last = slice.last;
            if look_only {
                sum += slice.would;
            } else {
                let seen = Collected { seen: slice.would.seen, of: slice.would.of, ..Collected::default() };
                sum += seen;
                let spare = self.how.grace.max(self.how.under_way);
                sum += self.registry.collect(half, cut_off, slice, spare).await?;
            }
            let now = clock.monotonic();
            if now.duration_since(told) >= TELL_EVERY {
                told = now;
                let (does, far) = (if look_only { "can go" } else { "went" }, sum.seen);
                self.log.line(format!("{}: {far} looked at; {}", half.as_str(), what_of(&sum, does)));
            }
            // As long again as the step took: half the machine is somebody else's.
            tokio::time::sleep(now.duration_since(began)).await;
        }
    }
}

/// `12 manifests and 40 blobs, 1.2 GiB, went`.
fn what_of(sum: &Collected, does: &str) -> String {
    if sum.manifests == 0 && sum.links == 0 && sum.files == 0 {
        return format!("nothing {does}");
    }
    format!("{} manifests and {} blobs, {}, {does}", sum.manifests, sum.files, bytesize::ByteSize(sum.bytes))
}
