//! The keys that seal mirrors' credentials, as an operator lives with them: one
//! is replaced while images are pushed and the daemon is killed, one is lost and
//! found again, and a backup is restored with the keys that it had.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tidegate::oci::Digest;

use crate::support::{Client, Daemon, Namespace, Run as _, SecondRegistry, TIDEGATE, bounded, measured, turn, until};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// How long a tag may take to the other side, and a key to be found.
const PATIENCE: Duration = Duration::from_secs(60);
/// Mirrors beside those that work: enough for many commits.
const BYSTANDERS: usize = 300;
/// As many in one repository.
const IN_ONE: usize = 50;

/// Puts an image into a repository of the daemon.
fn push(client: &Client, repository: &str, tag: &str) -> String {
    for blob in [&b"{}"[..], tag.as_bytes()] {
        let digest = Digest::sha256_of(blob);
        client.send("POST", &format!("/v2/{repository}/blobs/uploads/?digest={digest}"), &[], blob).is(201);
    }
    let link =
        |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::sha256_of(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": link("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [link("application/vnd.oci.image.layer.v1.tar", tag.as_bytes())],
    });
    let (manifest, kind) = (manifest.to_string(), format!("Content-Type: {MANIFEST}"));
    client.send("PUT", &format!("/v2/{repository}/manifests/{tag}"), &[&kind], manifest.as_bytes()).is(201);
    Digest::sha256_of(manifest.as_bytes()).to_string()
}

/// Waits until the other side has a tag.
async fn arrives(second: &SecondRegistry, name: &str, tag: &str, digest: &str) -> Duration {
    let path = format!("/v2/{name}/manifests/{tag}");
    let is_there = || {
        let found = second.client().send("HEAD", &path, &[&format!("Accept: {MANIFEST}")], b"");
        found.status == 200 && found.header("docker-content-digest") == Some(digest)
    };
    until(&format!("{name}:{tag} arrives"), PATIENCE, is_there).await
}

/// A mirror of `repository` to `there`; its id.
fn mirror(daemon: &Daemon, second: &SecondRegistry, repository: &str, there: &str, more: &Value) -> String {
    let ca = std::fs::read_to_string(second.trust().join("ca.crt")).unwrap();
    let mut form = json!({
        "remoteHost": format!("https://{}", SecondRegistry::address()), "remoteRepository": there, "remoteCA": ca,
        "username": SecondRegistry::USER, "password": SecondRegistry::PASSWORD,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        form[name] = value.clone();
    }
    // Private addresses are a system admin's to name, which the socket is.
    let path = format!("/api/v0/repositories/{repository}/pushMirroringPolicies?check=false");
    let made = daemon.admin().send("POST", &path, &[], form.to_string().as_bytes()).is(201).json();
    made["id"].as_str().unwrap().to_owned()
}

fn keys(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.cli(&["--json", "key", "list"]).good()).unwrap()
}

fn health(daemon: &Daemon) -> Value {
    daemon.stranger().get("/health").is(200).json()
}

fn last_status(daemon: &Daemon, repository: &str, id: &str) -> String {
    let path = format!("/api/v0/repositories/{repository}/pushMirroringPolicies/{id}");
    daemon.admin().get(&path).is(200).json()["lastStatus"].to_string()
}

/// The last job of the kind.
fn rekey_job(daemon: &Daemon) -> Value {
    daemon.admin().get("/api/v0/jobs?action=rekey&limit=1").is(200).json()["jobs"][0].clone()
}

