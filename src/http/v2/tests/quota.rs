//! Quotas, as clients that push meet them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::harness::{Answer, Ask, PASSWORD, Site, basic, image};
use crate::limits;
use crate::oci::Digest;
use crate::registry::Caller;
use crate::store::usage::{self, Scope};

const ROOM: u64 = 4 * 1024 * 1024;

/// Sets the quota of `ann/app`.
async fn bound(site: &Site, bytes: u64) -> Answer {
    let ask = Ask::patch("/api/v0/repositories/ann/app").user("ann").body(json!({ "quotaBytes": bytes }).to_string());
    site.expect(200, ask).await
}

async fn shown(site: &Site, repository: &str) -> (u64, u64) {
    let path = format!("/api/v0/repositories/{repository}");
    let shown = site.expect(200, Ask::get(&path).user("root")).await.json();
    (shown["usedBytes"].as_u64().unwrap(), shown["quotaBytes"].as_u64().unwrap())
}

fn used(site: &Site, scope: Scope<'_>) -> u64 {
    usage::held(&site.state.registry().store().snapshot().unwrap(), scope).unwrap().expect("is counted")
}

fn whole(bytes: &[u8]) -> Ask {
    Ask::post(&format!("/v2/ann/app/blobs/uploads/?digest={}", Digest::sha256_of(bytes))).user("ann").body(bytes)
}

async fn begin(site: &Site, repository: &str) -> String {
    let ask = Ask::post(&format!("/v2/{repository}/blobs/uploads/")).user("ann");
    site.expect(202, ask).await.header("location").to_owned()
}

fn is_refused(answer: &Answer, of: &str) -> Value {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "DENIED"), "{}", answer.text());
    let words = answer.message();
    assert!(words.contains(&format!("the quota of {of} leaves no room")), "{words}");
    assert!(words.contains("tidegate gc run") && words.contains("quota"), "it says what to do: {words}");
    answer.json()["errors"][0]["detail"].clone()
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_every_form_and_what_is_there_costs_nothing() {
    let site = Site::open().await;
    bound(&site, 1_000).await;
    let (large, small) = (vec![1; 1_001], vec![2; 900]);
    let detail = is_refused(&site.send(whole(&large)).await, "the repository ann/app");
    let told = json!({ "quota": "repository", "name": "ann/app", "limitBytes": 1_000, "usedBytes": 0, "reservedBytes": 0, "neededBytes": 1_001 });
    assert_eq!(detail, told);
    // A stream with a length, one chunk, and all in the last request.
    let location = begin(&site, "ann/app").await;
    is_refused(&site.send(Ask::patch(&location).user("ann").body(&large)).await, "the repository ann/app");
    site.expect(404, Ask::get(&location).user("ann")).await;
    let location = begin(&site, "ann/app").await;
    let chunk = Ask::patch(&location).user("ann").header("content-range", "0-1000").body(&large);
    is_refused(&site.send(chunk).await, "the repository ann/app");
    let location = begin(&site, "ann/app").await;
    let put = format!("{location}?digest={}", Digest::sha256_of(&large));
    is_refused(&site.send(Ask::put(&put).user("ann").body(&large)).await, "the repository ann/app");
    // Chunks that fit one by one and not together.
    let location = begin(&site, "ann/app").await;
    site.expect(202, Ask::patch(&location).user("ann").body(&small)).await;
    is_refused(&site.send(Ask::patch(&location).user("ann").body(&small)).await, "the repository ann/app");
    assert_eq!(shown(&site, "ann/app").await, (0, 1_000));
    assert!(site.state.registry().open_uploads().is_empty(), "what was refused is over");

    site.expect(201, whole(&small)).await;
    assert_eq!(shown(&site, "ann/app").await, (900, 1_000));
    // The same again, in two forms, at the brink.
    bound(&site, 950).await;
    site.expect(201, whole(&small)).await;
    let location = begin(&site, "ann/app").await;
    let put = format!("{location}?digest={}", Digest::sha256_of(&small));
    site.expect(201, Ask::put(&put).user("ann").body(&small)).await;
    assert_eq!(used(&site, Scope::Namespace("ann")), 900);
    site.close().await;
}

