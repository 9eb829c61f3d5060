//! `kill -9` at random moments under load.
//!
//! One daemon takes pushes from eight writers whose tags move, promotes them,
//! sends what it promoted to a second daemon, and pulls that back on a
//! schedule. Again and again it is killed, started, and asked for everything
//! that it had acknowledged. At the end all that was owed has happened, once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tidegate::chance::Chance;
use tidegate::clock::Clock;
use tidegate::event::Kind;
use tidegate::lifecycle::Scope;
use tidegate::limits;
use tidegate::oci::Digest;
use tidegate::store::{Store, event};
use tokio::sync::{Mutex, RwLock, watch};
use tokio::time::Instant;

use crate::client::Client;
use crate::daemon::{Daemon, PATIENCE};
use crate::dice::{self, Dice};
use crate::image::{Image, Way};
use crate::law;

const WRITERS: usize = 8;
/// Tags of one writer; the last is not promoted.
const TAGS: usize = 4;
/// Layers that images are made of: most are there already, as with real ones.
const LAYERS: usize = 64;
/// How long the daemon lives, at most, in milliseconds.
const LIFE: usize = 600;
/// Whole images that are fetched and hashed after each restart.
const SAMPLE: usize = 4;
/// A promoted tag that somebody deleted, in the repository it was promoted to.
const DELETED: &str = "gone-stable";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    let (seed, kills) = (dice::seed(), dice::count("TIDEGATE_KILLS", 200));
    println!("{}={seed} TIDEGATE_KILLS={kills}", dice::SEED);
    let folder = tempfile::tempdir().expect("a folder");
    let (begun, dice) = (Instant::now(), Dice::new(seed));
    let mut far = Daemon::new(&folder.path().join("far"));
    far.start_well().await;
    far.make(&["far/app"]).await;
    let account = json!({"name": "mirror", "password": "mirror-password", "isAdmin": true});
    far.client().api("POST", "/enzi/v0/accounts", &account).await;
    let mut near = Daemon::new(&folder.path().join("near"));
    near.variables = vec![("TIDEGATE_PACE", "sweep=200,upkeep=100,grace=200,orphans=500".to_owned())];
    near.start_well().await;
    set_up(&near, &far).await;
    delete_a_promoted_tag(&near.client()).await;

    let load = Load::start(near.client(), seed);
    let mut restarts = Vec::new();
    let mut checked = Duration::ZERO;
    for kill in 1..=kills {
        let life = Duration::from_millis(1 + dice.below(LIFE) as u64);
        tokio::time::sleep(life).await;
        // The writers are held after the kill, and each of their requests has
        // ended then, answered or not.
        load.up.send_replace(false);
        near.kill();
        let mut writers = load.writers.write().await;
        restarts.push(near.start_well().await);
        let begun = Instant::now();
        let place = format!("{}={seed}, kill {kill}", dice::SEED);
        if let Err(why) = check(&near.client(), &mut writers, &dice).await {
            panic!("{place}: {why}\n{}", near.last_words());
        }
        near.client().verify("names").await.unwrap_or_else(|why| panic!("{place}: {why}"));
        checked += begun.elapsed();
        if kill.is_multiple_of(50) {
            println!("{kill} kills, {} pushes acknowledged", writers.acknowledged.get_mut());
        }
        drop(writers);
        load.up.send_replace(true);
    }
    let totals = load.stop().await;
    assert!(!near.has_ended() && !far.has_ended(), "{}", near.last_words());
    settle(&near.client(), &far.client(), &totals.tags).await;
    for daemon in [&near, &far] {
        daemon.client().verify("bytes").await.unwrap_or_else(|why| panic!("{}={seed}: {why}", dice::SEED));
        daemon.verify().unwrap_or_else(|why| panic!("{}={seed}: {why}", dice::SEED));
    }
    assert_eq!(near.client().tag("qa/app", DELETED).await.expect("an answer"), None, "it came back");
    near.stop().await;
    far.stop().await;
    assert_eq!(near.said("panicked"), 0, "something panicked; see the log");
    assert_eq!(near.said("the sweep found tags without a verdict"), 0, "the events missed work");
    for daemon in [&near, &far] {
        daemon.verify().unwrap_or_else(|why| panic!("{}={seed}: {why}", dice::SEED));
    }
    let told = hold(near.data()).unwrap_or_else(|why| panic!("{}={seed}: {why}", dice::SEED));
    let again = sent_again(far.data());
    restarts.sort();
    println!(
        "seed {seed}: {kills} kills in {:.0} s; {} pushes acknowledged, {} cut off, 0 lost, 0 torn; {} promoted, {} \
         sent, {} pulled back, {again} sent again; ready after {} ms (median), {} ms (longest); checks {:.0} s",
        begun.elapsed().as_secs_f32(),
        totals.acknowledged,
        totals.cut_off,
        told.promotions,
        told.sent,
        told.brought,
        restarts[restarts.len() / 2].as_millis(),
        restarts[restarts.len() - 1].as_millis(),
        checked.as_secs_f32(),
    );
    assert_eq!(again, 0, "the far side was sent what it had");
    assert!(totals.acknowledged > kills, "hardly anything was pushed");
    assert!(told.promotions > kills / 2 && told.sent > 0 && told.brought > 0, "hardly anything moved: {told:?}");
}

