//! Many clients at once, and collection all the time, with no grace at all.
//!
//! Sixteen clients push images that share nine layers of ten, and indexes of
//! them, and take tags away again. What a client was told is there is not sent.
//! Each looks at what it has pushed at once, down to the bytes: nothing may be
//! refused, and nothing may be missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate::chance::Chance;
use tidegate::clock::Clock;
use tidegate::jobs::gc::{Collecting, Collection};
use tidegate::jobs::log::JobLog;
use tidegate::oci::{Condition, Digest, Reference, RepoName, Tag};
use tidegate::registry::account::NewAccount;
use tidegate::registry::manifest::Sent;
use tidegate::registry::repository::Settings;
use tidegate::registry::upload::BrokenBody;
use tidegate::registry::{Caller, Registry};
use tidegate::store::Store;
use tidegate::store::verify::{Depth, verify};

const PUSHERS: usize = 16;
const REPOSITORIES: [&str; 3] = ["dev/a", "dev/b", "qa/a"];
/// Layers that images share.
const SHARED: usize = 24;
/// Layers of an image: all but one of them shared.
const LAYERS: usize = 10;
/// How often collection runs.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Tally {
    images: AtomicUsize,
    sent: AtomicUsize,
    skipped: AtomicUsize,
    collections: AtomicUsize,
    manifests: AtomicUsize,
    files: AtomicUsize,
}

