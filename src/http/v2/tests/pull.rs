//! Manifests and blobs, read.

use crate::http::harness::{Ask, Site};
use crate::oci::{Digest, MediaType};

#[tokio::test]
async fn a_manifest_is_served_as_stored_whatever_is_accepted() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let by_tag = site.expect(200, Ask::get("/v2/ann/app/manifests/1.0").user("ann")).await;
    assert_eq!(Digest::sha256_of(&by_tag.body), digest);
    for (path, accept) in [
        ("1.0".to_owned(), MediaType::DockerManifest.as_str()),
        (digest.to_string(), "text/html"),
        (digest.to_string().replace(':', "%3A"), "*/*"),
    ] {
        let ask = Ask::get(&format!("/v2/ann/app/manifests/{path}")).user("ann").header("accept", accept);
        let answer = site.expect(200, ask).await;
        assert_eq!(answer.body, by_tag.body);
        assert_eq!(answer.header("content-type"), MediaType::OciManifest.as_str());
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    }
    let head = site.expect(200, Ask::head("/v2/ann/app/manifests/1.0").user("ann")).await;
    assert_eq!(head.header("content-length"), by_tag.body.len().to_string());
    assert_eq!((head.header("docker-content-digest"), head.body.len()), (digest.to_string().as_str(), 0));
    site.close().await;
}

#[tokio::test]
async fn a_client_that_has_it_is_told_so_until_the_tag_moves() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "1.0", b"layer").await;
    let blob = Digest::sha256_of(b"layer");
    for (path, digest) in [("manifests/1.0".to_owned(), digest), (format!("blobs/{blob}"), blob)] {
        let path = format!("/v2/ann/app/{path}");
        let etag = site.expect(200, Ask::head(&path).user("ann")).await.header("etag").to_owned();
        for ask in [Ask::get(&path), Ask::head(&path)] {
            let answer = site.expect(304, ask.user("ann").header("if-none-match", &etag)).await;
            assert_eq!((answer.header("docker-content-digest"), answer.body.len()), (digest.to_string().as_str(), 0));
        }
        site.expect(200, Ask::get(&path).user("ann").header("if-none-match", "\"sha256:other\"")).await;
    }
    site.push_image("ann", "ann/app", "1.0", b"another").await;
    let moved = Ask::get("/v2/ann/app/manifests/1.0").user("ann").header("if-none-match", &format!("\"{digest}\""));
    site.expect(200, moved).await;
    site.close().await;
}

#[tokio::test]
async fn a_blob_in_whole_and_in_part() {
    let site = Site::open().await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = site.push_blob("ann", "ann/app", &bytes).await;
    let path = format!("/v2/ann/app/blobs/{digest}");
    let part = |range: &str| Ask::get(&path).user("ann").header("range", range);
    for (range, first, last) in
        [("bytes=0-9", 0, 9), ("bytes=100000-", 100_000, 199_999), ("bytes=-5", 199_995, 199_999)]
    {
        let answer = site.expect(206, part(range)).await;
        assert_eq!(answer.header("content-range"), format!("bytes {first}-{last}/200000"));
        assert_eq!(answer.body, bytes[first..=last], "{range}");
    }
    for range in ["bytes=200000-", "bytes=500-0", "bytes=-0"] {
        let answer = site.expect(416, part(range)).await;
        assert_eq!((answer.code().as_str(), answer.header("content-range")), ("RANGE_INVALID", "bytes */200000"));
    }
    for range in ["bytes=0-1,4-5", "lines=0-1", "bytes=a-b"] {
        assert_eq!(site.expect(200, part(range)).await.body, bytes);
    }
    // A part of something else is worse than all of this.
    let other = part("bytes=0-9").header("if-range", "\"sha256:other\"");
    assert_eq!(site.expect(200, other).await.body, bytes);
    let same = part("bytes=0-9").header("if-range", &format!("\"{digest}\""));
    assert_eq!(site.expect(206, same).await.body, bytes[..10]);
    let head = site.expect(200, Ask::head(&path).user("ann").header("range", "bytes=0-9")).await;
    assert_eq!((head.header("content-length"), head.header("accept-ranges")), ("200000", "bytes"));
    site.close().await;
}

/// A blob that is HTML must not become a page of the registry's origin.
#[tokio::test]
async fn a_browser_makes_no_page_of_a_blob() {
    let site = Site::open().await;
    let digest = site.push_blob("ann", "ann/app", b"<script>alert(1)</script>").await;
    let answer = site.expect(200, Ask::get(&format!("/v2/ann/app/blobs/{digest}")).user("ann")).await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("content-disposition"), "attachment");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    site.close().await;
}
