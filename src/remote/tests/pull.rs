//! Manifests, blobs and tags, from servers that keep to the protocol and from
//! servers that do not.

use std::time::Duration;

use super::fake::{impatient, outbound_options};
use super::{Fake, Reply, Seen};
use crate::backoff::Retry;
use crate::limits;
use crate::oci::{Algorithm, Digest, Reference};
use crate::remote::{Breach, Outbound, OutboundOptions, Registry, RemoteError, Timing};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOB: &[u8] = b"0123456789";

fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse().expect("a tag"))
}

fn breach(error: RemoteError) -> Breach {
    match error {
        RemoteError::Protocol { breach, .. } => *breach,
        other => panic!("{other:?}"),
    }
}

async fn manifest_from(reply: Reply, reference: &Reference) -> Result<Option<(Vec<u8>, String, Digest)>, RemoteError> {
    let fake = Fake::start(move |_: &Seen| reply.clone()).await;
    let fetched = fake.registry().get_manifest(reference).await?;
    let asked = fake.seen()[0].clone();
    assert_eq!(asked.path, format!("/v2/dev/web/manifests/{reference}"));
    assert!(asked.header("accept").expect("Accept").split(", ").count() == 4 && asked.header("expect").is_none());
    assert_eq!(asked.header("user-agent"), Some("tidegate/test"));
    Ok(fetched.map(|fetched| (fetched.bytes.to_vec(), fetched.media_type, fetched.digest)))
}

#[tokio::test]
async fn a_manifest_has_the_digest_it_is_named_by() {
    let body = r#"{"schemaVersion":2}"#;
    let right = Digest::sha256_of(body.as_bytes());
    let wrong = Digest::sha256_of(b"other");
    let long = Digest::of(Algorithm::Sha512, body.as_bytes());
    let reply = || Reply::new(200).header("Content-Type", OCI).body(body);
    let named = |digest: Digest| reply().header("Docker-Content-Digest", digest);
    let whole = |digest| Some((body.as_bytes().to_vec(), OCI.to_owned(), digest));

    for (reply, reference, expected) in [
        (reply(), tag("a"), whole(right)),
        (named(right), tag("a"), whole(right)),
        (named(long), tag("a"), whole(long)),
        (reply(), Reference::Digest(right), whole(right)),
        (named(right), Reference::Digest(long), whole(long)),
        (reply().header("Docker-Content-Digest", "md5:00"), tag("a"), whole(right)),
        (Reply::new(404), tag("a"), None),
    ] {
        assert_eq!(manifest_from(reply, &reference).await.expect("no error"), expected);
    }
    for (reply, reference) in
        [(named(wrong), tag("a")), (reply(), Reference::Digest(wrong)), (named(wrong), Reference::Digest(right))]
    {
        let error = manifest_from(reply, &reference).await.expect_err("a wrong digest");
        assert_eq!(error.retry(), Retry::Slowly);
        assert!(matches!(breach(error), Breach::Digest { .. }));
    }
    let garbled = reply().header("Docker-Content-Digest", "sha256:../../x");
    assert!(matches!(breach(manifest_from(garbled, &tag("a")).await.expect_err("garbled")), Breach::DigestHeader));
}

#[tokio::test]
async fn a_manifests_length_and_encoding_are_bounded() {
    let big = vec![b' '; limits::MANIFEST_BYTES + 1];
    let announced = Reply::new(200).header("Content-Length", big.len()).body(&big);
    let silent = Reply::new(200).body(&big[..1 << 20]).body(&big[..1 << 20]).body(&big);
    for reply in [announced, silent] {
        let error = manifest_from(reply, &tag("a")).await.expect_err("too large");
        assert!(matches!(error, RemoteError::TooLarge { limit: limits::MANIFEST_BYTES, .. }), "{error:?}");
    }
    let gzip = Reply::new(200).header("Content-Encoding", "gzip").body("x");
    assert!(matches!(breach(manifest_from(gzip, &tag("a")).await.expect_err("gzip")), Breach::Encoding(_)));
    let cut = Reply::new(200).header("Content-Length", 100).body("half").then_break();
    let error = manifest_from(cut, &tag("a")).await.expect_err("cut off");
    assert!(matches!(error, RemoteError::Broken { .. }) && error.retry() == Retry::Soon, "{error:?}");
}