#[tokio::test]
async fn a_key_is_replaced_while_images_are_pushed_and_the_daemon_dies() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new();
    let second = SecondRegistry::start(folder.path(), &namespace).await;
    let daemon = Daemon::start(folder.path(), Some(&namespace)).await;
    for repository in ["dev/one", "dev/two"] {
        daemon.cli(&["repository", "create", repository]).good();
    }
    mirror(&daemon, &second, "dev/one", "edge/one", &json!({}));
    mirror(&daemon, &second, "dev/two", "edge/two", &json!({}));
    for number in 0..BYSTANDERS {
        let repository = format!("dev/many{}", number / IN_ONE);
        if number % IN_ONE == 0 {
            daemon.cli(&["repository", "create", &repository]).good();
        }
        let more = json!({"enabled": false, "authToken": format!("token {number}")});
        mirror(&daemon, &second, &repository, &format!("edge/n{number}"), &more);
    }
    let digest = push(&daemon.admin(), "dev/one", "before");
    arrives(&second, "edge/one", "before", &digest).await;
    let backup = folder.path().join("backup");
    daemon.cli(&["backup", backup.to_str().unwrap(), "--with-keys"]).good();

    let old = keys(&daemon)["keys"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(keys(&daemon)["keys"][0]["sealed"], BYSTANDERS + 2);
    let said = daemon.cli(&["key", "retire", &old]).refused();
    assert!(said.contains("mirrors are still sealed by key"), "{said}");
    daemon.cli(&["key", "add"]).good();
    let listed = keys(&daemon);
    assert_eq!((&listed["keys"][0]["seals"], &listed["keys"][1]["id"]), (&json!(true), &json!(old)));

    // Killed in the middle, with images coming in.
    let (pushed, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let client = daemon.admin();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let number = pushed.load(Ordering::Relaxed);
                let repository = if number % 2 == 0 { "dev/one" } else { "dev/two" };
                // The last one meets a daemon that is dead.
                let done = std::panic::catch_unwind(|| push(&client, repository, &format!("p{number}")));
                pushed.fetch_add(usize::from(done.is_ok()), Ordering::Relaxed);
            }
        });
        let is_moving = || pushed.load(Ordering::Relaxed) >= 2;
        while !is_moving() {
            std::thread::yield_now();
        }
        daemon.cli(&["key", "rekey", "--no-wait"]).good();
        kill_process(daemon.id(), Signal::KILL).unwrap();
        is_over.store(true, Ordering::Relaxed);
    });
    daemon.kill().await;
    let daemon = Daemon::start_on(folder.path(), Some(&namespace)).await;
    let was_cut = daemon.said().contains("jobs that were interrupted go on");
    until("everything is sealed anew", PATIENCE, || rekey_job(&daemon)["status"] == "done").await;
    let listed = keys(&daemon);
    assert_eq!((&listed["keys"][0]["sealed"], &listed["keys"][1]["sealed"]), (&json!(BYSTANDERS + 2), &json!(0)));
    measured(&format!("sealed anew: {} mirrors, cut off in the middle: {was_cut}", BYSTANDERS + 2));
    for number in 0..pushed.load(Ordering::Relaxed) {
        let (here, there) = if number % 2 == 0 { ("dev/one", "edge/one") } else { ("dev/two", "edge/two") };
        let tag = format!("p{number}");
        let digest = push(&daemon.admin(), here, &tag);
        arrives(&second, there, &tag, &digest).await;
    }

    // The old one goes, and everything works.
    daemon.cli(&["key", "retire", &old]).good();
    let file = daemon.data().join("sealing.key");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(&old) && text.lines().filter(|line| !line.starts_with('#')).count() == 2);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let digest = push(&daemon.admin(), "dev/two", "after");
    arrives(&second, "edge/two", "after", &digest).await;
    assert_eq!(health(&daemon), json!({"status": "ok"}));
    daemon.stop().await;
    restores(folder.path(), &backup, &second, &namespace, &old).await;
}

