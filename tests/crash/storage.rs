//! The database on a disk that forgets.
//!
//! Random work goes through the registry, the reactor and the settling of
//! transfers; at a random act of the disk the power goes. What the disk kept
//! is opened again, in half of the cases with more cuts while it recovers. The
//! model holds what was acknowledged and what was under way. Blob files lie on
//! the real file system; their own crash points are tested beside them.
//!
//! Half of the cases hand in one operation at a time and repeat exactly from
//! their seed. In the others up to four wait for one commit; how they fall into
//! commits is up to the threads.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use tidegate::backoff::Retry;
use tidegate::chance::{Chance, Id};
use tidegate::clock::{Clock, Timestamp};
use tidegate::jobs::settle::{Outcome, SettleTransfer};
use tidegate::limits;
use tidegate::oci::{Algorithm, Condition, Digest, Reference, RepoName, Tag};
use tidegate::policy::RawRule;
use tidegate::reactor::{evaluate, react, sweep};
use tidegate::registry::account::NewAccount;
use tidegate::registry::manifest::Sent;
use tidegate::registry::policy::Saving;
use tidegate::registry::repository::{Purge, Settings};
use tidegate::registry::upload::BrokenBody;
use tidegate::registry::{Caller, Registry, RegistryError};
use tidegate::store::record::{PolicyBody, Remote};
use tidegate::store::transfer::Due;
use tidegate::store::verify::{Depth, verify};
use tidegate::store::{Lane, Store, StoreError, policy, repo, tag, transfer};

use crate::dice::{self, Dice};
use crate::disk::Disk;
use crate::law;

/// Where clients push; the others are promoted into.
const SOURCES: [&str; 2] = ["dev/a", "dev/b"];
const REPOSITORIES: [&str; 5] = ["dev/a", "dev/b", "qa/a", "qa/b", "prod/a"];
const TAGS: [&str; 6] = ["1-stable", "2-stable", "3-stable", "1-beta", "2-beta", "latest"];
/// Images that clients push again and again; the last is too large for the
/// database.
const IMAGES: usize = 6;
/// Power cuts that one data folder goes through.
const CUTS_PER_FOLDER: usize = 25;
/// Acts of the disk within which the power goes, at most.
const ACTS: usize = 500;
/// Rounds of work after which the power goes even if the disk was idle.
const ROUNDS: usize = 40;

/// Counts for the last line.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    nested: usize,
    acknowledged: usize,
    under_way: usize,
    promotions: usize,
    settings: usize,
}

#[tokio::test]
async fn the_power_goes_at_any_act_of_the_disk() {
    let (seed, cuts) = (dice::seed(), dice::count("TIDEGATE_CRASHES", 300));
    println!("{}={seed} TIDEGATE_CRASHES={cuts}", dice::SEED);
    let begun = tokio::time::Instant::now();
    let mut tally = Tally::default();
    for folder in 0.. {
        if tally.cuts >= cuts {
            break;
        }
        let seed = seed + folder;
        let told = World::new(seed).await.go_through(CUTS_PER_FOLDER.min(cuts - tally.cuts), &mut tally).await;
        if let Err(why) = told {
            panic!("{why}\nrepeat with {}={seed} TIDEGATE_CRASHES={CUTS_PER_FOLDER}", dice::SEED);
        }
    }
    println!("{tally:?} in {:.1} s", begun.elapsed().as_secs_f32());
    assert!(tally.nested > cuts / 20, "hardly a cut hit a recovery: {tally:?}");
    assert!(tally.under_way > cuts / 20, "hardly a cut hit a write: {tally:?}");
    assert!(tally.promotions > cuts, "hardly anything was promoted: {tally:?}");
}

#[tokio::test]
async fn a_drive_that_lies_about_its_syncs_is_found_out() {
    // What shows that the test above can fail: nothing keeps the promise on
    // such a drive, and the first folders already have to tell. redb itself
    // may be the one that does.
    for seed in 0..4 {
        let world = World::new(seed).await;
        world.disk.lie();
        let mut tally = Tally::default();
        let told = AssertUnwindSafe(world.go_through(CUTS_PER_FOLDER, &mut tally)).catch_unwind().await;
        assert!(told.is_err() || told.is_ok_and(|told| told.is_err()), "seed {seed} was not found out");
    }
}

