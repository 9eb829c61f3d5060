//! Every way to get bytes and manifests in.

use crate::http::harness::{Ask, PASSWORD, Site, basic, image};
use crate::limits;
use crate::oci::{Algorithm, Digest, MediaType};

async fn begin(site: &Site) -> String {
    let answer = site.expect(202, Ask::post("/v2/ann/app/blobs/uploads/").user("ann")).await;
    assert_eq!(answer.header("range"), "0-0");
    let location = answer.header("location").to_owned();
    assert_eq!(location, format!("/v2/ann/app/blobs/uploads/{}", answer.header("docker-upload-uuid")));
    location
}

async fn check(site: &Site, digest: &Digest, bytes: &[u8]) {
    let answer = site.expect(200, Ask::get(&format!("/v2/ann/app/blobs/{digest}")).user("ann")).await;
    assert_eq!((answer.body.as_ref(), answer.header("docker-content-digest")), (bytes, digest.to_string().as_str()));
}

#[tokio::test]
async fn a_blob_in_one_request() {
    let site = Site::open().await;
    for bytes in [b"whole".as_slice(), b""] {
        let digest = Digest::sha256_of(bytes);
        let path = format!("/v2/ann/app/blobs/uploads/?digest={}", digest.to_string().replace(':', "%3A"));
        let answer = site.expect(201, Ask::post(&path).user("ann").body(bytes)).await;
        assert_eq!(answer.header("location"), format!("/v2/ann/app/blobs/{digest}"));
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        check(&site, &digest, bytes).await;
    }
    assert!(site.state.registry().open_uploads().is_empty());
    site.close().await;
}

#[tokio::test]
async fn a_blob_as_docker_streams_it() {
    let site = Site::open().await;
    let (bytes, location) = (vec![7; 300_000], begin(&site).await);
    let digest = Digest::sha256_of(&bytes);
    let answer = site.expect(202, Ask::patch(&location).user("ann").body(&bytes)).await;
    assert_eq!((answer.header("range"), answer.header("location")), ("0-299999", location.as_str()));
    site.expect(201, Ask::put(&format!("{location}?digest={digest}")).user("ann")).await;
    check(&site, &digest, &bytes).await;
    site.expect(404, Ask::get(&location).user("ann")).await;
    site.close().await;
}

#[tokio::test]
async fn a_blob_with_its_bytes_in_the_last_request() {
    let site = Site::open().await;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let (bytes, location) = (format!("put {algorithm:?}"), begin(&site).await);
        let digest = Digest::of(algorithm, bytes.as_bytes());
        site.expect(201, Ask::put(&format!("{location}?digest={digest}")).user("ann").body(&bytes)).await;
        check(&site, &digest, bytes.as_bytes()).await;
    }
    let announced = Ask::post("/v2/ann/app/blobs/uploads/?digest-algorithm=sha512").user("ann");
    let location = site.expect(202, announced).await.header("location").to_owned();
    let digest = Digest::of(Algorithm::Sha512, b"announced");
    site.expect(201, Ask::put(&format!("{location}?digest={digest}")).user("ann").body("announced")).await;
    check(&site, &digest, b"announced").await;
    site.close().await;
}

#[tokio::test]
async fn a_blob_in_chunks_and_what_an_early_late_or_lying_chunk_is_told() {
    let site = Site::open().await;
    let location = begin(&site).await;
    let digest = Digest::sha256_of(b"0123456789");
    let chunk = |range: &str, bytes: &str| Ask::patch(&location).user("ann").header("content-range", range).body(bytes);
    let first = site.expect(202, chunk("0-3", "0123")).await;
    assert_eq!(first.header("range"), "0-3");
    for (range, bytes, words) in [
        ("6-9", "6789", "begins at 4"),
        ("0-3", "0123", "begins at 4"),
        ("4-9", "4567", "says it has 6 bytes and has 4"),
        ("9-4", "456789", "both inclusive"),
        ("x", "456789", "both inclusive"),
    ] {
        let answer = site.expect(416, chunk(range, bytes)).await;
        assert_eq!(answer.code(), "RANGE_INVALID");
        assert!(answer.message().contains(words), "{range}: {}", answer.message());
        assert_eq!((answer.header("location"), answer.header("range")), (location.as_str(), "0-3"));
    }
    let progress = site.expect(204, Ask::get(&location).user("ann")).await;
    assert_eq!((progress.header("range"), progress.header("location")), ("0-3", location.as_str()));
    let end = Ask::put(&format!("{location}?digest={digest}")).user("ann");
    let early = end.clone().header("content-range", "8-9").body("89");
    assert_eq!(site.expect(416, early).await.header("range"), "0-3");
    site.expect(202, chunk("4-7", "4567")).await;
    site.expect(201, end.header("content-range", "8-9").body("89")).await;
    check(&site, &digest, b"0123456789").await;
    site.close().await;
}

