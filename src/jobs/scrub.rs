//! Scrub: everything that is stored is read and hashed again, from time to
//! time, because bytes rot on disks that nobody reads.
//!
//! A pass goes over all blobs and then all manifests in the order of their
//! digests, at the pace of a budget. Where it stands is a row, so it goes on
//! after a restart or a kill with the file that it was at. What it finds
//! damaged goes into quarantine in the commit that moves it on.
//!
//! Files one after the other that are not there at all, or that the disk does
//! not give, are no damage of theirs: the disk is away. A pass then stops, with
//! nothing written down, and goes on when it is back.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Audit;
use crate::backoff::Retry;
use crate::chance::Id;
use crate::lifecycle;
use crate::limits;
use crate::policy::schedule::Schedule;
use crate::registry::{Registry, RegistryError};
use crate::store::crash::crash_point;
use crate::store::quarantine::Held;
use crate::store::record::{Holder, Job, JobStatus, Pass};
use crate::store::scrub::{self, Item, Which};
use crate::store::{Change, Lane, Operation, StoreError, error_chain, queue};

use super::budget::{NoRate, Rate};
use super::condemn::{Flawed, condemn_all, tell};
use super::examine::{Examiner, Seen};
use super::gc::BadParameter;
use super::log::JobLog;
use super::settle::Outcome;

/// How many bytes a second.
pub const RATE: &str = "rate";
/// Begin a new pass even where one is under way.
pub const RESTART: &str = "restart";

/// What an operator may set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// When passes begin by themselves; none: never.
    pub schedule: Option<Schedule>,
    /// How fast they read.
    pub rate: Rate,
}

/// How a pass is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// How fast.
    pub rate: Rate,
    /// Whether a pass that is under way is forgotten.
    pub restart: bool,
}

impl Wish {
    /// Reads a job's parameters; what is not there is as it is here.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn with(mut self, parameters: &BTreeMap<String, String>) -> Result<Self, BadParameter> {
        if let Some(text) = parameters.get(RATE) {
            self.rate = text.parse().map_err(|bad: NoRate| BadParameter { name: RATE, why: bad.to_string() })?;
        }
        self.restart = super::gc::flag(RESTART, parameters)?;
        Ok(self)
    }
}

/// How a turn of a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The pass came to its end.
    Ended(Pass),
    /// Others have their turn; it goes on.
    Over(Pass),
    /// Somebody called it off.
    CalledOff,
    /// There is no disk to read from.
    Away {
        /// What the last of many files said.
        why: String,
    },
}

/// Moves a pass on, with what it found since.
struct Advance {
    job: Id,
    pass: Pass,
    flawed: Vec<Flawed>,
    /// The id of a job that may be needed.
    heal: Id,
}

impl Operation for Advance {
    type Plan = Option<Job>;
    /// What went into quarantine; none when the pass was called off.
    type Done = Option<Vec<Flawed>>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "scrub";
    const AUDIT: Audit = Audit::Nothing("how far it is; its start is told");
    // It adds nothing, and a full disk is where bytes rot unseen.
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?.filter(|job| job.status == JobStatus::Running)))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        let Some(mut job) = job else { return Ok(None) };
        let condemned = condemn_all(tables, &self.flawed, self.heal)?;
        let mut pass = self.pass.clone();
        pass.flawed += condemned.len() as u64;
        if pass.ended_at.is_some() {
            scrub::end_pass(tables)?;
            scrub::set_pass(tables, Which::Last, &pass)?;
        } else {
            scrub::set_pass(tables, Which::Current, &pass)?;
        }
        // Said once: the next turn goes on.
        job.parameters.remove(RESTART);
        job.parameters.extend(found(&pass));
        job.updated_at = tables.now();
        queue::put(tables, &self.job, &job)?;
        Ok(Some(condemned))
    }
}

/// What a pass has come to, for programs.
fn found(pass: &Pass) -> BTreeMap<String, String> {
    [
        ("checkedBlobs", pass.blobs),
        ("checkedManifests", pass.manifests),
        ("checkedBytes", pass.bytes),
        ("totalBytes", pass.total_bytes),
        ("damaged", pass.flawed),
        ("unseen", pass.unseen),
    ]
    .map(|(name, count)| (name.to_owned(), count.to_string()))
    .into()
}

