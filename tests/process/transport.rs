//! What lies below a request: which TLS is spoken, and clients that abuse
//! HTTP/2. Whatever they do, they hold a bounded part of the daemon's memory,
//! and everybody else is served.

use std::time::Duration;

use serde_json::json;
use tidegate::oci::Digest;
use tokio::time::Instant;

use crate::support::{Daemon, Frame, Frames, Run as _, measured, program, turn};

/// What a client may make the daemon hold, over what it held before.
const HELD_MOST_BYTES: u64 = 160 << 20;
/// How long somebody else waits at most.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// One handshake by OpenSSL; what it says of the session, or how it failed.
fn handshake(daemon: &Daemon, words: &[&str]) -> Result<String, String> {
    let mut command = program("openssl");
    command.args(["s_client", "-connect", daemon.address(), "-CAfile"]).arg(daemon.ca());
    // OpenSSL itself refuses the old ones without this.
    command.args(["-verify_return_error", "-cipher", "ALL:@SECLEVEL=0"]).args(words);
    let ran = command.run();
    if ran.code == 0 { Ok(ran.out) } else { Err(ran.out + &ran.err) }
}

#[tokio::test]
async fn tls_is_spoken_from_1_2_on_and_http_by_choice() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = handshake(&daemon, &[version]).unwrap_or_else(|error| panic!("{version}: {error}"));
        assert!(said.contains(name) && said.contains("Verify return code: 0 (ok)"), "{version}: {said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = handshake(&daemon, &[version]).expect_err(version);
        assert!(said.contains("alert") || said.contains("unsupported protocol"), "{version}: {said}");
    }
    // The registry's order counts, not the client's.
    for (offered, chosen) in [
        ("h2,http/1.1", Some("h2")),
        ("http/1.1,h2", Some("h2")),
        ("http/1.1", Some("http/1.1")),
        ("spdy/3,http/1.1", Some("http/1.1")),
    ] {
        let said = handshake(&daemon, &["-alpn", offered]).unwrap_or_else(|error| panic!("{offered}: {error}"));
        let told = said.lines().find_map(|line| line.strip_prefix("ALPN protocol: "));
        assert_eq!(told, chosen, "{offered}");
    }
    handshake(&daemon, &["-alpn", "spdy/3"]).expect_err("nothing in common");
    assert!(handshake(&daemon, &[]).unwrap().contains("No ALPN negotiated"));
    for weak in ["RC4", "3DES", "NULL", "kRSA"] {
        handshake(&daemon, &["-tls1_2", "-cipher", &format!("{weak}:@SECLEVEL=0")]).expect_err(weak);
    }
    daemon.stop().await;
}

/// Everybody else is served, soon, and no more memory is held than is allowed.
async fn assert_bounded(daemon: &Daemon, what: &str, before: u64) {
    let begun = Instant::now();
    daemon.admin().get("/v2/dev/website/tags/list").is(200);
    assert!(begun.elapsed() < SERVED_WITHIN, "{what}: somebody else waited {:?}", begun.elapsed());
    let held = daemon.resident_bytes().saturating_sub(before);
    measured(&format!("{what}: {} KiB more in memory", held / 1024));
    assert!(held < HELD_MOST_BYTES, "{what}: {held} bytes more are held");
}

async fn site(folder: &tempfile::TempDir) -> Daemon {
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    daemon.admin().get("/v2/dev/website/tags/list").is(200);
    daemon
}

/// CVE-2023-44487: streams that are opened and reset at once.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = site(&folder).await;
    let before = daemon.resident_bytes();
    let mut client = Frames::open(&daemon, 65_535).await;
    let mut took = 0;
    for number in 0..50_000_u32 {
        let stream = number * 2 + 1;
        let cancel = Frame::new(Frame::RESET, 0, stream, 8_u32.to_be_bytes());
        if !client.send(&[client.get(stream, "/v2/_catalog"), cancel]).await {
            break;
        }
        took = number + 1;
    }
    measured(&format!("rapid reset: {took} streams until the connection ended"));
    assert!(took < 50_000, "it never ended");
    assert_bounded(&daemon, "rapid reset", before).await;
    daemon.stop().await;
}

/// CVE-2024-27316 and its kin: headers that never end.
#[tokio::test]
async fn headers_without_end_end_the_connection() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = site(&folder).await;
    let before = daemon.resident_bytes();
    let mut client = Frames::open(&daemon, 65_535).await;
    let block = client.request("GET", "/v2/");
    assert!(client.send(&[Frame::new(Frame::HEADERS, Frame::END, 1, block)]).await);
    // One field after the other, `x: <1000 bytes>`.
    let mut field = vec![0, 1, b'x', 127, 0xe9, 0x06];
    field.resize(field.len() + 1_000, b'y');
    let mut sent = 0;
    while sent < 100_000 && client.send(&[Frame::new(Frame::CONTINUATION, 0, 1, field.clone())]).await {
        sent += 1;
    }
    measured(&format!("headers without end: {sent} frames until the connection ended"));
    assert!(sent < 100_000, "it never ended");
    assert_bounded(&daemon, "headers without end", before).await;
    daemon.stop().await;
}