/// A request whose length nobody announces.
async fn unannounced(site: &Site, line: &str, range: &str, bytes: &str) -> String {
    let authorization = basic("ann", PASSWORD);
    let length = bytes.len();
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nContent-Range: {range}\r\n");
    site.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{bytes}\r\n0\r\n\r\n")).await
}

/// The bytes of a refused chunk stayed in the session, so that the client that
/// went on from where the refusal said it stood ended with another digest.
#[tokio::test]
async fn a_chunk_that_is_refused_leaves_the_session_as_it_was() {
    let site = Site::open().await;
    let location = begin(&site).await;
    let digest = Digest::sha256_of(b"0123456789");
    site.expect(202, Ask::patch(&location).user("ann").header("content-range", "0-3").body("0123")).await;
    let long = "x".repeat(300_000);
    for line in [format!("PATCH {location}"), format!("PUT {location}?digest={digest}")] {
        for (range, bytes) in [("4-5", "456789"), ("4-20", "456789"), ("4-9", long.as_str()), ("4-9", "")] {
            let answer = unannounced(&site, &line, range, bytes).await.to_lowercase();
            assert!(answer.starts_with("http/1.1 416 ") && answer.contains("\r\nrange: 0-3\r\n"), "{range}: {answer}");
            let progress = site.expect(204, Ask::get(&location).user("ann")).await;
            assert_eq!(progress.header("range"), "0-3", "{line} {range}");
        }
    }
    let last = unannounced(&site, &format!("PUT {location}?digest={digest}"), "4-9", "456789").await;
    assert!(last.starts_with("HTTP/1.1 201 "), "{last}");
    check(&site, &digest, b"0123456789").await;
    site.close().await;
}

/// RFC 9110's own form counts otherwise, and a client that sends it may mean
/// other bytes.
#[tokio::test]
async fn a_chunk_whose_range_is_of_another_form_is_refused() {
    let site = Site::open().await;
    let location = begin(&site).await;
    site.expect(202, Ask::patch(&location).user("ann").header("content-range", "0-2").body("012")).await;
    for range in ["bytes 3-5/6", "bytes 3-5/*", "bytes=3-5", "3-5/6", "3-", "-5", "3 - 5", "3-5,6-8", "", "5-3"] {
        for ask in [Ask::patch(&location), Ask::put(&format!("{location}?digest={}", Digest::sha256_of(b"012345")))] {
            let answer = site.expect(416, ask.user("ann").header("content-range", range).body("345")).await;
            assert_eq!((answer.code().as_str(), answer.header("range")), ("RANGE_INVALID", "0-2"), "{range}");
        }
    }
    let end = Ask::put(&format!("{location}?digest={}", Digest::sha256_of(b"012345"))).user("ann");
    site.expect(201, end.header("content-range", "3-5").body("345")).await;
    site.close().await;
}

#[tokio::test]
async fn a_session_is_asked_about_with_get_and_with_head() {
    let site = Site::open().await;
    let location = begin(&site).await;
    site.expect(202, Ask::patch(&location).user("ann").body("some")).await;
    for ask in [Ask::get(&location), Ask::head(&location)] {
        let answer = site.expect(204, ask.user("ann")).await;
        assert_eq!((answer.header("range"), answer.header("location")), ("0-3", location.as_str()));
    }
    site.close().await;
}