#[tokio::test]
async fn a_head_is_enough_unless_it_names_no_digest() {
    let body = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
    let digest = Digest::sha256_of(body.as_bytes());
    let fake = Fake::start(move |seen: &Seen| match (seen.method.as_str(), seen.path.rsplit('/').next()) {
        ("HEAD", Some("named")) => Reply::new(200)
            .header("Content-Type", format!("{OCI}; charset=utf-8"))
            .header("Content-Length", 77)
            .header("Docker-Content-Digest", digest),
        ("HEAD", Some("unnamed")) => Reply::new(200),
        ("HEAD", Some("nohead")) => Reply::new(405),
        ("HEAD", _) => Reply::new(404),
        _ => Reply::new(200).header("Content-Type", "text/plain").body(body),
    })
    .await;
    let registry = fake.registry();
    let named = registry.head_manifest(&tag("named")).await.expect("an answer").expect("there");
    assert_eq!((named.digest, named.media_type.as_str(), named.size), (digest, OCI, Some(77)));
    assert_eq!(fake.seen().len(), 1);
    for fallback in ["unnamed", "nohead"] {
        let read = registry.head_manifest(&tag(fallback)).await.expect("an answer").expect("there");
        assert_eq!((read.digest, read.media_type.as_str(), read.size), (digest, OCI, Some(body.len() as u64)));
    }
    assert_eq!(registry.head_manifest(&tag("gone")).await.expect("an answer"), None);
}

async fn blob_from(reply: Reply, offset: u64) -> Result<(u64, Vec<u8>), RemoteError> {
    let fake = Fake::start(move |_: &Seen| reply.clone()).await;
    let mut stream = fake.registry().open_blob(&Digest::sha256_of(BLOB), 10, offset).await?;
    let range = (offset > 0).then(|| format!("bytes={offset}-"));
    assert_eq!(fake.seen()[0].header("range"), range.as_deref());
    let start = stream.offset();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!((stream.left(), stream.size()), (0, 10));
    Ok((start, bytes))
}

#[tokio::test]
async fn a_blob_comes_whole_or_from_an_offset() {
    let part = |range: &str| Reply::new(206).header("Content-Range", range).body(&BLOB[4..]);
    for (reply, offset, start) in [
        (Reply::new(200).body(BLOB), 0, 0),
        (Reply::new(200).header("Content-Length", 10).body(&BLOB[..3]).body(&BLOB[3..]), 0, 0),
        (part("bytes 4-9/10"), 4, 4),
        (part("bytes 4-9/*"), 4, 4),
        // It cannot do ranges: everything comes, and the stream says so.
        (Reply::new(200).body(BLOB), 4, 0),
    ] {
        let (from, bytes) = blob_from(reply, offset).await.expect("a blob");
        assert_eq!((from, &bytes[..]), (start, &BLOB[usize::try_from(start).expect("small")..]));
    }
}

