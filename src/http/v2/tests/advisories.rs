//! What went wrong in other registries, one test for each advisory that
//! concerns the registry API and that no test elsewhere stands for.
//!
//! The table below says which test stands for which; those of what this registry
//! has not (tokens that carry rights, images that are unpacked, pages) are not
//! in it.

use http::Method;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::http::harness::{Ask, Gathered, PASSWORD, Site, basic, image};
use crate::limits;
use crate::oci::{Digest, MediaType};

/// Each advisory, and the tests for it as `file: function`.
const ADVISORIES: &[(&str, &[&str])] = &[
    ("CVE-2023-2253", &["advisories: cve_2023_2253_a_huge_n_is_no_allocation"]),
    ("CVE-2017-11468", &["advisories: cve_2017_11468_a_manifest_without_end_is_cut_at_the_limit"]),
    (
        "CVE-2021-41190 GHSA-qq97-vm5h-rrhg GHSA-5j5w-g665-5m35",
        &["advisories: cve_2021_41190_a_manifest_has_one_reading", "refuse: manifests_that_are_none"],
    ),
    (
        "CVE-2026-33540 CVE-2026-48978",
        &[
            "remote/auth: a_realm_at_another_origin_gets_no_credentials",
            "remote/auth: a_realm_that_redirects_elsewhere_is_not_followed",
        ],
    ),
    (
        "CVE-2026-50151 CVE-2020-15157 CVE-2019-10214 CVE-2026-49349 GHSA-vh4v-2xq2-g5cg",
        &[
            "remote/auth: a_redirect_to_another_origin_carries_no_credentials",
            "remote/auth: another_origin_that_asks_for_credentials_gets_none",
            "remote/push: an_upload_at_another_origin_gets_the_bytes_and_no_credentials",
        ],
    ),
    ("CVE-2024-3727", &["advisories: cve_2024_3727_what_is_no_digest_reaches_no_path"]),
    ("GHSA-qv35-3gw6-8q4j", &["remote/pull: a_manifest_has_the_digest_it_is_named_by"]),
    ("CVE-2026-35172", &["advisories: cve_2026_35172_a_blob_deleted_here_stays_so_while_another_repository_has_it"]),
    ("CVE-2024-39897", &["rights: a_blob_is_mounted_only_from_where_the_caller_may_read"]),
    ("CVE-2026-32589", &["rights: an_upload_session_is_nobody_elses"]),
    ("CVE-2026-41888 CVE-2026-31801", &["rights: an_immutable_tag_is_refused_in_dtrs_words"]),
    ("GHSA-qg67-7m6v-qg25", &["rights: a_public_repository_is_read_by_everyone_and_written_by_its_own"]),
    (
        "CVE-2025-48374 GHSA-prh4-vhfh-24mj",
        &[
            "advisories: cve_2025_48374_the_log_holds_no_secret_and_no_line_of_a_stranger",
            "remote/auth: nothing_secret_is_logged_even_at_the_finest_level",
        ],
    ),
    ("CVE-2023-20902 CVE-2025-59350", &["password: an_account_that_is_not_there_costs_a_hash_of_the_same_price"]),
    (
        "CVE-2020-13788 CVE-2025-59346 CVE-2026-54637 CVE-2026-10517",
        &[
            "remote/connect: some_addresses_are_dialled_for_nobody",
            "remote/connect: a_name_that_changes_its_mind_gains_nothing",
            "remote/connect: a_redirect_is_checked_like_any_other_connection",
        ],
    ),
    ("CVE-2020-29662", &["advisories: cve_2020_29662_no_side_path_goes_round_the_sign_in"]),
    ("CVE-2019-16097", &["advisories: cve_2019_16097_fields_nobody_asked_for_give_no_right"]),
    (
        "CVE-2023-25153 CVE-2023-25656",
        &[
            "remote/pull: a_manifests_length_and_encoding_are_bounded",
            "push: indexes_lie_in_each_other_to_a_depth_whichever_comes_first",
            "scarce: a_page_of_referrers_is_bounded_in_bytes",
        ],
    ),
    ("CVE-2025-32019", &["pull: a_browser_makes_no_page_of_a_blob"]),
    ("CVE-2023-44487", &["transport: rapid_resets_end_the_connection"]),
    ("CVE-2024-27316", &["transport: headers_without_end_end_the_connection"]),
    ("CVE-2019-9512 CVE-2019-9515", &["transport: questions_whose_answers_are_not_read_are_not_gathered"]),
    ("CVE-2019-9511 CVE-2019-9517", &["transport: windows_that_stay_shut_hold_little"]),
];