/// Makes the pass that `parameters` ask for: how it went.
pub(super) async fn scrub(registry: &Registry, usual: Rate, id: Id, job: &Job, log: &JobLog) -> Outcome {
    let wish = match (Wish { rate: usual, restart: false }).with(&job.parameters) {
        Ok(wish) => wish,
        Err(error) => return Outcome::Gone { why: error.to_string() },
    };
    match (Scrubbing { registry, wish, job: id, log }).run().await {
        Ok(Turn::Ended(pass)) => {
            let Pass { blobs, manifests, bytes, flawed, unseen, .. } = pass;
            tracing::info!(
                blobs,
                manifests,
                bytes,
                damaged = flawed,
                unseen,
                "everything that is stored was looked at"
            );
            Outcome::Done { bytes, moved: false }
        }
        Ok(Turn::Over(_) | Turn::CalledOff) => Outcome::Interrupted,
        Ok(Turn::Away { why }) => {
            tracing::error!(
                why,
                "scrub stops: so many files cannot be read that it is their disk; nothing is put into quarantine"
            );
            let why =
                format!("{} files in a row cannot be read, as if their disk were away: {why}", limits::SCRUB_ABSENT);
            Outcome::Failed { why, retry: Retry::Slowly, bytes: 0 }
        }
        Err(error) => Outcome::Failed { why: error_chain(&error), retry: Retry::Soon, bytes: 0 },
    }
}

/// One turn at work.
pub(super) struct Scrubbing<'a> {
    pub(super) registry: &'a Registry,
    pub(super) wish: Wish,
    pub(super) job: Id,
    pub(super) log: &'a JobLog,
}

/// Where a turn stands.
struct Place {
    /// How far it has looked.
    pass: Pass,
    /// How far that is written down, or may be: what is held back lies behind.
    safe: Pass,
    /// Files that are not there at all, until one that is shows that the disk is.
    held_back: Vec<Flawed>,
    /// Files in a row of which there was nothing to read.
    in_a_row: usize,
    noted: Instant,
    told_percent: u64,
}