#[tokio::test]
async fn a_blob_that_lies_about_itself_is_refused() {
    for range in ["bytes 0-9/10", "bytes 5-9/10", "bytes 4-10/11", "bytes 4-9/11", "bytes 3-9/10", "x", ""] {
        let reply = Reply::new(206).header("Content-Range", range).body(&BLOB[4..]);
        let error = blob_from(reply, 4).await.expect_err(range);
        assert!(matches!(breach(error), Breach::Range { want: 4, .. }), "{range}");
    }
    let wrong_length = Reply::new(200).header("Content-Length", 11).body("0123456789x");
    assert!(matches!(
        breach(blob_from(wrong_length, 0).await.expect_err("length")),
        Breach::Length { want: 10, got: 11 }
    ));
    let too_long = Reply::new(200).body(BLOB).body("x");
    assert!(matches!(breach(blob_from(too_long, 0).await.expect_err("too long")), Breach::TooLong { want: 10 }));
    let gzip = Reply::new(200).header("Content-Encoding", "gzip").body(BLOB);
    assert!(matches!(breach(blob_from(gzip, 0).await.expect_err("gzip")), Breach::Encoding(_)));
    let unasked = Reply::new(206).header("Content-Range", "bytes 0-9/10").body(BLOB);
    assert!(matches!(breach(blob_from(unasked, 0).await.expect_err("unasked")), Breach::Status(206)));
}

#[tokio::test]
async fn a_blob_that_ends_early_is_worth_another_try() {
    let short = Reply::new(200).body(&BLOB[..7]);
    let error = blob_from(short, 0).await.expect_err("short");
    assert!(matches!(error, RemoteError::Truncated { missing: 3, .. }) && error.retry() == Retry::Soon, "{error:?}");
    let short_range = Reply::new(206).header("Content-Range", "bytes 4-6/10").body(&BLOB[4..7]);
    assert!(matches!(blob_from(short_range, 4).await, Err(RemoteError::Truncated { missing: 3, .. })));
    let broken = Reply::new(200).header("Content-Length", 10).body(&BLOB[..7]).then_break();
    assert!(matches!(blob_from(broken, 0).await, Err(RemoteError::Broken { .. })));
    assert!(matches!(blob_from(Reply::new(404), 0).await, Err(RemoteError::NotFound { .. })));
}

