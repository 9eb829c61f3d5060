//! What a server has too little of, and how it says so: room on the disk, memory
//! for answers, patience with one client.

use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::http::harness::{Ask, Gathered, Site, image};
use crate::http::rate::Rate;
use crate::limits;
use crate::oci::{Digest, MediaType, warning};
use crate::registry::Options;
use crate::store::file::Keep;

/// A site whose disk is below the mark, and has room for rows still.
async fn nearly_full() -> Site {
    let room = rustix::fs::statvfs(&*std::env::temp_dir()).unwrap();
    let keep = Keep::Bytes(room.f_bavail * room.f_frsize * 2);
    Site::open_as(Options::default(), keep, Rate::new(0)).await
}

/// 202 once, and 507 when the client had read its layer from the disk and sent it.
#[tokio::test]
async fn an_upload_is_refused_before_it_begins_when_there_is_no_room() {
    let site = nearly_full().await;
    let digest = Digest::sha256_of(b"x");
    for path in [
        "/v2/ann/app/blobs/uploads/".to_owned(),
        format!("/v2/ann/app/blobs/uploads/?mount={digest}&from=ann/other"),
        format!("/v2/ann/app/blobs/uploads/?digest={digest}"),
    ] {
        let answer = site.expect(507, Ask::post(&path).user("ann").body("x")).await;
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("DENIED", "60"), "{path}");
    }
    // What asks for no bytes goes on, and whoever may not push hears no more than ever.
    site.expect(404, Ask::post("/v2/bob/app/blobs/uploads/").user("ann")).await;
    site.expect(
        200,
        Ask::get("/v2/ann/app/referrers/sha256:0000000000000000000000000000000000000000000000000000000000000000")
            .user("ann"),
    )
    .await;
    assert!(site.state.registry().open_uploads().is_empty());
    site.close().await;
}

/// A full disk whose own log went on filling it.
#[tokio::test]
async fn a_flood_of_refusals_is_no_flood_of_lines() {
    let kept = Gathered::default();
    let writer = kept.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
    let filtered = tracing_subscriber::registry().with(lines).with(tracing_subscriber::filter::LevelFilter::INFO);
    let _logged = tracing::subscriber::set_default(filtered);
    let site = nearly_full().await;
    for _ in 0..200 {
        site.expect(507, Ask::post("/v2/ann/app/blobs/uploads/").user("ann")).await;
    }
    let said = kept.text();
    let told = said.lines().filter(|line| line.contains("turned away")).count();
    assert!((1..=limits::TURNED_AWAY_LOGGED as usize).contains(&told), "{told} lines\n{said}");
    assert!(!said.contains("ERROR"), "{said}");
    site.close().await;
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_told_when_to_come_back() {
    let site = Site::open_as(Options::default(), Keep::Usual, Rate::new(1)).await;
    let burst = limits::REQUESTS_BURST_SECONDS;
    for _ in 0..burst {
        site.expect(200, Ask::get("/v2/").user("ann")).await;
    }
    for (path, code) in [("/v2/", "TOOMANYREQUESTS"), ("/api/v0/repositories/ann", "TOO_MANY_REQUESTS")] {
        let answer = site.expect(429, Ask::get(path).user("ann")).await;
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), (code, "1"), "{path}");
        assert!(answer.message().contains("1 a second"), "{}", answer.message());
    }
    // Somebody else, nobody, and the local socket.
    site.expect(200, Ask::get("/v2/").user("bob")).await;
    for _ in 0..burst {
        site.expect(401, Ask::get("/v2/")).await;
    }
    site.expect(429, Ask::get("/v2/")).await;
    site.expect(429, Ask::get("/api/v0/repositories")).await;
    for _ in 0..burst * 2 {
        site.expect(200, Ask::get("/v2/").local()).await;
    }
    // A probe is never turned away.
    site.expect(200, Ask::get("/health")).await;
    site.close().await;
}

#[tokio::test]
async fn whoever_pushes_what_is_not_whole_is_warned() {
    let site = Site::open().await;
    let here = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let here = site.expect(200, Ask::get(&format!("/v2/ann/app/manifests/{here}")).user("ann")).await;
    let (kind, entry) = (MediaType::OciIndex.as_str(), MediaType::OciManifest.as_str());
    let digest = here.header("docker-content-digest");
    let present = json!({ "mediaType": entry, "digest": digest, "size": here.body.len() });
    let absent = json!({ "mediaType": entry, "digest": Digest::sha256_of(b"not here"), "size": 7 });
    let put = |tag: &str, entries: &serde_json::Value| {
        let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries }).to_string();
        Ask::put(&format!("/v2/ann/app/manifests/{tag}")).user("ann").header("content-type", kind).body(index)
    };
    let whole = site.expect(201, put("whole", &json!([present]))).await;
    assert!(!whole.headers.contains_key("warning"), "nothing to say");
    let sparse = site.expect(201, put("sparse", &json!([present, absent]))).await;
    let said = warning::text(sparse.header("warning")).unwrap();
    assert!(said.starts_with("1 of 2 that this manifest names are not in ann/app"), "{said}");
    // An image without one of its layers, too; reads say nothing.
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let layers = [(Digest::sha256_of(b"layer"), 5), (Digest::sha256_of(b"not here either"), 9)];
    let manifest = image(&config, 2, &layers, None).to_string();
    let put = Ask::put("/v2/ann/app/manifests/holed").user("ann").header("content-type", entry).body(manifest);
    let said = site.expect(201, put).await;
    assert!(said.header("warning").contains("1 of 3"), "{said:?}");
    let read = site.expect(200, Ask::get("/v2/ann/app/manifests/sparse").user("ann")).await;
    assert!(!read.headers.contains_key("warning"));
    site.close().await;
}

/// A thousand attachments with four megabytes of annotations each were one
/// answer of four gigabytes.
#[tokio::test]
async fn a_page_of_referrers_is_bounded_in_bytes() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let subject = Digest::sha256_of(b"subject");
    let count = 5;
    for number in 0..count {
        let mut manifest = image(&config, 2, &[], Some(&subject));
        let filler = "x".repeat(limits::REFERRERS_PAGE_BYTES / 2);
        manifest["annotations"] = json!({ "number": number.to_string(), "filler": filler });
        site.push_manifest("ann", "ann/app", &format!("t{number}"), &manifest).await;
    }
    let mut next = Some(format!("/v2/ann/app/referrers/{subject}"));
    let (mut pages, mut listed) = (0, Vec::new());
    while let Some(path) = next {
        let page = site.expect(200, Ask::get(&path).user("ann")).await;
        assert!(page.body.len() < limits::REFERRERS_PAGE_BYTES * 3 / 2, "{}", page.body.len());
        listed.extend(page.json()["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].to_string()));
        pages += 1;
        let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
    }
    listed.dedup();
    assert_eq!((listed.len(), pages), (count, count), "one is half a page, and two are more than one");
    site.close().await;
}
