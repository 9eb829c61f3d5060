//! Who gets to see the credentials, and who does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fake::{ANN, ann, outbound};
use super::{Fake, Reply, Seen};
use crate::backoff::Retry;
use crate::oci::{Digest, Reference};
use crate::remote::{Credentials, Permissions, Registry, RegistryOptions, RemoteError};
use crate::secret::Secret;

const TAGS: &str = r#"{"name":"dev/web","tags":["a"]}"#;

fn challenge(realm: &str) -> Reply {
    Reply::new(401).header(
        "WWW-Authenticate",
        format!("Bearer realm=\"{realm}\",service=\"svc\",scope=\"repository:dev/web:pull\""),
    )
}

/// A registry that gives out its own tokens and answers tags to their bearer.
async fn token_registry(expires_in: u64, given: Arc<AtomicUsize>) -> Fake {
    Fake::start(move |seen: &Seen| {
        if seen.path.starts_with("/token") {
            return match seen.header("authorization") {
                Some(ANN) | None => {
                    let number = given.fetch_add(1, Ordering::SeqCst);
                    Reply::new(200).body(format!("{{\"token\":\"tok-{number}\",\"expires_in\":{expires_in}}}"))
                }
                Some(_) => Reply::new(401),
            };
        }
        let host = seen.header("host").expect("a host").to_owned();
        match seen.header("authorization") {
            Some(value) if value.starts_with("Bearer tok-") => Reply::new(200).body(TAGS),
            _ => challenge(&format!("http://{host}/token?x=1")),
        }
    })
    .await
}

#[tokio::test]
async fn a_token_is_fetched_once_for_each_scope_and_kept() {
    let given = Arc::new(AtomicUsize::new(0));
    let fake = token_registry(300, given.clone()).await;
    let registry = fake.registry_as(ann());
    for _ in 0..3 {
        assert_eq!(registry.tags().await.expect("tags").tags.len(), 1);
    }
    assert_eq!(given.load(Ordering::SeqCst), 1);
    let token = fake.seen().into_iter().find(|seen| seen.path.starts_with("/token")).expect("asked for a token");
    assert_eq!(token.path, "/token?x=1&service=svc&scope=repository%3Adev%2Fweb%3Apull&account=ann");
    assert_eq!(token.header("authorization"), Some(ANN));
    // The password went to the token service alone.
    let with_password = fake.seen().iter().filter(|seen| seen.header("authorization") == Some(ANN)).count();
    assert_eq!(with_password, 1);
    // Another scope is another token, asked for before the request goes out.
    let upload = registry.start_upload().await;
    assert!(matches!(upload, Err(RemoteError::Protocol { .. })), "{upload:?}");
    assert_eq!(given.load(Ordering::SeqCst), 2);
    assert!(fake.asked().iter().any(|asked| asked.contains("dev%2Fweb%3Apull%2Cpush")));
}

#[tokio::test]
async fn requests_side_by_side_share_one_token() {
    let given = Arc::new(AtomicUsize::new(0));
    let fake = token_registry(300, given.clone()).await;
    let registry = fake.registry_as(ann());
    registry.tags().await.expect("tags");
    let four = [registry.start_upload(), registry.start_upload(), registry.start_upload(), registry.start_upload()];
    futures_util::future::join_all(four).await;
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

/// Takes everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_even_at_the_finest_level() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let fake = token_registry(300, Arc::default()).await;
    let registry = fake.registry_as(ann());
    registry.tags().await.expect("tags");
    registry.start_upload().await.expect_err("no upload here");
    drop(logging);
    let logged = String::from_utf8_lossy(&log.0.lock().expect("not poisoned")).into_owned();
    assert!(logged.contains("asking a remote registry"), "the log was taken: {logged}");
    for secret in ["hunter22", "YW5uOmh1bnRlcjIy", "tok-0", "tok-1"] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
    let shown = format!("{registry:?} {:?}", RegistryOptions { credentials: ann(), ..fake.options() });
    assert!(!shown.contains("hunter22"), "{shown}");
}

