//! Scrub and quarantine, as the management API and `verify` show them.

use serde_json::json;

use super::send;
use crate::http::harness::{Ask, Site};
use crate::jobs::suspect;
use crate::jobs::{Options, Runner};
use crate::lifecycle::Scope;
use crate::oci::Digest;
use crate::store::blob;
use crate::store::file::BlobFile;

const JOBS: &str = "/api/v0/jobs";
const STATUS: &str = "/api/v0/admin/scrub";
const LIST: &str = "/api/v0/admin/quarantine";

/// Puts other bytes of the same length into the file of a blob.
fn rot(site: &Site, digest: &Digest) {
    let read = site.state.registry().store().snapshot().unwrap();
    let upload = blob::get(&read, digest).unwrap().unwrap().upload;
    let path = site.folder().join("blobs").join(BlobFile { digest: *digest, upload }.path());
    let bytes: Vec<u8> = std::fs::read(&path).unwrap().iter().map(|byte| byte ^ 1).collect();
    std::fs::write(path, bytes).unwrap();
}

/// Waits until a job of `action` has run and is over, or waits for another try.
async fn ran(site: &Site, action: &str) -> serde_json::Value {
    when(site, action, |job| job["status"] == "done" || job["attempts"].as_u64() > Some(0)).await
}

/// Waits until the newest job of `action` is as it should be.
async fn when(site: &Site, action: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let mut commits = site.state.registry().store().writer().commits();
    let waiting = async {
        loop {
            commits.mark_unchanged();
            let jobs = site.expect(200, Ask::get(&format!("{JOBS}?action={action}")).user("root")).await.json();
            let job = &jobs["jobs"][0];
            if is_so(job) {
                return job.clone();
            }
            commits.changed().await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_begun_shown_and_what_it_found_is_listed() {
    let site = Site::open().await;
    let get = async |path: &str| site.expect(200, Ask::get(path).user("root")).await.json();
    let status = get(STATUS).await;
    assert_eq!((&status["schedule"], &status["rate"]), (&json!("@every 30h"), &json!(4_194_304)));
    assert!(status["nextRun"].as_str().unwrap().ends_with('Z'), "{status}");
    assert_eq!((&status["quarantined"], &status["pass"], &status["lastPass"]), (&json!(0), &json!(null), &json!(null)));
    assert_eq!(get(LIST).await, json!({ "quarantined": [], "total": 0 }));

    let digest = site.push_image("ann", "ann/app", "1.0", b"a layer that rots").await;
    let path = format!("/v2/ann/app/manifests/{digest}");
    let stored = site.expect(200, Ask::get(&path).user("ann")).await;
    let ask = Ask::put(&format!("{path}?tag=latest")).user("ann").body(&stored.body);
    site.expect(201, ask.header("content-type", stored.header("content-type"))).await;
    let layer = Digest::sha256_of(b"a layer that rots");
    rot(&site, &layer);
    for bad in [json!({ "rate": "fast" }), json!({ "restart": "perhaps" }), json!({ "rate": 0 })] {
        let answer = send(&site, 400, "root", Ask::post(JOBS), json!({ "action": "scrub", "parameters": bad })).await;
        assert_eq!(answer.code(), "INVALID_PARAMETERS");
    }
    let parameters = json!({ "rate": "unlimited", "restart": true });
    let body = json!({ "action": "scrub", "parameters": parameters });
    let job = send(&site, 202, "root", Ask::post(JOBS), body.clone()).await.json();
    assert_eq!((&job["action"], &job["status"]), (&json!("scrub"), &json!("waiting")));
    assert_eq!(send(&site, 400, "root", Ask::post(JOBS), body).await.code(), "INVALID_PARAMETERS", "one at a time");
    assert_eq!(get(STATUS).await["jobID"], job["id"]);

    let scope = Scope::new();
    let (registry, remotes) = (site.state.registry().clone(), site.state.remotes().clone());
    scope.spawn(Runner::new(registry.clone(), remotes, Options::default()).run(scope.clone()));
    let done = ran(&site, "scrub").await;
    let found = &done["parameters"];
    assert_eq!(
        (&found["damaged"], &found["checkedBlobs"], &found["checkedManifests"]),
        (&json!("1"), &json!("2"), &json!("1"))
    );
    let lines = get(&format!("{JOBS}/{}/logs", job["id"].as_str().unwrap())).await.to_string();
    assert!(lines.contains(&format!("blob {layer}: altered")), "{lines}");
    let status = get(STATUS).await;
    assert_eq!((&status["quarantined"], &status["jobID"]), (&json!(1), &json!("")));
    assert_eq!((&status["lastPass"]["percent"], &status["lastPass"]["damaged"]), (&json!(100), &json!(1)));

    ran(&site, "heal").await;
    let list = get(LIST).await;
    let entry = &list["quarantined"][0];
    assert_eq!((&list["total"], &entry["digest"], &entry["kind"]), (&json!(1), &json!(layer), &json!("blob")));
    assert_eq!((&entry["flaw"], &entry["repositories"]), (&json!("altered"), &json!(["ann/app"])));
    assert_eq!(entry["images"], json!(["ann/app:1.0", "ann/app:latest"]));
    assert!(entry["lastError"].as_str().unwrap().starts_with("no enabled mirror of ann/app"), "{entry}");
    assert!(entry["file"].as_str().unwrap().contains(&layer.hex()), "{entry}");
    assert_eq!(get(&format!("{LIST}?start=1")).await, json!({ "quarantined": [], "total": 1 }));

    // `verify` tells of it, and of nothing else.
    let report = site.expect(200, Ask::post("/api/v0/admin/verify?depth=bytes").local()).await.json();
    assert_eq!((&report["clean"], report["findings"].as_array().unwrap().len()), (&json!(false), 1), "{report}");
    assert_eq!((&report["findings"][0]["kind"], &report["orphans"]), (&json!("quarantined"), &json!(0)));

    // It is asked for again, in vain, then pushed again.
    let job = send(&site, 202, "root", Ask::post(JOBS), json!({ "action": "heal" })).await.json();
    assert_eq!(job["action"], "heal");
    site.push_image("ann", "ann/app", "1.0", b"a layer that rots").await;
    assert_eq!(get(STATUS).await["quarantined"], 0);
    // One that is stopped in its last step leaves a file for the next start to remove.
    when(&site, "heal", |job| job["status"] != "running").await;
    assert!(scope.drain(std::time::Duration::from_secs(10)).await);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_verify_finds_wrong_is_not_served_on() {
    // `verify` once named a blob with wrong bytes, and the registry went on
    // handing it out.
    let site = Site::open().await;
    let scope = Scope::new();
    scope.spawn(suspect::run(site.state.registry().clone(), scope.clone()));
    let digest = site.push_blob("ann", "ann/app", b"some bytes").await;
    rot(&site, &digest);
    let report = site.expect(200, Ask::post("/api/v0/admin/verify?depth=bytes").local()).await.json();
    assert_eq!(report["findings"][0]["kind"], "wrong bytes", "{report}");
    let mut commits = site.state.registry().store().writer().commits();
    let path = format!("/v2/ann/app/blobs/{digest}");
    let refused = async {
        loop {
            commits.mark_unchanged();
            if site.send(Ask::get(&path).user("ann")).await.status == 503 {
                return;
            }
            commits.changed().await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), refused).await.expect("it is not served");
    site.push_blob("ann", "ann/app", b"some bytes").await;
    assert!(scope.drain(std::time::Duration::from_secs(10)).await);
    site.close().await;
}