impl Scrubbing<'_> {
    /// Works until the pass ends or the turn is over. Safe to drop at any
    /// point: what was not written down is looked at again.
    pub(super) async fn run(&self) -> Result<Turn, RegistryError> {
        let (store, began) = (self.registry.store(), self.now());
        let pass = self.begin().await?;
        let told_percent = pass.percent();
        let mut place =
            Place { safe: pass.clone(), pass, held_back: Vec::new(), in_a_row: 0, noted: began, told_percent };
        let mut examiner = Examiner::new(store.files(), self.wish.rate, began);
        // Called off before it began, or shown as what it is.
        if !self.note(&mut place).await? {
            return Ok(Turn::CalledOff);
        }
        loop {
            let (reading, half, last) = (store.clone(), place.pass.half, place.pass.last);
            let items = lifecycle::blocking(move || scrub::slice(&reading.snapshot()?, half, last.as_ref())).await?;
            if items.is_empty() && half == Holder::Manifest {
                return self.end(place).await;
            }
            if items.is_empty() {
                (place.pass.half, place.pass.last) = (Holder::Manifest, None);
            }
            let inline: u64 = items.iter().filter(|item| matches!(item, Item::Inline { .. })).map(Item::size).sum();
            if inline > 0 {
                examiner.spend(inline).await;
            }
            for item in items {
                if let Some(turn) = self.take(&mut place, &mut examiner, item, began).await? {
                    return Ok(turn);
                }
            }
        }
    }

    /// The pass that goes on, or a new one.
    async fn begin(&self) -> Result<Pass, RegistryError> {
        let store = self.registry.store();
        let current = scrub::pass(&store.snapshot()?, Which::Current)?;
        if let Some(pass) = current.filter(|_| !self.wish.restart) {
            self.log.line(format!("going on with the pass of {}, {} % done", pass.began_at, pass.percent()));
            return Ok(pass);
        }
        let (mut total, mut seen) = (0, 0_u64);
        for half in Holder::ALL {
            let mut last = None;
            loop {
                let reading = store.clone();
                let slice =
                    lifecycle::blocking(move || scrub::sizes(&reading.snapshot()?, half, last.as_ref())).await?;
                let Some((bytes, end)) = slice else { break };
                (total, seen, last) = (total + bytes, seen + 1, Some(end));
            }
        }
        tracing::debug!(total_bytes = total, slices = seen, "a pass over everything begins");
        self.log.line(format!("{} to be looked at, rate: {}", bytesize::ByteSize(total), self.wish.rate));
        if let Some(takes) = expected(total, self.wish.rate).filter(|takes| *takes > limits::SCRUB_LONGEST) {
            let days = takes.as_secs() / 86_400;
            self.log.line(format!("that takes {days} days; a higher scrub.rate finds what rots sooner"));
            tracing::warn!(
                days,
                total_bytes = total,
                "at its rate, scrub takes long to come round; scrub.rate sets another"
            );
        }
        Ok(Pass::begun(store.now(), total))
    }

    /// Looks at one; the end of the turn, if it has come.
    async fn take(
        &self,
        place: &mut Place,
        examiner: &mut Examiner,
        item: Item,
        began: Instant,
    ) -> Result<Option<Turn>, RegistryError> {
        let held = Held { digest: item.digest(), holder: place.pass.half };
        let (upload, seen) = match &item {
            Item::File { file, size } => (Some(file.upload), examiner.look(file, *size).await),
            Item::Inline { flaw, .. } => (None, flaw.clone().map_or(Seen::Whole, Seen::Flawed)),
        };
        place.pass.passed(item.digest(), item.size());
        // What lies in the database says nothing about the disk of the files.
        let shows_disk = upload.is_some();
        match seen {
            Seen::Whole if !shows_disk => {}
            Seen::Whole => place.in_a_row = 0,
            Seen::Unsteady(flaw) => {
                place.in_a_row = 0;
                self.log.line(format!("{held}: {flaw}; right when it was read again"));
                tracing::warn!(held = %held, flaw = %flaw, "read wrong once and right the next time: the disk or the memory fails");
            }
            Seen::Flawed(flaw) => {
                place.in_a_row = if flaw.is_absence() { place.in_a_row + 1 } else { 0 };
                self.log.line(format!("{held}: {flaw}"));
                place.held_back.push(Flawed { held, upload, flaw });
            }
            Seen::Unseen(why) => {
                place.in_a_row += 1;
                place.pass.unseen += 1;
                self.log.line(format!("{held} could not be looked at: {why}"));
                if place.in_a_row >= limits::SCRUB_ABSENT {
                    return Ok(Some(Turn::Away { why }));
                }
                tracing::warn!(held = %held, why, "a file could not be looked at");
            }
        }
        if place.in_a_row >= limits::SCRUB_ABSENT {
            let why = place.held_back.last().map(|last| last.flaw.to_string()).unwrap_or_default();
            return Ok(Some(Turn::Away { why }));
        }
        if place.in_a_row > 0 {
            return Ok(None);
        }
        place.safe = place.pass.clone();
        let now = self.now();
        let is_over = now.duration_since(began) >= limits::SCRUB_TURN;
        let is_time = now.duration_since(place.noted) >= limits::SCRUB_NOTE;
        if (is_over || is_time || !place.held_back.is_empty()) && !self.note(place).await? {
            return Ok(Some(Turn::CalledOff));
        }
        Ok(is_over.then(|| Turn::Over(place.pass.clone())))
    }

    /// Ends the pass.
    async fn end(&self, mut place: Place) -> Result<Turn, RegistryError> {
        place.pass.ended_at = Some(self.registry.store().now());
        place.safe = place.pass.clone();
        if !self.note(&mut place).await? {
            return Ok(Turn::CalledOff);
        }
        let Pass { blobs, manifests, bytes, flawed, .. } = &place.pass;
        let bytes = bytesize::ByteSize(*bytes);
        self.log.line(format!("looked at {blobs} blobs and {manifests} manifests, {bytes}; {flawed} damaged"));
        Ok(Turn::Ended(place.pass))
    }

    /// Writes down where it stands and what it found; false when it was called
    /// off.
    async fn note(&self, place: &mut Place) -> Result<bool, RegistryError> {
        let store = self.registry.store();
        let flawed = std::mem::take(&mut place.held_back);
        if !flawed.is_empty() {
            crash_point!("flaw-found");
        }
        let advance = Advance { job: self.job, pass: place.safe.clone(), flawed, heal: store.chance().id() };
        let done = store.submit(Lane::Background, advance).await?.unwrap_or_else(|never| match never {});
        let Some(condemned) = done else { return Ok(false) };
        if !condemned.is_empty() {
            crash_point!("flaw-quarantined");
        }
        tell(&condemned);
        place.pass.flawed += condemned.len() as u64;
        place.safe.flawed = place.pass.flawed;
        place.noted = self.now();
        let percent = place.pass.percent();
        if percent > place.told_percent {
            place.told_percent = percent;
            let (bytes, total) = (bytesize::ByteSize(place.pass.bytes), bytesize::ByteSize(place.pass.total_bytes));
            self.log.line(format!("{percent} %: {bytes} of {total}"));
        }
        Ok(true)
    }

    fn now(&self) -> Instant {
        self.registry.store().clock().monotonic()
    }
}

/// How long a pass of so many bytes takes at a rate, when nobody else reads;
/// none at no rate.
pub fn expected(total_bytes: u64, rate: Rate) -> Option<Duration> {
    rate.bytes().map(|rate| Duration::from_secs(total_bytes / rate.max(1)))
}
