//! What a server of the distribution specification needs, row by row, and the
//! tests that hold each row. A test that is renamed or removed leaves its row
//! bare, which fails here; rows that stood bare have their tests below.

use crate::http::harness::{Ask, Site, image};
use crate::oci::{Algorithm, Digest, MediaType};

/// Each row, and the tests for it as `file: function`.
const ROWS: &[(&str, &[&str])] = &[
    (
        "out-of-order chunks: 416, the session lives, 204 with Location and Range",
        &["push: a_blob_in_chunks_and_what_an_early_late_or_lying_chunk_is_told"],
    ),
    ("a session without bytes stands at 0-0", &["rows: a_session_without_bytes_stands_at_zero"]),
    ("Content-Range has the specification's form alone", &["push: a_chunk_whose_range_is_of_another_form_is_refused"]),
    (
        "Content-Range agrees with the length, or 416; none is a stream",
        &["push: a_chunk_that_is_refused_leaves_the_session_as_it_was", "push: a_blob_as_docker_streams_it"],
    ),
    ("202 on PATCH with Location and Range", &["push: a_blob_as_docker_streams_it"]),
    (
        "a wrong digest at the close: 400 DIGEST_INVALID",
        &["push: bytes_of_another_digest_store_nothing_in_any_form", "refuse: manifests_that_are_none"],
    ),
    (
        "sha512 with and without the hint, for blobs and manifests",
        &["push: a_blob_with_its_bytes_in_the_last_request", "rows: a_manifest_under_sha512"],
    ),
    ("an unknown digest-algorithm: 400", &["refuse: malformed_names_tags_digests_and_numbers"]),
    ("no OCI-Chunk-Min-Length", &["rows: a_session_without_bytes_stands_at_zero"]),
    (
        "mount: 201, or 202 without a hint of what is elsewhere",
        &["rights: a_blob_is_mounted_only_from_where_the_caller_may_read"],
    ),
    (
        "anonymous mount only from what the caller may read",
        &["rights: a_blob_is_mounted_only_from_where_the_caller_may_read"],
    ),
    ("one POST with ?digest=", &["push: a_blob_in_one_request"]),
    ("DELETE of an upload: 204, then 404", &["push: a_cancelled_upload_is_gone"]),
    (
        "a manifest PUT: Location, digest, OCI-Subject, of images and indexes",
        &[
            "push: a_manifest_with_a_subject_says_so_and_the_subject_may_come_later",
            "rows: an_index_with_a_subject_says_so",
            "rows: what_was_put_is_at_its_location",
        ],
    ),
    ("?tag= with at least ten, OCI-Tag, 414 beyond", &["push: a_manifest_by_tag_by_digest_and_under_many_tags"]),
    ("a non-distributable layer need not be here", &["rows: a_layer_that_may_not_be_distributed_need_not_be_here"]),
    (
        "sparse indexes and images",
        &["refuse: an_image_may_lack_some_of_its_layers_and_never_all", "rows: an_index_may_name_what_is_not_here"],
    ),
    ("manifests up to 4 MiB, 413 above", &["push: four_mebibytes_of_manifest_are_taken_and_one_byte_more_is_not"]),
    (
        "a manifest GET: 404, 400 for a bad digest, the type as pushed, whatever Accept says",
        &[
            "pull: a_manifest_is_served_as_stored_whatever_is_accepted",
            "refuse: malformed_names_tags_digests_and_numbers",
        ],
    ),
    (
        "HEAD has length and digest",
        &["pull: a_manifest_is_served_as_stored_whatever_is_accepted", "rows: a_blobs_head_has_length_and_digest"],
    ),
    ("schema 1 is refused in words", &["refuse: manifests_that_are_none"]),
    ("blob ranges: 206, 416", &["pull: a_blob_in_whole_and_in_part"]),
    (
        "tags/list: order, n=0, Link, last, 404",
        &["list: tags_come_in_byte_order_and_in_pages", "refuse: malformed_names_tags_digests_and_numbers"],
    ),
    (
        "referrers: 200 always, filter, Link",
        &["list: referrers_are_an_index_filtered_and_in_pages", "list: referrers_of_what_is_not_there_are_none"],
    ),
    ("DELETE: 202, then 404 at once", &["push: what_was_deleted_is_gone_at_once"]),
    ("every 401 has a challenge", &["refuse: nobody_is_told_anything_before_signing_in"]),
    (
        "429 has Retry-After",
        &[
            "error: every_refusal_has_its_status_code_and_headers",
            "scarce: a_client_that_asks_too_much_is_told_when_to_come_back",
        ],
    ),
    (
        "507 has Retry-After, and comes before the bytes",
        &["scarce: an_upload_is_refused_before_it_begins_when_there_is_no_room"],
    ),
    ("Warning where there is something to say", &["scarce: whoever_pushes_what_is_not_whole_is_warned"]),
    ("?ns= leads nowhere else", &["rows: ns_is_a_word_of_the_clients_own"]),
    ("Location is a path", &["push: a_blob_in_one_request", "rows: a_session_without_bytes_stands_at_zero"]),
];

#[test]
fn every_row_has_a_test() {
    let files = [
        ("error", include_str!("../error.rs")),
        ("list", include_str!("list.rs")),
        ("pull", include_str!("pull.rs")),
        ("push", include_str!("push.rs")),
        ("refuse", include_str!("refuse.rs")),
        ("rights", include_str!("rights.rs")),
        ("rows", include_str!("rows.rs")),
        ("scarce", include_str!("scarce.rs")),
    ];
    for (row, tests) in ROWS {
        assert!(!tests.is_empty(), "{row}");
        for test in *tests {
            let (file, name) = test.split_once(": ").unwrap();
            let (_, text) = files.iter().find(|(known, _)| *known == file).unwrap();
            let is_there = text.contains(&format!("async fn {name}()")) || text.contains(&format!("    fn {name}()"));
            assert!(is_there, "{row}: there is no test `{name}` in {file}.rs");
        }
    }
}