async fn set_up(near: &Daemon, far: &Daemon) {
    near.make(&["dev/app", "qa/app", "back/app"]).await;
    let client = near.client();
    let promotion = json!({
        "enabled": true, "targetRepository": "qa/app", "tagTemplate": "%n",
        "rules": [{"field": "tag", "operator": "ew", "values": ["-stable"]}],
    });
    client.api("POST", "/api/v0/repositories/dev/app/promotionPolicies", &promotion).await;
    let mut mirror = json!({
        "enabled": true, "remoteHost": far.url(), "remoteRepository": "far/app", "tagTemplate": "%n", "rules": [],
        "username": "mirror", "password": "mirror-password", "skipTLSVerification": false,
    });
    client.api("POST", "/api/v0/repositories/qa/app/pushMirroringPolicies", &mirror).await;
    mirror["schedule"] = json!("* * * * * *");
    client.api("POST", "/api/v0/repositories/back/app/pollMirroringPolicies", &mirror).await;
}

/// Somebody deletes what a policy promoted; nothing may bring it back.
async fn delete_a_promoted_tag(client: &Client) {
    let image = Image::new("deleted", Bytes::from_static(b"deleted at the target"), 0);
    image.push(client, "dev/app", DELETED, Way::Whole).await.expect("is pushed");
    let begun = Instant::now();
    while client.tag("qa/app", DELETED).await.expect("an answer").is_none() {
        assert!(begun.elapsed() < PATIENCE, "it was never promoted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let path = format!("/api/v0/repositories/qa/app/tags/{DELETED}");
    client.api("DELETE", &path, &serde_json::Value::Null).await;
}

/// What is known about one tag.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The image that was acknowledged last.
    acknowledged: Option<Image>,
    /// Images that were sent since, with no answer.
    attempts: Vec<Image>,
}

/// What all writers know. Whoever pushes holds it for reading, so that who
/// holds it for writing knows that nobody does.
#[derive(Debug, Default)]
struct Writers {
    tags: BTreeMap<String, Mutex<Known>>,
    acknowledged: std::sync::atomic::AtomicUsize,
    cut_off: std::sync::atomic::AtomicUsize,
}

/// The writers at work.
struct Load {
    scope: Scope,
    up: watch::Sender<bool>,
    writers: Arc<RwLock<Writers>>,
}

/// What came of it.
struct Totals {
    acknowledged: usize,
    cut_off: usize,
    tags: Vec<String>,
}

impl Load {
    fn start(client: Client, seed: u64) -> Self {
        let mut writers = Writers::default();
        let tags: Vec<Vec<String>> = (0..WRITERS).map(tags_of).collect();
        writers.tags.extend(tags.iter().flatten().map(|tag| (tag.clone(), Mutex::default())));
        let load = Self { scope: Scope::new(), up: watch::Sender::new(true), writers: Arc::new(RwLock::new(writers)) };
        for (number, tags) in tags.into_iter().enumerate() {
            let (client, writers) = (client.clone(), Arc::clone(&load.writers));
            let (up, scope) = (load.up.subscribe(), load.scope.clone());
            let dice = Dice::new(seed.wrapping_add(1 + number as u64));
            load.scope.spawn(async move {
                let mut count = 0;
                while !scope.is_stopping() {
                    count += 1;
                    let name = format!("{number}-{count}");
                    scope.until_stopped(wait(up.clone())).await;
                    push(&client, &*writers.read().await, &tags, &name, &dice).await;
                }
            });
        }
        load
    }

    /// Lets the writers finish what they are at.
    async fn stop(self) -> Totals {
        assert!(self.scope.drain(PATIENCE).await, "a writer does not end");
        let writers = self.writers.read().await;
        let count = |count: &std::sync::atomic::AtomicUsize| count.load(std::sync::atomic::Ordering::SeqCst);
        Totals {
            acknowledged: count(&writers.acknowledged),
            cut_off: count(&writers.cut_off),
            tags: writers.tags.keys().cloned().collect(),
        }
    }
}

fn tags_of(writer: usize) -> Vec<String> {
    let suffix = |tag: usize| if tag + 1 == TAGS { "beta" } else { "stable" };
    (0..TAGS).map(|tag| format!("w{writer}-{tag}-{}", suffix(tag))).collect()
}

async fn wait(mut up: watch::Receiver<bool>) {
    // The sender goes when the test has failed, and nothing matters any more.
    let _ = up.wait_for(|up| *up).await;
}

/// One push of one writer.
async fn push(client: &Client, writers: &Writers, tags: &[String], name: &str, dice: &Dice) {
    let tag = dice.pick(tags);
    let layer = dice.below(LAYERS);
    let size = if layer == 0 { 700_000 } else { 100 + layer * 37 };
    let layer = Bytes::from(format!("layer {layer} ").repeat(size / 8));
    let manifest_bytes = if dice.one_in(10) { limits::MANIFEST_INLINE_BYTES } else { 0 };
    let image = Image::new(name, layer, manifest_bytes);
    let way = *dice.pick(&[Way::Whole, Way::Closing, Way::Pieces]);
    let mut known = writers.tags[tag].lock().await;
    known.attempts.push(image.clone());
    let ordering = std::sync::atomic::Ordering::SeqCst;
    match image.push(client, "dev/app", tag, way).await {
        Ok(()) => {
            *known = Known { acknowledged: Some(image), attempts: Vec::new() };
            writers.acknowledged.fetch_add(1, ordering);
        }
        Err(_) => {
            writers.cut_off.fetch_add(1, ordering);
        }
    }
}

/// Holds every tag against what its writer knows, and fetches some images.
async fn check(client: &Client, writers: &mut Writers, dice: &Dice) -> Result<(), String> {
    let sample: Vec<usize> = (0..SAMPLE).map(|_| dice.below(WRITERS * TAGS)).collect();
    for (at, (tag, known)) in writers.tags.iter_mut().enumerate() {
        let known = known.get_mut();
        let found = client.tag("dev/app", tag).await.expect("an answer");
        let candidates = known.acknowledged.iter().chain(&known.attempts);
        let image = match &found {
            Some(digest) => candidates.clone().find(|image| image.digest == *digest).cloned(),
            None => None,
        };
        if image.is_none() && (found.is_some() || known.acknowledged.is_some()) {
            let allowed: Vec<&String> = candidates.map(|image| &image.digest).collect();
            return Err(format!("{tag} is {found:?}; acknowledged last, and sent since: {allowed:?}"));
        }
        if let Some(image) = &image
            && sample.contains(&at)
        {
            image.check(client, "dev/app", tag).await?;
        }
        // What had no answer before the kill can have no effect after it.
        *known = Known { acknowledged: image, attempts: Vec::new() };
    }
    match client.tag("qa/app", DELETED).await.expect("an answer") {
        None => Ok(()),
        Some(digest) => Err(format!("qa/app:{DELETED} was deleted, and is {digest} again")),
    }
}

/// Waits until every promoted tag has reached its places.
async fn settle(near: &Client, far: &Client, tags: &[String]) {
    let begun = Instant::now();
    loop {
        let mut missing = Vec::new();
        for tag in tags {
            let pushed = near.tag("dev/app", tag).await.expect("an answer");
            let expected = if tag.ends_with("-stable") { pushed } else { None };
            for (place, client) in [("qa/app", near), ("far/app", far), ("back/app", near)] {
                let found = client.tag(place, tag).await.expect("an answer");
                if found != expected {
                    missing.push(format!("{place}:{tag} is {found:?}, not {expected:?}"));
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "this never came: {missing:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn hold(data: &Path) -> Result<law::Told, String> {
    let store = Store::open(data, Clock::system(), Chance::system()).expect("opens");
    let told = law::hold(&store, true);
    store.close();
    told
}

/// How often a tag over there was set to what it was.
fn sent_again(data: &Path) -> usize {
    let store = Store::open(data, Clock::system(), Chance::system()).expect("opens");
    let events = event::after(&store.snapshot().expect("reads"), 0, usize::MAX).expect("reads");
    let mut tags: BTreeMap<String, Digest> = BTreeMap::new();
    let mut again = 0;
    for event in events {
        if let Kind::TagSet { tag, digest, .. } = event.kind {
            again += usize::from(tags.insert(tag.to_string(), digest) == Some(digest));
        }
    }
    store.close();
    again
}
