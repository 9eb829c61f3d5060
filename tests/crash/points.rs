//! Death at every named crash point.
//!
//! For each point a daemon is started that aborts there, and driven until it
//! does. What it had acknowledged must be there after a restart, what was owed
//! must happen, and a second run of the same work must go through.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;
use tidegate::limits;
use tidegate::oci::Digest;
use tidegate::store::crash::POINTS;
use tokio::time::Instant;

use crate::client::{Broken, Client};
use crate::daemon::{Daemon, Died, PATIENCE};
use crate::image::{Image, Way, send_blob};
use crate::law;

/// When a point is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    /// By the first start on an empty folder.
    FirstStart,
    /// By the work, at these hits.
    Work(&'static [u32]),
    /// By looking for bytes that have rotted, at these hits.
    Scrub(&'static [u32]),
}

/// Where each point lies. A name that is missing fails the test.
const SCENARIOS: &[(&str, Hit)] = &[
    ("database-created", Hit::FirstStart),
    ("database-renamed", Hit::FirstStart),
    ("upload-folder-created", Hit::Work(&[1, 4])),
    ("upload-session-written", Hit::Work(&[1, 4])),
    ("upload-data-written", Hit::Work(&[1, 4])),
    ("upload-data-synced", Hit::Work(&[1, 5])),
    ("blob-shards-created", Hit::Work(&[1])),
    ("blob-renamed", Hit::Work(&[1, 5])),
    ("blob-directory-synced", Hit::Work(&[1, 5])),
    ("upload-folder-removed", Hit::Work(&[1, 5])),
    ("promotion-applied", Hit::Work(&[1, 2])),
    ("cursor-moved", Hit::Work(&[1, 4])),
    ("transfer-moved", Hit::Work(&[1, 2])),
    ("transfer-settled", Hit::Work(&[1, 2])),
    ("before-commit", Hit::Work(&[1, 5, 9])),
    ("after-commit", Hit::Work(&[1, 5, 9])),
    ("blob-unlinked", Hit::Work(&[1, 2])),
    ("flaw-found", Hit::Scrub(&[1, 2])),
    ("flaw-quarantined", Hit::Scrub(&[1, 2])),
    ("heal-sealed", Hit::Scrub(&[1, 2])),
    ("heal-named", Hit::Scrub(&[1, 2])),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_point_is_survived() {
    for point in POINTS {
        assert!(SCENARIOS.iter().any(|(name, _)| name == point), "{point} has no scenario");
    }
    assert_eq!(SCENARIOS.len(), POINTS.len(), "a scenario for a point that is none");
    let folder = tempfile::tempdir().expect("a folder");
    let mut far = Daemon::new(&folder.path().join("far"));
    far.start_well().await;
    let account = json!({"name": "mirror", "password": "mirror-password", "isAdmin": true});
    far.client().api("POST", "/enzi/v0/accounts", &account).await;
    let begun = Instant::now();
    let mut deaths = 0;
    for (point, hit) in SCENARIOS {
        let hits: &[u32] = match hit {
            Hit::FirstStart => &[1],
            Hit::Work(hits) | Hit::Scrub(hits) => hits,
        };
        for nth in hits {
            let name = format!("{point}-{nth}");
            far.make(&[&format!("far/{name}")]).await;
            die_at(point, *nth, *hit, &folder.path().join(&name), &far).await;
            deaths += 1;
        }
    }
    far.stop().await;
    println!("{deaths} deaths at {} points in {:.1} s", SCENARIOS.len(), begun.elapsed().as_secs_f32());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_is_none_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::new(&folder.path().join("data"));
    daemon.variables = vec![("TIDEGATE_CRASH_AT", "nonsense".to_owned())];
    let Died(status) = daemon.start().await.expect_err("is refused");
    assert_eq!(status.code(), Some(78), "{}", daemon.last_words());
    let said = daemon.last_words();
    assert!(said.contains("TIDEGATE_CRASH_AT: no crash point is called nonsense"), "{said}");
    assert!(!daemon.data().exists());
}

/// One life and one death.
async fn die_at(point: &str, nth: u32, hit: Hit, data: &Path, far: &Daemon) {
    let mut daemon = Daemon::new(data);
    let pace = ("TIDEGATE_PACE", "sweep=100,upkeep=50,grace=0,orphans=50".to_owned());
    let armed = vec![pace.clone(), ("TIDEGATE_CRASH_AT", format!("{point}:{nth}"))];
    let repository = format!("far/{}", data.file_name().expect("a name").to_string_lossy());
    let mut done = Done::default();
    let status = if hit == Hit::FirstStart {
        daemon.variables = armed;
        let Died(status) = daemon.start().await.expect_err("dies at its first start");
        daemon.variables = vec![pace];
        daemon.start_well().await;
        set_up(&daemon, far, &repository).await;
        status
    } else {
        daemon.variables = vec![pace.clone()];
        daemon.start_well().await;
        set_up(&daemon, far, &repository).await;
        if let Hit::Scrub(_) = hit {
            work(&daemon.client(), &mut done).await.expect("the work goes through");
            settle(&daemon.client(), &far.client(), &repository, point).await;
        }
        daemon.stop().await;
        daemon.variables = armed;
        if let Hit::Scrub(_) = hit {
            rot(data, &done);
        }
        // The start itself may reach a point that lies on the way of a commit.
        let status = match daemon.start().await {
            Err(Died(status)) => status,
            Ok(_) if matches!(hit, Hit::Scrub(_)) => {
                let scrub = json!({"action": "scrub", "parameters": {"rate": "unlimited"}});
                daemon.client().api("POST", "/api/v0/jobs", &scrub).await;
                daemon.ended().await
            }
            Ok(_) => {
                let worked = work(&daemon.client(), &mut done).await;
                // All of it was acknowledged, and it dies of what follows.
                if worked.is_ok() {
                    let _ = daemon.client().get("/health").await;
                }
                daemon.ended().await
            }
        };
        daemon.variables = vec![pace];
        daemon.start_well().await;
        status
    };
    assert_eq!(status.signal(), Some(6), "{point}, hit {nth}: ended with {status}\n{}", daemon.last_words());
    let client = daemon.client();
    if let Hit::Scrub(_) = hit {
        mended(&client, &format!("{point}, hit {nth}")).await;
    }
    if let Err(why) = done.is_there(&client).await {
        panic!("after {point}, hit {nth}: {why}\n{}", daemon.last_words());
    }
    client.verify("bytes").await.unwrap_or_else(|why| panic!("after {point}, hit {nth}: {why}"));
    daemon.verify().unwrap_or_else(|why| panic!("after {point}, hit {nth}: {why}"));
    let mut again = Done::default();
    work(&client, &mut again).await.expect("the work goes through");
    again.is_there(&client).await.expect("all of it is there");
    settle(&client, &far.client(), &repository, &format!("{point}, hit {nth}")).await;
    daemon.stop().await;
    daemon.verify().unwrap_or_else(|why| panic!("after {point}, hit {nth}: {why}"));
    let told = law::hold_folder(data).await.unwrap_or_else(|why| panic!("after {point}, hit {nth}: {why}"));
    assert!(told.promotions >= 2 && told.sent >= 2, "after {point}, hit {nth}: {told:?}");
}

async fn set_up(daemon: &Daemon, far: &Daemon, repository: &str) {
    daemon.make(&["dev/app", "qa/app"]).await;
    let client = daemon.client();
    let promotion = json!({
        "enabled": true, "targetRepository": "qa/app", "tagTemplate": "%n",
        "rules": [{"field": "tag", "operator": "ew", "values": ["-stable"]}],
    });
    client.api("POST", "/api/v0/repositories/dev/app/promotionPolicies", &promotion).await;
    let mirror = json!({
        "enabled": true, "remoteHost": far.url(), "remoteRepository": repository, "tagTemplate": "%n", "rules": [],
        "username": "mirror", "password": "mirror-password", "skipTLSVerification": false,
    });
    client.api("POST", "/api/v0/repositories/qa/app/pushMirroringPolicies", &mirror).await;
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Done {
    blobs: Vec<Bytes>,
    tags: Vec<(&'static str, Image)>,
}

impl Done {
    async fn is_there(&self, client: &Client) -> Result<(), String> {
        for blob in &self.blobs {
            let path = format!("/v2/dev/app/blobs/{}", Digest::sha256_of(blob));
            let answer = client.get(&path).await.map_err(|Broken| format!("{path}: no answer"))?;
            if answer.status != StatusCode::OK || answer.body != blob {
                return Err(format!("{path} was acknowledged, and now: {}", answer.status));
            }
        }
        for (tag, image) in &self.tags {
            image.check(client, "dev/app", tag).await?;
        }
        Ok(())
    }
}

/// Uploads in every way, some twice; a manifest in the database and one in a
/// file; tags that are promoted and mirrored, and one that is not.
async fn work(client: &Client, done: &mut Done) -> Result<(), Broken> {
    let images = [
        ("1-stable", "one", Way::Whole, 0),
        ("2-stable", "two", Way::Pieces, limits::MANIFEST_INLINE_BYTES),
        ("3-beta", "three", Way::Closing, 0),
    ];
    for (tag, name, way, bytes) in images {
        let image = Image::new(name, Bytes::from(format!("the layer of {name}").repeat(100)), bytes);
        for _ in 0..2 {
            for blob in image.blobs() {
                send_blob(client, "dev/app", blob, way).await?;
                done.blobs.push(blob.clone());
            }
        }
        image.put(client, "dev/app", tag).await?;
        done.tags.push((tag, image));
    }
    Ok(())
}

/// Ruins the layers of the images that were sent to the far side, in every file
/// that holds them.
fn rot(data: &Path, done: &Done) {
    for (_, image) in &done.tags[..2] {
        let hex = Digest::sha256_of(&image.layer).hex();
        let shard = data.join("blobs/sha256").join(&hex[..2]);
        let mut ruined = 0;
        for entry in std::fs::read_dir(&shard).expect("a shard") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&hex)) {
                let mut bytes = std::fs::read(&path).expect("a blob");
                bytes[7] ^= 4;
                std::fs::write(&path, bytes).expect("written");
                ruined += 1;
            }
        }
        assert!(ruined > 0, "{hex} has a file");
    }
}

/// Waits until a pass has come to its end, and nothing is damaged any more.
/// Meanwhile no byte of what has rotted is served.
async fn mended(client: &Client, place: &str) {
    let begun = Instant::now();
    loop {
        let status = client.api("GET", "/api/v0/admin/scrub", &json!(null)).await;
        if !status["lastPass"].is_null() && status["quarantined"] == 0 && !client.is_busy().await {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "after {place}, this is not mended: {status:#}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits until everything that is owed has happened.
async fn settle(client: &Client, far: &Client, repository: &str, place: &str) {
    let begun = Instant::now();
    loop {
        let mut missing = Vec::new();
        for tag in ["1-stable", "2-stable"] {
            let pushed = client.tag("dev/app", tag).await.expect("an answer");
            assert!(pushed.is_some(), "{tag} was acknowledged");
            for (place, found) in [
                ("qa/app", client.tag("qa/app", tag).await.expect("an answer")),
                (repository, far.tag(repository, tag).await.expect("an answer")),
            ] {
                if found != pushed {
                    missing.push(format!("{place}:{tag} is {found:?}"));
                }
            }
        }
        assert_eq!(client.tag("qa/app", "3-beta").await.expect("an answer"), None);
        if missing.is_empty() && !client.is_busy().await {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "after {place}, this never came: {missing:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
