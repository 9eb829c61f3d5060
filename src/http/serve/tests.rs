//! What holds for every request, whatever it asks for.

use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::harness::{Ask, PASSWORD, Site, basic};
use crate::limits;
use crate::oci::Digest;

#[tokio::test]
async fn what_anyone_may_ask_and_nothing_else() {
    let site = Site::open().await;
    assert_eq!(site.expect(200, Ask::get("/_ping")).await.json(), json!({ "Healthy": true, "Error": "" }));
    assert_eq!(site.expect(200, Ask::get("/health")).await.json(), json!({ "status": "ok" }));
    assert!(site.expect(200, Ask::get("/ca")).await.text().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(site.expect(405, Ask::post("/ca")).await.header("allow"), "GET, HEAD");
    site.expect(404, Ask::get("/")).await;
    site.expect(401, Ask::get("/v2/")).await;
    for path in ["/api/v0/jobs", "/api/v0/nothing", "/enzi/v0/accounts"] {
        let answer = site.expect(401, Ask::get(path)).await;
        assert_eq!((answer.code().as_str(), answer.header("content-type")), ("NOT_AUTHENTICATED", "application/json"));
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    site.state.set_ready(false);
    assert_eq!(site.expect(503, Ask::get("/_ping")).await.json()["Healthy"], json!(false));
    site.expect(503, Ask::get("/health")).await;
    // Nobody is turned away while the daemon stops: what is begun is drained.
    site.expect(200, Ask::get("/v2/").user("ann")).await;
    site.close().await;
}

#[tokio::test]
async fn whoever_opens_the_local_socket_is_the_system() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    site.expect(200, Ask::get("/v2/ann/app/manifests/1.0").local()).await;
    // Even with credentials that would not do elsewhere.
    let wrong = Ask::get("/v2/").local().header("authorization", &basic("ann", "wrong horse"));
    site.expect(200, wrong).await;
    site.close().await;
}

#[tokio::test]
async fn the_metrics_are_for_those_who_may_see_everything() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    site.expect(200, Ask::get("/v2/ann/app/manifests/1.0").user("ann")).await;
    site.expect(404, Ask::get("/v2/ann/app/manifests/2.0").user("ann")).await;
    assert_eq!(site.expect(401, Ask::get("/metrics")).await.code(), "NOT_AUTHENTICATED");
    assert_eq!(site.expect(403, Ask::get("/metrics").user("ann")).await.code(), "NOT_AUTHORIZED");
    assert_eq!(site.expect(405, Ask::post("/metrics").local()).await.header("allow"), "GET, HEAD");
    for (path, bytes) in [("/api/v0/quotas", 5_000_000), ("/api/v0/quotas/ann", 4_000_000)] {
        site.expect(200, Ask::put(path).local().body(serde_json::json!({ "quotaBytes": bytes }).to_string())).await;
    }
    let answer = site.expect(200, Ask::get("/metrics").local()).await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "tidegate_http_requests_total{route=\"v2.manifest.get\",status=\"200\"} 1\n",
        "tidegate_http_requests_total{route=\"v2.manifest.get\",status=\"404\"} 1\n",
        "tidegate_http_requests_total{route=\"metrics\",status=\"403\"} 1\n",
        "tidegate_ready 1\n",
        "tidegate_store_stopped 0\n",
        "tidegate_disk_level 2\n",
        "tidegate_quarantined 0\n",
        "tidegate_uploads_open 0\n",
        "tidegate_process_resident_memory_bytes ",
        "tidegate_blob_transferred_bytes_total ",
        "tidegate_store_commits_total ",
        "tidegate_disk_free_bytes ",
        "tidegate_quota_limit_bytes{quota=\"all\",name=\"\"} 5000000\n",
        "tidegate_quota_limit_bytes{quota=\"namespace\",name=\"ann\"} 4000000\n",
        "tidegate_quota_used_bytes{quota=\"namespace\",name=\"ann\"} ",
        "tidegate_sealing_keys_missing 0\n",
        "tidegate_sealing_key_file_unusable 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    site.close().await;
}

#[tokio::test]
async fn every_answer_has_its_name_and_is_no_page() {
    let site = Site::open().await;
    let absent = format!("/v2/ann/app/blobs/{}", Digest::sha256_of(b"x"));
    for (method, path, status) in [
        (Method::GET, "/v2/", 200),
        (Method::HEAD, "/v2/", 200),
        (Method::GET, absent.as_str(), 404),
        (Method::POST, "/v2/", 405),
        (Method::GET, "/ca", 200),
        (Method::GET, "/_ping", 200),
        (Method::GET, "/health", 200),
        (Method::GET, "/api/v0/none", 404),
        (Method::GET, "/nothing", 404),
    ] {
        let ask = Ask::new(method, path).user("ann");
        let answer = site.expect(status, ask.clone()).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("x-request-id").len(), 36, "{path}");
        let named = site.expect(status, ask.header("x-request-id", "build-17")).await;
        assert_eq!(named.header("x-request-id"), "build-17", "{path}");
    }
    site.close().await;
}

