//! Bytes that rot on the disk of a daemon at work, with Debian's registry as
//! its mirror and skopeo as the client: found, not served, brought back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tidegate::oci::Digest;

use crate::support::{
    ADMIN, Daemon, Image, Layout, Namespace, PASSWORD, Ran, Run as _, SecondRegistry, measured, sha256, turn, until,
    until_some,
};

/// How long the way to the mirror and back may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts another byte in place of the one `at`, in every file of a blob.
fn rot(daemon: &Daemon, digest: &Digest, at: usize) -> PathBuf {
    let hex = digest.hex();
    let shard = daemon.data().join("blobs/sha256").join(&hex[..2]);
    let files = std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(&hex)).collect();
    for file in &files {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[at] ^= 0x40;
        std::fs::write(file, bytes).unwrap();
    }
    files.into_iter().next().expect("it has a file")
}

/// Has skopeo copy between the daemon and a folder.
fn skopeo(namespace: &Namespace, daemon: &Daemon, side: &str, from: &str, to: &str) -> Ran {
    let mut skopeo = namespace.program("skopeo");
    skopeo.args(["copy", "--preserve-digests", &format!("--{side}-tls-verify=true")]);
    skopeo.args([
        format!("--{side}-cert-dir={}", daemon.trust().display()),
        format!("--{side}-creds={ADMIN}:{PASSWORD}"),
    ]);
    skopeo.args([from, to]).run()
}

fn push(namespace: &Namespace, daemon: &Daemon, layout: &Path, name: &str) -> Ran {
    let (from, to) = (format!("oci:{}", layout.display()), format!("docker://{}/{name}", daemon.address()));
    skopeo(namespace, daemon, "dest", &from, &to)
}

fn pull(namespace: &Namespace, daemon: &Daemon, name: &str, layout: &Path) -> Ran {
    let (from, to) = (format!("docker://{}/{name}", daemon.address()), format!("oci:{}", layout.display()));
    skopeo(namespace, daemon, "src", &from, &to)
}

fn json_of(ran: Ran) -> Value {
    serde_json::from_str(&ran.good()).unwrap()
}

fn status(daemon: &Daemon) -> Value {
    json_of(daemon.cli(&["--json", "scrub", "status"]))
}

