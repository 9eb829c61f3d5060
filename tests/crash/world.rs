//! Random work on one store, through the registry, the reactor and the settling
//! of transfers, as clients and time bring it about.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use tidegate::backoff::Retry;
use tidegate::chance::{Chance, Id};
use tidegate::clock::{Clock, Timestamp};
use tidegate::jobs::settle::{Outcome, SettleTransfer};
use tidegate::jobs::upkeep;
use tidegate::limits;
use tidegate::oci::{Algorithm, Condition, Digest, Reference};
use tidegate::policy::RawRule;
use tidegate::reactor::{evaluate, react, sweep};
use tidegate::registry::account::NewAccount;
use tidegate::registry::collect::Half;
use tidegate::registry::manifest::Sent;
use tidegate::registry::policy::Saving;
use tidegate::registry::repository::{Purge, Settings};
use tidegate::registry::upload::{BrokenBody, Said};
use tidegate::registry::{Caller, Registry, RegistryError};
use tidegate::store::file::Keep;
use tidegate::store::gc::CutOff;
use tidegate::store::medium::Medium;
use tidegate::store::record::{PolicyBody, Remote};
use tidegate::store::transfer::Due;
use tidegate::store::{Lane, OpenError, Store, StoreError, transfer};

use crate::dice::Dice;
use crate::known::{Effect, Key, Known, SOURCES, TAGS, named, tagged, words};

const REPOSITORIES: [&str; 5] = ["dev/a", "dev/b", "qa/a", "qa/b", "prod/a"];
/// Images that clients push again and again; the last is too large for the
/// database.
const IMAGES: usize = 6;
/// Room that is kept free: so much that the reserve is a small file.
const KEEP: Keep = Keep::Bytes(1 << 16);

/// A store at work, and what its clients know.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) known: Arc<Mutex<Known>>,
    /// Uploads that are under way: repository, session, image, bytes sent.
    uploads: RefCell<Vec<(&'static str, String, usize, usize)>>,
    /// Whether operations are handed in one at a time, and it repeats exactly.
    is_alone: bool,
}

/// The data folder's name on the disk.
pub(crate) const DATA: &str = "data";

/// The store on a disk that is laid into `folder`, as every start opens it.
pub(crate) fn open(medium: Medium, folder: &Path, clock: &Clock, seed: u64) -> Result<Store, OpenError> {
    Store::open_on_medium(medium, &folder.join(DATA), KEEP, clock.clone(), Chance::seeded(!seed))
}

