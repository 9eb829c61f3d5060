//! Bad input, one refusal each: status, code, and words that say what is
//! allowed.

use http::Method;

use crate::http::harness::{Ask, Site, basic, image};
use crate::oci::{Digest, MediaType};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn malformed_names_tags_digests_and_numbers() {
    let site = Site::open().await;
    for (method, path, status, code, words) in [
        (Method::GET, "/v2/website/tags/list", 400, "NAME_INVALID", "namespace/name"),
        (Method::GET, "/v2/ann/App/tags/list", 400, "NAME_INVALID", "lower-case"),
        (Method::GET, "/v2/ann/../app/tags/list", 400, "NAME_INVALID", "lower-case"),
        (Method::GET, "/v2/ann/%2e%2e/tags/list", 400, "NAME_INVALID", "lower-case"),
        (Method::GET, "/v2/ann//app/tags/list", 400, "NAME_INVALID", "lower-case"),
        (Method::GET, "/v2/ann/app/manifests/.x", 400, "TAG_INVALID", "1 to 128"),
        (Method::GET, "/v2/ann/app/manifests/sha256:zz", 400, "DIGEST_INVALID", "64"),
        (Method::GET, "/v2/ann/app/blobs/md5:00", 400, "DIGEST_INVALID", "sha256 or sha512"),
        (Method::GET, "/v2/ann/app/blobs/latest", 400, "DIGEST_INVALID", "<algorithm>:<hex>"),
        (Method::GET, "/v2/ann/app/referrers/x", 400, "DIGEST_INVALID", "<algorithm>:<hex>"),
        (Method::GET, "/v2/ann/app/tags/list?n=-1", 400, "UNSUPPORTED", "not negative"),
        (Method::GET, "/v2/_catalog?n=abc", 400, "UNSUPPORTED", "not negative"),
        (Method::POST, "/v2/ann/app/blobs/uploads/?digest=x", 400, "DIGEST_INVALID", "`digest`"),
        (Method::POST, "/v2/ann/app/blobs/uploads/?mount=x", 400, "DIGEST_INVALID", "`mount`"),
        (Method::POST, "/v2/ann/app/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID", "sha512"),
        (Method::PUT, "/v2/ann/app/blobs/uploads/x", 400, "DIGEST_INVALID", "?digest="),
        (Method::GET, "/v2/ann/app/blobs/uploads/x", 404, "BLOB_UPLOAD_UNKNOWN", "begin with POST"),
        (Method::GET, "/v2/ann/app", 404, "UNSUPPORTED", "no such path"),
        (Method::GET, "/v2/ann/app/manifests/none", 404, "MANIFEST_UNKNOWN", "the tag \"none\" is not in ann/app"),
        (
            Method::GET,
            "/v2/ann/none/tags/list",
            404,
            "NAME_UNKNOWN",
            "you may make it with `tidegate repository create",
        ),
        (Method::GET, "/v2/bob/none/tags/list", 404, "NAME_UNKNOWN", "an admin makes it with `tidegate repository"),
    ] {
        let answer = site.expect(status, Ask::new(method, path).user("ann")).await;
        assert_eq!(answer.code(), code, "{path}");
        assert!(answer.message().contains(words), "{path}: {}", answer.message());
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let missing = Ask::get(&format!("/v2/ann/app/blobs/{DIGEST}")).user("ann");
    assert_eq!(site.expect(404, missing).await.code(), "BLOB_UNKNOWN");
    site.close().await;
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take() {
    let site = Site::open().await;
    for (method, path, allow) in [
        (Method::POST, "/v2/", "GET, HEAD"),
        (Method::DELETE, "/v2/_catalog", "GET, HEAD"),
        (Method::PUT, "/v2/ann/app/tags/list", "GET, HEAD"),
        (Method::POST, "/v2/ann/app/manifests/x", "GET, HEAD, PUT, DELETE"),
        (Method::PUT, &format!("/v2/ann/app/blobs/{DIGEST}"), "GET, HEAD, DELETE"),
        (Method::GET, "/v2/ann/app/blobs/uploads/", "POST"),
        (Method::POST, "/v2/ann/app/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        (Method::OPTIONS, &format!("/v2/ann/app/referrers/{DIGEST}"), "GET, HEAD"),
    ] {
        let answer = site.expect(405, Ask::new(method, path).user("ann")).await;
        assert_eq!((answer.code().as_str(), answer.header("allow")), ("UNSUPPORTED", allow), "{path}");
    }
    site.close().await;
}

#[tokio::test]
async fn manifests_that_are_none() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let (oci, index) = (MediaType::OciManifest.as_str(), MediaType::OciIndex.as_str());
    let good = image(&config, 2, &[], None);
    let mut both = good.clone();
    both["manifests"] = serde_json::json!([]);
    let absent = Digest::sha256_of(b"not pushed");
    let hollow = image(&config, 2, &[(absent, 10)], None);
    for (body, kind, status, code, words) in [
        ("{".to_owned(), oci, 400, "MANIFEST_INVALID", "not valid"),
        ("[]".to_owned(), oci, 400, "MANIFEST_INVALID", "a manifest is a JSON object"),
        (both.to_string(), oci, 400, "MANIFEST_INVALID", "never both"),
        (good.to_string(), index, 400, "MANIFEST_INVALID", "was sent as"),
        (good.to_string(), "text/html", 400, "MANIFEST_INVALID", "no manifest media type"),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "", 400, "MANIFEST_INVALID", "schema 1"),
        (hollow.to_string(), oci, 404, "MANIFEST_BLOB_UNKNOWN", "push or mount it first"),
    ] {
        let ask = Ask::put("/v2/ann/app/manifests/bad").user("ann").header("content-type", kind).body(&body);
        let answer = site.expect(status, ask).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(answer.message().contains(words), "{body}: {}", answer.message());
        site.expect(404, Ask::head("/v2/ann/app/manifests/bad").user("ann")).await;
    }
    let other = Ask::put(&format!("/v2/ann/app/manifests/{absent}")).user("ann").header("content-type", oci);
    let answer = site.expect(400, other.body(good.to_string())).await;
    assert_eq!(answer.code(), "DIGEST_INVALID");
    site.close().await;
}

/// A client compares lengths when it pulls: an image with a wrong one was taken
/// and could never be pulled.
#[tokio::test]
async fn a_manifest_that_misstates_a_length_is_refused() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let layer = site.push_blob("ann", "ann/app", b"layer").await;
    let refused = async |manifest: &serde_json::Value, digest: &Digest, stated: u64, found: u64| {
        let kind = manifest["mediaType"].as_str().unwrap();
        let put = Ask::put("/v2/ann/app/manifests/bad").user("ann").header("content-type", kind);
        let answer = site.expect(400, put.body(manifest.to_string())).await;
        let words = format!("the manifest says that {digest} has {stated} bytes; it has {found}");
        assert_eq!((answer.code().as_str(), answer.message()), ("SIZE_INVALID", words));
        site.expect(404, Ask::head("/v2/ann/app/manifests/bad").user("ann")).await;
    };
    refused(&image(&config, 3, &[(layer, 5)], None), &config, 3, 2).await;
    refused(&image(&config, 2, &[(layer, 4)], None), &layer, 4, 5).await;
    let mut foreign = image(&config, 2, &[(layer, 6)], None);
    foreign["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar".into();
    refused(&foreign, &layer, 6, 5).await;
    let good = image(&config, 2, &[(layer, 5)], None);
    let entry = site.push_manifest("ann", "ann/app", "good", &good).await;
    let length = good.to_string().len() as u64;
    let absent = Digest::sha256_of(b"of another platform");
    let index = |size: u64, blob: u64| {
        let kind = MediaType::OciManifest.as_str();
        serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [
            { "mediaType": kind, "digest": entry, "size": size },
            { "mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": layer, "size": blob },
            // What is not here has no length to compare with.
            { "mediaType": kind, "digest": absent, "size": 1 },
        ] })
    };
    refused(&index(length + 1, 5), &entry, length + 1, length).await;
    refused(&index(length, 7), &layer, 7, 5).await;
    site.push_manifest("ann", "ann/app", "list", &index(length, 5)).await;
    site.close().await;
}