#[test]
fn every_advisory_has_a_test() {
    let files = [
        ("advisories", include_str!("advisories.rs")),
        ("password", include_str!("../../../identity/password.rs")),
        ("pull", include_str!("pull.rs")),
        ("push", include_str!("push.rs")),
        ("refuse", include_str!("refuse.rs")),
        ("remote/auth", include_str!("../../../remote/tests/auth.rs")),
        ("remote/connect", include_str!("../../../remote/tests/connect.rs")),
        ("remote/pull", include_str!("../../../remote/tests/pull.rs")),
        ("remote/push", include_str!("../../../remote/tests/push.rs")),
        ("rights", include_str!("rights.rs")),
        ("scarce", include_str!("scarce.rs")),
        ("transport", include_str!("../../../../tests/process/transport.rs")),
    ];
    for (advisory, tests) in ADVISORIES {
        assert!(!tests.is_empty(), "{advisory}");
        for test in *tests {
            let (file, name) = test.split_once(": ").unwrap();
            let (_, text) = files.iter().find(|(known, _)| *known == file).unwrap();
            assert!(text.contains(&format!("fn {name}()")), "{advisory}: there is no test `{name}` in {file}.rs");
        }
    }
}

/// CVE-2023-2253: `n` became the length of an array.
#[tokio::test]
async fn cve_2023_2253_a_huge_n_is_no_allocation() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let referrers = format!("/v2/ann/app/referrers/{}", Digest::sha256_of(b"x"));
    for path in ["/v2/_catalog", "/v2/ann/app/tags/list", referrers.as_str()] {
        for n in ["2147483648", "9223372036854775807", "18446744073709551616", "0"] {
            site.expect(200, Ask::get(&format!("{path}?n={n}")).user("ann")).await;
        }
        for n in ["-1", "abc", "1e9", "%00"] {
            site.expect(400, Ask::get(&format!("{path}?n={n}")).user("ann")).await;
        }
    }
    site.close().await;
}

/// CVE-2017-11468: a manifest was read to its end, wherever that was.
#[tokio::test]
async fn cve_2017_11468_a_manifest_without_end_is_cut_at_the_limit() {
    let site = Site::open().await;
    let head = format!(
        "PUT /v2/ann/app/manifests/x HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Type: {}\r\n",
        basic("ann", PASSWORD),
        MediaType::OciManifest
    );
    let filler = " ".repeat(limits::MANIFEST_BYTES + 1);
    let unannounced = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{filler}", filler.len());
    // The first is endless as far as the registry knows; the second says so and sends nothing.
    for request in [unannounced, format!("{head}Content-Length: 1000000000000\r\nExpect: 100-continue\r\n\r\n")] {
        let answer = site.raw(request).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("MANIFEST_INVALID"), "{answer}");
    }
    site.close().await;
}

/// CVE-2021-41190, GHSA-qq97-vm5h-rrhg, GHSA-5j5w-g665-5m35: one document, two
/// readings. What one client verifies is not what the next one runs.
#[tokio::test]
async fn cve_2021_41190_a_manifest_has_one_reading() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let good = site.push_blob("ann", "ann/app", b"good").await;
    let manifest = image(&config, 2, &[(good, 4)], None).to_string();
    let open = &manifest[..manifest.len() - 1];
    let kind = MediaType::OciManifest.as_str();
    for member in [
        r#""LAYERS":[]"#,
        r#""layer\u017f":[]"#,
        "\"layer\u{17f}\":[]",
        r#""MediaType":"application/vnd.oci.image.index.v1+json""#,
        r#""Manifests":[]"#,
        r#""manifests":[]"#,
        r#""Config":{}"#,
        r#""Subject":{}"#,
        r#""layers":[]"#,
        r#""more":{"a":1,"a":2}"#,
        r#""annotations":{"a":"1","a":"2"}"#,
        r#""annotations":{"a":1}"#,
    ] {
        let put = Ask::put("/v2/ann/app/manifests/two").user("ann").header("content-type", kind);
        let answer = site.expect(400, put.body(format!("{open},{member}}}"))).await;
        assert_eq!(answer.code(), "MANIFEST_INVALID", "{member}");
        site.expect(404, Ask::head("/v2/ann/app/manifests/two").user("ann")).await;
    }
    let sent_as = Ask::put("/v2/ann/app/manifests/two").user("ann").body(&manifest);
    site.expect(400, sent_as.header("content-type", MediaType::OciIndex.as_str())).await;
    site.close().await;
}

