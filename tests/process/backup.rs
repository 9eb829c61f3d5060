//! Backups as an operator makes them: of a daemon under load, again and again
//! into one folder, cut off in between; and a registry made from one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::oci::Digest;

use crate::support::{Client, Daemon, Ran, Run as _, TIDEGATE, bounded, measured, turn};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const REPOSITORY: &str = "/v2/dev/website";
/// Bytes of each layer.
const LAYER_BYTES: usize = 300_000;
/// How long one push may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// When backups are killed, in milliseconds after they began.
const KILLS: [u64; 8] = [0, 5, 15, 30, 50, 80, 130, 220];

/// Tags and what they name.
type Tags = BTreeMap<String, String>;

/// Pushes an image with a layer of its own; its digest.
fn push(client: &Client, tag: &str) -> String {
    let layer = tag.bytes().cycle().take(LAYER_BYTES).collect::<Vec<_>>();
    for blob in [&b"{}"[..], &layer] {
        let digest = Digest::sha256_of(blob);
        client.send("POST", &format!("{REPOSITORY}/blobs/uploads/?digest={digest}"), &[], blob).is(201);
    }
    let link =
        |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::sha256_of(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": link("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [link("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let (manifest, kind) = (manifest.to_string(), format!("Content-Type: {MANIFEST}"));
    client.send("PUT", &format!("{REPOSITORY}/manifests/{tag}"), &[&kind], manifest.as_bytes()).is(201);
    Digest::sha256_of(manifest.as_bytes()).to_string()
}

fn json_of(ran: Ran) -> Value {
    serde_json::from_str(&ran.good()).unwrap()
}

fn tidegate(words: &[&str]) -> Ran {
    bounded(Path::new(TIDEGATE)).args(words).run()
}

/// Restores `backup` below `folder`, proves it, serves it and reads every tag
/// of `expected` with its layer.
async fn serves(backup: &Path, folder: &Path, expected: &Tags) -> Value {
    let data = folder.join("tidegate/data");
    std::fs::create_dir_all(folder.join("tidegate")).unwrap();
    let (from, to) = (backup.to_str().unwrap(), data.to_str().unwrap());
    let told = json_of(tidegate(&["--json", "restore", from, to]));
    assert!(tidegate(&["verify", "--data", to]).good().starts_with("clean"));
    let daemon = Daemon::start_on(folder, None).await;
    let client = daemon.admin();
    for digest in expected.values() {
        let manifest = client.get(&format!("{REPOSITORY}/manifests/{digest}")).is(200);
        let layer = manifest.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
        let bytes = client.get(&format!("{REPOSITORY}/blobs/{layer}")).is(200).body;
        assert_eq!(Digest::sha256_of(&bytes).to_string(), layer);
    }
    for (tag, digest) in expected {
        let found = client.send("HEAD", &format!("{REPOSITORY}/manifests/{tag}"), &[], b"").is(200);
        assert_eq!(found.header("docker-content-digest"), Some(digest.as_str()), "{tag}");
    }
    daemon.stop().await;
    told
}

/// A backup that is killed when this is dropped.
struct Backup(Child);

impl Drop for Backup {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_registry_under_load_is_backed_up_and_comes_back() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    let client = daemon.admin();
    let (pushed, is_over) = (Mutex::new(Tags::new()), AtomicBool::new(false));
    let now = || pushed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let backup = folder.path().join("backup");
    let words = ["--json", "backup", backup.to_str().unwrap()];

    let (told, some) = std::sync::mpsc::channel();
    let (first, known) = std::thread::scope(|scope| {
        for number in 0..2 {
            let (client, pushed, is_over, told) = (client.clone(), &pushed, &is_over, told.clone());
            scope.spawn(move || {
                for round in 0.. {
                    let tag = format!("p{number}-{round}");
                    let digest = push(&client, &tag);
                    pushed.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, digest);
                    // Nobody counts any more.
                    let _ = told.send(());
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        // Whatever ends this ends the load as well.
        let _end = End(&is_over);
        let enough = std::iter::from_fn(|| some.recv_timeout(PATIENCE).ok()).take(8).count();
        assert_eq!(enough, 8, "images were not pushed in time");
        let known = now();
        let first = json_of(daemon.cli(&words));
        (first, known)
    });
    assert!(now().len() > known.len(), "pushes went on meanwhile");
    serves(&backup, &folder.path().join("under-load"), &known).await;

    // Only what is new is brought; then there is nothing new.
    let second = json_of(daemon.cli(&words));
    let third = json_of(daemon.cli(&words));
    let of = |told: &Value, pointer: &str| told.pointer(pointer).and_then(Value::as_u64).unwrap();
    let files = |told: &Value| of(told, "/files");
    assert_eq!(of(&second, "/copied/files"), files(&second) - files(&first));
    assert!(files(&second) > files(&first), "images came after the first");
    assert_eq!((of(&third, "/copied/files"), of(&third, "/copied/bytes")), (0, 0));
    for (which, told) in [("first", &first), ("second", &second), ("third", &third)] {
        measured(&format!(
            "backup, {which}: {} files and {} bytes in all, {} files and {} bytes copied, {} ms",
            files(told),
            of(told, "/fileBytes"),
            of(told, "/copied/files"),
            of(told, "/copied/bytes"),
            of(told, "/milliseconds"),
        ));
    }
    let whole = now();

    // Killed at any moment, the folder holds this backup or the next.
    for (round, after) in KILLS.into_iter().enumerate() {
        push(&client, &format!("more-{round}"));
        let mut command = std::process::Command::new(TIDEGATE);
        command.args(words).env("TIDEGATE_SOCKET", daemon.data().join("admin.sock"));
        let running = Backup(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        tokio::time::sleep(Duration::from_millis(after)).await;
        drop(running);
        let data = folder.path().join(format!("killed-{round}"));
        json_of(tidegate(&["--json", "restore", backup.to_str().unwrap(), data.to_str().unwrap(), "--link"]));
        assert!(tidegate(&["verify", "--data", data.to_str().unwrap()]).good().starts_with("clean"), "{after} ms");
    }
    json_of(daemon.cli(&words));
    let told = serves(&backup, &folder.path().join("last"), &whole).await;
    assert_ne!(told["instance"], told["backedUpInstance"]);
    daemon.stop().await;
}

/// Ends the load when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