/// A backup from before has the key from before.
async fn restores(folder: &Path, backup: &Path, second: &SecondRegistry, namespace: &Namespace, old: &str) {
    let again = folder.join("again");
    let data = again.join("tidegate/data");
    std::fs::create_dir_all(again.join("tidegate")).unwrap();
    let words = ["restore", backup.to_str().unwrap(), data.to_str().unwrap(), "--same-host"];
    bounded(Path::new(TIDEGATE)).args(words).run().good();
    let daemon = Daemon::start_on(&again, Some(namespace)).await;
    assert_eq!((&keys(&daemon)["keys"][0]["id"], health(&daemon)), (&json!(old), json!({"status": "ok"})));
    let digest = push(&daemon.admin(), "dev/one", "restored");
    arrives(second, "edge/one", "restored", &digest).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_lost_key_stops_its_mirrors_alone_and_heals_when_it_is_back() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new();
    let second = SecondRegistry::start(folder.path(), &namespace).await;
    let daemon = Daemon::start(folder.path(), Some(&namespace)).await;
    for repository in ["dev/one", "dev/two"] {
        daemon.cli(&["repository", "create", repository]).good();
    }
    let one = mirror(&daemon, &second, "dev/one", "edge/lost", &json!({}));
    let two = mirror(&daemon, &second, "dev/two", "edge/saved", &json!({}));
    let digest = push(&daemon.admin(), "dev/one", "before");
    arrives(&second, "edge/lost", "before", &digest).await;
    let old = keys(&daemon)["keys"][0]["id"].as_str().unwrap().to_owned();
    let bearer = daemon.admin().get("/auth/token").is(200).json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {bearer}");
    let (data, aside) = (daemon.data(), folder.path().join("aside"));
    daemon.stop().await;
    let file = data.join("sealing.key");
    std::fs::rename(&file, &aside).unwrap();
    std::fs::remove_file(data.join("token.key")).unwrap();

    // It starts, says so, and does everything else.
    let daemon = Daemon::start_on(folder.path(), Some(&namespace)).await;
    let told = health(&daemon);
    assert_eq!(told["status"], "degraded");
    assert!(told["degraded"][0].as_str().unwrap().contains(&old), "{told}");
    let log = daemon.said();
    assert!(log.contains("a sealing key is missing") && log.contains("signs tokens is missing"), "{log}");
    daemon.stranger().send("GET", "/v2/_catalog", &[&bearer], b"").is(401);
    daemon.admin().get("/v2/_catalog").is(200);
    let listed = keys(&daemon);
    assert_eq!((&listed["keys"], &listed["missing"][0]["sealed"]), (&json!([]), &json!(2)));
    let waiting = push(&daemon.admin(), "dev/one", "waiting");
    let says_so = || {
        let status = last_status(&daemon, "dev/one", &one);
        status.contains("its credentials cannot be opened") && status.contains(&old)
    };
    until("the mirror says why it stands", PATIENCE, says_so).await;
    assert!(last_status(&daemon, "dev/one", &one).contains("put the key back, or save the mirror again"));
    assert!(!file.exists(), "no new key over what the old one sealed");
    daemon.cli(&["key", "rekey"]).refused();

    // Saved again, one mirror works without it.
    let path = format!("/api/v0/repositories/dev/two/pushMirroringPolicies/{two}");
    let form = json!({"username": SecondRegistry::USER, "password": SecondRegistry::PASSWORD}).to_string();
    daemon.admin().send("PUT", &path, &[], form.as_bytes()).is(200);
    let digest = push(&daemon.admin(), "dev/two", "healed");
    arrives(&second, "edge/saved", "healed", &digest).await;
    assert!(!file.exists() && data.join("sealing.added.key").exists());
    assert_eq!(health(&daemon)["status"], "degraded", "the other one still stands");

    // Put back, all is well without a restart, and nothing was lost.
    std::fs::rename(&aside, &file).unwrap();
    until("the key is found", PATIENCE, || health(&daemon)["status"] == "ok").await;
    let took = arrives(&second, "edge/lost", "waiting", &waiting).await;
    measured(&format!("a mirror that waited for its key goes on {took:?} after it was found"));
    let digest = push(&daemon.admin(), "dev/two", "both");
    arrives(&second, "edge/saved", "both", &digest).await;

    // One key again.
    daemon.cli(&["key", "rekey"]).good();
    let listed = keys(&daemon);
    assert_eq!((&listed["keys"][0]["id"], &listed["keys"][0]["sealed"]), (&json!(old), &json!(2)));
    daemon.cli(&["key", "retire", listed["keys"][1]["id"].as_str().unwrap()]).good();
    assert!(!data.join("sealing.added.key").exists());
    daemon.stop().await;
    let daemon = Daemon::start_on(folder.path(), Some(&namespace)).await;
    assert_eq!(health(&daemon), json!({"status": "ok"}));
    let digest = push(&daemon.admin(), "dev/one", "end");
    arrives(&second, "edge/lost", "end", &digest).await;
    daemon.stop().await;
}
