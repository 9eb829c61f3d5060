//! Too few descriptors: said so, and over when there are some again.

use rustix::process::{Resource, Rlimit, prlimit};

use crate::support::{Daemon, turn};
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

    // One is left: for the connection.
    let few = first_free(&daemon) + 1;
    let as_before = limit(&daemon, Rlimit { current: Some(few), maximum: None });
    for (method, path) in [("GET", blob.as_str()), ("POST", uploads)] {
        let answer = client.send(method, path, &[], b"").is(503);
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

/// Sets how many descriptors the daemon may have; what it had. Without a maximum
/// the one that it has stays.
fn limit(daemon: &Daemon, new: Rlimit) -> Rlimit {
    let now = prlimit(Some(daemon.id()), Resource::Nofile, new_within(daemon, new)).unwrap();
    Rlimit { current: now.current, maximum: now.maximum }
}

fn new_within(daemon: &Daemon, new: Rlimit) -> Rlimit {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.id().as_raw_nonzero())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("it is listed");
    let hard = line.split_whitespace().nth(4).and_then(|word| word.parse().ok());
    Rlimit { current: new.current, maximum: hard }
}