#[tokio::test]
async fn a_session_without_bytes_stands_at_zero() {
    let site = Site::open().await;
    let begun = site.expect(202, Ask::post("/v2/ann/app/blobs/uploads/").user("ann")).await;
    let location = begun.header("location").to_owned();
    assert!(location.starts_with("/v2/"), "a path keeps the scheme and host that the client knows: {location}");
    assert!(!begun.headers.contains_key("oci-chunk-min-length"));
    for ask in [Ask::get(&location), Ask::head(&location)] {
        assert_eq!(site.expect(204, ask.user("ann")).await.header("range"), "0-0");
    }
    site.close().await;
}

#[tokio::test]
async fn a_manifest_under_sha512() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let manifest = image(&config, 2, &[], None).to_string();
    let digest = Digest::of(Algorithm::Sha512, manifest.as_bytes());
    let path = format!("/v2/ann/app/manifests/{digest}");
    let kind = MediaType::OciManifest.as_str();
    let put = Ask::put(&format!("{path}?tag=512")).user("ann").header("content-type", kind).body(&manifest);
    let answer = site.expect(201, put).await;
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    for (ask, at) in [(Ask::get(&path), "digest"), (Ask::get("/v2/ann/app/manifests/512"), "tag")] {
        let answer = site.expect(200, ask.user("ann")).await;
        assert_eq!(
            (answer.text(), answer.header("docker-content-digest")),
            (manifest.clone(), &*digest.to_string()),
            "{at}"
        );
    }
    let head = site.expect(200, Ask::head(&path).user("ann")).await;
    assert_eq!(head.header("docker-content-digest"), digest.to_string());
    site.close().await;
}

#[tokio::test]
async fn what_was_put_is_at_its_location() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    // Not as this registry would write it.
    let manifest = image(&config, 2, &[], None).to_string().replace(',', " ,\n ");
    let kind = MediaType::OciManifest.as_str();
    let put = Ask::put("/v2/ann/app/manifests/1.0").user("ann").header("content-type", kind).body(&manifest);
    let answer = site.expect(201, put).await;
    assert_eq!(answer.header("docker-content-digest"), Digest::sha256_of(manifest.as_bytes()).to_string());
    assert_eq!(site.expect(200, Ask::get(answer.header("location")).user("ann")).await.text(), manifest);
    site.close().await;
}

#[tokio::test]
async fn an_index_with_a_subject_says_so() {
    let site = Site::open().await;
    let (kind, subject) = (MediaType::OciIndex.as_str(), Digest::sha256_of(b"to come"));
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [],
        "artifactType": "application/x.list",
        "subject": { "mediaType": MediaType::OciManifest.as_str(), "digest": subject, "size": 7 } });
    let put = Ask::put("/v2/ann/app/manifests/list").user("ann").header("content-type", kind);
    let answer = site.expect(201, put.body(index.to_string())).await;
    assert_eq!(answer.header("oci-subject"), subject.to_string());
    let listed = site.expect(200, Ask::get(&format!("/v2/ann/app/referrers/{subject}")).user("ann")).await.json();
    assert_eq!(listed["manifests"][0]["artifactType"], "application/x.list");
    site.close().await;
}

#[tokio::test]
async fn a_layer_that_may_not_be_distributed_need_not_be_here() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let absent = Digest::sha256_of(b"at its vendor's");
    for kind in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        let mut manifest = image(&config, 2, &[(absent, 9)], None);
        manifest["layers"][0]["mediaType"] = kind.into();
        manifest["layers"][0]["urls"] = serde_json::json!(["https://vendor.example/layer"]);
        site.push_manifest("ann", "ann/app", "foreign", &manifest).await;
    }
    site.close().await;
}

#[tokio::test]
async fn an_index_may_name_what_is_not_here() {
    let site = Site::open().await;
    let absent = Digest::sha256_of(b"of another platform");
    let (kind, entry) = (MediaType::OciIndex.as_str(), MediaType::OciManifest.as_str());
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": kind,
        "manifests": [{ "mediaType": entry, "digest": absent, "size": 7 }] });
    site.push_manifest("ann", "ann/app", "sparse", &index).await;
    site.expect(404, Ask::get(&format!("/v2/ann/app/manifests/{absent}")).user("ann")).await;
    site.close().await;
}

#[tokio::test]
async fn a_blobs_head_has_length_and_digest() {
    let site = Site::open().await;
    let digest = site.push_blob("ann", "ann/app", b"bytes").await;
    let head = site.expect(200, Ask::head(&format!("/v2/ann/app/blobs/{digest}")).user("ann")).await;
    assert_eq!((head.header("content-length"), head.header("docker-content-digest")), ("5", &*digest.to_string()));
    site.close().await;
}

/// A mirror of many registries is asked with `?ns=`. This one is no such
/// mirror: it looks where it looks without, and dials nobody.
#[tokio::test]
async fn ns_is_a_word_of_the_clients_own() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    for ns in ["docker.io", "127.0.0.1:1", "", "%00"] {
        let answer = site.expect(200, Ask::get(&format!("/v2/ann/app/manifests/1.0?ns={ns}")).user("ann")).await;
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        site.expect(404, Ask::get(&format!("/v2/ann/app/manifests/2.0?ns={ns}")).user("ann")).await;
    }
    site.close().await;
}
