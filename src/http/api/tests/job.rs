//! Jobs, and the daemon itself.

use serde_json::{Value, json};

use super::{at, send};
use crate::http::harness::{Ask, PASSWORD, Site};
use crate::oci::Digest;
use crate::reactor;

const JOBS: &str = "/api/v0/jobs";

/// A mirror to nowhere: its jobs wait for ever.
fn mirror() -> Value {
    json!({
        "enabled": true,
        "remoteHost": "http://127.0.0.1:9",
        "remoteRepository": "bob/app",
        "username": "bob",
        "password": PASSWORD,
    })
}

#[tokio::test]
async fn a_look_for_changes_is_queued_for_every_pull_mirror() {
    let site = Site::open().await;
    let none = send(&site, 202, "root", Ask::post(JOBS), json!({ "action": "poll_mirror" })).await.json();
    assert_eq!((&none["status"], none["jobs"].as_array().unwrap().len()), (&json!("done"), 1));
    let log = |job: &Value| format!("{JOBS}/{}/logs", job["id"].as_str().unwrap());
    let lines = site.expect(200, Ask::get(&log(&none)).user("root")).await.json();
    assert!(lines[0]["data"].as_str().unwrap().contains("no enabled pull mirror"), "{lines}");
    let mut policies = Vec::new();
    for repository in ["ann/app", "ann/other"] {
        let path = at(repository, "/pollMirroringPolicies?check=false");
        policies.push(send(&site, 201, "root", Ask::post(&path), mirror()).await.json());
    }
    let queued = send(&site, 202, "root", Ask::post(JOBS), json!({ "action": "poll_mirror" })).await.json();
    for field in [
        "id",
        "retryFromID",
        "workerID",
        "status",
        "scheduledAt",
        "lastUpdated",
        "action",
        "retriesLeft",
        "retriesTotal",
        "capacityMap",
        "parameters",
        "deadline",
        "stopTimeout",
    ] {
        assert!(!queued[field].is_null(), "{field}");
    }
    assert_eq!(queued["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(queued["id"], queued["jobs"][0]["id"]);
    let body = json!({ "action": "poll_mirror", "parameters": { "policyID": policies[1]["id"] }, "retries": 0 });
    let one = send(&site, 202, "root", Ask::post(&format!("{JOBS}/")), body).await.json();
    assert_eq!(one["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(one["parameters"]["policyID"], policies[1]["id"]);
    let by = |parameters: Value| json!({ "action": "poll_mirror", "parameters": parameters });
    let one = send(&site, 202, "root", Ask::post(JOBS), by(json!({ "policy": policies[1]["id"] }))).await.json();
    assert_eq!((one["jobs"].as_array().unwrap().len(), &one["parameters"]["policyID"]), (1, &policies[1]["id"]));
    // Passed over, these would have started all mirrors.
    for (parameters, words) in [
        (json!({ "policy": "x" }), "is no id"),
        (json!({ "policyId": policies[1]["id"] }), "takes \"policyID\""),
        (json!({ "policy": policies[0]["id"], "policyID": policies[1]["id"] }), "two policies"),
        (json!({ "repository": 5 }), "takes a text"),
        (json!({ "repository": "X" }), "`repository`"),
    ] {
        let refused = send(&site, 400, "root", Ask::post(JOBS), by(parameters.clone())).await;
        assert_eq!(refused.code(), "INVALID_PARAMETERS", "{parameters}");
        assert!(refused.message().contains(words), "{parameters}: {}", refused.message());
    }
    let disable =
        at("ann/other", &format!("/pollMirroringPolicies/{}?check=false", policies[1]["id"].as_str().unwrap()));
    send(&site, 200, "root", Ask::put(&disable), json!({ "enabled": false })).await;
    let some = send(&site, 202, "root", Ask::post(JOBS), json!({ "action": "poll_mirror" })).await.json();
    assert_eq!(some["jobs"].as_array().unwrap().len(), 1);
    let skipped =
        json!({ "policyID": policies[1]["id"], "repository": "ann/other", "reason": "the policy is disabled" });
    assert_eq!(some["skipped"], json!([skipped]));
    let of = |name: &str| json!({ "action": "poll_mirror", "parameters": { "repository": name } });
    let none = send(&site, 202, "root", Ask::post(JOBS), of("ann/other")).await.json();
    assert_eq!((&none["status"], &none["skipped"]), (&json!("done"), &json!([skipped])));
    let lines = site.expect(200, Ask::get(&log(&none)).user("root")).await.json();
    assert!(lines[0]["data"].as_str().unwrap().contains("1 disabled skipped"), "{lines}");
    let one = send(&site, 202, "root", Ask::post(JOBS), of("ann/app")).await.json();
    assert_eq!((&one["subject"], one["skipped"].as_array().unwrap().len()), (&json!("ann/app"), 0));
    send(&site, 400, "root", Ask::post(JOBS), of("Ann//app")).await;
    for body in [
        json!({ "action": "update_vuln_db" }),
        json!({}),
        json!({ "action": "poll_mirror", "parameters": { "policyID": "x" } }),
        json!({ "action": "poll_mirror", "parameters": { "policyID": "6ca8bea5-0993-48f2-b279-9b3cbe3da042" } }),
        json!({ "action": "poll_mirror", "scheduledAt": "2999-01-01T00:00:00Z" }),
        json!({ "action": "poll_mirror", "scheduledAt": "tomorrow" }),
    ] {
        let answer = send(&site, 400, "root", Ask::post(JOBS), body.clone()).await;
        assert_eq!(answer.code(), "INVALID_PARAMETERS", "{body}");
    }
    site.close().await;
}

#[tokio::test]
async fn jobs_are_listed_called_off_and_removed() {
    let site = Site::open().await;
    send(&site, 201, "root", Ask::post(&at("ann/app", "/pushMirroringPolicies?check=false")), mirror()).await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    site.push_image("ann", "ann/app", "1.1", b"layer").await;
    let store = site.state.registry().store();
    reactor::react::catch_up(store).await.unwrap();
    let list = async |query: &str| {
        let jobs = site.expect(200, Ask::get(&format!("{JOBS}{query}")).user("root")).await.json();
        jobs["jobs"].as_array().unwrap().clone()
    };
    let all = list("?action=any&worker=any&running=any").await;
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["action"], &all[0]["status"]), (&json!("push_mirror_tag"), &json!("waiting")));
    let mut subjects: Vec<&str> = all.iter().map(|job| job["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!((subjects, &all[1]["lastError"]), (vec!["ann/app:1.0", "ann/app:1.1"], &json!("")));
    assert_eq!((&all[0]["attempts"], &all[0]["retriesLeft"]), (&json!(0), &json!(0)));
    assert!(all[0]["nextTryAt"].as_str().unwrap().ends_with('Z'), "{}", all[0]);
    assert_eq!(list("?limit=1").await, all[..1]);
    assert_eq!(list("?start=1").await, all[1..]);
    assert_eq!(list("?running=true").await.len(), 0);
    assert_eq!(list("?running=false&action=push_mirror_tag").await.len(), 2);
    assert_eq!(list("?action=poll_mirror").await.len(), 0);
    assert_eq!(list("?action=onlinegc").await.len(), 0);
    assert_eq!(list("?worker=nobody").await.len(), 0);

    let why = Ask::get(&at("ann/app", "/tags/1.0/decisions")).user("ann");
    let decision = site.expect(200, why.clone()).await.json()["decisions"][0].clone();
    assert_eq!((&decision["kind"], &decision["outcome"]), (&json!("push_mirror"), &json!("allow")));
    assert_eq!(decision["targetRepository"], "http://127.0.0.1:9/bob/app");
    assert_eq!(decision["transfer"]["done"], json!(false));
    let job = format!("{JOBS}/{}", decision["transfer"]["jobID"].as_str().unwrap());
    assert_eq!(site.expect(200, Ask::get(&job).user("root")).await.json()["parameters"]["tag"], "1.0");
    site.expect(204, Ask::post(&format!("{job}/cancel")).user("root")).await;
    assert_eq!(site.expect(200, Ask::get(&job).user("root")).await.json()["status"], "canceled");
    let mut owed = 0;
    crate::store::transfer::due(&store.snapshot().unwrap(), |_| {
        owed += 1;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(owed, 1, "what was called off is not owed, the other is");
    let mirrors = site.expect(200, Ask::get(&at("ann/app", "/pushMirroringPolicies")).user("ann")).await.json();
    let status = &mirrors[0]["lastStatus"];
    assert_eq!(status["code"], "FAILED");
    assert_eq!(status["detail"], "1 is missing: 1.0: called off by root");
    let decision = site.expect(200, why).await.json()["decisions"][0].clone();
    assert_eq!(decision["transfer"]["lastError"], "called off by root");
    let lines = site.expect(200, Ask::get(&format!("{job}/logs")).user("root")).await.json();
    let last = lines.as_array().unwrap().last().unwrap().clone();
    assert!(last["data"].as_str().unwrap().ends_with("called off by root"), "{lines}");
    let offset = last["lineNum"].as_u64().unwrap();
    let rest = site.expect(200, Ask::get(&format!("{job}/logs?offset={offset}&limit=5")).user("root")).await;
    assert_eq!(rest.json(), json!([last]));
    site.expect(204, Ask::delete(&job).user("root")).await;
    assert_eq!(site.expect(404, Ask::get(&job).user("root")).await.code(), "NO_SUCH_JOB");
    assert_eq!(site.expect(404, Ask::get(&format!("{job}/logs")).user("root")).await.code(), "NO_SUCH_JOB");
    assert_eq!(site.expect(404, Ask::post(&format!("{job}/cancel")).user("root")).await.code(), "NO_SUCH_JOB");
    site.expect(204, Ask::delete(&job).user("root")).await;
    site.close().await;
}

#[tokio::test]
async fn the_daemon_says_what_it_is_and_proves_that_it_is_whole() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let features = site.expect(200, Ask::get("/api/v0/meta/features").user("ann")).await.json();
    assert_eq!((&features["promotionLicensed"], &features["mirroringLicensed"]), (&json!(true), &json!(true)));
    for field in
        ["scanningEnabled", "scanningLicensed", "metadataStoreOptedIn", "onlineGCEnabled", "db_version", "ucpHost"]
    {
        assert!(!features[field].is_null(), "{field}");
    }
    let version = site.expect(200, Ask::get("/api/v0/admin/version").user("ann")).await.json();
    assert_eq!(version, json!({ "version": env!("CARGO_PKG_VERSION") }));
    for query in ["", "?depth=names", "?depth=bytes"] {
        let report = site.expect(200, Ask::post(&format!("/api/v0/admin/verify{query}")).local()).await.json();
        assert_eq!((&report["clean"], &report["findings"], &report["orphans"]), (&json!(true), &json!([]), &json!(0)));
        assert_eq!(report["checked"]["tags"], json!(1), "{report}");
    }
    // A bit flips on the disk: whoever does not say otherwise is told.
    let folder = site.socket().parent().unwrap().join("blobs/sha256");
    let hex = Digest::sha256_of(b"layer").hex();
    let shard = folder.join(&hex[..2]);
    let path = std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
    let path = path.into_iter().find(|path| path.to_string_lossy().contains(&hex)).unwrap();
    std::fs::write(&path, b"lAyer").unwrap();
    let names = site.expect(200, Ask::post("/api/v0/admin/verify?depth=names").local()).await.json();
    assert_eq!((&names["clean"], &names["depth"]), (&json!(true), &json!("names")));
    let whole = site.expect(200, Ask::post("/api/v0/admin/verify").local()).await.json();
    assert_eq!((&whole["clean"], &whole["depth"]), (&json!(false), &json!("bytes")));
    assert_eq!(whole["findings"][0]["kind"], "wrong bytes", "{whole}");
    let (mut place, mut found, mut bytes) = (String::from("blobs:"), Vec::new(), 0);
    for _ in 0..10 {
        let ask = Ask::post(&format!("/api/v0/admin/verify?files={place}")).local();
        let slice = site.expect(200, ask).await.json();
        found.extend(slice["findings"].as_array().unwrap().clone());
        bytes += slice["bytes"].as_u64().unwrap();
        match slice["next"].as_str() {
            Some(next) => place = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((found.len(), json!(bytes)), (1, whole["fileBytes"].clone()), "{place}");
    std::fs::write(&path, b"layer").unwrap();
    site.expect(400, Ask::post("/api/v0/admin/verify?files=nonsense").local()).await;
    let deep = site.expect(400, Ask::post("/api/v0/admin/verify?depth=deep").user("root")).await;
    assert_eq!(deep.code(), "INVALID_PARAMETERS");
    let nothing = site.expect(404, Ask::get("/api/v0/webhooks").user("root")).await;
    assert_eq!(nothing.code(), "NOT_FOUND");
    site.close().await;
}