#[tokio::test]
async fn what_rots_is_found_and_brought_back_from_a_second_registry() {
    let _turn = turn().await;
    let (folder, namespace) = (tempfile::tempdir().unwrap(), Namespace::new());
    let at = |name: &str| folder.path().join(name);
    let second = SecondRegistry::start(folder.path(), &namespace).await;
    let daemon = Daemon::start(folder.path(), Some(&namespace)).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    let (ca, there) = (second.trust().join("ca.crt"), format!("https://{}", SecondRegistry::address()));
    let mirror = json_of(daemon.cli_with(
        &[
            "--json",
            "push-mirror",
            "create",
            "dev/website",
            "--remote-repository",
            "edge/website",
            "--remote",
            &there,
            "--ca",
            ca.to_str().unwrap(),
            "--username",
            SecondRegistry::USER,
            "--password-stdin",
        ],
        SecondRegistry::PASSWORD,
    ));
    let image = Image::new("amd64", &"a layer that rots ".repeat(40_000));
    let (digest, layer) = (Layout(&at("image")).write_image(&image), Digest::sha256_of(&image.blobs[1]));
    push(&namespace, &daemon, &at("image"), "dev/website:1.0").good();
    until("the image is at the mirror", PATIENCE, || {
        let jobs = json_of(daemon.cli(&["--json", "job", "list", "--action", "push_mirror_tag"]));
        jobs["jobs"].as_array().unwrap().iter().any(|job| job["status"] == "done")
    })
    .await;

    // A bit flips: found, told, brought back by itself.
    let rotten = rot(&daemon, &layer, 100_000);
    let ran = json_of(daemon.cli(&["--json", "scrub", "run", "--rate", "unlimited"]));
    assert_eq!(ran["parameters"]["damaged"], "1", "{ran}");
    let (_, took) = until_some("it is healed", PATIENCE, || (status(&daemon)["quarantined"] == 0).then_some(())).await;
    measured(&format!(
        "scrub: a layer of {} bytes was back {} ms after the pass",
        image.blobs[1].len(),
        took.as_millis()
    ));
    pull(&namespace, &daemon, &format!("dev/website@{digest}"), &at("back")).good();
    for entry in std::fs::read_dir(at("back/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(sha256(&path), path.file_name().unwrap().to_string_lossy());
    }
    let said = daemon.said();
    assert!(said.contains("damaged bytes were found") && said.contains("damaged bytes were brought back"), "{said}");
    assert!(rotten.exists(), "the file is kept until its grace is over");

    // The mirror is gone: it is not served, and is listed with what it hurts.
    let id = mirror["id"].as_str().unwrap();
    daemon.cli(&["push-mirror", "delete", "dev/website", id]).good();
    rot(&daemon, &layer, 200_000);
    daemon.cli(&["scrub", "run", "--rate", "unlimited"]).good();
    let refused = pull(&namespace, &daemon, "dev/website:1.0", &at("refused")).refused();
    assert!(refused.contains("503") || refused.contains("damaged on the disk"), "{refused}");
    let path = format!("/v2/dev/website/blobs/{layer}");
    let refused = daemon.admin().get(&path).is(503);
    assert!(refused.text().contains("BLOB_QUARANTINED"), "{}", refused.text());
    daemon.admin().send("HEAD", &path, &[], b"").is(404);
    let listed = |daemon: &Daemon| json_of(daemon.cli(&["--json", "scrub", "list"]))["quarantined"][0].clone();
    until("it is told why not", PATIENCE, || {
        listed(&daemon)["lastError"].as_str().unwrap_or_default().starts_with("no enabled mirror")
    })
    .await;
    assert_eq!(listed(&daemon)["images"], serde_json::json!(["dev/website:1.0"]));
    let verified = daemon.cli(&["verify"]);
    assert_eq!(verified.code, 2, "{verified:?}");
    assert!(verified.out.contains("quarantined"), "{verified:?}");
    assert_ne!(daemon.cli(&["scrub", "heal"]).code, 0);

    // Killed in the middle of a slow pass, it goes on with it.
    let begun = json_of(daemon.cli(&["--json", "scrub", "run", "--rate", "1KiB", "--no-wait"]));
    let began = |daemon: &Daemon| status(daemon)["pass"]["beganAt"].as_str().map(str::to_owned);
    let (pass, _) = until_some("the pass is under way", PATIENCE, || began(&daemon)).await;
    daemon.kill().await;
    let daemon = Daemon::start_on(folder.path(), Some(&namespace)).await;
    assert_eq!(began(&daemon).as_deref(), Some(&*pass));
    assert_eq!(status(&daemon)["quarantined"], 1, "what is damaged stays known");
    daemon.admin().get(&path).is(503);
    let job = begun["id"].as_str().unwrap();
    daemon.cli(&["job", "cancel", job]).good();
    let ended = json_of(daemon.cli(&["--json", "scrub", "run", "--rate", "unlimited"]));
    assert_eq!(ended["status"], "done", "{ended}");
    assert_eq!(status(&daemon)["lastPass"]["beganAt"].as_str(), Some(&*pass));

    // A real client that pushes the image again heals it.
    push(&namespace, &daemon, &at("image"), "dev/website:1.0").good();
    assert_eq!(status(&daemon)["quarantined"], 0);
    let got = daemon.admin().get(&path).is(200);
    assert_eq!(Digest::sha256_of(&got.body), layer);
    pull(&namespace, &daemon, "dev/website:1.0", &at("again")).good();
    daemon.stop().await;
}
