//! Mirrors against a registry on loopback that can be made to lie, to be away,
//! and to be asked what it was asked.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::chance::{Chance, Id};
use crate::clock::{Clock, Timestamp};
use crate::event::{Actor, Kind};
use crate::identity::SealingKeys;
use crate::lifecycle::Scope;
use crate::oci::{Condition, Digest, MediaType, Reference, RepoName, Tag};
use crate::policy::RawRule;
use crate::reactor::react;
use crate::registry::account::NewAccount;
use crate::registry::manifest::Sent;
use crate::registry::policy::Saving;
use crate::registry::repository::Settings;
use crate::registry::upload::BrokenBody;
use crate::registry::{Caller, Registry};
use crate::remote::tests::fake::{Fake, Reply, Seen, outbound};
use crate::store::record::{
    Direction, Job, JobAction, JobStatus, PolicyBody, PolicyStatus, Remote, TagValue, Transfer,
};
use crate::store::verify::{Depth, verify};
use crate::store::{Lane, Store, event, policy, queue, repo, tag, transfer};

use super::log::JobLog;
use super::poll_queue::QueuePoll;
use super::pull_mirror::Pull;
use super::push_mirror::Push;
use super::settle::Outcome;
use super::{Options, Remotes, Runner};

/// What strangers found.
mod found;
/// Targets without room.
mod quota;
/// Bytes that rot.
mod scrub;

/// What the far side holds, and how it misbehaves.
#[derive(Default)]
struct Far {
    tags: BTreeMap<String, Digest>,
    manifests: BTreeMap<Digest, Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// Answers every request with this status.
    away: Option<u16>,
    /// Sends these bytes for this blob.
    lie: Option<(Digest, Vec<u8>)>,
    /// Names this wait, in seconds, while it is away.
    named: Option<u64>,
    /// Begins every manifest and never ends it.
    hangs: bool,
    /// Breaks off in the middle of every blob.
    cut: bool,
}

type Shared = Arc<Mutex<Far>>;

fn far(shared: &Shared) -> std::sync::MutexGuard<'_, Far> {
    shared.lock().expect("not poisoned")
}

/// A registry of one repository, `far/web`.
fn answer(shared: &Shared, seen: &Seen) -> Reply {
    let mut far = far(shared);
    if let Some(status) = far.away {
        let reply = Reply::new(status).body("away");
        return far.named.map_or(reply.clone(), |seconds| reply.header("Retry-After", seconds));
    }
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let Some(rest) = path.strip_prefix("/v2/far/web/") else { return Reply::new(404) };
    let head = seen.method == "HEAD";
    let sized = |bytes: &[u8], head: bool| {
        let reply = Reply::new(200).header("Content-Length", bytes.len());
        if head { reply } else { reply.body(bytes) }
    };
    if rest == "tags/list" {
        let names: Vec<&String> = far.tags.keys().collect();
        return Reply::new(200).body(serde_json::json!({"name": "far/web", "tags": names}).to_string());
    }
    if let Some(reference) = rest.strip_prefix("manifests/") {
        if seen.method == "PUT" {
            let digest = Digest::sha256_of(&seen.body);
            far.manifests.insert(digest, seen.body.to_vec());
            if let Ok(Reference::Tag(name)) = reference.parse() {
                far.tags.insert(name.to_string(), digest);
            }
            return Reply::new(201).header("Docker-Content-Digest", digest);
        }
        let digest = match reference.parse() {
            Ok(Reference::Digest(digest)) => Some(digest),
            _ => far.tags.get(reference).copied(),
        };
        return match digest.and_then(|digest| Some((digest, far.manifests.get(&digest)?))) {
            Some((_, bytes)) if far.hangs && !head => Reply::new(200).body(&bytes[..1]).then_hang(),
            Some((digest, bytes)) => {
                let kind = if String::from_utf8_lossy(bytes).contains("\"manifests\"") {
                    MediaType::OciIndex
                } else {
                    MediaType::OciManifest
                };
                sized(bytes, head).header("Docker-Content-Digest", digest).header("Content-Type", kind)
            }
            None => Reply::new(404),
        };
    }
    if rest == "blobs/uploads/" {
        return Reply::new(202).header("Location", "/v2/far/web/blobs/uploads/one");
    }
    if rest == "blobs/uploads/one" {
        let digest =
            query.split("digest=").nth(1).map(|text| text.replace("%3A", ":")).and_then(|text| text.parse().ok());
        let Some(digest) = digest else { return Reply::new(400) };
        if Digest::sha256_of(&seen.body) != digest {
            return Reply::new(400);
        }
        far.blobs.insert(digest, seen.body.to_vec());
        return Reply::new(201);
    }
    let digest = rest.strip_prefix("blobs/").and_then(|text| text.parse::<Digest>().ok());
    let Some((digest, bytes)) = digest.and_then(|digest| Some((digest, far.blobs.get(&digest)?))) else {
        return Reply::new(404);
    };
    match &far.lie {
        Some((about, lie)) if *about == digest && !head => sized(lie, false),
        _ if far.cut && !head => {
            Reply::new(200).header("Content-Length", bytes.len()).body(&bytes[..bytes.len() / 2]).then_break()
        }
        _ => sized(bytes, head),
    }
}

