//! A disk that fills up: refusals in words before it is full, reads and
//! deletes that go on, and no end of the daemon.

use std::time::Duration;

use serde_json::json;
use tidegate::oci::Digest;

use crate::support::{Answer, Client, Daemon, SmallDisk, measured, turn, until};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const REPOSITORY: &str = "/v2/dev/website";
/// How soon writes go on once there is room.
const RESUMES: Duration = Duration::from_secs(10);

/// Different bytes each time, which do not compress.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

fn push_blob(client: &Client, bytes: &[u8]) -> Answer {
    let digest = Digest::sha256_of(bytes);
    client.send("POST", &format!("{REPOSITORY}/blobs/uploads/?digest={digest}"), &[], bytes)
}

fn push_image(client: &Client, tag: &str, blob: &[u8]) -> Answer {
    let config = b"{}".to_vec();
    for blob in [&config[..], blob] {
        let answer = push_blob(client, blob);
        if answer.status != 201 {
            return answer;
        }
    }
    let link = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::sha256_of(bytes).to_string(), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": link("application/vnd.oci.image.config.v1+json", &config),
        "layers": [link("application/vnd.oci.image.layer.v1.tar", blob)],
    });
    let header = format!("Content-Type: {MANIFEST}");
    client.send("PUT", &format!("{REPOSITORY}/manifests/{tag}"), &[&header], manifest.to_string().as_bytes())
}

/// Says no in words, with a time to come back.
#[track_caller]
fn assert_full(answer: &Answer) {
    assert_eq!(answer.status, 507, "{}", answer.text());
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(answer.text().contains("full"), "{}", answer.text());
}

/// Everything that must work on a full disk does.
#[track_caller]
fn assert_reads_go_on(client: &Client, blob: &[u8]) {
    let digest = Digest::sha256_of(blob);
    for _ in 0..5 {
        let got = client.get(&format!("{REPOSITORY}/blobs/{digest}")).is(200);
        assert_eq!(got.body, blob);
        client.get(&format!("{REPOSITORY}/manifests/kept")).is(200);
        client.get(&format!("{REPOSITORY}/tags/list")).is(200);
        client.get("/api/v0/repositories/dev").is(200);
        client.get("/health").is(200);
        let metrics = client.get("/metrics").is(200).text();
        assert!(metrics.contains("tidegate_disk_level ") && metrics.ends_with("# EOF\n"), "{metrics}");
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_is_met_with_words_and_writes_go_on_when_there_is_room() {
    let _turn = turn().await;
    let disk = SmallDisk::new(96, 4096);
    let daemon = Daemon::start(&disk.path(), None).await;
    assert!(disk.holds(&daemon.data()));
    daemon.cli(&["repository", "create", "dev/website"]).good();
    let client = daemon.admin();
    let kept = bytes(1, 1 << 20);
    push_image(&client, "kept", &kept).is(201);
    push_image(&client, "goes", &bytes(2, 100)).is(201);

    // Filled by pushing: refused at the mark, long before the last byte.
    let mut pushed = 0;
    let refused = loop {
        pushed += 1;
        let answer = push_image(&client, &format!("t{pushed}"), &bytes(1000 + pushed, 2 << 20));
        if answer.status != 201 {
            break answer;
        }
        assert!(pushed < 100, "the disk never got full");
    };
    assert_full(&refused);
    let left = rustix::fs::statvfs(disk.path()).unwrap();
    let left = left.f_bavail * left.f_frsize;
    measured(&format!("full disk: refused after {pushed} images of 2 MiB, {left} bytes left of 96 MiB"));
    assert!(left > 4 << 20, "{left}");
    assert_reads_go_on(&client, &kept);

    // Filled by somebody else, to the last byte.
    let filler = disk.fill();
    assert_full(&push_blob(&client, &bytes(9, 1000)));
    for number in 0..40 {
        let path = format!("/api/v0/repositories/dev?name=more{number}");
        let body = json!({"name": format!("more{number}")}).to_string();
        let answer = client.send("POST", &path, &["Content-Type: application/json"], body.as_bytes());
        assert_eq!(answer.status, 507, "{}", answer.text());
        assert_reads_go_on(&client, &kept);
    }
    client.send("DELETE", &format!("{REPOSITORY}/manifests/goes"), &[], b"").is(202);
    for number in 1..pushed {
        client.send("DELETE", &format!("{REPOSITORY}/manifests/t{number}"), &[], b"").is(202);
    }
    client.get(&format!("{REPOSITORY}/manifests/goes")).is(404);

    // There is room again.
    std::fs::remove_file(filler).unwrap();
    let took = until("writes go on", RESUMES, || push_image(&client, "again", &bytes(3, 1000)).status == 201).await;
    measured(&format!("full disk: writes went on {} ms after there was room", took.as_millis()));
    assert!(!daemon.said().contains("panicked"));
    daemon.stop().await;
}

#[tokio::test]
async fn a_disk_without_inodes_is_a_full_disk() {
    let _turn = turn().await;
    let disk = SmallDisk::new(64, 1024);
    let daemon = Daemon::start(&disk.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    let client = daemon.admin();
    let kept = bytes(1, 1000);
    push_image(&client, "kept", &kept).is(201);
    let many = disk.fill_inodes();
    assert_full(&push_image(&client, "more", &bytes(2, 1000)));
    assert_reads_go_on(&client, &kept);
    client.send("DELETE", &format!("{REPOSITORY}/manifests/kept"), &[], b"").is(202);
    std::fs::remove_dir_all(many).unwrap();
    until("writes go on", RESUMES, || push_image(&client, "again", &bytes(3, 1000)).status == 201).await;
    daemon.stop().await;
}