/// A registry says it with every answer; it is worth one line.
#[tokio::test]
async fn what_a_registry_warns_of_is_logged_once() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    let fake = Fake::start(|_: &Seen| {
        let reply = Reply::new(200).body(r#"{"tags":[]}"#).header("Warning", r#"299 - "goes \u001b[31maway soon""#);
        reply.header("Warning", r#"199 - "of another kind""#).header("Warning", "299 - \"broken")
    })
    .await;
    let registry = fake.registry();
    for _ in 0..3 {
        registry.tags().await.expect("tags");
    }
    drop(logging);
    let logged = String::from_utf8_lossy(&log.0.lock().expect("not poisoned")).into_owned();
    let lines: Vec<&str> = logged.lines().filter(|line| line.contains("another registry warns")).collect();
    assert_eq!(lines.len(), 1, "{logged}");
    assert!(lines[0].contains("WARN") && lines[0].contains("away soon"), "{logged}");
    assert!(!logged.contains("of another kind") && !logged.contains("broken"), "{logged}");
}

#[tokio::test]
async fn a_token_that_ends_at_once_is_used_once() {
    let given = Arc::new(AtomicUsize::new(0));
    let fake = token_registry(1, given.clone()).await;
    let registry = fake.registry();
    registry.tags().await.expect("tags");
    registry.tags().await.expect("tags");
    assert_eq!(given.load(Ordering::SeqCst), 2);
    assert!(fake.seen().iter().all(|seen| seen.header("authorization") != Some(ANN)));
}

#[tokio::test]
async fn a_token_that_was_withdrawn_is_replaced_once() {
    let fake = Fake::start(|seen: &Seen| match (seen.path.as_str(), seen.header("authorization")) {
        (path, _) if path.starts_with("/token") => Reply::new(200).body(r#"{"access_token":"tok-9f"}"#),
        _ => {
            challenge("/token").body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"bad \u001b[31m token tok-9f"}]}"#)
        }
    })
    .await;
    let error = fake.registry_as(ann()).tags().await.expect_err("refused");
    let RemoteError::Unauthorized { anonymous: false, message, .. } = &error else { panic!("{error:?}") };
    // What it said is there, without control characters and without the token.
    assert_eq!(message, "UNAUTHORIZED: bad [31m token [removed]");
    assert_eq!(fake.asked().iter().filter(|asked| asked.contains("/token")).count(), 1);
    assert_eq!(fake.asked().iter().filter(|asked| asked.contains("/tags/list")).count(), 2);
}