/// A registry here with `dev/web`, its runner at work, and one over there.
struct World {
    folder: tempfile::TempDir,
    registry: Registry,
    remotes: Remotes,
    scope: Scope,
    runner: Runner,
    far: Shared,
    fake: Fake,
    clock: Clock,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let chance = Chance::system();
        let store = Store::open(&folder.path().join("data"), clock.clone(), chance.clone()).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        let new = NewAccount {
            name: "dev".into(),
            full_name: String::new(),
            is_org: true,
            is_admin: false,
            is_active: true,
            password_hash: None,
        };
        registry.create_account(&Caller::System, new).await.expect("is made");
        let name: RepoName = "dev/web".parse().expect("a name");
        registry.create_repository(&Caller::System, &name, Settings::default()).await.expect("is made");
        let keys = SealingKeys::of_file(&folder.path().join("key"), &chance).expect("a key");
        let remotes = Remotes::new(outbound(), keys);
        let far = Shared::default();
        let fake = Fake::start({
            let far = Arc::clone(&far);
            move |seen| answer(&far, seen)
        })
        .await;
        let scope = Scope::new();
        let runner = Runner::new(registry.clone(), remotes.clone(), Options::default());
        scope.spawn(runner.clone().run(scope.clone()));
        Self { folder, registry, remotes, scope, runner, far, fake, clock }
    }

    fn store(&self) -> &Store {
        self.registry.store()
    }

    /// Puts an image over there; its digest, and its layer's.
    fn publish(&self, name: &str, seed: &str) -> (Digest, Digest) {
        let mut far = far(&self.far);
        let config = format!("{{\"seed\":\"{seed}\"}}").into_bytes();
        let layer = seed.repeat(5_000).into_bytes();
        let manifest = image(&config, &layer);
        let (layer_digest, digest) = (Digest::sha256_of(&layer), Digest::sha256_of(&manifest));
        far.blobs.insert(Digest::sha256_of(&config), config);
        far.blobs.insert(layer_digest, layer);
        far.manifests.insert(digest, manifest);
        far.tags.insert(name.to_owned(), digest);
        (digest, layer_digest)
    }

    /// Pushes an image here.
    async fn push(&self, name: &str, seed: &str) -> Digest {
        let repository: RepoName = "dev/web".parse().expect("a name");
        let (config, layer) = (format!("{{\"seed\":\"{seed}\"}}").into_bytes(), seed.repeat(5_000).into_bytes());
        for blob in [&config, &layer] {
            let body = futures_util::stream::iter([Ok::<_, BrokenBody>(bytes::Bytes::copy_from_slice(blob))]);
            let digest = Digest::sha256_of(blob);
            self.registry.store_blob(&Caller::System, &repository, &digest, None, body).await.expect("is stored");
        }
        let reference = Reference::Tag(name.parse().expect("a tag"));
        let sent = Sent { bytes: image(&config, &layer).into(), ..Sent::default() };
        let put = self.registry.put_manifest(&Caller::System, &repository, &reference, sent);
        let digest = put.await.expect("is taken").0;
        react::catch_up(self.store()).await.expect("reacts");
        digest
    }

    async fn save(&self, body: impl FnOnce(Remote) -> PolicyBody, rules: Vec<RawRule>) -> Id {
        self.save_at(self.fake.url(), body, rules).await
    }

    async fn save_at(&self, host: String, body: impl FnOnce(Remote) -> PolicyBody, rules: Vec<RawRule>) -> Id {
        let remote = Remote {
            host,
            repository: "far/web".into(),
            username: String::new(),
            password: None,
            token: None,
            ca: String::new(),
            skip_tls_verification: false,
            private: true,
        };
        let saving = Saving {
            id: None,
            repository: "dev/web".parse().expect("a name"),
            enabled: true,
            rules,
            tag_template: "%n".into(),
            time_zone: "UTC".into(),
            body: body(remote),
            evaluate: true,
            again: false,
        };
        self.registry.save_policy(&Caller::System, saving).await.expect("is saved").policy.id
    }

    async fn pull_mirror(&self, changes_only: bool) -> Id {
        let pull = |remote| PolicyBody::Pull { remote, schedule: "@every 30m".into(), changes_only };
        self.save(pull, Vec::new()).await
    }

    /// Asks for a look for changes, as a person does; its job.
    async fn ask(&self, policy: Id) -> Id {
        let queue = QueuePoll { policy, job: self.store().chance().id(), after: None, by: None };
        self.store().submit(Lane::Foreground, queue).await.expect("runs").expect("never refuses").expect("a job")
    }

    /// Looks for changes, and waits until that and all that follows is done or
    /// waits for another try.
    async fn poll(&self, policy: Id) -> Job {
        let id = self.ask(policy).await;
        self.wait(|| self.job(&id).filter(|job| job.status.is_over() || job.attempts > 0)).await;
        self.rest(policy).await;
        self.job(&id).expect("is kept")
    }

    /// What a schedule does when its slot has come.
    async fn slot(&self, id: &Id) -> Option<Id> {
        let last = policy::cron(&self.store().snapshot().expect("reads"), id).expect("reads").expect("has run").last;
        let queue = QueuePoll { policy: *id, job: self.store().chance().id(), after: Some(last), by: None };
        self.store().submit(Lane::Foreground, queue).await.expect("runs").expect("never refuses")
    }

    /// The look that was asked for last.
    fn last_poll(&self, id: &Id) -> Id {
        let cron = policy::cron(&self.store().snapshot().expect("reads"), id).expect("reads");
        cron.and_then(|cron| cron.job).expect("was asked for")
    }

    async fn cancel(&self, job: Id, remove: bool) {
        let cancel = super::query::Cancel {
            job,
            by: Actor::Account { id: Id::from_bytes([7; 16]), name: "ann".into() },
            remove,
        };
        assert_eq!(self.store().submit(Lane::Foreground, cancel).await.expect("runs"), Ok(true));
    }

    /// What a mirror lacks, in words.
    fn standing(&self, id: &Id) -> String {
        let read = self.store().snapshot().expect("reads");
        let policy = policy::get(&read, id).expect("reads").expect("is there");
        super::standing::standing(&read, &policy, self.store().now()).expect("reads").to_string()
    }

    /// Saves a policy again, with a change, and evaluates it.
    async fn save_again(&self, id: &Id, change: impl FnOnce(&mut Saving)) {
        let name: RepoName = "dev/web".parse().expect("a name");
        let policy = self.registry.policy(&Caller::System, &name, id).expect("is there").policy;
        let mut saving = Saving {
            id: Some(*id),
            repository: name,
            enabled: policy.enabled,
            rules: policy.rules,
            tag_template: policy.tag_template,
            time_zone: policy.time_zone,
            body: policy.body,
            evaluate: true,
            again: false,
        };
        change(&mut saving);
        self.registry.save_policy(&Caller::System, saving).await.expect("is saved");
        crate::reactor::evaluate::walk_all(self.store()).await.expect("walks");
    }

    /// Waits until nothing of a policy is due.
    async fn rest(&self, id: Id) {
        self.wait(|| {
            let read = self.store().snapshot().expect("reads");
            let now = self.store().now();
            let mut due = false;
            transfer::due(&read, |row| {
                due |= row.policy == id && row.at <= now;
                std::ops::ControlFlow::Continue(())
            })
            .expect("reads");
            (!due).then_some(())
        })
        .await;
    }

    /// Ends the runner, as a restart does.
    async fn rest_of_runner(&mut self) {
        assert!(self.scope.drain(Duration::from_secs(10)).await, "a job runs on");
    }

    /// The same, with scrub at this rate.
    fn restart_runner_at(&mut self, rate: super::budget::Rate) {
        self.scope = Scope::new();
        let options = Options { scrub: rate, ..Options::default() };
        self.runner = Runner::new(self.registry.clone(), self.remotes.clone(), options);
        self.scope.spawn(self.runner.clone().run(self.scope.clone()));
    }

    /// A new runner, as after a restart.
    fn restart_runner(&mut self) {
        self.scope = Scope::new();
        self.runner = Runner::new(self.registry.clone(), self.remotes.clone(), Options::default());
        self.scope.spawn(self.runner.clone().run(self.scope.clone()));
    }

    /// A try that moves everything and dies before anything is written down.
    async fn try_and_die(&self, id: &Id, name: &str) {
        let read = self.store().snapshot().expect("reads");
        let policy = policy::get(&read, id).expect("reads").expect("is there");
        let (tag, row): (Tag, _) = (name.parse().expect("a tag"), self.transfer(id, name).expect("is owed"));
        let (registry, remotes, log) = (&self.registry, &self.remotes, JobLog::new(self.store().clone(), row.job));
        let (policy, tag, transfer, log, bytes) = (&policy, &tag, &row, &log, AtomicU64::new(0));
        let outcome = match row.direction {
            Direction::Push => Push { registry, remotes, policy, tag, transfer, log, bytes }.run().await,
            Direction::Pull => Pull { registry, remotes, policy, tag, transfer, log, bytes }.run().await,
        };
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }

    fn events(&self, is: impl Fn(&Kind) -> bool) -> usize {
        let events = event::after(&self.store().snapshot().expect("reads"), 0, usize::MAX).expect("reads");
        events.iter().filter(|event| is(&event.kind)).count()
    }

    async fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut commits = self.store().writer().commits();
        let waiting = async {
            loop {
                commits.mark_unchanged();
                if let Some(found) = look() {
                    return found;
                }
                commits.changed().await.expect("the writer runs");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it happens in time")
    }

    fn job(&self, id: &Id) -> Option<Job> {
        queue::get(&self.store().snapshot().expect("reads"), id).expect("reads")
    }

    fn tag(&self, name: &str) -> Option<TagValue> {
        let read = self.store().snapshot().expect("reads");
        let record = repo::get(&read, &"dev/web".parse().expect("a name")).expect("reads").expect("is there");
        tag::get(&read, record.number, &name.parse().expect("a tag")).expect("reads")
    }

    fn transfer(&self, id: &Id, name: &str) -> Option<Transfer> {
        let name: Tag = name.parse().expect("a tag");
        transfer::get(&self.store().snapshot().expect("reads"), id, &name).expect("reads")
    }

    fn status(&self, id: &Id) -> PolicyStatus {
        policy::status(&self.store().snapshot().expect("reads"), id).expect("reads")
    }

    fn asked(&self, method: &str, part: &str) -> usize {
        self.fake.seen().iter().filter(|seen| seen.method == method && seen.path.contains(part)).count()
    }

    /// Ends the runner; nothing may run on, and the store must be whole, with
    /// no file that nobody names and no session that nobody goes on with.
    async fn close(self) {
        assert!(self.scope.drain(Duration::from_secs(10)).await, "a job runs on");
        let read = self.store().snapshot().expect("reads");
        let report = verify(&read, self.store().files(), Depth::Bytes, &Default::default()).expect("verifies");
        assert!(report.is_clean(), "{:#?}", report.findings);
        assert_eq!(report.orphans, 0);
        let left = std::fs::read_dir(self.folder.path().join("data/uploads")).expect("reads").count();
        assert_eq!(left, 0, "upload sessions were left behind");
        let _ = &self.remotes;
    }
}