/// What the clients of one data folder know.
#[derive(Debug, Default)]
struct Known {
    /// The acknowledged value of each tag that clients push.
    tags: BTreeMap<(&'static str, &'static str), Option<Digest>>,
    /// What this round's operations make of tags.
    effects: Vec<Effect>,
    /// Acknowledged blobs.
    blobs: BTreeSet<(&'static str, Digest)>,
    /// Acknowledged policies, and those whose removal is under way.
    policies: BTreeMap<Id, &'static str>,
    leaving: BTreeSet<Id>,
    /// Acknowledged ends of transfers: the generation that is done.
    done: BTreeMap<(Id, Tag), u64>,
    /// Something the store answered that it must not answer.
    wrong: Option<String>,
}

/// What one operation makes of one tag.
#[derive(Debug)]
struct Effect {
    key: (&'static str, &'static str),
    value: Option<Digest>,
    /// It touches the tag only when that has this value.
    only_from: Option<Digest>,
    acknowledged: bool,
}

struct World {
    dice: Dice,
    folder: tempfile::TempDir,
    clock: Clock,
    ids: Chance,
    disk: Disk,
    registry: Registry,
    known: RefCell<Known>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, ids) = (Clock::manual(Timestamp::from_micros(1_700_000_000_000_000)), Chance::seeded(!seed));
        let disk = Disk::default();
        let store = Store::open_on(disk.clone(), folder.path(), clock.clone(), ids.clone()).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        let known = RefCell::default();
        let world = Self { dice: Dice::new(seed), folder, clock, ids, disk, registry, known };
        for name in ["dev", "qa", "prod"] {
            let (full_name, password_hash) = (String::new(), None);
            let name = name.to_owned();
            let new = NewAccount { name, full_name, is_org: true, is_admin: false, is_active: true, password_hash };
            world.registry.create_account(&Caller::System, new).await.expect("is made");
        }
        for name in REPOSITORIES {
            world
                .registry
                .create_repository(&Caller::System, &named(name), Settings::default())
                .await
                .expect("is made");
        }
        world
    }

    /// Works, dies, comes back and is looked at, `cuts` times.
    async fn go_through(mut self, cuts: usize, tally: &mut Tally) -> Result<(), String> {
        for cut in 1..=cuts {
            self.disk.cut_after(1 + self.dice.below(ACTS));
            self.work(tally).await.map_err(|why| format!("before cut {cut}: {why}"))?;
            self = self.revive(tally)?;
            let told = self.look(cut).await.map_err(|why| format!("after cut {cut}: {why}"))?;
            tally.cuts += 1;
            if cut == cuts {
                tally.promotions += told.promotions;
                tally.settings += told.settings;
            }
        }
        self.registry.store().close();
        Ok(())
    }

    /// Random work until the power goes.
    async fn work(&self, tally: &mut Tally) -> Result<(), String> {
        let at_once = if self.dice.one_in(2) { 1 } else { 4 };
        for _ in 0..ROUNDS {
            self.clock.advance(Duration::from_secs(1));
            let operations: Vec<_> = (0..=self.dice.below(at_once)).map(|_| self.operation()).collect();
            let answers = join_all(operations).await;
            let failed = answers.iter().filter(|answer| answer.is_err()).count();
            tally.acknowledged += answers.len() - failed;
            tally.under_way += failed;
            if let Some(wrong) = self.known.borrow_mut().wrong.take() {
                return Err(wrong);
            }
            if failed > 0 || self.disk.is_cut() {
                if !self.disk.is_cut() {
                    return Err(format!("failed with the power on: {answers:?}"));
                }
                return Ok(());
            }
            // Everything was acknowledged: from here on the tags are known.
            self.compare()?;
        }
        self.disk.cut();
        Ok(())
    }

    /// The store over what the disk kept.
    fn revive(self, tally: &mut Tally) -> Result<Self, String> {
        let Self { dice, folder, clock, ids, mut disk, registry, known } = self;
        drop(registry);
        let is_nested = dice.one_in(2);
        let store = loop {
            disk = disk.survive(&dice);
            if is_nested && !dice.one_in(3) {
                disk.cut_after(1 + dice.below(40));
            }
            match Store::open_on(disk.clone(), folder.path(), clock.clone(), ids.clone()) {
                Ok(store) if !disk.is_cut() => break store,
                Ok(_) => tally.nested += 1,
                Err(_) if disk.is_cut() => tally.nested += 1,
                Err(error) => return Err(format!("does not open: {error}")),
            }
        };
        disk.keep_on();
        let registry = Registry::new(store).map_err(|error| error.to_string())?;
        Ok(Self { dice, folder, clock, ids, disk, registry, known })
    }

    /// Holds what is there against what was acknowledged, lets what is owed
    /// happen, and holds the store against its own log.
    async fn look(&self, cut: usize) -> Result<law::Told, String> {
        self.compare()?;
        {
            let read = self.registry.store().snapshot().map_err(words)?;
            let mut known = self.known.borrow_mut();
            for (id, repository) in std::mem::take(&mut known.policies) {
                match policy::get(&read, &id).map_err(words)? {
                    Some(_) => {
                        known.policies.insert(id, repository);
                    }
                    None if known.leaving.contains(&id) => {}
                    None => return Err(format!("the acknowledged policy {id} is gone")),
                }
            }
            known.leaving.clear();
            for ((id, name), generation) in &known.done {
                let row = transfer::get(&read, id, name).map_err(words)?;
                if known.policies.contains_key(id) && row.as_ref().is_none_or(|row| row.done < *generation) {
                    return Err(format!("generation {generation} of {name} was done, and now there is {row:?}"));
                }
            }
        }
        let store = self.registry.store();
        law::hold(store, false)?;
        self.verify(if cut.is_multiple_of(10) { Depth::Bytes } else { Depth::Names })?;
        for _ in 0..8 {
            react::catch_up(store).await.map_err(words)?;
            evaluate::walk_all(store).await.map_err(words)?;
        }
        let told = law::hold(store, true)?;
        let missed = sweep::sweep(store).await.map_err(words)?;
        if missed > 0 {
            return Err(format!("{missed} tags had no verdict"));
        }
        law::hold(store, true)?;
        self.verify(Depth::Names)?;
        Ok(told)
    }

    fn verify(&self, depth: Depth) -> Result<(), String> {
        let store = self.registry.store();
        let live: HashSet<_> = self.registry.open_uploads().into_iter().collect();
        let report = verify(&store.snapshot().map_err(words)?, store.files(), depth, &live).map_err(words)?;
        if report.is_clean() { Ok(()) } else { Err(format!("{:#?}", report.findings)) }
    }

    /// Every tag has its acknowledged value, or one that was under way.
    fn compare(&self) -> Result<(), String> {
        let read = self.registry.store().snapshot().map_err(words)?;
        let mut known = self.known.borrow_mut();
        let known = &mut *known;
        for repository in SOURCES {
            let number = repo::get(&read, &named(repository)).map_err(words)?.ok_or("a repository is gone")?.number;
            for name in TAGS {
                let key = (repository, name);
                let found = tag::get(&read, number, &tagged(name)).map_err(words)?.map(|value| value.digest);
                let before = known.tags.get(&key).copied().flatten();
                let mine: Vec<&Effect> = known.effects.iter().filter(|effect| effect.key == key).collect();
                // One acknowledged operation that certainly touched the tag
                // rules out the value before it.
                let certain = |effect: &&&Effect| {
                    effect.acknowledged && (effect.only_from.is_none() || mine.len() == 1 && effect.only_from == before)
                };
                let mut allowed: Vec<Option<Digest>> = mine.iter().map(|effect| effect.value).collect();
                if mine.iter().filter(certain).count() == 0 {
                    allowed.push(before);
                }
                if !allowed.contains(&found) {
                    return Err(format!("{repository}:{name} is {found:?}, allowed are {allowed:?} ({mine:?})"));
                }
                known.tags.insert(key, found);
            }
        }
        known.effects.clear();
        Ok(())
    }

    /// One random operation; an error means that the store failed.
    fn operation(&self) -> LocalBoxFuture<'_, Result<(), StoreError>> {
        let dice = &self.dice;
        let (source, name) = (*dice.pick(&SOURCES), *dice.pick(&TAGS));
        let anywhere = *dice.pick(&REPOSITORIES);
        match dice.below(100) {
            0..40 => self.push(source, name, dice.below(IMAGES)).boxed_local(),
            40..48 => self.delete_tag(source, name).boxed_local(),
            48..52 => self.delete_tag(anywhere, name).boxed_local(),
            52..56 => self.delete_manifest(source, name).boxed_local(),
            56..62 => self.save_policy().boxed_local(),
            62..64 => self.delete_policy().boxed_local(),
            64..67 => self.promote(source, name).boxed_local(),
            67..69 => self.leave_an_upload(source).boxed_local(),
            69..71 => self.submit(Lane::Background, Purge).boxed_local(),
            71..88 => react::catch_up(self.registry.store()).boxed_local(),
            88..91 => evaluate::walk_all(self.registry.store()).boxed_local(),
            91..93 => async { sweep::sweep(self.registry.store()).await.map(drop) }.boxed_local(),
            _ => self.settle_transfers().boxed_local(),
        }
    }

    async fn submit<O: tidegate::store::Operation>(&self, lane: Lane, operation: O) -> Result<(), StoreError> {
        self.registry.store().submit(lane, operation).await.map(drop)
    }

    /// Writes down that an operation is under way; its number for `ended`, 0
    /// where nobody keeps count.
    fn begin(&self, key: (&'static str, &'static str), value: Option<Digest>, only_from: Option<Digest>) -> usize {
        if !SOURCES.contains(&key.0) {
            return 0;
        }
        let mut known = self.known.borrow_mut();
        known.effects.push(Effect { key, value, only_from, acknowledged: false });
        known.effects.len()
    }

    /// Writes down how it ended: acknowledged, refused (then it does nothing),
    /// or not at all.
    fn ended<T>(&self, begun: &[usize], answer: Result<T, RegistryError>) -> Result<Option<T>, StoreError> {
        let mut known = self.known.borrow_mut();
        for at in begun {
            if let Some(effect) = at.checked_sub(1).and_then(|at| known.effects.get_mut(at)) {
                match &answer {
                    Ok(_) => effect.acknowledged = true,
                    Err(RegistryError::Store(_)) => {}
                    // The number of the others must stay, so it is kept, and
                    // made to mean nothing.
                    Err(_) => effect.key = ("", ""),
                }
            }
        }
        match answer {
            Ok(done) => Ok(Some(done)),
            Err(RegistryError::Store(error)) => Err(error),
            Err(RegistryError::ManifestBlobUnknown { digest, repository }) => {
                known.wrong = Some(format!("the acknowledged blob {digest} is not in {repository}"));
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    async fn push(&self, repository: &'static str, name: &'static str, image: usize) -> Result<(), StoreError> {
        let (layer, config) = (format!("layer {image}"), format!("{{\"image\":{image}}}"));
        for bytes in [&layer, &config] {
            let digest = Digest::sha256_of(bytes.as_bytes());
            // Now and then it is sent again, as clients do.
            if self.known.borrow().blobs.contains(&(repository, digest)) && !self.dice.one_in(20) {
                continue;
            }
            let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::copy_from_slice(bytes.as_bytes()))]);
            let stored = self.registry.store_blob(&Caller::System, &named(repository), &digest, None, body).await;
            if self.ended(&[], stored)?.is_some() {
                self.known.borrow_mut().blobs.insert((repository, digest));
            }
        }
        let padding = if image + 1 == IMAGES { limits::MANIFEST_INLINE_BYTES } else { 0 };
        let bytes = manifest(&config, &layer, padding);
        let begun = self.begin((repository, name), Some(Digest::sha256_of(&bytes)), None);
        let reference = Reference::Tag(tagged(name));
        let repository = named(repository);
        let sent = Sent { bytes, ..Sent::default() };
        let put = self.registry.put_manifest(&Caller::System, &repository, &reference, sent).await;
        self.ended(&[begun], put).map(drop)
    }

    async fn delete_tag(&self, repository: &'static str, name: &'static str) -> Result<(), StoreError> {
        let begun = self.begin((repository, name), None, None);
        let any = Condition::default();
        let deleted = self.registry.delete_tag(&Caller::System, &named(repository), &tagged(name), any).await;
        self.ended(&[begun], deleted).map(drop)
    }

    /// Removes what a tag names, and with it every tag that names the same.
    async fn delete_manifest(&self, repository: &'static str, name: &'static str) -> Result<(), StoreError> {
        let Some(digest) = self.known.borrow().tags.get(&(repository, name)).copied().flatten() else { return Ok(()) };
        let begun: Vec<usize> = TAGS.iter().map(|tag| self.begin((repository, tag), None, Some(digest))).collect();
        let any = Condition::default();
        let deleted = self.registry.delete_manifest(&Caller::System, &named(repository), &digest, any).await;
        self.ended(&begun, deleted).map(drop)
    }

    async fn save_policy(&self) -> Result<(), StoreError> {
        let dice = &self.dice;
        let (source, target) = *dice.pick(&[("dev/a", "qa/a"), ("dev/b", "qa/b"), ("qa/a", "prod/a"), ("prod/a", "")]);
        let mine: Vec<Id> =
            self.known.borrow().policies.iter().filter(|(_, of)| **of == source).map(|(id, _)| *id).collect();
        let rule = |value: &str| RawRule { field: "tag".into(), operator: "ew".into(), values: vec![value.into()] };
        let saving = Saving {
            id: mine.first().copied(),
            repository: named(source),
            enabled: true,
            rules: if dice.one_in(2) { vec![rule("-stable")] } else { Vec::new() },
            tag_template: (*dice.pick(&["%n", "%n", "v-%n"])).to_owned(),
            time_zone: "UTC".to_owned(),
            body: match target {
                "" => PolicyBody::Push { remote: far_away() },
                target => PolicyBody::Promotion { target: target.to_owned() },
            },
            evaluate: !dice.one_in(3),
            again: false,
        };
        let saved = self.registry.save_policy(&Caller::System, saving).await;
        if let Some(saved) = self.ended(&[], saved)? {
            self.known.borrow_mut().policies.insert(saved.policy.id, source);
        }
        Ok(())
    }

    async fn delete_policy(&self) -> Result<(), StoreError> {
        let all: Vec<(Id, &str)> = self.known.borrow().policies.iter().map(|(id, of)| (*id, *of)).collect();
        if all.is_empty() {
            return Ok(());
        }
        let (id, source) = *self.dice.pick(&all);
        self.known.borrow_mut().leaving.insert(id);
        let deleted = self.registry.delete_policy(&Caller::System, &named(source), id).await;
        if self.ended(&[], deleted)?.is_some() {
            self.known.borrow_mut().policies.remove(&id);
        }
        Ok(())
    }

    async fn promote(&self, source: &'static str, name: &'static str) -> Result<(), StoreError> {
        let (from, to) = (named(source), named("prod/a"));
        let (name, as_name) = (tagged(name), tagged("by-hand"));
        let promoted = self.registry.promote(&Caller::System, (&from, &name), (&to, &as_name)).await;
        self.ended(&[], promoted).map(drop)
    }

    /// A client that went away in the middle.
    async fn leave_an_upload(&self, repository: &'static str) -> Result<(), StoreError> {
        let begun = self.registry.begin_upload(&Caller::System, &named(repository), Algorithm::Sha256).await;
        self.ended(&[], begun).map(drop)
    }

    /// Ends up to three transfers, each in one of the ways that tries end.
    async fn settle_transfers(&self) -> Result<(), StoreError> {
        let store = self.registry.store();
        let mut due = Vec::new();
        {
            let read = store.snapshot()?;
            let mut rows = Vec::new();
            transfer::due(&read, |Due { policy, tag, .. }| {
                rows.push((policy, tag));
                if rows.len() < 3 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
            })?;
            for (policy, tag) in rows {
                due.extend(transfer::get(&read, &policy, &tag)?.map(|row| (policy, tag, row)));
            }
        }
        for (policy, tag, row) in due {
            let outcome = match self.dice.below(6) {
                0 => Outcome::Failed { why: "refused".to_owned(), retry: Retry::Soon, bytes: 5 },
                1 => Outcome::Interrupted,
                2 => Outcome::Gone { why: "not wanted".to_owned() },
                _ => Outcome::Done { bytes: 10, moved: true },
            };
            let ends = matches!(outcome, Outcome::Done { .. } | Outcome::Gone { .. });
            let (generation, want, lines) = (row.generation, row.want, vec!["a line".to_owned()]);
            let settle = SettleTransfer { policy, tag: tag.clone(), generation, want, outcome, lines, random: 7 };
            self.submit(Lane::Background, settle).await?;
            if ends {
                self.known.borrow_mut().done.insert((policy, tag), generation);
            }
        }
        Ok(())
    }
}

fn manifest(config: &str, layer: &str, padding: usize) -> Vec<u8> {
    let descriptor = |kind: &str, bytes: &str| {
        let digest = Digest::sha256_of(bytes.as_bytes());
        format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}],"annotations":{{"x":"{}"}}}}"#,
        descriptor("config.v1+json", config),
        descriptor("layer.v1.tar", layer),
        "x".repeat(padding),
    )
    .into_bytes()
}

fn far_away() -> Remote {
    Remote {
        host: "https://127.0.0.1:1".into(),
        repository: "far/a".into(),
        username: String::new(),
        password: None,
        token: None,
        ca: String::new(),
        skip_tls_verification: false,
        private: true,
    }
}

fn named(name: &str) -> RepoName {
    name.parse().expect("a name")
}

fn tagged(name: &str) -> Tag {
    name.parse().expect("a tag")
}

fn words(error: impl std::error::Error) -> String {
    tidegate::store::error_chain(&error)
}
