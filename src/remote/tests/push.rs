//! Blobs, mounts and manifests on their way out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::fake::{ANN, ann, impatient};
use super::{Fake, Reply, Seen};
use crate::backoff::Fault;
use crate::oci::{Digest, Reference};
use crate::remote::{Breach, MountOutcome, Registry, RemoteError};

const BLOB: &[u8] = b"0123456789";

fn source() -> impl futures_util::stream::Stream<Item = io::Result<Bytes>> {
    stream::iter([Ok(Bytes::from_static(&BLOB[..4])), Ok(Bytes::from_static(&BLOB[4..]))])
}

fn digest() -> Digest {
    Digest::sha256_of(BLOB)
}

fn put_path(location: &str) -> String {
    let and = if location.contains('?') { '&' } else { '?' };
    format!("{location}{and}digest=sha256%3A{}", digest().hex())
}

/// A registry that opens uploads at `location` and takes what comes.
async fn takes(location: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen: &Seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("Location", location(seen)),
        _ => Reply::new(201).header("Docker-Content-Digest", digest()),
    })
    .await
}

#[tokio::test]
async fn a_blob_goes_to_the_location_whatever_its_form() {
    let path = "/v2/dev/web/blobs/uploads/7?_state=a%3Db";
    let absolute =
        |seen: &Seen| format!("http://{}/v2/dev/web/blobs/uploads/7?_state=a%3Db", seen.header("host").expect("host"));
    for fake in
        [takes(absolute).await, takes(move |_| path.to_owned()).await, takes(|_| "7?_state=a%3Db".to_owned()).await]
    {
        fake.registry().push_blob(&digest(), 10, source).await.expect("pushed");
        let seen = fake.seen();
        assert_eq!(fake.asked(), ["POST /v2/dev/web/blobs/uploads/".to_owned(), format!("PUT {}", put_path(path))]);
        assert_eq!(seen[0].header("content-length"), Some("0"));
        assert_eq!((seen[1].header("content-length"), seen[1].header("expect")), (Some("10"), None));
        assert_eq!(&seen[1].body[..], BLOB);
    }
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let fake = Fake::start(|seen: &Seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("Location", "/u"),
        _ => Reply::new(201),
    })
    .await;
    fake.registry().push_blob(&Digest::sha256_of(b""), 0, stream::empty).await.expect("pushed");
    assert_eq!((fake.seen()[1].header("content-length"), fake.seen()[1].body.len()), (Some("0"), 0));
}