/// How long it goes on: TIDEGATE_PRESS_SECONDS, or a minute.
fn seconds() -> u64 {
    std::env::var("TIDEGATE_PRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collection_takes_nothing_from_those_who_push() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Store::open(folder.path(), clock.clone(), Chance::system()).expect("opens");
    let registry = Registry::new(store.clone()).expect("sessions");
    for name in ["dev", "qa"] {
        let new = NewAccount {
            name: name.to_owned(),
            full_name: String::new(),
            is_org: true,
            is_admin: false,
            is_active: true,
            password_hash: None,
        };
        registry.create_account(&Caller::System, new).await.expect("is made");
    }
    for name in REPOSITORIES {
        let name = name.parse().expect("a name");
        registry.create_repository(&Caller::System, &name, Settings::default()).await.expect("is made");
    }
    let tally = Arc::new(Tally::default());
    let end = clock.monotonic() + Duration::from_secs(seconds());
    let mut pushers = tokio::task::JoinSet::new();
    for number in 0..PUSHERS {
        let pusher = Pusher { registry: registry.clone(), tally: Arc::clone(&tally), number };
        let clock = clock.clone();
        pushers.spawn(async move {
            for round in 0_usize.. {
                if clock.monotonic() >= end {
                    break;
                }
                pusher.round(round).await;
            }
        });
    }
    pushers.spawn(collect(registry.clone(), Arc::clone(&tally), end));
    while let Some(ended) = pushers.join_next().await {
        ended.expect("no push was refused, and none lost a byte");
    }
    println!("{tally:?}");
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    assert!(count(&tally.skipped) > count(&tally.sent), "clients hardly share a layer: {tally:?}");
    assert!(count(&tally.manifests) > count(&tally.images) / 4, "hardly anything was collected: {tally:?}");
    let report = verify(
        &store.snapshot().expect("reads"),
        store.files(),
        Depth::Bytes,
        &registry.open_uploads().into_iter().collect(),
    );
    let report = report.expect("reads");
    assert!(report.is_clean(), "{:#?}", report.findings);
    store.close();
}

async fn collect(registry: Registry, tally: Arc<Tally>, end: tokio::time::Instant) {
    let how =
        Collection { grace: Duration::ZERO, untagged: Some(Duration::ZERO), consent: true, ..Collection::default() };
    let log = JobLog::new(registry.store().clone(), registry.store().chance().id());
    let mut ticks = tokio::time::interval(EVERY);
    while registry.store().clock().monotonic() < end {
        ticks.tick().await;
        let report = Collecting { registry: &registry, how, log: &log }.run().await.expect("collects");
        tally.collections.fetch_add(1, Ordering::Relaxed);
        tally.manifests.fetch_add(report.done.manifests as usize, Ordering::Relaxed);
        tally.files.fetch_add(report.done.files as usize, Ordering::Relaxed);
    }
}

struct Pusher {
    registry: Registry,
    tally: Arc<Tally>,
    number: usize,
}

impl Pusher {
    /// Pushes an image, every fourth time as an entry of an index, looks at it,
    /// and takes the tag of an earlier one away.
    async fn round(&self, round: usize) {
        let repository: RepoName = REPOSITORIES[(self.number + round) % REPOSITORIES.len()].parse().expect("a name");
        let as_entry = round % 4 == 3;
        let tag = |round: usize| format!("{}-{round}", self.number);
        let reference = if as_entry { None } else { Some(tag(round)) };
        let image = self.image(&repository, round, reference.as_deref()).await;
        let (digest, _) = match as_entry {
            false => image,
            true => {
                let list = format!(
                    r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}]}}"#,
                    image.0, image.1
                );
                self.put(&repository, list.into_bytes(), Some(&tag(round))).await
            }
        };
        self.look(&repository, &Reference::Tag(tag(round).parse().expect("a tag")), digest).await;
        // What was pushed three rounds ago here is not wanted any more.
        if let Some(old) = round.checked_sub(REPOSITORIES.len()) {
            let old: Tag = tag(old).parse().expect("a tag");
            self.registry
                .delete_tag(&Caller::System, &repository, &old, Condition::default())
                .await
                .expect("the tag of an earlier push is there");
        }
    }

    async fn image(&self, repository: &RepoName, round: usize, tag: Option<&str>) -> (Digest, usize) {
        let own = format!("the layer of pusher {} in round {round}", self.number);
        let config = format!(r#"{{"architecture":"amd64","os":"linux","author":"{} {round}"}}"#, self.number);
        let mut layers: Vec<String> =
            (1..LAYERS).map(|at| format!("shared layer {}", (self.number + round * 7 + at) % SHARED)).collect();
        layers.push(own);
        let mut descriptors = Vec::new();
        for layer in &layers {
            let digest = self.blob(repository, layer.as_bytes()).await;
            descriptors.push(format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{}}}"#,
                layer.len()
            ));
        }
        let digest = self.blob(repository, config.as_bytes()).await;
        let bytes = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{}}},"layers":[{}]}}"#,
            config.len(),
            descriptors.join(",")
        );
        self.tally.images.fetch_add(1, Ordering::Relaxed);
        self.put(repository, bytes.into_bytes(), tag).await
    }

    /// Asks whether it is there, and sends it where it is not.
    async fn blob(&self, repository: &RepoName, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        if self.registry.blob_size(&Caller::System, repository, &digest).is_ok() {
            self.tally.skipped.fetch_add(1, Ordering::Relaxed);
            return digest;
        }
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        let body = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::copy_from_slice(bytes))]);
        self.registry.store_blob(&Caller::System, repository, &digest, None, body).await.expect("is stored");
        digest
    }

    async fn put(&self, repository: &RepoName, bytes: Vec<u8>, tag: Option<&str>) -> (Digest, usize) {
        let (digest, length) = (Digest::sha256_of(&bytes), bytes.len());
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.parse().expect("a tag")),
            None => Reference::Digest(digest),
        };
        let sent = Sent { bytes: bytes.into(), ..Sent::default() };
        self.registry.put_manifest(&Caller::System, repository, &reference, sent).await.expect("is taken");
        (digest, length)
    }

    /// Pulls what a tag names, with all that belongs to it.
    async fn look(&self, repository: &RepoName, reference: &Reference, expected: Digest) {
        let mut left = vec![reference.clone()];
        while let Some(reference) = left.pop() {
            let served = self.registry.manifest(&Caller::System, repository, &reference).expect("is there");
            assert!(matches!(reference, Reference::Digest(_)) || served.digest == expected);
            let bytes = self.registry.manifest_bytes(served).await.expect("is read");
            let manifest = tidegate::oci::Manifest::parse(&bytes, None).expect("is one");
            for link in manifest.links.blobs() {
                let reader = self.registry.open_blob(&Caller::System, repository, &link.digest).expect("is there");
                assert_eq!(reader.size(), link.size);
            }
            left.extend(manifest.links.children.iter().map(|child| Reference::Digest(child.digest)));
        }
    }
}