#[tokio::test]
async fn an_unsatisfiable_range_starts_again_from_the_front() {
    let fake = Fake::start(|seen: &Seen| match seen.header("range") {
        Some(_) => Reply::new(416),
        None => Reply::new(200).body(BLOB),
    })
    .await;
    let stream = fake.registry().open_blob(&Digest::sha256_of(BLOB), 10, 4).await.expect("a blob");
    assert_eq!((stream.offset(), stream.left()), (0, 10));
    // All of it is here already: nothing is asked.
    let mut done = fake.registry().open_blob(&Digest::sha256_of(BLOB), 10, 10).await.expect("nothing");
    assert_eq!((done.offset(), done.next().await.expect("the end")), (10, None));
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn silence_has_an_end() {
    let fake = Fake::start(|seen: &Seen| {
        if seen.path.contains("/blobs/") { Reply::new(200).body("012").then_hang() } else { Reply::silent() }
    })
    .await;
    let registry = Registry::new(&impatient(), fake.options());
    let error = registry.tags().await.expect_err("silent");
    assert!(matches!(error, RemoteError::Timeout { .. }) && error.retry() == Retry::Soon, "{error:?}");
    let mut stream = registry.open_blob(&Digest::sha256_of(BLOB), 10, 0).await.expect("a head");
    assert_eq!(stream.next().await.expect("bytes").as_deref(), Some(&b"012"[..]));
    assert!(matches!(stream.next().await, Err(RemoteError::Stalled { .. })));
}

#[tokio::test]
async fn a_remote_that_trickles_is_given_up_and_the_rate_is_named() {
    // Each byte came within the stall, so a manifest of a kilobyte held its
    // place for a quarter of an hour, and a blob for ever.
    let fake = Fake::start(|_: &Seen| {
        let body = "x".repeat(1_000);
        Reply::new(200).header("Content-Length", body.len()).body(body).dripping(Duration::from_millis(5))
    })
    .await;
    let timing = Timing { slowest: 100_000, window: Duration::from_millis(50), ..Timing::default() };
    let outbound = Outbound::new(OutboundOptions { timing, ..outbound_options() });
    let registry = Registry::new(&outbound, fake.options());
    let slow = |error: &RemoteError| {
        assert!(matches!(error, RemoteError::Slow { slowest: 100_000, .. }), "{error:?}");
        assert!(error.to_string().contains("bytes a second"), "{error}");
        assert_eq!(error.retry(), Retry::Soon);
    };
    slow(&registry.get_manifest(&tag("1")).await.expect_err("too slow"));
    let mut stream = registry.open_blob(&Digest::sha256_of(BLOB), 1_000, 0).await.expect("a head");
    let error = loop {
        match stream.next().await {
            Ok(chunk) => assert!(chunk.is_some(), "it came to its end"),
            Err(error) => break error,
        }
    };
    slow(&error);
}

#[tokio::test]
async fn blobs_are_there_or_not() {
    let there = Digest::sha256_of(BLOB);
    let fake = Fake::start(move |seen: &Seen| {
        Reply::new(if seen.is("HEAD", &format!("/v2/dev/web/blobs/{there}")) { 200 } else { 404 })
    })
    .await;
    assert!(fake.registry().has_blob(&there).await.expect("an answer"));
    assert!(!fake.registry().has_blob(&Digest::sha256_of(b"x")).await.expect("an answer"));
}

#[tokio::test]
async fn tags_come_page_by_page_and_what_is_no_tag_is_counted() {
    let fake = Fake::start(|seen: &Seen| match seen.path.as_str() {
        "/v2/dev/web/tags/list?n=1000" => Reply::new(200)
            .header("Link", "</v2/dev/web/tags/list?n=2&last=b>; rel=\"next\"")
            .body(r#"{"tags":["b","a","../etc",""]}"#),
        "/v2/dev/web/tags/list?n=2&last=b" => {
            Reply::new(200).header("Link", "<list?last=d>; rel=next").body(r#"{"tags":["c","b"]}"#)
        }
        _ => Reply::new(200).body(r#"{"name":"dev/web","tags":null}"#),
    })
    .await;
    let list = fake.registry().tags().await.expect("tags");
    assert_eq!(list.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((list.passed_over, fake.seen().len()), (2, 3));
    assert_eq!(list.examples, ["../etc", ""]);
}

#[tokio::test]
async fn pages_that_lead_in_circles_or_elsewhere_are_refused() {
    let with_link = |link: String| async move {
        let fake = Fake::start(move |_: &Seen| Reply::new(200).header("Link", &link).body(r#"{"tags":["a"]}"#)).await;
        let error = fake.registry().tags().await.expect_err("refused");
        (breach(error), fake.seen().len())
    };
    assert!(matches!(with_link("</v2/dev/web/tags/list?n=1000>; rel=\"next\"".into()).await, (Breach::Loop, 1)));
    assert!(matches!(with_link("<?last=a>; rel=\"next\"".into()).await, (Breach::Loop, 2)));
    let sentinel = Fake::sentinel().await;
    let there = format!("<{}/v2/dev/web/tags/list>; rel=\"next\"", sentinel.url());
    assert!(matches!(with_link(there).await, (Breach::ForeignPage(_), 1)));
    assert!(matches!(with_link("<file:///etc/passwd>; rel=\"next\"".into()).await, (Breach::Header("Link"), 1)));
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn a_page_that_is_no_json_is_refused() {
    for body in ["<html>sign in</html>", "[]", r#"{"tags":[1]}"#, r#"{"tags":"a"}"#] {
        let fake = Fake::start(move |_: &Seen| Reply::new(200).body(body)).await;
        assert!(matches!(breach(fake.registry().tags().await.expect_err(body)), Breach::Json { .. }));
    }
    let endless = "x".repeat(limits::REMOTE_BODY_BYTES + 1);
    let fake = Fake::start(move |_: &Seen| Reply::new(200).body(&endless)).await;
    assert!(matches!(fake.registry().tags().await, Err(RemoteError::TooLarge { .. })));
    let fake = Fake::start(|_: &Seen| Reply::new(404)).await;
    assert!(matches!(fake.registry().tags().await, Err(RemoteError::NotFound { .. })));
}