/// Told to send, a client sends a terabyte before it hears that there is no
/// room for it.
#[tokio::test]
async fn what_cannot_be_taken_whole_is_refused_before_it_is_sent() {
    let site = Site::open().await;
    let location = begin(&site).await;
    let digest = Digest::sha256_of(b"x");
    let free = site.state.registry().store().files().disk().room().unwrap().free_bytes;
    let mut cases = vec![(limits::BLOB_BYTES + 1, "413", "SIZE_INVALID")];
    if free < limits::BLOB_BYTES {
        cases.push((limits::BLOB_BYTES, "507", "DENIED"));
    }
    let lines = [
        format!("POST /v2/ann/app/blobs/uploads/?digest={digest}"),
        format!("PATCH {location}"),
        format!("PUT {location}?digest={digest}"),
    ];
    for (length, status, code) in cases {
        for line in &lines {
            let answer = site
                .raw(format!(
                    "{line} HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: {length}\r\n\
                     Expect: 100-continue\r\n\r\n",
                    basic("ann", PASSWORD)
                ))
                .await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {length}: {answer}");
            assert!(answer.contains(code), "{answer}");
        }
    }
    site.expect(204, Ask::get(&location).user("ann")).await;
    site.close().await;
}

/// It was told that it could go on, and there was nothing to go on with. It
/// had closed its own side only, as some clients do behind a request.
#[tokio::test]
async fn a_blob_in_one_request_that_breaks_off_is_sent_again() {
    let site = Site::open().await;
    let answer = site
        .raw(format!(
            "POST /v2/ann/app/blobs/uploads/?digest={} HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\
             Content-Length: 100\r\n\r\nabc",
            Digest::sha256_of(b"x"),
            basic("ann", PASSWORD)
        ))
        .await;
    assert!(answer.contains("BLOB_UPLOAD_INVALID") && answer.contains("again from its first byte"), "{answer}");
    assert!(site.state.registry().open_uploads().is_empty());
    site.close().await;
}

#[tokio::test]
async fn indexes_lie_in_each_other_to_a_depth_whichever_comes_first() {
    let site = Site::open().await;
    let kind = MediaType::OciIndex.as_str();
    let index = |below: Option<&String>| {
        let entries: Vec<_> = below
            .iter()
            .map(|below| {
                let digest = Digest::sha256_of(below.as_bytes());
                serde_json::json!({ "mediaType": kind, "digest": digest, "size": below.len() })
            })
            .collect();
        serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries }).to_string()
    };
    // An index that names nothing counts for as little as an image.
    let mut chain = vec![index(None)];
    for _ in 0..=limits::INDEX_DEPTH {
        chain.push(index(chain.last()));
    }
    let put = |repository: &str, text: &String| {
        let path = format!("/v2/{repository}/manifests/{}", Digest::sha256_of(text.as_bytes()));
        Ask::put(&path).user("ann").header("content-type", kind).body(text)
    };
    let (last, fitting) = chain.split_last().unwrap();
    for text in fitting {
        site.expect(201, put("ann/app", text)).await;
    }
    let refused = site.expect(400, put("ann/app", last)).await;
    assert_eq!(refused.code(), "MANIFEST_INVALID");
    assert!(refused.message().contains("at most 8 are taken"), "{}", refused.message());
    // From the outside in: the one that closes the gap is one too many.
    let gap = limits::INDEX_DEPTH / 2;
    for (at, text) in chain.iter().enumerate().rev().filter(|(at, _)| *at != gap) {
        assert_eq!(site.send(put("ann/other", text)).await.status, 201, "{at}");
    }
    site.expect(400, put("ann/other", &chain[gap])).await;
    site.close().await;
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let site = Site::open().await;
    let location = begin(&site).await;
    site.expect(202, Ask::patch(&location).user("ann").body("some")).await;
    site.expect(204, Ask::delete(&location).user("ann")).await;
    for ask in [Ask::get(&location), Ask::delete(&location), Ask::patch(&location).body("more")] {
        assert_eq!(site.expect(404, ask.user("ann")).await.code(), "BLOB_UPLOAD_UNKNOWN");
    }
    site.close().await;
}

#[tokio::test]
async fn bytes_of_another_digest_store_nothing_in_any_form() {
    let site = Site::open().await;
    let digest = Digest::sha256_of(b"promised");
    let post = Ask::post(&format!("/v2/ann/app/blobs/uploads/?digest={digest}")).body("sent");
    let put = Ask::put(&format!("{}?digest={digest}", begin(&site).await)).body("sent");
    let location = begin(&site).await;
    site.expect(202, Ask::patch(&location).user("ann").body("sent")).await;
    let streamed = Ask::put(&format!("{location}?digest={digest}"));
    for ask in [post, put, streamed] {
        let answer = site.expect(400, ask.user("ann")).await;
        assert_eq!(answer.code(), "DIGEST_INVALID");
        assert!(answer.message().contains(&Digest::sha256_of(b"sent").to_string()), "{}", answer.message());
    }
    for digest in [digest, Digest::sha256_of(b"sent")] {
        site.expect(404, Ask::head(&format!("/v2/ann/app/blobs/{digest}")).user("ann")).await;
    }
    assert!(site.state.registry().open_uploads().is_empty());
    site.close().await;
}