#[tokio::test]
async fn nobody_is_told_anything_before_signing_in() {
    let site = Site::open().await;
    site.push_image("ann", "ann/app", "1.0", b"layer").await;
    for path in ["/v2/", "/v2", "/v2/_catalog", "/v2/ann/app/manifests/1.0", "/v2/no such", "/v2/ann/app/x/y"] {
        let path = path.replace(' ', "%20");
        let answer = site.expect(401, Ask::get(&path)).await;
        assert_eq!(answer.code(), "UNAUTHORIZED");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with(r#"Bearer realm="https://registry.example/auth/token",service="#), "{challenge}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
    for credentials in [
        basic("ann", "wrong horse"),
        basic("nobody", "correct horse"),
        basic("dev", "correct horse"),
        basic("gone", "correct horse"),
        "Basic !".to_owned(),
        "Bearer abc".to_owned(),
    ] {
        let ask = Ask::get("/v2/").header("authorization", &credentials);
        assert!(site.expect(401, ask).await.headers.contains_key("www-authenticate"));
    }
    let base = site.expect(200, Ask::get("/v2/").user("ann")).await;
    assert_eq!(base.json(), serde_json::json!({}));
    site.close().await;
}

/// A sparse image is marked and taken; what it lacks is told to nobody, and
/// what a client was told is here may not be among it.
#[tokio::test]
async fn an_image_may_lack_some_of_its_layers_and_never_all() {
    let site = Site::open().await;
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let here = site.push_blob("ann", "ann/app", b"layer").await;
    let absent = Digest::sha256_of(b"not pushed");
    let oci = MediaType::OciManifest.as_str();
    let put = |tag: &str, body: &serde_json::Value| {
        let path = format!("/v2/ann/app/manifests/{tag}");
        Ask::put(&path).user("ann").header("content-type", oci).body(body.to_string())
    };
    site.expect(201, put("sparse", &image(&config, 2, &[(here, 5), (absent, 10)], None))).await;
    site.expect(404, Ask::get(&format!("/v2/ann/app/blobs/{absent}")).user("ann")).await;
    site.expect(404, put("hollow", &image(&config, 2, &[(absent, 10)], None))).await;
    site.expect(404, put("headless", &image(&absent, 10, &[(here, 5)], None))).await;
    let depth = crate::store::verify::Depth::Bytes;
    let verified = || {
        let store = site.state.registry().store();
        let live = std::collections::HashSet::new();
        crate::store::verify::verify(&store.snapshot().unwrap(), store.files(), depth, &live).unwrap()
    };
    assert_eq!(verified().findings, []);
    // The hole is filled, and nothing is left of it.
    assert_eq!(site.push_blob("ann", "ann/app", b"not pushed").await, absent);
    assert_eq!(verified().findings, []);
    site.close().await;
}

#[tokio::test]
async fn an_operator_may_refuse_what_lacks_parts() {
    use crate::registry::{Options, Sparse};
    let absent = Digest::sha256_of(b"not pushed");
    for (sparse, image_status, index_status) in
        [(Sparse::Images, 201, 201), (Sparse::Indexes, 404, 201), (Sparse::Refused, 404, 404)]
    {
        let site = Site::open_with(Options { sparse, ..Options::default() }).await;
        let config = site.push_blob("ann", "ann/app", b"{}").await;
        let here = site.push_blob("ann", "ann/app", b"layer").await;
        let put = |tag: &str, kind: MediaType, body: serde_json::Value| {
            let path = format!("/v2/ann/app/manifests/{tag}");
            Ask::put(&path).user("ann").header("content-type", kind.as_str()).body(body.to_string())
        };
        let lacking = image(&config, 2, &[(here, 5), (absent, 10)], None);
        site.expect(image_status, put("image", MediaType::OciManifest, lacking)).await;
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [
            { "mediaType": MediaType::OciManifest.as_str(), "digest": absent, "size": 1 },
        ] });
        let answer = site.expect(index_status, put("index", MediaType::OciIndex, index)).await;
        if index_status == 404 {
            assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
        }
        site.close().await;
    }
}