/// CVE-2019-9512, 9515: each of them is to be answered, and the answers are not
/// read.
#[tokio::test]
async fn questions_whose_answers_are_not_read_are_not_gathered() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = site(&folder).await;
    let before = daemon.resident_bytes();
    for (what, frame) in [
        ("pings", Frame::new(Frame::PING, 0, 0, [0; 8])),
        ("settings", Frame::new(Frame::SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100])),
        ("empty data", Frame::new(Frame::DATA, 0, 1, [])),
        ("windows", Frame::new(Frame::WINDOW, 0, 0, 1_u32.to_be_bytes())),
    ] {
        let mut client = Frames::open(&daemon, 65_535).await;
        let many: Vec<Frame> =
            (0..1_000).map(|_| Frame::new(frame.kind, frame.flags, frame.stream, frame.payload.clone())).collect();
        let mut sent = 0;
        while sent < 300 && client.send(&many).await {
            sent += 1;
        }
        assert_bounded(&daemon, &format!("{sent} thousand {what}"), before).await;
    }
    daemon.stop().await;
}

/// What is beyond the bound is refused, and the rest is served.
#[tokio::test]
async fn streams_beyond_the_bound_are_refused() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = site(&folder).await;
    let before = daemon.resident_bytes();
    let mut client = Frames::open(&daemon, 65_535).await;
    // Uploads that never send a byte: each stays open.
    let block = client.request("POST", &format!("/v2/dev/website/blobs/uploads/?digest={}", Digest::sha256_of(b"x")));
    let open = |number: u32| Frame::new(Frame::HEADERS, Frame::END_HEADERS, number * 2 + 1, block.clone());
    assert!(client.send(&(0..150).map(open).collect::<Vec<_>>()).await);
    let refused = client.until(Frame::RESET).await.expect("one too many is refused");
    assert_eq!(refused.payload, 7_u32.to_be_bytes(), "REFUSED_STREAM: it may be tried again");
    assert!(refused.stream > 200, "{refused:?}");
    assert_bounded(&daemon, "many streams", before).await;
    daemon.stop().await;
}

/// Hundreds of large answers asked for, and not a byte taken: they were all in
/// memory at once.
#[tokio::test]
async fn windows_that_stay_shut_hold_little() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = site(&folder).await;
    let large = large_manifest(&daemon);
    let blob: Vec<u8> = (0..8 << 20).map(|n: u32| (n >> 3) as u8).collect();
    let digest = Digest::sha256_of(&blob);
    daemon.admin().send("POST", &format!("/v2/dev/website/blobs/uploads/?digest={digest}"), &[], &blob).is(201);
    let before = daemon.resident_bytes();
    let mut clients = Vec::new();
    for (connection, window) in [0, 0, 1, 1, 0, 1].into_iter().enumerate() {
        let mut client = Frames::open(&daemon, window).await;
        let path = match connection % 2 {
            0 => format!("/v2/dev/website/manifests/{large}"),
            _ => format!("/v2/dev/website/blobs/{digest}"),
        };
        let asks: Vec<Frame> = (0..100).map(|number| client.get(number * 2 + 1, &path)).collect();
        assert!(client.send(&asks).await);
        clients.push(client);
    }
    // All of them that are answered at all have been: the heads come.
    for client in &mut clients {
        client.until(Frame::HEADERS).await.expect("the head of an answer needs no window");
    }
    assert_bounded(&daemon, "600 answers that nobody takes", before).await;
    // What is not large waits for nobody.
    daemon.admin().get("/v2/dev/website/manifests/small").is(200);
    drop(clients);
    // They are gone, and so is what they held.
    daemon.admin().get(&format!("/v2/dev/website/manifests/{large}")).is(200);
    daemon.stop().await;
}

/// The largest manifest there can be, and a small one; the digest of the first.
fn large_manifest(daemon: &Daemon) -> String {
    const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
    let (client, config) = (daemon.admin(), b"{}");
    let digest = Digest::sha256_of(config);
    client.send("POST", &format!("/v2/dev/website/blobs/uploads/?digest={digest}"), &[], config).is(201);
    let put = |tag: &str, filler: usize| {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": KIND,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2},
            "layers": [], "annotations": {"filler": "x".repeat(filler)},
        });
        let path = format!("/v2/dev/website/manifests/{tag}");
        let put =
            client.send("PUT", &path, &[&format!("Content-Type: {KIND}")], manifest.to_string().as_bytes()).is(201);
        put.header("docker-content-digest").unwrap().to_owned()
    };
    put("small", 1);
    put("large", (4 << 20) - 1_000)
}