#[tokio::test]
async fn a_manifest_by_tag_by_digest_and_under_many_tags() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let stored = site.expect(200, Ask::get("/v2/ann/app/manifests/1.0").user("ann")).await;
    let put = |query: &str| {
        let path = format!("/v2/ann/app/manifests/{digest}{query}");
        Ask::put(&path).user("ann").header("content-type", stored.header("content-type")).body(&stored.body)
    };
    let answer = site.expect(201, put("?tag=a&tag=b&tag=a")).await;
    assert_eq!(answer.header("location"), format!("/v2/ann/app/manifests/{digest}"));
    assert_eq!(answer.headers.get_all("oci-tag").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!answer.headers.contains_key("oci-subject"));
    let most: String = (0..limits::TAG_PARAMETERS).map(|n| format!("&tag=t{n}")).collect();
    site.expect(201, put(&format!("?{most}"))).await;
    assert_eq!(site.expect(414, put(&format!("?tag=one-more{most}"))).await.code(), "TAG_INVALID");
    assert_eq!(site.expect(400, put("?tag=.bad")).await.code(), "TAG_INVALID");
    let list = site.expect(200, Ask::get("/v2/ann/app/tags/list").user("ann")).await;
    assert_eq!(list.json()["tags"].as_array().unwrap().len(), limits::TAG_PARAMETERS + 3);
    site.close().await;
}

#[tokio::test]
async fn a_manifest_with_a_subject_says_so_and_the_subject_may_come_later() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let subject = Digest::sha256_of(b"not here yet");
    let manifest = image(&config, 2, &[], Some(&subject));
    let ask = Ask::put("/v2/ann/app/manifests/sig").user("ann").body(manifest.to_string());
    let answer = site.expect(201, ask.header("content-type", manifest["mediaType"].as_str().unwrap())).await;
    assert_eq!(answer.header("oci-subject"), subject.to_string());
    site.close().await;
}

#[tokio::test]
async fn four_mebibytes_of_manifest_are_taken_and_one_byte_more_is_not() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let mut manifest = image(&config, 2, &[], None);
    manifest["annotations"] = serde_json::json!({ "filler": "" });
    let filler = limits::MANIFEST_BYTES - manifest.to_string().len();
    manifest["annotations"]["filler"] = "x".repeat(filler).into();
    assert_eq!(manifest.to_string().len(), limits::MANIFEST_BYTES);
    let digest = site.push_manifest("ann", "ann/app", "large", &manifest).await;
    let back = site.expect(200, Ask::get(&format!("/v2/ann/app/manifests/{digest}")).user("ann")).await;
    assert_eq!(back.body, manifest.to_string());
    manifest["annotations"]["filler"] = "x".repeat(filler + 1).into();
    let ask = Ask::put("/v2/ann/app/manifests/larger").user("ann").body(manifest.to_string());
    let answer = site.expect(413, ask).await;
    assert_eq!(answer.code(), "MANIFEST_INVALID");
    assert!(answer.message().contains("4194304"), "{}", answer.message());
    site.expect(404, Ask::head("/v2/ann/app/manifests/larger").user("ann")).await;
    site.close().await;
}

#[tokio::test]
async fn what_was_deleted_is_gone_at_once() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let layer = format!("/v2/ann/app/blobs/{}", Digest::sha256_of(b"layer"));
    let refused = site.expect(409, Ask::delete(&layer).user("ann")).await;
    assert!(refused.message().contains("delete the manifest first"), "{}", refused.message());
    for path in ["/v2/ann/app/manifests/1.0".to_owned(), format!("/v2/ann/app/manifests/{digest}"), layer] {
        site.expect(202, Ask::delete(&path).user("ann")).await;
        site.expect(404, Ask::head(&path).user("ann")).await;
        site.expect(404, Ask::delete(&path).user("ann")).await;
    }
    site.close().await;
}