#[tokio::test]
async fn basic_is_sent_when_it_is_asked_for_and_not_before() {
    let fake = Fake::start(|seen: &Seen| match seen.header("authorization") {
        Some(ANN) => Reply::new(200).body(TAGS),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"").body("password hunter22 is wrong"),
    })
    .await;
    let registry = fake.registry_as(ann());
    registry.tags().await.expect("tags");
    registry.tags().await.expect("tags");
    let sent: Vec<bool> = fake.seen().iter().map(|seen| seen.header("authorization").is_some()).collect();
    assert_eq!(sent, [false, true, true]);

    let wrong = Credentials { username: "bob".into(), password: Secret::new("hunter22"), token: Secret::default() };
    let error = fake.registry_as(wrong).tags().await.expect_err("refused");
    assert!(matches!(error, RemoteError::Unauthorized { anonymous: false, .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
    let error = fake.registry().tags().await.expect_err("refused");
    assert!(error.to_string().contains("needs credentials"), "{error}");
}

#[tokio::test]
async fn a_realm_at_another_origin_gets_no_credentials() {
    // CVE-2026-33540, CVE-2026-48978, CVE-2020-15157: the upstream names the
    // token realm, and the stored password went there.
    let sentinel = Fake::sentinel().await;
    let realm = format!("{}/token", sentinel.url());
    let fake = Fake::start({
        let realm = realm.clone();
        move |_: &Seen| challenge(&realm)
    })
    .await;
    let error = fake.registry_as(ann()).tags().await.expect_err("refused");
    assert!(matches!(&error, RemoteError::Realm { realm, .. } if realm.to_string() == sentinel.url()), "{error:?}");
    assert!(error.to_string().contains("token realm"), "{error}");
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn a_realm_that_was_configured_gets_them() {
    let tokens = Fake::start(|_: &Seen| Reply::new(200).body(r#"{"token":"t"}"#)).await;
    let realm = format!("{}/token", tokens.url());
    let fake = Fake::start(move |seen: &Seen| match seen.header("authorization") {
        Some("Bearer t") => Reply::new(200).body(TAGS),
        _ => challenge(&realm),
    })
    .await;
    let realms = vec![tokens.url().parse().expect("an origin")];
    let registry = Registry::new(&outbound(), RegistryOptions { credentials: ann(), realms, ..fake.options() });
    registry.tags().await.expect("tags");
    assert_eq!(tokens.seen()[0].header("authorization"), Some(ANN));
    // An anonymous client may ask any realm: it has nothing to lose.
    fake.registry().tags().await.expect("tags");
    assert_eq!(tokens.seen()[1].header("authorization"), None);
}

#[tokio::test]
async fn a_realm_that_redirects_elsewhere_is_not_followed() {
    let sentinel = Fake::sentinel().await;
    let elsewhere = format!("{}/token", sentinel.url());
    let fake = Fake::start(move |seen: &Seen| {
        if seen.path.starts_with("/token") {
            Reply::new(307).header("Location", &elsewhere)
        } else {
            challenge("/token")
        }
    })
    .await;
    let error = fake.registry_as(ann()).tags().await.expect_err("refused");
    assert!(matches!(error, RemoteError::Redirect { .. }), "{error:?}");
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_another_origin_carries_no_credentials() {
    let store = Fake::start(|_: &Seen| Reply::new(200).body("blob")).await;
    let signed = format!("{}/signed?sig=1", store.url());
    let fake = Fake::start(move |seen: &Seen| match seen.header("authorization") {
        Some(ANN) => Reply::new(307).header("Location", &signed),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    })
    .await;
    let digest = Digest::sha256_of(b"blob");
    let mut stream = fake.registry_as(ann()).open_blob(&digest, 4, 0).await.expect("a blob");
    assert_eq!(stream.next().await.expect("bytes").as_deref(), Some(&b"blob"[..]));
    assert_eq!(stream.next().await.expect("the end"), None);
    let seen = store.seen();
    assert_eq!((seen.len(), seen[0].path.as_str()), (1, "/signed?sig=1"));
    assert!(seen[0].header("authorization").is_none() && seen[0].header("cookie").is_none());
}

#[tokio::test]
async fn another_origin_that_asks_for_credentials_gets_none() {
    let thief = Fake::start(|_: &Seen| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")).await;
    let there = format!("{}/x", thief.url());
    let fake = Fake::start(move |_: &Seen| Reply::new(302).header("Location", &there)).await;
    let tag = Reference::Tag("a".parse().expect("a tag"));
    let error = fake.registry_as(ann()).get_manifest(&tag).await.expect_err("refused");
    assert!(matches!(error, RemoteError::Redirect { .. }), "{error:?}");
    assert_eq!(thief.asked(), ["GET /x"]);
    assert!(thief.seen()[0].header("authorization").is_none());
}

#[tokio::test]
async fn redirects_are_counted_and_writing_follows_none() {
    let hops = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start(move |_: &Seen| {
        let hop = hops.fetch_add(1, Ordering::SeqCst);
        Reply::new(308).header("Location", format!("/hop/{hop}"))
    })
    .await;
    let registry = fake.registry();
    let error = registry.tags().await.expect_err("too many");
    assert!(matches!(error, RemoteError::Redirect { .. }), "{error:?}");
    assert_eq!(fake.seen().len(), crate::limits::REMOTE_REDIRECTS + 1);
    let error = registry.start_upload().await.expect_err("not followed");
    assert!(matches!(error, RemoteError::Redirect { .. }), "{error:?}");
    assert_eq!(fake.seen().len(), crate::limits::REMOTE_REDIRECTS + 2);
}

#[tokio::test]
async fn limits_of_the_other_side_name_their_wait() {
    for (status, header, retry) in [
        (429, Some("120"), Retry::After(Duration::from_secs(120))),
        (429, Some("Thu, 01 Jan 1970 00:01:00 GMT"), Retry::After(Duration::from_secs(60))),
        (429, Some("whenever"), Retry::Soon),
        (429, None, Retry::Soon),
        (503, Some("5"), Retry::After(Duration::from_secs(5))),
        (500, None, Retry::Soon),
        (403, None, Retry::Slowly),
    ] {
        let fake = Fake::start(move |_: &Seen| {
            let reply = Reply::new(status).body(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#);
            header.map_or(reply.clone(), |value| reply.header("Retry-After", value))
        })
        .await;
        let error = fake.registry().tags().await.expect_err("refused");
        assert_eq!(error.retry(), retry, "{status} {header:?}");
        assert!(error.to_string().contains("TOOMANYREQUESTS: slow down"), "{error}");
    }
}

#[tokio::test]
async fn a_long_error_is_cut() {
    let fake = Fake::start(|_: &Seen| Reply::new(500).body("x\n".repeat(1 << 20))).await;
    let error = fake.registry().tags().await.expect_err("refused");
    let RemoteError::Server { status: 500, message, .. } = error else { panic!("{error:?}") };
    assert_eq!(message.chars().count(), crate::limits::REMOTE_MESSAGE_CHARS);
}

#[tokio::test]
async fn the_check_for_a_pull_mirror_only_reads() {
    // It once opened an upload at registries that are nobody's to write to.
    for (status, read, exists) in [(200, true, true), (404, true, false), (403, false, true)] {
        let fake = Fake::start(move |_: &Seen| Reply::new(status).body(TAGS)).await;
        let found = fake.registry().check_read().await.expect("an answer");
        assert_eq!(found, Permissions { read, write: false, exists });
        assert!(fake.seen().iter().all(|seen| seen.method == "GET"), "{:?}", fake.asked());
    }
    let fake = Fake::start(move |_: &Seen| Reply::new(401)).await;
    assert!(matches!(fake.registry().check_read().await, Err(RemoteError::Unauthorized { .. })));
}

#[tokio::test]
async fn the_check_finds_out_what_is_allowed() {
    let allowed = |read: u16, write: u16| async move {
        let fake = Fake::start(move |seen: &Seen| match seen.method.as_str() {
            "GET" => Reply::new(read).body(TAGS),
            "POST" => Reply::new(write).header("Location", "/v2/dev/web/blobs/uploads/7?_state=s"),
            _ => Reply::new(204),
        })
        .await;
        let verdict = fake.registry().check().await;
        let cancelled = fake.asked().contains(&"DELETE /v2/dev/web/blobs/uploads/7?_state=s".to_owned());
        assert_eq!(cancelled, write == 202 && read < 500);
        verdict
    };
    let may = |read, write, exists| Permissions { read, write, exists };
    for (read, write, expected) in [
        (200, 202, may(true, true, true)),
        (200, 403, may(true, false, true)),
        (200, 401, may(true, false, true)),
        (200, 405, may(true, false, true)),
        (404, 202, may(true, true, false)),
        (404, 404, may(true, false, false)),
        (403, 202, may(false, true, true)),
        (403, 403, may(false, false, true)),
    ] {
        assert_eq!(allowed(read, write).await.expect("an answer"), expected, "{read} {write}");
    }
    assert!(matches!(allowed(401, 401).await, Err(RemoteError::Unauthorized { .. })));
    assert!(matches!(allowed(500, 202).await, Err(RemoteError::Server { .. })));
}