/// CVE-2024-3727: a digest's text went into paths and addresses unread.
#[tokio::test]
async fn cve_2024_3727_what_is_no_digest_reaches_no_path() {
    let site = Site::open().await;
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    for bad in [
        "sha256:..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{hex}0"),
        format!("sha256:{}", &hex[1..]),
        format!("sha512:{hex}"),
        format!("sha256:{hex}%00"),
        format!("sha1:{}", &hex[..40]),
        format!("sha256:sha256:{hex}"),
    ] {
        for path in [
            format!("/v2/ann/app/blobs/{bad}"),
            format!("/v2/ann/app/manifests/{bad}"),
            format!("/v2/ann/app/referrers/{bad}"),
            format!("/v2/ann/app/referrers/{config}?last={bad}"),
        ] {
            let answer = site.expect(400, Ask::get(&path).user("ann")).await;
            assert_eq!(answer.code(), "DIGEST_INVALID", "{path}");
        }
        for parameter in ["digest", "mount"] {
            let path = format!("/v2/ann/app/blobs/uploads/?{parameter}={bad}");
            assert_eq!(site.expect(400, Ask::post(&path).user("ann")).await.code(), "DIGEST_INVALID", "{path}");
        }
        let mut manifest = image(&config, 2, &[], None);
        manifest["layers"] = json!([{ "mediaType": "x", "digest": bad.replace("%2f", "/"), "size": 1 }]);
        let put = Ask::put("/v2/ann/app/manifests/bad").user("ann");
        assert_eq!(site.expect(400, put.body(manifest.to_string())).await.code(), "MANIFEST_INVALID", "{bad}");
    }
    site.close().await;
}

/// CVE-2026-35172: a cache without the repository in its key gave a blob back
/// to the repository that it was deleted from.
#[tokio::test]
async fn cve_2026_35172_a_blob_deleted_here_stays_so_while_another_repository_has_it() {
    let site = Site::open().await;
    let blob = site.push_blob("ann", "ann/app", b"shared").await;
    site.push_blob("ann", "ann/other", b"shared").await;
    let (here, there) = (format!("/v2/ann/app/blobs/{blob}"), format!("/v2/ann/other/blobs/{blob}"));
    site.expect(200, Ask::get(&here).user("ann")).await;
    site.expect(202, Ask::delete(&here).user("ann")).await;
    for _ in 0..2 {
        site.expect(200, Ask::get(&there).user("ann")).await;
        site.expect(404, Ask::get(&here).user("ann")).await;
        site.expect(404, Ask::head(&here).user("ann")).await;
    }
    let manifest = image(&blob, 6, &[], None);
    let put = Ask::put("/v2/ann/app/manifests/x").user("ann").body(manifest.to_string());
    assert_eq!(site.expect(404, put).await.code(), "MANIFEST_BLOB_UNKNOWN");
    site.close().await;
}

/// CVE-2020-29662: the catalog was open on a path beside its own.
#[tokio::test]
async fn cve_2020_29662_no_side_path_goes_round_the_sign_in() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    for path in [
        "/v2/_catalog",
        "/v2/_catalog/",
        "/v2//_catalog",
        "//v2/_catalog",
        "/v2/%5Fcatalog",
        "/v2%2F_catalog",
        "/v2/./_catalog",
        "/x/../v2/_catalog",
        "/V2/_catalog",
        "/v2/ann/app/tags/list/",
        "/v2/ann%2Fapp/tags/list",
        "/v2/ann/app/manifests/1.0/",
        "/api/v0//repositories",
        "/enzi/v0/accounts/",
    ] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            let answer = site.send(Ask::new(method.clone(), path)).await;
            assert!(matches!(answer.status.as_u16(), 401 | 404), "{method} {path}: {}", answer.status);
            assert!(!answer.text().contains("ann"), "{method} {path}: {}", answer.text());
        }
    }
    for path in ["/api/v0/repositories/", "/api/v0/repositories/ann", "/api/v0/repositories/ann%2Fapp"] {
        let open = site.expect(200, Ask::get(path)).await;
        assert_eq!(open.json(), json!({ "repositories": [] }), "only what is public is listed");
    }
    site.close().await;
}

