//! Bytes that rot under a registry at work: found, not served, brought back.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::audit::Audit;
use crate::jobs::budget::Rate;
use crate::jobs::condemn::{Condemn, Flawed};
use crate::jobs::heal::QueueHeal;
use crate::jobs::scrub::{Scrubbing, Turn, Wish};
use crate::jobs::system::{QueueSystem, Queued};
use crate::jobs::{gc, suspect, upkeep};
use crate::limits;
use crate::registry::RegistryError;
use crate::store::file::{BlobFile, Flaw};
use crate::store::quarantine::{self, Held};
use crate::store::record::manifest::Bytes as Stored;
use crate::store::record::{Holder, ManifestBody, Pass, Quarantined};
use crate::store::scrub::{Which, pass};
use crate::store::{Change, Key, Operation, StoreError, Table, blob, manifest};

/// How a disk ruins a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Flip,
    Truncate,
    Lengthen,
    ZeroPage,
    Remove,
    /// With the bytes of another file, whole.
    Swap,
}

const HARMS: [Harm; 6] = [Harm::Flip, Harm::Truncate, Harm::Lengthen, Harm::ZeroPage, Harm::Remove, Harm::Swap];

impl World {
    /// Stores a blob in `dev/web`.
    async fn keep(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(bytes::Bytes::copy_from_slice(bytes))]);
        let name: RepoName = "dev/web".parse().expect("a name");
        self.registry.store_blob(&Caller::System, &name, &digest, None, body).await.expect("is stored");
        digest
    }

    fn file_of(&self, digest: &Digest) -> BlobFile {
        let read = self.store().snapshot().expect("reads");
        let upload = blob::get(&read, digest).expect("reads").map(|blob| blob.upload);
        let upload = upload.or_else(|| manifest::file_of(&read, digest).expect("reads"));
        BlobFile { digest: *digest, upload: upload.expect("has a file") }
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join("data/blobs").join(self.file_of(digest).path())
    }

    /// Ruins the file of a blob.
    fn harm(&self, digest: &Digest, harm: Harm) {
        let path = self.path_of(digest);
        let mut bytes = fs::read(&path).expect("is there");
        match harm {
            Harm::Flip => bytes[4_321] ^= 0x20,
            Harm::Truncate => bytes.truncate(bytes.len() - 1),
            Harm::Lengthen => bytes.push(0),
            Harm::ZeroPage => bytes[4_096..8_192].fill(0),
            Harm::Remove => return fs::remove_file(&path).expect("removed"),
            Harm::Swap => bytes.reverse(),
        }
        fs::write(&path, bytes).expect("written");
    }

    async fn read(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let name: RepoName = "dev/web".parse().expect("a name");
        let mut reader = self.registry.open_blob(&Caller::System, &name, digest)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.next_chunk().await {
            bytes.extend_from_slice(&chunk.map_err(RegistryError::from)?);
        }
        Ok(bytes)
    }

    fn size(&self, digest: &Digest) -> Result<u64, RegistryError> {
        self.registry.blob_size(&Caller::System, &"dev/web".parse().expect("a name"), digest)
    }

    /// Asks for a pass, and gives its job.
    async fn ask_scrub(&self, parameters: &[(&str, &str)]) -> Id {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (action, job) = (JobAction::Scrub, self.store().chance().id());
        let queue = QueueSystem { action, parameters, job, after: None, by: Actor::System };
        let queued = self.store().submit(Lane::Foreground, queue).await.expect("runs").expect("never refuses");
        assert!(matches!(queued, Queued::New(_)), "{queued:?}");
        job
    }

    /// Makes a pass as fast as it goes, to its end.
    async fn scrub(&self) -> Pass {
        let job = self.ask_scrub(&[("rate", "unlimited")]).await;
        self.wait(|| self.job(&job).filter(|job| job.status.is_over() || job.attempts > 0)).await;
        let job = self.job(&job).expect("is there");
        assert_eq!(job.status, JobStatus::Done, "{job:?}");
        self.last_pass().expect("it ended")
    }

    fn log_of(&self, job: &Id) -> Vec<String> {
        let lines = queue::lines(&self.store().snapshot().expect("reads"), job, 0, 99).expect("reads");
        lines.into_iter().map(|(_, line)| line).collect()
    }

    fn last_pass(&self) -> Option<Pass> {
        pass(&self.store().snapshot().expect("reads"), Which::Last).expect("reads")
    }

    fn current_pass(&self) -> Option<Pass> {
        pass(&self.store().snapshot().expect("reads"), Which::Current).expect("reads")
    }

    fn quarantined(&self, held: &Held) -> Option<Quarantined> {
        quarantine::get(&self.store().snapshot().expect("reads"), held).expect("reads")
    }

    fn damaged(&self) -> usize {
        usize::try_from(quarantine::count(&self.store().snapshot().expect("reads")).expect("reads")).expect("few")
    }

    /// Asks for what is damaged to be tried now, and waits for the try.
    async fn heal(&self) -> Job {
        // What runs now may have looked before whatever a test has done since.
        self.wait(|| (!self.is_healing()).then_some(())).await;
        let queue = QueueHeal { job: self.store().chance().id(), by: Some(Actor::System) };
        let queued = self.store().submit(Lane::Foreground, queue).await.expect("runs").expect("never refuses");
        let (id, before) = queued.expect("a person asked");
        let ended =
            |job: &Job| job.status.is_over() || (job.status == JobStatus::Waiting && job.attempts > before.attempts);
        self.wait(|| self.job(&id).filter(ended)).await
    }

    /// Whether the job that heals runs, or is about to.
    fn is_healing(&self) -> bool {
        let read = self.store().snapshot().expect("reads");
        let cron = policy::cron(&read, &JobAction::Heal.schedule_id()).expect("reads");
        let job = cron.and_then(|cron| cron.job).and_then(|id| self.job(&id));
        job.is_some_and(|job| match job.status {
            JobStatus::Running => true,
            JobStatus::Waiting => job.scheduled_at <= self.store().now(),
            JobStatus::Done | JobStatus::Canceled | JobStatus::Errored => false,
        })
    }

    /// Waits until nothing is damaged.
    async fn healed(&self) {
        self.wait(|| (self.damaged() == 0).then_some(())).await;
    }

    /// Removes files whose name is gone, as upkeep does.
    async fn tidy(&self) {
        let scope = Scope::new();
        let every = Duration::from_millis(1);
        let options = upkeep::Options { every, unlink_grace: Duration::ZERO, ..upkeep::Options::default() };
        scope.spawn(upkeep::run(self.registry.clone(), scope.clone(), options));
        self.wait(|| {
            let read = self.store().snapshot().expect("reads");
            blob::files_to_unlink(&read, 9).expect("reads").is_empty().then_some(())
        })
        .await;
        assert!(scope.drain(Duration::from_secs(10)).await);
    }

    /// A pull mirror of what is published, brought in.
    async fn mirrored(&self, name: &str, seed: &str) -> (Id, Digest, Digest) {
        let (digest, layer) = self.publish(name, seed);
        let id = self.pull_mirror(false).await;
        self.poll(id).await;
        assert_eq!(self.tag(name).map(|value| value.digest), Some(digest));
        (id, digest, layer)
    }
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Chance::seeded(seed).fill(&mut bytes);
    bytes
}