#[tokio::test]
async fn a_full_repository_refuses_before_anything_is_sent_and_a_deletion_gives_room_back() {
    let site = Site::open().await;
    let bytes = vec![7; 500];
    let digest = site.push_blob("ann", "ann/app", &bytes).await;
    let warned = bound(&site, 500).await;
    assert!(warned.header("warning").contains("nothing more goes in until some goes"), "{warned:?}");
    assert!(warned.json()["warnings"][0].as_str().unwrap().contains("its quota is 500 B"), "{warned:?}");
    let detail =
        is_refused(&site.send(Ask::post("/v2/ann/app/blobs/uploads/").user("ann")).await, "the repository ann/app");
    assert_eq!((&detail["usedBytes"], &detail["neededBytes"]), (&json!(500), &json!(0)));
    // Far less than is used is taken too.
    bound(&site, 1).await;
    site.expect(202, Ask::delete(&format!("/v2/ann/app/blobs/{digest}")).user("ann")).await;
    assert_eq!(shown(&site, "ann/app").await, (0, 1));
    bound(&site, 500).await;
    site.push_blob("ann", "ann/app", &bytes).await;
    // None is none.
    bound(&site, 0).await;
    site.push_blob("ann", "ann/app", &[8; 5_000]).await;
    assert_eq!(used(&site, Scope::Namespace("ann")), 5_500);
    // A repository that goes gives back all at once, and what is stored stays
    // counted until it is collected.
    site.expect(204, Ask::delete("/api/v0/repositories/ann/app").user("ann")).await;
    assert_eq!((used(&site, Scope::Namespace("ann")), used(&site, Scope::All)), (0, 5_500));
    site.close().await;
}

#[tokio::test]
async fn manifests_and_mounts_are_held_against_quotas_too() {
    let site = Site::open().await;
    let (config, layer) = (site.push_blob("ann", "ann/app", b"{}").await, vec![3; 300]);
    let digest = site.push_blob("ann", "ann/other", &layer).await;
    bound(&site, 301).await;
    let mount = Ask::post(&format!("/v2/ann/app/blobs/uploads/?mount={digest}&from=ann/other")).user("ann");
    let detail = is_refused(&site.send(mount.clone()).await, "the repository ann/app");
    assert_eq!(detail["neededBytes"], json!(300));
    bound(&site, 302).await;
    site.expect(201, mount.clone()).await;
    site.expect(201, mount).await;
    // All the same bytes, twice in the namespace and once on the disk.
    assert_eq!((used(&site, Scope::Namespace("ann")), used(&site, Scope::All)), (602, 302));
    let manifest = image(&config, 2, &[(digest, layer.len())], None).to_string();
    let put = Ask::put("/v2/ann/app/manifests/1").user("ann").body(&manifest);
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    is_refused(&site.send(put.clone()).await, "the repository ann/app");
    bound(&site, 302 + manifest.len() as u64).await;
    site.expect(201, put.clone()).await;
    site.expect(201, put).await;
    assert_eq!(shown(&site, "ann/app").await.0, 302 + manifest.len() as u64);
    site.close().await;
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_cut_off_as_it_grows() {
    let site = Site::open().await;
    bound(&site, ROOM).await;
    let chunk = vec![b'x'; 256 * 1024];
    for path in
        [begin(&site, "ann/app").await, format!("/v2/ann/app/blobs/uploads/?digest={}", Digest::sha256_of(b"x"))]
    {
        let method = if path.contains('?') { "POST" } else { "PATCH" };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: r\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            basic("ann", PASSWORD)
        )
        .into_bytes();
        for _ in 0..=(ROOM + limits::RESERVE_STEP_BYTES) / chunk.len() as u64 {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(&chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        let answer = site.raw(&request).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("the quota of the repository ann/app"),
            "{answer}"
        );
        assert!(site.state.registry().open_uploads().is_empty());
    }
    site.close().await;
}

/// As many as have room get in, whichever they are, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn of_64_at_once_as_many_get_in_as_there_is_room_for() {
    let site = Site::open().await;
    let blob = |at: u8| vec![at; 1_000];
    for (room, fit) in [(64_000, 64), (20_999, 20), (500, 0)] {
        bound(&site, room).await;
        let pushed = futures_util::future::join_all((0..64).map(|at| site.send(whole(&blob(at))))).await;
        let taken = pushed.iter().filter(|answer| answer.status == 201).count();
        for answer in pushed.iter().filter(|answer| answer.status != 201) {
            is_refused(answer, "the repository ann/app");
        }
        // Those that are begun before others end may be told of these.
        assert_eq!(taken, fit, "of {room}");
        assert_eq!(shown(&site, "ann/app").await.0, 1_000 * fit as u64);
        for at in 0..64 {
            let path = format!("/v2/ann/app/blobs/{}", Digest::sha256_of(&blob(at)));
            site.send(Ask::delete(&path).user("ann")).await;
        }
        assert_eq!(shown(&site, "ann/app").await.0, 0);
    }
    site.close().await;
}