fn image(config: &[u8], layer: &[u8]) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}]}}"#,
        Digest::sha256_of(config),
        config.len(),
        Digest::sha256_of(layer),
        layer.len()
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_brings_what_is_new_and_asks_for_nothing_twice() {
    let world = World::new().await;
    let (first, _) = world.publish("1", "one");
    let id = world.pull_mirror(false).await;
    assert_eq!(world.poll(id).await.status, JobStatus::Done);
    assert_eq!(world.tag("1").map(|value| value.digest), Some(first));
    assert_eq!(world.status(&id).code, "SUCCESS");
    let gets = world.asked("GET", "/blobs/") + world.asked("GET", "/manifests/");
    assert_eq!(gets, 3, "{:?}", world.fake.asked());
    // Nothing changed: one list, one HEAD, nothing fetched.
    world.poll(id).await;
    assert_eq!(world.asked("GET", "/blobs/") + world.asked("GET", "/manifests/"), gets);
    // A new tag that shares a layer fetches only what is missing.
    let (second, _) = world.publish("2", "two");
    world.poll(id).await;
    assert_eq!(world.tag("2").map(|value| value.digest), Some(second));
    // What somebody deleted here is not brought back.
    let repository = "dev/web".parse().expect("a name");
    world
        .registry
        .delete_tag(&Caller::System, &repository, &"1".parse().expect("a tag"), Condition::default())
        .await
        .expect("goes");
    world.poll(id).await;
    assert!(world.tag("1").is_none(), "a poll brought it back");
    // Unless it changes over there.
    let (third, _) = world.publish("1", "three");
    world.poll(id).await;
    assert_eq!(world.tag("1").map(|value| value.digest), Some(third));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_without_applying_it_brings_only_changes() {
    let world = World::new().await;
    world.publish("old", "one");
    let id = world.pull_mirror(true).await;
    world.poll(id).await;
    assert!(world.tag("old").is_none());
    let (new, _) = world.publish("new", "two");
    let (moved, _) = world.publish("old", "three");
    world.poll(id).await;
    assert_eq!(world.tag("new").map(|value| value.digest), Some(new));
    assert_eq!(world.tag("old").map(|value| value.digest), Some(moved));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_lies_leaves_nothing_but_a_reason() {
    let world = World::new().await;
    let (digest, layer) = world.publish("1", "one");
    let id = world.pull_mirror(false).await;
    let whole = far(&world.far).blobs[&layer].clone();
    let other = vec![b'x'; whole.len()];
    for (lie, words) in
        [(other, "hash"), (whole[..100].to_vec(), "bytes"), ([whole.clone(), whole.clone()].concat(), "bytes")]
    {
        far(&world.far).lie = Some((layer, lie));
        world.poll(id).await;
        let row = world.wait(|| world.transfer(&id, "1").filter(|row| !row.last_error.is_empty())).await;
        assert!(row.last_error.contains(words), "{words}: {}", row.last_error);
        assert!(world.tag("1").is_none());
        let read =
            world.registry.manifest(&Caller::System, &"dev/web".parse().expect("a name"), &Reference::Digest(digest));
        assert!(read.is_err(), "a manifest whose layer is missing can be read");
        assert_eq!(world.status(&id).code, "FAILED");
        world.clock.advance(Duration::from_secs(60 * 60));
    }
    // It heals by itself once the far side tells the truth.
    far(&world.far).lie = None;
    world.clock.advance(Duration::from_secs(60 * 60));
    let value = world.wait(|| world.tag("1")).await;
    assert_eq!(value.digest, digest);
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_sends_what_is_missing_once_and_heals_by_itself() {
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    far(&world.far).away = Some(503);
    let digest = world.push("1", "one").await;
    let row = world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    assert!(row.is_owed() && row.last_error.contains("503"), "{row:?}");
    let job = world.job(&row.job).expect("is kept");
    assert_eq!((job.action, job.status), (JobAction::PushMirrorTag, JobStatus::Waiting));
    // The far side is back; nobody does anything here.
    far(&world.far).away = None;
    world.clock.advance(Duration::from_secs(60));
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    assert_eq!(far(&world.far).tags.get("1"), Some(&digest));
    assert_eq!(world.job(&row.job).map(|job| job.status), Some(JobStatus::Done));
    let puts = world.asked("PUT", "");
    assert_eq!(puts, 3, "{:?}", world.fake.asked());
    // The same again: the row says that it is there.
    world.push("1", "one").await;
    world.rest(id).await;
    assert_eq!(world.asked("PUT", ""), puts);
    // Another tag of the same image sends the manifest alone.
    world.push("2", "one").await;
    world.wait(|| world.transfer(&id, "2").filter(|row| !row.is_owed())).await;
    assert_eq!(world.asked("PUT", ""), puts + 1);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_policy_owed_is_called_off() {
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    far(&world.far).away = Some(500);
    world.push("1", "one").await;
    let row = world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    world.registry.delete_policy(&Caller::System, &"dev/web".parse().expect("a name"), id).await.expect("goes");
    world.clock.advance(Duration::from_secs(60 * 60));
    world.wait(|| world.transfer(&id, "1").is_none().then_some(())).await;
    assert_eq!(world.job(&row.job).map(|job| job.status), Some(JobStatus::Canceled));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_registry_fails_a_poll_that_is_tried_again() {
    let world = World::new().await;
    let (digest, _) = world.publish("1", "one");
    let id = world.pull_mirror(false).await;
    far(&world.far).away = Some(500);
    let job = world.poll(id).await;
    assert_eq!((job.status, job.attempts), (JobStatus::Waiting, 1));
    assert_eq!(world.status(&id).code, "FAILED");
    far(&world.far).away = None;
    far(&world.far).cut = true;
    world.clock.advance(Duration::from_secs(60));
    world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    far(&world.far).cut = false;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.wait(|| world.tag("1")).await.digest, digest);
    world.rest(id).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_mirror_goes_to_the_new_place_at_once() {
    // A mirror whose host was edited once believed that the new place had
    // everything, because the old one did; and one whose password was mended
    // waited out its back-off.
    let world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    let digest = world.push("1", "one").await;
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    let other = Shared::default();
    far(&other).away = Some(401);
    let place = Fake::start({
        let other = Arc::clone(&other);
        move |seen| answer(&other, seen)
    })
    .await;
    let edit = async |ca: &str| {
        let name: RepoName = "dev/web".parse().expect("a name");
        let shown = world.registry.policy(&Caller::System, &name, &id).expect("is there");
        let mut remote = shown.policy.remote().expect("a mirror").clone();
        remote.host = place.url();
        remote.username = ca.to_owned();
        let saving = Saving {
            id: Some(id),
            repository: name,
            enabled: true,
            rules: shown.policy.rules,
            tag_template: shown.policy.tag_template,
            time_zone: shown.policy.time_zone,
            body: PolicyBody::Push { remote },
            evaluate: true,
            again: false,
        };
        world.registry.save_policy(&Caller::System, saving).await.expect("is saved");
        crate::reactor::evaluate::walk_all(world.store()).await.expect("walks");
    };
    edit("").await;
    world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    far(&other).away = None;
    // No clock moves: saving is what makes it due.
    edit("mended").await;
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    assert_eq!(far(&other).tags.get("1"), Some(&digest));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_died_before_it_was_settled_is_told_once_and_not_sent_again() {
    // Killed between the last byte and the commit: the next try found all of
    // it over there and took that for no news, so no event ever told.
    let mut world = World::new().await;
    let id = world.save(|remote| PolicyBody::Push { remote }, Vec::new()).await;
    world.rest_of_runner().await;
    let digest = world.push("1", "one").await;
    world.try_and_die(&id, "1").await;
    let puts = world.asked("PUT", "");
    assert_eq!((far(&world.far).tags.get("1"), puts), (Some(&digest), 3));
    world.restart_runner();
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    assert_eq!(world.asked("PUT", ""), puts, "sent twice");
    assert_eq!(world.events(|kind| matches!(kind, Kind::PushMirrored { .. })), 1);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_died_before_it_was_settled_sets_its_tag_once() {
    // The next try set the tag once more: another event, on which every policy
    // of the repository acted a second time.
    let mut world = World::new().await;
    let (digest, _) = world.publish("1", "one");
    let id = world.pull_mirror(false).await;
    far(&world.far).cut = true;
    world.poll(id).await;
    world.wait(|| world.transfer(&id, "1").filter(|row| row.attempts > 0)).await;
    world.rest_of_runner().await;
    far(&world.far).cut = false;
    world.try_and_die(&id, "1").await;
    assert_eq!(world.tag("1").map(|value| value.digest), Some(digest));
    world.clock.advance(Duration::from_secs(60 * 60));
    world.restart_runner();
    world.wait(|| world.transfer(&id, "1").filter(|row| !row.is_owed())).await;
    assert_eq!(world.events(|kind| matches!(kind, Kind::TagSet { .. })), 1);
    assert_eq!(world.events(|kind| matches!(kind, Kind::PullMirrored { .. })), 1);
    world.close().await;
}
