//! What a server has too little of, and how it says so: room on the disk, memory
//! for answers, patience with one client.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::http::harness::{Ask, Gathered, PASSWORD, Site, basic, image};
use crate::http::intake::Sender;
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

/// Who asks with a body that has nowhere to go, in each API's words.
#[tokio::test]
async fn bodies_that_find_no_room_are_told_to_come_back() {
    let site = Site::open().await;
    let fill = async |bytes: u32, sender| {
        let body = crate::http::Body::from(vec![0; bytes as usize]);
        site.state.intake().read(body, bytes as usize, sender).await.unwrap()
    };
    let strangers = fill(limits::STRANGERS_BODIES_BYTES, Sender::Stranger).await;
    let sign_in = json!({ "username": "ann", "password": PASSWORD }).to_string();
    for (path, code) in [("/auth/token", "UNKNOWN"), ("/auth/login", "UNAVAILABLE")] {
        let answer = site.expect(503, Ask::post(path).body(&sign_in)).await;
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), (code, "1"), "{path}");
        assert!(answer.message().contains("try again soon"), "{}", answer.message());
    }
    // Who has a name notices nothing of it.
    let manifest = |bytes: usize| format!("{{}}{}", " ".repeat(bytes));
    let put = |bytes| Ask::put("/v2/ann/app/manifests/1.0").user("ann").body(manifest(bytes));
    site.expect(400, put(1 << 20)).await;
    drop(strangers);
    site.expect(200, Ask::post("/auth/login").body(&sign_in)).await;
    // And what is small nothing of what is large.
    let large = fill(limits::BODIES_BYTES + limits::SMALL_BODY_BYTES as u32, Sender::Known).await;
    site.expect(400, put(4_000)).await;
    let answer = site.expect(503, put(1 << 20)).await;
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("UNKNOWN", "1"));
    let ask = Ask::post("/api/v0/repositories/ann").user("ann").body(manifest(1 << 19));
    let answer = site.expect(503, ask).await;
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("UNAVAILABLE", "1"));
    drop(large);
    site.expect(400, put(1 << 20)).await;
    site.close().await;
}

/// A manifest of four megabytes was read of whoever has no right, and a body of
/// one megabyte of whoever knew that there is such a thing as a set-up.
#[tokio::test]
async fn what_is_refused_in_any_case_is_refused_before_it_is_read() {
    let site = Site::open().await;
    for (method, path, user, status) in [
        ("PUT", "/v2/bob/app/manifests/1.0", Some("ann"), 404),
        ("PUT", "/v2/ann/app/manifests/1.0", None, 401),
        ("POST", "/api/v0/setup", None, 403),
    ] {
        let signed_in = user.map(|user| format!("Authorization: {}\r\n", basic(user, PASSWORD))).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{signed_in}Content-Length: 4000\r\n\r\n");
        // Nothing of the body is sent before the answer is here.
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{path}");
    }
    site.close().await;
}