/// What a client left when its connection broke kept the quota taken for a day.
#[tokio::test]
async fn an_upload_that_broke_off_does_not_keep_the_room_taken() {
    let site = Site::open().await;
    bound(&site, 1_000).await;
    let (left, again) = (begin(&site, "ann/app").await, vec![9; 900]);
    site.expect(202, Ask::patch(&left).user("ann").body(&again)).await;
    // Between two chunks it holds its room.
    let detail = is_refused(&site.send(whole(&again)).await, "the repository ann/app");
    assert_eq!(detail["reservedBytes"], json!(900));
    tokio::time::pause();
    tokio::time::advance(limits::RESERVED_IDLE + Duration::from_millis(1)).await;
    tokio::time::resume();
    site.expect(201, whole(&again)).await;
    // Its room was needed, so it is over: nothing lies there that is not counted.
    let over = site.expect(404, Ask::patch(&left).user("ann").body([9; 101])).await;
    assert_eq!(over.code(), "BLOB_UPLOAD_UNKNOWN");
    assert!(site.state.registry().open_uploads().is_empty());
    site.expect(202, Ask::delete(&format!("/v2/ann/app/blobs/{}", Digest::sha256_of(&again))).user("ann")).await;

    // Cancelled, its room is free at once.
    let left = begin(&site, "ann/app").await;
    site.expect(202, Ask::patch(&left).user("ann").body(&again)).await;
    site.expect(204, Ask::delete(&left).user("ann")).await;
    site.expect(201, whole(&again)).await;
    site.close().await;
}

/// What was left counted for nothing after a moment, so many uploads, each left
/// in turn, filled the disk past any quota.
#[tokio::test]
async fn what_is_left_lying_is_never_more_than_the_quota() {
    let site = Site::open().await;
    bound(&site, 2_000).await;
    for at in 0..6 {
        let left = begin(&site, "ann/app").await;
        site.expect(202, Ask::patch(&left).user("ann").body([at; 900])).await;
        tokio::time::pause();
        tokio::time::advance(limits::RESERVED_IDLE + Duration::from_millis(1)).await;
        tokio::time::resume();
    }
    assert_eq!(site.state.registry().open_uploads().len(), 2);
    site.close().await;
}

/// The quotas of a namespace and of all hold for every repository in them.
#[tokio::test]
async fn the_nearest_quota_is_told_and_all_of_them_hold() {
    let site = Site::open().await;
    let registry = site.state.registry();
    registry.set_quota(&Caller::System, Some("ann"), 1_000).await.unwrap();
    registry.set_quota(&Caller::System, None, 1_500).await.unwrap();
    site.push_blob("ann", "ann/other", &[1; 800]).await;
    is_refused(&site.send(whole(&[2; 300])).await, "the namespace ann");
    // Its own repositories may be large; together they may not.
    let bob = |bytes: &[u8]| {
        let path = format!("/v2/bob/app/blobs/uploads/?digest={}", Digest::sha256_of(bytes));
        Ask::post(&path).user("bob").body(bytes)
    };
    is_refused(&site.send(bob(&[3; 701])).await, "the whole registry");
    // The same bytes need no further room on the disk.
    site.expect(201, bob(&[1; 800])).await;
    site.expect(201, bob(&[3; 700])).await;
    assert_eq!((used(&site, Scope::Namespace("bob")), used(&site, Scope::All)), (1_500, 1_500));
    site.close().await;
}