/// Writes other bytes into a manifest that stands in the database.
struct Rot(Digest);

impl Operation for Rot {
    type Plan = ManifestBody;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "rot";
    const AUDIT: Audit = Audit::Nothing("a test's");

    fn check(&self, tables: &Change<'_>) -> Result<Result<ManifestBody, Self::Refusal>, StoreError> {
        Ok(Ok(manifest::body(tables, &self.0)?.expect("is there")))
    }

    fn apply(&self, mut body: ManifestBody, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Stored::Inline(bytes) = &mut body.bytes else { panic!("it has a file") };
        bytes[30] ^= 1;
        tables.put(Table::Manifests, &Key::new().digest(&self.0), &body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_harm_in_two_hundred_blobs_is_found_and_no_wrong_byte_is_served() {
    // Two hundred blobs, every third ruined in some way; the rest must stay.
    let world = World::new().await;
    let mut blobs = Vec::new();
    for seed in 0..200 {
        let length = if seed % 50 == 0 { limits::SCRUB_PIECE_BYTES * 2 + 9 } else { 9_000 + seed as usize };
        let bytes = random(seed, length);
        blobs.push((world.keep(&bytes).await, bytes));
    }
    let harmed: Vec<(Digest, Harm)> =
        blobs.iter().step_by(3).zip(HARMS.into_iter().cycle()).map(|((digest, _), harm)| (*digest, harm)).collect();
    for (digest, harm) in &harmed {
        world.harm(digest, *harm);
    }
    let seen = world.scrub().await;
    assert_eq!((seen.blobs, seen.flawed as usize, seen.unseen), (200, harmed.len(), 0), "all and nothing else");
    assert!(seen.ended_at.is_some() && world.current_pass().is_none());
    for (digest, bytes) in &blobs {
        let Some((_, harm)) = harmed.iter().find(|(harmed, _)| harmed == digest) else {
            assert_eq!(world.read(digest).await.expect("is whole"), *bytes);
            continue;
        };
        let row = world.quarantined(&Held::blob(*digest)).expect("is in quarantine");
        let kind = match harm {
            Harm::Flip | Harm::ZeroPage | Harm::Swap => "altered",
            Harm::Truncate => "short",
            Harm::Lengthen => "long",
            Harm::Remove => "missing",
        };
        assert_eq!(row.flaw.kind(), kind, "{harm:?}");
        let refused = world.read(digest).await.expect_err("is not served");
        assert!(matches!(refused, RegistryError::Quarantined { held } if held == Held::blob(*digest)), "{refused:?}");
        assert!(matches!(world.size(digest), Err(RegistryError::BlobUnknown { .. })), "a push sends it again");
    }
    let read = world.store().snapshot().expect("reads");
    let report = verify(&read, world.store().files(), Depth::Bytes, &Default::default()).expect("verifies");
    assert!(report.findings.iter().all(|found| found.kind == "quarantined"), "{:?}", report.findings);
    assert_eq!((report.findings.len(), report.orphans), (harmed.len(), 0), "the damaged files are kept");
    drop(read);

    // What is known is not looked at again, and pushes bring all of it back.
    let again = world.scrub().await;
    assert_eq!((again.blobs as usize, again.flawed), (200 - harmed.len(), 0));
    for (digest, _) in &harmed {
        let bytes = &blobs.iter().find(|(one, _)| one == digest).expect("was stored").1;
        world.keep(bytes).await;
        assert_eq!(world.read(digest).await.expect("is whole again"), *bytes);
        assert_eq!(world.size(digest).expect("is there"), bytes.len() as u64);
    }
    assert_eq!(world.damaged(), 0);
    world.heal().await;
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_goes_on_where_it_was_after_a_restart() {
    let mut world = World::new().await;
    let mut digests = Vec::new();
    for seed in 0..12 {
        digests.push(world.keep(&random(seed, 9_000)).await);
    }
    digests.sort_unstable();
    // A second a file: it stands still behind the first, which is damaged.
    world.rest_of_runner().await;
    world.restart_runner_at("64KiB".parse().expect("a rate"));
    world.harm(&digests[0], Harm::Flip);
    let job = world.ask_scrub(&[]).await;
    world.wait(|| world.current_pass().filter(|pass| pass.last.is_some())).await;
    world.rest_of_runner().await;
    let stood = world.current_pass().expect("is kept");
    assert_eq!((stood.last, stood.blobs, stood.flawed), (Some(digests[0]), 1, 1));
    // What rots before it comes by is found by this pass.
    world.harm(&digests[11], Harm::Flip);
    world.restart_runner_at(Rate::UNLIMITED);
    assert_eq!(world.runner.recover().await.expect("runs"), 0, "it was settled when it was told to stop");
    world.wait(|| world.job(&job).filter(|job| job.status.is_over())).await;
    let ended = world.last_pass().expect("it ended");
    assert_eq!((ended.began_at, ended.blobs, ended.flawed), (stood.began_at, 12, 2));
    assert!(world.quarantined(&Held::blob(digests[11])).is_some());
    let lines = world.log_of(&job);
    assert!(lines.iter().any(|line| line.contains("going on with the pass of")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_called_off_stops_and_is_gone_on_with_or_begun_anew() {
    let mut world = World::new().await;
    let mut digests = Vec::new();
    for seed in 0..6 {
        digests.push(world.keep(&random(seed, 9_000)).await);
    }
    digests.sort_unstable();
    world.rest_of_runner().await;
    world.restart_runner_at("64KiB".parse().expect("a rate"));
    world.harm(&digests[0], Harm::Flip);
    world.harm(&digests[2], Harm::Flip);
    let job = world.ask_scrub(&[]).await;
    world.wait(|| world.current_pass().filter(|pass| pass.last.is_some())).await;
    world.cancel(job, false).await;
    // It hears of it when it has something to write down.
    let word = Held::blob(digests[2]).to_string();
    world.wait(|| world.log_of(&job).iter().any(|line| line.contains(&word)).then_some(())).await;
    assert_eq!(world.job(&job).expect("is kept").status, JobStatus::Canceled);
    assert!(world.quarantined(&Held::blob(digests[2])).is_none(), "what was called off does nothing more");
    assert_eq!(world.scrub().await.blobs, 6, "and is gone on with");
    assert_eq!(world.damaged(), 2);
    let job = world.ask_scrub(&[("rate", "unlimited"), ("restart", "true")]).await;
    world.wait(|| world.job(&job).filter(|job| job.status.is_over())).await;
    assert_eq!(world.job(&job).expect("is kept").parameters.get("restart"), None, "said once");
    for parameters in [[("rate", "fast")], [("restart", "perhaps")]] {
        let job = world.ask_scrub(&parameters).await;
        let job = world.wait(|| world.job(&job).filter(|job| job.status.is_over())).await;
        assert_eq!(job.status, JobStatus::Errored);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_keeps_to_its_rate() {
    let world = World::new().await;
    assert!(world.scope.drain(Duration::from_secs(10)).await);
    for seed in 0..8 {
        world.keep(&random(seed, 1 << 20)).await;
    }
    for seed in 8..40 {
        world.keep(&random(seed, 10)).await;
    }
    let job = world.ask_scrub(&[]).await;
    let begin = super::super::settle::Begin { job };
    world.store().submit(Lane::Background, begin).await.expect("runs").expect("never refuses");
    let log = JobLog::new(world.store().clone(), job);
    let begun = tokio::time::Instant::now();
    let wish = Wish { rate: "1MiB".parse().expect("a rate"), restart: false };
    let turn = Scrubbing { registry: &world.registry, wish, job, log: &log }.run().await.expect("runs");
    let Turn::Ended(pass) = turn else { panic!("{turn:?}") };
    assert_eq!(pass.blobs, 40);
    // Eight seconds for eight large ones; small ones cost what finding them does.
    let small = 32.0 * limits::SCRUB_FILE_BYTES as f64 / f64::from(1 << 20);
    let expected = Duration::from_secs_f64(8.0 + small);
    let took = begun.elapsed();
    assert!(took >= expected && took < expected * 2, "{took:?}, not {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rots_is_brought_back_from_a_pull_mirror() {
    let world = World::new().await;
    let (_, digest, layer) = world.mirrored("1", "one").await;
    let before = world.file_of(&layer);
    let bytes = world.read(&layer).await.expect("is whole");
    world.harm(&layer, Harm::Flip);
    world.scrub().await;
    world.healed().await;
    assert_eq!(world.read(&layer).await.expect("is whole again"), bytes);
    assert_ne!(world.file_of(&layer), before, "the right bytes are a file of their own");

    // A manifest in the database, and its blob at the same time.
    world.store().submit(Lane::Foreground, Rot(digest)).await.expect("runs").expect("never refuses");
    world.harm(&layer, Harm::Remove);
    assert_eq!(world.scrub().await.flawed, 2);
    world.healed().await;
    let repository = "dev/web".parse().expect("a name");
    let reference = Reference::Digest(digest);
    let served = world.registry.manifest(&Caller::System, &repository, &reference).expect("is there");
    let bytes = world.registry.manifest_bytes(served).await.expect("is whole again");
    assert_eq!(Digest::sha256_of(&bytes), digest);
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rots_is_brought_back_from_a_push_mirror() {
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    let digest = world.push("1", "one").await;
    world.rest(id).await;
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    let layer = Digest::sha256_of("one".repeat(5_000).as_bytes());
    world.harm(&layer, Harm::Truncate);
    world.store().submit(Lane::Foreground, Rot(digest)).await.expect("runs").expect("never refuses");
    assert_eq!(world.scrub().await.flawed, 2);
    world.healed().await;
    assert_eq!(world.read(&layer).await.expect("is whole again"), "one".repeat(5_000).as_bytes());
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_manifest_in_a_file_is_brought_back_too() {
    let world = World::new().await;
    let (config, layer) = (b"{}".to_vec(), "one".repeat(5_000).into_bytes());
    let mut manifest: serde_json::Value = serde_json::from_slice(&image(&config, &layer)).expect("JSON");
    manifest["annotations"] = serde_json::json!({ "filler": "x".repeat(limits::MANIFEST_INLINE_BYTES) });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::sha256_of(&manifest);
    {
        let mut far = far(&world.far);
        far.blobs.insert(Digest::sha256_of(&config), config);
        far.blobs.insert(Digest::sha256_of(&layer), layer);
        far.manifests.insert(digest, manifest.clone());
        far.tags.insert("large".to_owned(), digest);
    }
    let id = world.pull_mirror(false).await;
    world.poll(id).await;
    world.harm(&digest, Harm::Flip);
    let (repository, reference) = ("dev/web".parse().expect("a name"), Reference::Digest(digest));
    let served = world.registry.manifest(&Caller::System, &repository, &reference).expect("is not looked at yet");
    // Manifests are hashed whenever they are read.
    let refused = world.registry.manifest_bytes(served).await.expect_err("is not served");
    assert!(matches!(refused, RegistryError::Quarantined { held } if held == Held::manifest(digest)), "{refused:?}");
    world.scrub().await;
    world.healed().await;
    let served = world.registry.manifest(&Caller::System, &repository, &reference).expect("is there");
    assert_eq!(world.registry.manifest_bytes(served).await.expect("is whole again"), manifest);
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_lies_or_is_away_or_has_it_not_is_told_and_asked_again() {
    let world = World::new().await;
    let lonely = world.keep(&random(1, 9_000)).await;
    world.harm(&lonely, Harm::Flip);
    world.scrub().await;
    let row = world
        .wait(|| world.quarantined(&Held::blob(lonely)).filter(|row| row.attempts > 0 && !row.last_error.is_empty()));
    let row = row.await;
    assert!(row.last_error.starts_with("no enabled mirror of dev/web leads to"), "{}", row.last_error);
    assert!(row.next_at.since(world.store().now()) > limits::RETRY_LONGEST, "nobody is asked in vain every minute");
    world.keep(&random(1, 9_000)).await;

    let (id, _, layer) = world.mirrored("1", "one").await;
    world.harm(&layer, Harm::Flip);
    far(&world.far).lie = Some((layer, b"lies".repeat(3_750)));
    world.scrub().await;
    let job = world.heal().await;
    assert!(job.last_error.contains("1 damaged and not healed"), "{}", job.last_error);
    let row = world.quarantined(&Held::blob(layer)).expect("a lie heals nothing");
    assert!(row.last_error.contains("far/web") && row.last_error.contains("hashes to"), "{}", row.last_error);
    {
        let mut far = far(&world.far);
        (far.lie, far.away) = (None, Some(503));
    }
    world.heal().await;
    let row = world.quarantined(&Held::blob(layer)).expect("is damaged still");
    assert!(row.last_error.contains("503"), "{}", row.last_error);
    assert!(row.next_at.since(world.store().now()) <= limits::RETRY_LONGEST, "what passes is tried again soon");
    let gone = {
        let mut far = far(&world.far);
        far.away = None;
        far.blobs.remove(&layer).expect("was there")
    };
    world.heal().await;
    assert!(world.quarantined(&Held::blob(layer)).is_some());
    // A mirror that is switched off is not talked to.
    far(&world.far).blobs.insert(layer, gone);
    world.save_again(&id, |saving| saving.enabled = false).await;
    world.heal().await;
    let row = world.quarantined(&Held::blob(layer)).expect("is damaged still");
    assert!(row.last_error.starts_with("no enabled mirror"), "{}", row.last_error);
    world.save_again(&id, |saving| saving.enabled = true).await;
    assert_eq!(world.heal().await.status, JobStatus::Done);
    world.healed().await;
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_reads_well_again_is_served_again() {
    // A cable came loose and was put back: nothing was lost, and nothing is fetched.
    let world = World::new().await;
    let digest = world.keep(&random(1, 9_000)).await;
    let (file, path) = (world.file_of(&digest), world.path_of(&digest));
    let aside = world.folder.path().join("aside");
    fs::rename(&path, &aside).expect("moved");
    world.scrub().await;
    assert_eq!(world.quarantined(&Held::blob(digest)).expect("is gone").flaw.kind(), "missing");
    world.wait(|| world.quarantined(&Held::blob(digest)).filter(|row| row.attempts > 0)).await;
    fs::rename(&aside, &path).expect("moved back");
    assert_eq!(world.heal().await.status, JobStatus::Done);
    assert_eq!(world.file_of(&digest), file);
    assert_eq!(world.read(&digest).await.expect("is whole"), random(1, 9_000));
    assert!(blob::files_to_unlink(&world.store().snapshot().expect("reads"), 9).expect("reads").is_empty());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_of_the_same_digest_is_as_good_as_a_mirror() {
    let world = World::new().await;
    let bytes = random(1, 9_000);
    let digest = world.keep(&bytes).await;
    // A second upload of it waits to be removed.
    world.keep(&bytes).await;
    world.harm(&digest, Harm::ZeroPage);
    world.scrub().await;
    world.healed().await;
    assert_eq!(world.read(&digest).await.expect("is whole"), bytes);
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_away_puts_nothing_into_quarantine() {
    // A pass over an empty mount point once would have condemned a whole registry.
    let world = World::new().await;
    for seed in 0..limits::SCRUB_ABSENT as u64 + 8 {
        world.keep(&random(seed, 100)).await;
    }
    let blobs = world.folder.path().join("data/blobs");
    for (there, away) in [("sha256", "sha256-away"), ("sha256/", "sha256-away/")] {
        let is_empty_mount = there.ends_with('/');
        fs::rename(blobs.join("sha256"), blobs.join("sha256-away")).expect("moved");
        fs::create_dir(blobs.join("sha256")).expect("made");
        if is_empty_mount {
            // Folders are there, and no file in any.
            for shard in fs::read_dir(blobs.join("sha256-away")).expect("listed") {
                fs::create_dir(blobs.join("sha256").join(shard.expect("read").file_name())).expect("made");
            }
        }
        let job = world.ask_scrub(&[("rate", "unlimited")]).await;
        let failed = world.wait(|| world.job(&job).filter(|job| job.attempts > 0)).await;
        assert!(failed.last_error.contains("as if their disk were away"), "{there} {away}: {}", failed.last_error);
        assert_eq!((world.damaged(), failed.status), (0, JobStatus::Waiting));
        fs::remove_dir_all(blobs.join("sha256")).expect("removed");
        fs::rename(blobs.join("sha256-away"), blobs.join("sha256")).expect("moved back");
        world.cancel(job, false).await;
    }
    assert_eq!(world.scrub().await.flawed, 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_damaged_is_not_passed_on_until_it_is_whole() {
    let world = World::new().await;
    let target: RepoName = "dev/qa".parse().expect("a name");
    world.registry.create_repository(&Caller::System, &target, Settings::default()).await.expect("is made");
    let (source, tag): (RepoName, Tag) = ("dev/web".parse().expect("a name"), "1".parse().expect("a tag"));
    let digest = world.push("1", "one").await;
    let layer = Digest::sha256_of("one".repeat(5_000).as_bytes());
    world.harm(&layer, Harm::Flip);
    world.scrub().await;
    let refused = world.registry.promote(&Caller::System, (&source, &tag), (&target, &tag)).await;
    assert!(matches!(refused, Err(RegistryError::Quarantined { held }) if held == Held::blob(layer)), "{refused:?}");
    // A push mirror waits, and says for what.
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    crate::reactor::evaluate::walk_all(world.store()).await.expect("walks");
    let waits = world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    assert!(waits.last_error.contains("is damaged on the disk"), "{}", waits.last_error);
    assert_eq!(world.asked("PUT", ""), 0, "nothing of it was sent");
    // A mount gives nothing that is damaged: the client sends it, and heals it.
    let mounted = world.registry.mount(&Caller::System, Some(&source), &target, &layer).await.expect("answers");
    assert!(!mounted);
    // A manifest that names it asks for it, and does not take it for a hole.
    let (config, bytes) = (b"{\"seed\":\"one\"}".to_vec(), "one".repeat(5_000).into_bytes());
    let reference = Reference::Tag("2".parse().expect("a tag"));
    let put = world.registry.put_manifest(
        &Caller::System,
        &source,
        &reference,
        Sent { bytes: image(&config, &bytes).into(), ..Sent::default() },
    );
    assert!(matches!(put.await, Err(RegistryError::ManifestBlobUnknown { digest, .. }) if digest == layer));

    world.keep(&bytes).await;
    assert_eq!(world.damaged(), 0);
    let promoted = world.registry.promote(&Caller::System, (&source, &tag), (&target, &tag)).await;
    assert_eq!(promoted.expect("is whole"), digest);
    world.clock.advance(limits::RETRY_LONGEST);
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    // A damaged manifest holds it up as well.
    world.store().submit(Lane::Foreground, Rot(digest)).await.expect("runs").expect("never refuses");
    world.scrub().await;
    world.healed().await;
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_and_not_needed_is_collected_with_its_file() {
    let world = World::new().await;
    let digest = world.keep(&random(1, 9_000)).await;
    let path = world.path_of(&digest);
    let manifest = world.push("1", "one").await;
    world.harm(&digest, Harm::Flip);
    world.scrub().await;
    world.wait(|| world.quarantined(&Held::blob(digest)).filter(|row| !row.last_error.is_empty())).await;
    let none = Duration::ZERO;
    let how = gc::Collection { grace: none, under_way: none, untagged: Some(none), dry_run: false, consent: true };
    let log = JobLog::new(world.store().clone(), world.store().chance().id());
    let report = gc::Collecting { registry: &world.registry, how, log: &log }.run().await.expect("collects");
    assert_eq!((report.done.files, report.done.bytes), (1, 9_000), "{report:?}");
    assert_eq!(world.damaged(), 0);
    world.tidy().await;
    assert!(!path.exists());

    // A damaged manifest without a tag goes too, with what it names.
    world.store().submit(Lane::Foreground, Rot(manifest)).await.expect("runs").expect("never refuses");
    world.scrub().await;
    world.wait(|| world.quarantined(&Held::manifest(manifest)).filter(|row| !row.last_error.is_empty())).await;
    let (repository, tag) = ("dev/web".parse().expect("a name"), "1".parse().expect("a tag"));
    world.registry.delete_tag(&Caller::System, &repository, &tag, Condition::default()).await.expect("is deleted");
    let report = gc::Collecting { registry: &world.registry, how, log: &log }.run().await.expect("collects");
    assert_eq!((report.done.manifests, report.done.files), (1, 2), "{report:?}");
    assert_eq!(world.damaged(), 0);
    world.heal().await;

    // And so does what a repository leaves that was deleted a moment ago.
    world.keep(&random(2, 700)).await;
    world.registry.delete_repository(&Caller::System, &repository).await.expect("is deleted");
    let report = gc::Collecting { registry: &world.registry, how, log: &log }.run().await.expect("collects");
    assert_eq!((report.done.files, report.done.bytes), (1, 700), "{report:?}");
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collection_walks_over_what_is_good_and_what_is_damaged_alike() {
    let world = World::new().await;
    let mut digests = Vec::new();
    for seed in 0..9 {
        digests.push(world.keep(&random(seed, 100)).await);
    }
    digests.sort_unstable();
    let flawed = [1, 2, 3, 4, 7].map(|at| {
        let file = world.file_of(&digests[at]);
        Flawed { held: Held::blob(digests[at]), upload: Some(file.upload), flaw: Flaw::Missing }
    });
    let condemn = Condemn { flawed: flawed.to_vec(), heal: world.store().chance().id() };
    let done = world.store().submit(Lane::Background, condemn).await.expect("runs").expect("never refuses");
    assert_eq!(done.len(), 5);
    for limit in 1..=10 {
        let read = world.store().snapshot().expect("reads");
        let (mut seen, mut last) = (Vec::new(), None);
        loop {
            let slice = crate::store::gc::digests(&read, Holder::Blob, last.as_ref(), limit).expect("reads");
            assert!(slice.len() <= limit);
            let Some(end) = slice.last() else { break };
            last = Some(*end);
            seen.extend(slice);
        }
        assert_eq!(seen, digests, "{limit} at a time");
    }
    // All of them read well, so all come back by themselves.
    world.healed().await;
    world.heal().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_meets_is_looked_at_at_once() {
    let world = World::new().await;
    let scope = Scope::new();
    scope.spawn(suspect::run(world.registry.clone(), scope.clone()));
    let mut digests = Vec::new();
    for (seed, harm) in [(1, Harm::Remove), (2, Harm::Truncate), (3, Harm::Lengthen)] {
        let digest = world.keep(&random(seed, 9_000)).await;
        world.harm(&digest, harm);
        let refused = world.read(&digest).await.expect_err("is not served");
        assert!(matches!(refused, RegistryError::Quarantined { .. }), "{refused:?}");
        world.wait(|| world.quarantined(&Held::blob(digest))).await;
        digests.push((seed, digest));
    }
    // What is suspected and whole stays, and so does what is not there.
    let whole = world.keep(&random(4, 9_000)).await;
    world.registry.suspect(Held::blob(whole));
    world.registry.suspect(Held::blob(Digest::sha256_of(b"never stored")));
    let manifest = world.push("1", "one").await;
    world.store().submit(Lane::Foreground, Rot(manifest)).await.expect("runs").expect("never refuses");
    let (repository, reference) = ("dev/web".parse().expect("a name"), Reference::Digest(manifest));
    let served = world.registry.manifest(&Caller::System, &repository, &reference).expect("is there");
    world.registry.manifest_bytes(served).await.expect_err("its bytes are others");
    world.wait(|| world.quarantined(&Held::manifest(manifest))).await;
    assert_eq!(world.read(&whole).await.expect("is whole"), random(4, 9_000));
    // The same push heals it.
    assert_eq!(world.push("1", "one").await, manifest);
    for (seed, digest) in digests {
        world.keep(&random(seed, 9_000)).await;
        assert_eq!(world.read(&digest).await.expect("is whole"), random(seed, 9_000));
    }
    assert!(scope.drain(Duration::from_secs(10)).await);
    assert_eq!(world.damaged(), 0);
    world.heal().await;
    world.tidy().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn healing_begins_again_with_the_daemon() {
    let mut world = World::new().await;
    let (_, _, layer) = world.mirrored("1", "one").await;
    far(&world.far).away = Some(503);
    world.harm(&layer, Harm::Flip);
    world.scrub().await;
    world.wait(|| world.quarantined(&Held::blob(layer)).filter(|row| row.attempts > 0)).await;
    let job = policy::cron(&world.store().snapshot().expect("reads"), &JobAction::Heal.schedule_id());
    let job = job.expect("reads").expect("was asked for").job.expect("a job");
    world.wait(|| world.job(&job).filter(|job| job.status == JobStatus::Waiting)).await;
    // Somebody removed the job, and the daemon was started anew.
    world.cancel(job, true).await;
    world.rest_of_runner().await;
    far(&world.far).away = None;
    world.restart_runner_at(Rate::UNLIMITED);
    let scope = Scope::new();
    scope.spawn(suspect::run(world.registry.clone(), scope.clone()));
    world.healed().await;
    assert!(scope.drain(Duration::from_secs(10)).await);
    world.tidy().await;
    world.close().await;
}