/// CVE-2019-16097: a field that was not asked for made an admin.
#[tokio::test]
async fn cve_2019_16097_fields_nobody_asked_for_give_no_right() {
    let site = Site::open().await;
    let admin = json!({ "name": "eve", "password": PASSWORD, "isAdmin": true }).to_string();
    site.expect(403, Ask::post("/enzi/v0/accounts").user("ann").body(&admin)).await;
    let more = json!({ "name": "new", "namespace": "bob", "owner": "bob", "isAdmin": true, "id": "x" }).to_string();
    let made = site.expect(201, Ask::post("/api/v0/repositories/ann").user("ann").body(&more)).await.json();
    assert_eq!((&made["namespace"], &made["name"]), (&json!("ann"), &json!("new")));
    let ann = site.expect(200, Ask::get("/enzi/v0/accounts/ann").user("root")).await.json();
    assert_eq!(ann["isAdmin"], false);
    // Another's object by its id, through a repository of one's own.
    let policy = json!({ "rules": [], "targetRepository": "bob/other" }).to_string();
    let bobs = site.expect(201, Ask::post("/api/v0/repositories/bob/app/promotionPolicies").user("bob").body(&policy));
    let id = bobs.await.json()["id"].as_str().unwrap().to_owned();
    let through = format!("/api/v0/repositories/ann/app/promotionPolicies/{id}");
    site.expect(404, Ask::get(&through).user("ann")).await;
    site.expect(404, Ask::put(&through).user("ann").body("{}")).await;
    site.expect(204, Ask::delete(&through).user("ann")).await;
    site.expect(200, Ask::get(&format!("/api/v0/repositories/bob/app/promotionPolicies/{id}")).user("bob")).await;
    site.close().await;
}

/// Two lengths in one request: what a proxy takes for its body is our next
/// request.
#[tokio::test]
async fn a_request_with_two_lengths_is_one_request_or_none() {
    let site = Site::open().await;
    let smuggled = "GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n";
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length : 4\r\n",
    ] {
        let answer = site.raw(format!("POST /v2/ HTTP/1.1\r\nHost: a\r\n{lengths}\r\n0\r\n\r\n{smuggled}")).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 || !answer.contains("Healthy"), "{lengths}: {answer}");
    }
    site.close().await;
}

/// CVE-2025-48374 and its like: secrets in the log. And forged lines: a text of
/// a stranger's with a line end in it read like the daemon's own word.
#[tokio::test]
async fn cve_2025_48374_the_log_holds_no_secret_and_no_line_of_a_stranger() {
    let gathered = Gathered::default();
    let writer = gathered.clone();
    let logger = tracing_subscriber::registry().with(tracing_subscriber::EnvFilter::new("tidegate=trace"));
    let logged = tracing::subscriber::set_default(crate::telemetry::text(logger, false, move || writer.clone()));
    // With a single subscriber, what other tests log first on their threads
    // counts as of no interest to anyone, this one included.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let site = Site::open().await;
    let canary = "canary-7f3a";
    let forged = "x\u{1b}[31m\r\nERROR forged\0\u{9b}";
    let signed = |ask: Ask| ask.user("ann");
    site.expect(401, Ask::get("/v2/").header("authorization", &basic(forged, canary))).await;
    site.expect(401, Ask::get("/v2/").header("authorization", &format!("Bearer {canary}"))).await;
    let manifest = json!({ "schemaVersion": 2, "mediaType": forged }).to_string();
    site.expect(400, signed(Ask::put("/v2/ann/app/manifests/x")).body(&manifest)).await;
    let key = json!({ "schemaVersion": 2, "layers": [], "x": 1 })
        .to_string()
        .replace("\"x\"", "\"a\\u001b\\n\":1,\"a\\u001b\\n\"");
    site.expect(400, signed(Ask::put("/v2/ann/app/manifests/x")).body(&key)).await;
    let remote = json!({ "remoteHost": format!("http://{forged}"), "remoteRepository": forged, "username": "ann",
        "password": canary, "authToken": canary })
    .to_string();
    site.expect(400, signed(Ask::post("/api/v0/remote/registry")).body(&remote)).await;
    let mirror = "/api/v0/repositories/ann/app/pushMirroringPolicies?check=false";
    site.expect(404, signed(Ask::post(mirror)).body(&remote)).await;
    site.expect(404, signed(Ask::get("/api/v0/repositories/ann/app/tags/x%1B%0D%0AERROR%20forged%00"))).await;
    site.expect(400, signed(Ask::get("/v2/ann/app/manifests/x%1B%0D%0AERROR%20forged%00"))).await;
    site.expect(400, Ask::get("/api/v0/jobs?running=x%1B%0D%0AERROR%20forged").user("root")).await;
    let account = json!({ "name": forged, "password": canary }).to_string();
    site.expect(400, Ask::post("/enzi/v0/accounts").user("root").body(&account)).await;
    let numeric = format!(r#"{{"name":"eve","password":{}}}"#, 40_417_263);
    site.expect(400, Ask::post("/enzi/v0/accounts").user("root").body(&numeric)).await;
    site.close().await;
    drop(logged);
    let text = gathered.text();
    assert!(text.matches("ERROR forged").count() >= 6, "the texts were driven into the log: {text}");
    for line in text.lines() {
        assert!(line.starts_with("20"), "a line that does not begin with the time: {line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for secret in [canary, PASSWORD, "40417263", &basic("ann", PASSWORD)] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
