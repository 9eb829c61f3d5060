//! Too few descriptors: said so, and over when there are some again.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::support::{Daemon, turn, until_some};
use tidegate::oci::Digest;

#[tokio::test]
async fn without_a_descriptor_for_a_blob_the_client_is_asked_to_come_back() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    let client = daemon.admin();
    let digest = Digest::sha256_of(b"bytes");
    let (uploads, blob) = ("/v2/dev/website/blobs/uploads/", format!("/v2/dev/website/blobs/{digest}"));
    client.send("POST", &format!("{uploads}?digest={digest}"), &[], b"bytes").is(201);
    client.get(&blob).is(200);

    let (as_before, _) = limits(&daemon);
    for (method, path) in [("GET", blob.as_str()), ("POST", uploads)] {
        // One is left: for the connection. There are more while the one before
        // is being closed.
        let few = || {
            limit(&daemon, first_free(&daemon) + 1);
            let answer = client.send(method, path, &[], b"");
            (answer.status != 200 && answer.status != 202).then_some(answer)
        };
        let answer = until_some("there are too few", Duration::from_secs(30), few).await.0.is(503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{method}");
        assert!(answer.text().contains("descriptor"), "{}", answer.text());
    }
    // What needs no file is served.
    client.get("/v2/dev/website/tags/list").is(200);
    limit(&daemon, as_before);
    client.get(&blob).is(200);
    assert!(!daemon.said().contains(" ERROR "), "{}", daemon.said());
    daemon.stop().await;
}

/// The lowest descriptor that the daemon has not open.
fn first_free(daemon: &Daemon) -> u64 {
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.id().as_raw_nonzero())).unwrap();
    let open: Vec<u64> = open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    (0..).find(|number| !open.contains(number)).expect("there are few")
}

/// Has the daemon have this many descriptors.
fn limit(daemon: &Daemon, current: u64) {
    let new = Rlimit { current: Some(current), maximum: Some(limits(daemon).1) };
    prlimit(Some(daemon.id()), Resource::Nofile, new).unwrap();
}

/// How many it has, and how many it may give itself.
fn limits(daemon: &Daemon) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.id().as_raw_nonzero())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("it is listed");
    let mut numbers = line.split_whitespace().take(2).map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