impl World {
    /// One whose accounts and repositories are made.
    pub(crate) async fn new(medium: Medium, folder: &Path, seed: u64) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let store = open(medium, folder, &clock, seed).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        for name in ["dev", "qa", "prod"] {
            let (full_name, password_hash) = (String::new(), None);
            let name = name.to_owned();
            let new = NewAccount { name, full_name, is_org: true, is_admin: false, is_active: true, password_hash };
            registry.create_account(&Caller::System, new).await.expect("is made");
        }
        for name in REPOSITORIES {
            registry.create_repository(&Caller::System, &named(name), Settings::default()).await.expect("is made");
        }
        Self::over(registry, clock, Known::default(), seed)
    }

    /// One that goes on.
    pub(crate) fn over(registry: Registry, clock: Clock, known: Known, seed: u64) -> Self {
        let dice = Dice::new(seed);
        let is_alone = dice.one_in(2);
        let known = Arc::new(Mutex::new(known));
        Self { dice, clock, registry, known, uploads: RefCell::default(), is_alone }
    }

    /// Hands in one operation, or a few that may share a commit, and waits for
    /// all answers. An error when the store failed or answered what it must not.
    pub(crate) async fn round(&self) -> Result<(), String> {
        self.clock.advance(Duration::from_secs(1));
        let at_once = if self.is_alone { 1 } else { 4 };
        let operations: Vec<_> = (0..=self.dice.below(at_once)).map(|_| self.operation()).collect();
        for answer in join_all(operations).await {
            answer.map_err(words)?;
        }
        if let Some(wrong) = self.known().wrong.take() {
            return Err(wrong);
        }
        // Everything was acknowledged: from here on the tags are known.
        let read = self.registry.store().snapshot().map_err(words)?;
        self.known().hold_tags(&read)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One random operation; an error means that the store failed.
    fn operation(&self) -> LocalBoxFuture<'_, Result<(), StoreError>> {
        let dice = &self.dice;
        let (source, name) = (*dice.pick(&SOURCES), *dice.pick(&TAGS));
        let anywhere = *dice.pick(&REPOSITORIES);
        match dice.below(100) {
            0..35 => self.push(source, name, dice.below(IMAGES)).boxed_local(),
            35..42 => self.delete_tag(source, name).boxed_local(),
            42..46 => self.delete_tag(anywhere, name).boxed_local(),
            46..50 => self.delete_manifest(source, name).boxed_local(),
            50..56 => self.save_policy().boxed_local(),
            56..58 => self.delete_policy().boxed_local(),
            58..61 => self.promote(source, name).boxed_local(),
            61..66 => self.go_on_with_an_upload(source).boxed_local(),
            66..68 => self.submit(Lane::Background, Purge).boxed_local(),
            68..83 => react::catch_up(self.registry.store()).boxed_local(),
            83..86 => evaluate::walk_all(self.registry.store()).boxed_local(),
            86..88 => async { sweep::sweep(self.registry.store()).await.map(drop) }.boxed_local(),
            88..91 => self.keep_up().boxed_local(),
            91..94 if self.is_alone => self.collect().boxed_local(),
            _ => self.settle_transfers().boxed_local(),
        }
    }

    async fn submit<O: tidegate::store::Operation>(&self, lane: Lane, operation: O) -> Result<(), StoreError> {
        self.registry.store().submit(lane, operation).await.map(drop)
    }

    /// Writes down that an operation is under way; its number for `ended`, 0
    /// where nobody keeps count.
    fn begin(&self, key: Key, value: Option<Digest>, only_from: Option<Digest>) -> usize {
        if !SOURCES.contains(&key.0) {
            return 0;
        }
        let mut known = self.known();
        known.effects.push(Effect { key, value, only_from, acknowledged: false });
        known.effects.len()
    }

    /// Writes down how it ended: acknowledged, refused (then it does nothing),
    /// or not at all.
    fn ended<T>(&self, begun: &[usize], answer: Result<T, RegistryError>) -> Result<Option<T>, StoreError> {
        let mut known = self.known();
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

    /// Pushes an image, as clients do that ask first what is there.
    pub(crate) async fn push(
        &self,
        repository: &'static str,
        name: &'static str,
        image: usize,
    ) -> Result<(), StoreError> {
        let (layer, config) = image_of(image);
        for bytes in [&layer, &config] {
            let digest = Digest::sha256_of(bytes.as_bytes());
            // Now and then it is sent again, as clients do.
            if self.known().blobs.contains(&(repository, digest)) && !self.dice.one_in(20) {
                continue;
            }
            let body = body(bytes.as_bytes());
            let stored = self.registry.store_blob(&Caller::System, &named(repository), &digest, None, body).await;
            if self.ended(&[], stored)?.is_some() {
                self.known().blobs.insert((repository, digest));
            }
        }
        let padding = if image + 1 == IMAGES { limits::MANIFEST_INLINE_BYTES } else { 0 };
        let bytes = manifest(&config, &layer, padding);
        let begun = self.begin((repository, name), Some(Digest::sha256_of(&bytes)), None);
        let reference = Reference::Tag(tagged(name));
        let sent = Sent { bytes: bytes.into(), ..Sent::default() };
        let put = self.registry.put_manifest(&Caller::System, &named(repository), &reference, sent).await;
        self.ended(&[begun], put).map(drop)
    }

    /// A client that sends a layer in pieces: it opens a session, adds to it,
    /// ends it, or goes away.
    async fn go_on_with_an_upload(&self, repository: &'static str) -> Result<(), StoreError> {
        let last = self.uploads.borrow_mut().pop();
        let Some((repository, session, image, sent)) = last else {
            let begun = self.registry.begin_upload(&Caller::System, &named(repository), Algorithm::Sha256).await;
            if let Some(id) = self.ended(&[], begun)? {
                let upload = (repository, id.to_string(), self.dice.below(IMAGES), 0);
                self.uploads.borrow_mut().push(upload);
            }
            return Ok(());
        };
        let (layer, _) = image_of(image);
        let next = layer.len().min(sent + 1 + self.dice.below(layer.len()));
        let name = named(repository);
        if self.dice.one_in(8) {
            return self.ended(&[], self.registry.cancel_upload(&Caller::System, &name, &session).await).map(drop);
        }
        let piece = body(&layer.as_bytes()[sent..next]);
        let appended = self.registry.append_upload(&Caller::System, &name, &session, Said::default(), piece).await;
        self.ended(&[], appended)?;
        if next < layer.len() {
            self.uploads.borrow_mut().push((repository, session, image, next));
            return Ok(());
        }
        let digest = Digest::sha256_of(layer.as_bytes());
        let finished = self.registry.finish_upload(&Caller::System, &name, &session, &digest).await;
        if self.ended(&[], finished)?.is_some() {
            self.known().blobs.insert((repository, digest));
        }
        Ok(())
    }

    /// A round of what the daemon does by itself: files go, the marker is
    /// written, room is set aside or given back.
    async fn keep_up(&self) -> Result<(), StoreError> {
        let disk = self.registry.store().files().disk();
        if self.dice.one_in(3) {
            disk.give_back();
        } else {
            disk.set_aside();
        }
        let options = upkeep::Options { unlink_grace: Duration::ZERO, ..upkeep::Options::default() };
        self.ended(&[], upkeep::once(&self.registry, options).await).map(drop)
    }

    /// Collection without any grace. What no tag leads to may go.
    async fn collect(&self) -> Result<(), StoreError> {
        self.known().blobs.clear();
        let now = Timestamp::MAX;
        for half in [Half::Manifests, Half::Blobs] {
            let cut_off = CutOff { blobs: now, manifests: now };
            let slice = self.registry.plan_collection(half, cut_off, None, &HashSet::new());
            if let Some(slice) = self.ended(&[], slice)? {
                self.ended(&[], self.registry.collect(half, cut_off, slice, Duration::ZERO).await)?;
            }
        }
        Ok(())
    }

    async fn delete_tag(&self, repository: &'static str, name: &'static str) -> Result<(), StoreError> {
        let begun = self.begin((repository, name), None, None);
        let any = Condition::default();
        let deleted = self.registry.delete_tag(&Caller::System, &named(repository), &tagged(name), any).await;
        self.ended(&[begun], deleted).map(drop)
    }

    /// Removes what a tag names, and with it every tag that names the same.
    async fn delete_manifest(&self, repository: &'static str, name: &'static str) -> Result<(), StoreError> {
        let Some(digest) = self.known().tags.get(&(repository, name)).copied().flatten() else { return Ok(()) };
        let begun: Vec<usize> = TAGS.iter().map(|tag| self.begin((repository, tag), None, Some(digest))).collect();
        let any = Condition::default();
        let deleted = self.registry.delete_manifest(&Caller::System, &named(repository), &digest, any).await;
        self.ended(&begun, deleted).map(drop)
    }

    async fn save_policy(&self) -> Result<(), StoreError> {
        let dice = &self.dice;
        let (source, target) = *dice.pick(&[("dev/a", "qa/a"), ("dev/b", "qa/b"), ("qa/a", "prod/a"), ("prod/a", "")]);
        let mine: Vec<Id> = self.known().policies.iter().filter(|(_, of)| **of == source).map(|(id, _)| *id).collect();
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
            self.known().policies.insert(saved.policy.id, source);
        }
        Ok(())
    }

    async fn delete_policy(&self) -> Result<(), StoreError> {
        let all: Vec<(Id, &str)> = self.known().policies.iter().map(|(id, of)| (*id, *of)).collect();
        if all.is_empty() {
            return Ok(());
        }
        let (id, source) = *self.dice.pick(&all);
        self.known().leaving.insert(id);
        let deleted = self.registry.delete_policy(&Caller::System, &named(source), id).await;
        if self.ended(&[], deleted)?.is_some() {
            self.known().policies.remove(&id);
        }
        Ok(())
    }

    async fn promote(&self, source: &'static str, name: &'static str) -> Result<(), StoreError> {
        let (from, to) = (named(source), named("prod/a"));
        let (name, as_name) = (tagged(name), tagged("by-hand"));
        let promoted = self.registry.promote(&Caller::System, (&from, &name), (&to, &as_name)).await;
        self.ended(&[], promoted).map(drop)
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
                self.known().done.insert((policy, tag), generation);
            }
        }
        Ok(())
    }
}

/// Layer and configuration of an image.
fn image_of(number: usize) -> (String, String) {
    (format!("layer {number} ").repeat(1 + 150 * number), format!("{{\"image\":{number}}}"))
}

fn body(bytes: &[u8]) -> impl futures_util::Stream<Item = Result<Bytes, BrokenBody>> + Send + 'static {
    futures_util::stream::iter([Ok(Bytes::copy_from_slice(bytes))])
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