/// A proxy in front may have read another host, or another caller, than we do
/// (RFC 9112 §3.2).
#[tokio::test]
async fn a_request_is_for_one_host_and_from_one_caller() {
    let site = Site::open().await;
    let (ann, root) = (basic("ann", PASSWORD), basic("root", PASSWORD));
    let signed = format!("Authorization: {ann}\r\n");
    for (path, code) in [("/v2/", "UNSUPPORTED"), ("/api/v0/repositories", "UNSUPPORTED"), ("/health", "UNSUPPORTED")] {
        for host in ["", "Host: a\r\nHost: a\r\n", "Host: a/b\r\n", "Host: u@a\r\n"] {
            let answer = site.raw(format!("GET {path} HTTP/1.1\r\n{host}{signed}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(code), "{path} {host}: {answer}");
            let is_registry = answer.contains("docker-distribution-api-version");
            assert_eq!(is_registry, path == "/v2/", "{answer}");
        }
        let fine = site.raw(format!("GET {path} HTTP/1.1\r\nHost: a:5000\r\n{signed}\r\n")).await;
        assert!(fine.starts_with("HTTP/1.1 200 "), "{fine}");
        let old = site.raw(format!("GET {path} HTTP/1.0\r\n{signed}\r\n")).await;
        assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    }
    for path in ["/v2/", "/api/v0/repositories"] {
        let two = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{signed}Authorization: {root}\r\n\r\n");
        let answer = site.raw(two).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("more than one Authorization"), "{answer}");
    }
    site.close().await;
}

/// A connection that is closed under a client which still sends makes it see a
/// broken pipe instead of the reason.
#[tokio::test]
async fn a_client_whose_body_is_refused_hears_why() {
    let site = Site::open().await;
    let bytes = vec![0; usize::try_from(limits::UNWANTED_BODY_BYTES).unwrap() - 1];
    let refused = Ask::post(&format!("/v2/ann/none/blobs/uploads/?digest={}", Digest::sha256_of(b""))).body(&bytes);
    let answer = site.expect(404, refused.clone().user("ann")).await;
    assert_eq!(answer.code(), "NAME_UNKNOWN");
    assert!(!answer.headers.contains_key("connection"), "kept: all of it was read");
    site.expect(401, refused).await;
    site.close().await;
}

#[tokio::test]
async fn a_body_without_end_that_nobody_wants_ends_the_connection() {
    let site = Site::open().await;
    let head = |more: &str| {
        format!(
            "POST /v2/ann/none/blobs/uploads/?digest={} HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\
             Content-Length: 1000000000000\r\n{more}\r\n",
            Digest::sha256_of(b""),
            basic("ann", crate::http::harness::PASSWORD)
        )
    };
    // The first waits to be asked for its body, and is not asked.
    for (head, sent) in [(head("Expect: 100-continue\r\n"), 0), (head(""), limits::UNWANTED_BODY_BYTES + 1)] {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![0; usize::try_from(sent).unwrap()]).await.unwrap();
        let mut answer = Vec::new();
        // However it ends, the answer comes first.
        let _ = tokio::time::timeout(limits::BODY_STALL / 2, stream.read_to_end(&mut answer)).await.expect("closed");
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with("http/1.1 404 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.contains("name_unknown"), "{answer}");
    }
    site.close().await;
}

/// `identity, chunked` was taken for `chunked`, and `chunked, chunked` as well:
/// what a proxy takes for the end of such a request is another place.
#[tokio::test]
async fn a_transfer_coding_that_is_not_known_ends_the_connection() {
    let site = Site::open().await;
    let send = async |codings: &str, path: &str| {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{codings}\r\n2\r\n{{}}\r\n0\r\n\r\n");
        site.raw(format!("{request}GET /_ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await
    };
    for codings in [
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
    ] {
        for path in ["/auth/token", "/v2/ann/app/blobs/uploads/", "/"] {
            let answer = send(codings, path).await;
            assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("connection: close"), "{codings}{answer}");
            assert!(answer.contains("`chunked`, once"), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "what follows is no request: {answer}");
        }
    }
    let answer = send("transfer-encoding: Chunked\r\n", "/auth/token").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/1.1 ").count() == 2, "{answer}");
    site.close().await;
}