#[tokio::test]
async fn an_upload_at_another_origin_gets_the_bytes_and_no_credentials() {
    let store = Fake::start(|_: &Seen| Reply::new(201)).await;
    let there = format!("{}/bucket?sig=x", store.url());
    let fake = Fake::start(move |seen: &Seen| match seen.header("authorization") {
        Some(ANN) => Reply::new(202).header("Location", &there),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=x"),
    })
    .await;
    fake.registry_as(ann()).push_blob(&digest(), 10, source).await.expect("pushed");
    let seen = &store.seen()[0];
    assert!(seen.is("PUT", &put_path("/bucket?sig=x")) && seen.header("authorization").is_none());
    assert_eq!(&seen.body[..], BLOB);

    let thief = Fake::start(|_: &Seen| Reply::new(401).header("WWW-Authenticate", "Basic realm=x")).await;
    let there = format!("{}/x", thief.url());
    let fake = takes(move |_| there.clone()).await;
    let error = fake.registry_as(ann()).push_blob(&digest(), 10, source).await.expect_err("refused");
    assert!(matches!(error, RemoteError::Redirect { .. }), "{error:?}");
    assert!(thief.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn a_put_that_needs_a_new_token_is_sent_again() {
    let puts = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start(move |seen: &Seen| {
        let refuse = || Reply::new(401).header("WWW-Authenticate", "Bearer realm=\"/token\"");
        match seen.method.as_str() {
            "GET" => Reply::new(200).body(r#"{"token":"t","expires_in":300}"#),
            _ if seen.header("authorization").is_none() => refuse(),
            "POST" => Reply::new(202).header("Location", "/u"),
            _ if puts.fetch_add(1, Ordering::SeqCst) == 0 => refuse(),
            _ => Reply::new(201),
        }
    })
    .await;
    fake.registry_as(ann()).push_blob(&digest(), 10, source).await.expect("pushed");
    let puts: Vec<Seen> = fake.seen().into_iter().filter(|seen| seen.method == "PUT").collect();
    assert!(puts.len() == 2 && puts.iter().all(|put| &put.body[..] == BLOB));
    assert_eq!(fake.asked().iter().filter(|asked| asked.starts_with("GET /token")).count(), 2);
}

#[tokio::test]
async fn a_source_that_fails_or_lies_completes_nothing() {
    let fake = takes(|_| "/u".to_owned()).await;
    let registry = fake.registry();
    let fails = || stream::iter([Ok(Bytes::from_static(b"0123")), Err(io::Error::other("disk on fire"))]);
    let error = registry.push_blob(&digest(), 10, fails).await.expect_err("failed");
    assert!(error.chain().contains("disk on fire") && error.fault() == Fault::Ours, "{error:?}");
    let short = || stream::iter([Ok(Bytes::from_static(b"0123"))]);
    let long = || stream::iter([Ok(Bytes::from_static(b"0123456789x"))]);
    assert!(matches!(registry.push_blob(&digest(), 10, short).await, Err(RemoteError::Source(_))));
    assert!(matches!(registry.push_blob(&digest(), 10, long).await, Err(RemoteError::Source(_))));
}

#[tokio::test]
async fn an_upload_that_does_not_move_is_given_up() {
    let fake = takes(|_| "/u".to_owned()).await;
    let registry = Registry::new(&impatient(), fake.options());
    let stuck = || stream::iter([Ok(Bytes::from_static(b"0123"))]).chain(stream::pending());
    let error = registry.push_blob(&digest(), 10, stuck).await.expect_err("stuck");
    assert!(matches!(error, RemoteError::Stalled { .. }), "{error:?}");

    let silent = Fake::start(|seen: &Seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("Location", "/u"),
        _ => Reply::silent(),
    })
    .await;
    let registry = Registry::new(&impatient(), silent.options());
    let error = registry.push_blob(&digest(), 10, source).await.expect_err("silent");
    assert!(matches!(error, RemoteError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_with_another_digest_is_refused() {
    let other = Digest::sha256_of(b"other");
    let fake = Fake::start(move |seen: &Seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("Location", "/u"),
        _ => Reply::new(201).header("Docker-Content-Digest", other),
    })
    .await;
    let registry = fake.registry();
    let tag = Reference::Tag("a".parse().expect("a tag"));
    for error in [
        registry.push_blob(&digest(), 10, source).await.expect_err("refused"),
        registry.put_manifest(&tag, Bytes::from_static(b"{}"), "application/json").await.expect_err("refused"),
    ] {
        assert!(matches!(&error, RemoteError::Protocol { breach, .. } if matches!(**breach, Breach::Digest { .. })));
    }
}

#[tokio::test]
async fn an_upload_without_a_usable_location_is_refused() {
    for location in ["", "ftp://x/", "http://user:pw@127.0.0.1/"] {
        let fake = Fake::start(move |_: &Seen| match location {
            "" => Reply::new(202),
            location => Reply::new(202).header("Location", location),
        })
        .await;
        let error = fake.registry().push_blob(&digest(), 10, source).await.expect_err("refused");
        assert!(
            matches!(&error, RemoteError::Protocol { breach, .. } if matches!(**breach, Breach::Header("Location")))
        );
    }
}

#[tokio::test]
async fn a_mount_saves_the_bytes_or_opens_an_upload() {
    for (status, mounted, requests) in
        [(201, true, 1), (202, false, 1), (400, false, 2), (403, false, 2), (404, false, 2)]
    {
        let fake = Fake::start(move |seen: &Seen| {
            let status = if seen.path.contains("mount=") { status } else { 202 };
            Reply::new(status).header("Location", "/u")
        })
        .await;
        let from = "dev/base".parse().expect("a name");
        let outcome = fake.registry().mount_blob(&digest(), &from).await.expect("an answer");
        assert_eq!(matches!(outcome, MountOutcome::Mounted), mounted, "{status}");
        assert_eq!(fake.seen().len(), requests);
        let asked = format!("POST /v2/dev/web/blobs/uploads/?mount=sha256%3A{}&from=dev%2Fbase", digest().hex());
        assert_eq!(fake.asked()[0], asked);
        if let MountOutcome::Upload(upload) = outcome {
            fake.registry().fill_upload(upload, &digest(), 10, source).await.expect_err("no 201 from this one");
        }
    }
}

#[tokio::test]
async fn a_manifest_is_put_as_it_is() {
    let fake = Fake::start(|_: &Seen| Reply::new(201)).await;
    let bytes = Bytes::from_static(b"{ \"schemaVersion\": 2 }");
    let kind = "application/vnd.oci.image.index.v1+json";
    let tag = Reference::Tag("a".parse().expect("a tag"));
    let put = fake.registry().put_manifest(&tag, bytes.clone(), kind).await.expect("put");
    assert_eq!(put, Digest::sha256_of(&bytes));
    let seen = &fake.seen()[0];
    assert!(seen.is("PUT", "/v2/dev/web/manifests/a"));
    assert_eq!((seen.header("content-type"), &seen.body), (Some(kind), &bytes));
}
