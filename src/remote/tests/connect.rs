//! Where connections go, and whom they believe.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::fake::{impatient, outbound, outbound_options};
use super::{Fake, Reply, Seen};
use crate::backoff::{Fault, Retry};
use crate::oci::Digest;
use crate::remote::{
    Class, ConnectError, Names, Outbound, OutboundOptions, Refusal, Registry, RegistryOptions, RemoteError, Trust,
};

fn tags(_: &Seen) -> Reply {
    Reply::new(200).body(r#"{"tags":["a"]}"#)
}

fn refusal(error: &RemoteError) -> Refusal {
    match error {
        RemoteError::Connect(ConnectError::Address { refusal, .. }) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn loopback_is_not_dialled_without_leave() {
    let sentinel = Fake::sentinel().await;
    let port = sentinel.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "[::ffff:7f00:1]", "127.0.0.2"] {
        let host = format!("http://{host}:{port}").parse().expect("a host");
        let registry = Registry::new(&outbound(), RegistryOptions { host, private: false, ..sentinel.options() });
        let error = registry.tags().await.expect_err("refused");
        assert_eq!(refusal(&error), Refusal::NotAllowed(Class::Loopback), "{error}");
        assert_eq!((error.retry(), error.fault()), (Retry::Slowly, Fault::Ours));
    }
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn some_addresses_are_dialled_for_nobody() {
    for host in ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "0.0.0.0", "224.0.0.1", "[::ffff:169.254.169.254]"]
    {
        let fake = Fake::sentinel().await;
        let host = format!("http://{host}").parse().expect("a host");
        let registry = Registry::new(&outbound(), RegistryOptions { host, ..fake.options() });
        let error = registry.tags().await.expect_err("refused");
        assert!(matches!(refusal(&error), Refusal::Never(_)), "{error}");
    }
}

#[tokio::test]
async fn own_listeners_are_not_dialled() {
    let sentinel = Fake::sentinel().await;
    for own in [sentinel.address, (Ipv4Addr::UNSPECIFIED, sentinel.address.port()).into()] {
        let outbound = Outbound::new(OutboundOptions { own: vec![own], ..outbound_options() });
        let error = Registry::new(&outbound, sentinel.options()).tags().await.expect_err("refused");
        assert_eq!(refusal(&error), Refusal::Own);
    }
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn the_allow_list_opens_a_range() {
    let fake = Fake::start(tags).await;
    let options = || RegistryOptions { private: false, ..fake.options() };
    let allow = vec!["127.0.0.0/8".parse().expect("a range")];
    let open = Outbound::new(OutboundOptions { allow, ..outbound_options() });
    Registry::new(&open, options()).tags().await.expect("allowed");
    let other = vec!["10.0.0.0/8".parse().expect("a range")];
    let shut = Outbound::new(OutboundOptions { allow: other, ..outbound_options() });
    Registry::new(&shut, options()).tags().await.expect_err("not allowed");
}

/// A client whose names mean what `lookup` says.
fn named(lookup: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Outbound {
    Outbound::new(OutboundOptions { names: Names::Given(Arc::new(lookup)), ..outbound_options() })
}

#[tokio::test]
async fn every_address_of_a_name_is_checked_and_only_checked_ones_are_dialled() {
    let fake = Fake::start(tags).await;
    let options = || RegistryOptions {
        host: format!("http://r.example:{}", fake.address.port()).parse().expect("a host"),
        ..fake.options()
    };
    // A good one behind bad ones is found; the bad ones are left alone.
    let mixed = ["169.254.169.254", "0.0.0.0", "127.0.0.1"].map(|a| a.parse().expect("an address")).to_vec();
    Registry::new(&named(move |_| mixed.clone()), options()).tags().await.expect("the good one");
    let bad = ["fe80::1", "169.254.169.254"].map(|a| a.parse().expect("an address")).to_vec();
    let error = Registry::new(&named(move |_| bad.clone()), options()).tags().await.expect_err("refused");
    assert_eq!(refusal(&error), Refusal::Never(Class::LinkLocal));
    let error = Registry::new(&named(|_| Vec::new()), options()).tags().await.expect_err("nothing");
    assert!(matches!(error, RemoteError::Connect(ConnectError::Resolve { .. })), "{error:?}");
    assert_eq!(error.retry(), Retry::Soon);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    // DNS rebinding: the second lookup gives another address. There is no
    // second lookup between check and connection; the next connection checks
    // its own.
    let sentinel = Fake::sentinel().await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let outbound = named({
        let lookups = lookups.clone();
        move |_| match lookups.fetch_add(1, Ordering::SeqCst) {
            0 => vec!["240.0.0.1".parse().expect("an address")],
            _ => vec![Ipv4Addr::LOCALHOST.into()],
        }
    });
    let host = format!("http://r.example:{}", sentinel.address.port()).parse().expect("a host");
    let registry = Registry::new(&outbound, RegistryOptions { host, private: false, ..sentinel.options() });
    assert_eq!(refusal(&registry.tags().await.expect_err("refused")), Refusal::Never(Class::Reserved));
    assert_eq!(lookups.load(Ordering::SeqCst), 1);
    assert_eq!(refusal(&registry.tags().await.expect_err("refused")), Refusal::NotAllowed(Class::Loopback));
    assert_eq!((lookups.load(Ordering::SeqCst), sentinel.connections()), (2, 0));
}

#[tokio::test]
async fn a_redirect_is_checked_like_any_other_connection() {
    let sentinel = Fake::sentinel().await;
    let fake = Fake::start({
        let there = sentinel.url();
        move |_: &Seen| Reply::new(307).header("Location", &there)
    })
    .await;
    // The registry's own address is allowed, its redirect's is one of ours.
    let outbound = Outbound::new(OutboundOptions { own: vec![sentinel.address], ..outbound_options() });
    let registry = Registry::new(&outbound, fake.options());
    let error = registry.open_blob(&Digest::sha256_of(b"x"), 1, 0).await.expect_err("refused");
    assert_eq!(refusal(&error), Refusal::Own);
    let metadata = Fake::start(|_: &Seen| Reply::new(302).header("Location", "http://169.254.169.254/latest/")).await;
    let error = metadata.registry().tags().await.expect_err("refused");
    assert_eq!(refusal(&error), Refusal::Never(Class::Metadata));
    assert_eq!(sentinel.connections(), 0);
}

#[tokio::test]
async fn a_connection_under_a_lax_check_is_not_used_under_a_strict_one() {
    let fake = Fake::start(tags).await;
    let outbound = outbound();
    Registry::new(&outbound, fake.options()).tags().await.expect("allowed");
    Registry::new(&outbound, fake.options()).tags().await.expect("allowed");
    assert_eq!(fake.connections(), 1, "connections are pooled");
    let strict = Registry::new(&outbound, RegistryOptions { private: false, ..fake.options() });
    assert_eq!(refusal(&strict.tags().await.expect_err("refused")), Refusal::NotAllowed(Class::Loopback));
}

#[tokio::test]
async fn nobody_there_and_nobody_speaking() {
    let port = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    let fake = Fake::start(tags).await;
    let host = format!("http://127.0.0.1:{port}").parse().expect("a host");
    let registry = Registry::new(&outbound(), RegistryOptions { host, ..fake.options() });
    let error = registry.tags().await.expect_err("nobody there");
    assert!(matches!(error, RemoteError::Connect(ConnectError::Dial { .. })), "{error:?}");
    // A listener that never accepts: the TLS handshake has no answer.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let host = format!("https://{}", silent.local_addr().expect("bound")).parse().expect("a host");
    let registry = Registry::new(&impatient(), RegistryOptions { host, ..fake.options() });
    let error = registry.tags().await.expect_err("silent");
    let given_up = matches!(error, RemoteError::Connect(ConnectError::Timeout { .. }) | RemoteError::Timeout { .. });
    assert!(given_up && error.retry() == Retry::Soon, "{error:?}");
}

/// A CA, and a certificate it signed for 127.0.0.1.
fn signed() -> (String, ServerConfig) {
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &ca).expect("a certificate");
    (ca.pem(), server(leaf.der().clone(), &key, &[]))
}

/// A certificate for `name` that signed itself and is marked as a CA, as
/// `openssl req -x509` makes them.
fn self_signed(name: &str) -> (String, ServerConfig) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), server(certificate.der().clone(), &key, &[]))
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair, alpn: &[&[u8]]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

async fn tags_with(fake: &Fake, trust: Trust) -> Result<usize, RemoteError> {
    let registry = Registry::new(&outbound(), RegistryOptions { trust, ..fake.options() });
    registry.tags().await.map(|list| list.tags.len())
}

#[tokio::test]
async fn tls_is_believed_with_its_ca_or_when_nobody_looks() {
    let (ca, config) = signed();
    let fake = Fake::start_tls(config, tags).await;
    assert_eq!(tags_with(&fake, Trust::new(&ca, false).expect("a CA")).await.expect("trusted"), 1);
    assert_eq!(tags_with(&fake, Trust::new("", true).expect("none")).await.expect("not looked at"), 1);
    let asked = fake.seen().len();
    let (other, _) = signed();
    for trust in [Trust::system(), Trust::new(&other, false).expect("a CA")] {
        let error = tags_with(&fake, trust).await.expect_err("not trusted");
        assert!(matches!(error, RemoteError::Connect(ConnectError::Tls { .. })), "{error:?}");
        assert!(error.to_string().contains("remote CA"), "{error}");
        assert_eq!(error.retry(), Retry::Slowly);
    }
    assert_eq!(fake.seen().len(), asked, "no request goes out before the handshake is believed");
}

#[tokio::test]
async fn a_server_that_is_its_own_ca_is_believed_when_it_was_given() {
    let (pem, config) = self_signed("127.0.0.1");
    let fake = Fake::start_tls(config, tags).await;
    assert_eq!(tags_with(&fake, Trust::new(&pem, false).expect("a CA")).await.expect("trusted"), 1);
    tags_with(&fake, Trust::system()).await.expect_err("not trusted");
    // Its name is checked all the same.
    let (pem, config) = self_signed("other.example");
    let fake = Fake::start_tls(config, tags).await;
    let error = tags_with(&fake, Trust::new(&pem, false).expect("a CA")).await.expect_err("another name");
    assert!(error.to_string().contains("another name"), "{error}");
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    let config = server(certificate.der().clone(), &key, &[b"h2", b"http/1.1"]);
    let fake = Fake::start_tls(config, |seen: &Seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("Location", "/u"),
        "PUT" => Reply::new(201),
        _ => tags(seen),
    })
    .await;
    let trust = Trust::new(&certificate.pem(), false).expect("a CA");
    assert_eq!(tags_with(&fake, trust.clone()).await.expect("trusted"), 1);
    // HTTP/2 has no Host header; it has :authority.
    assert_eq!(fake.seen()[0].header("host"), None);
    let blob = Bytes::from(vec![7; 1 << 20]);
    let source = {
        let blob = blob.clone();
        move || stream::iter([Ok(blob.clone()), Ok(blob.clone())])
    };
    let registry = Registry::new(&outbound(), RegistryOptions { trust, ..fake.options() });
    registry.push_blob(&Digest::sha256_of(b"whatever"), 2 << 20, source).await.expect("pushed");
    assert_eq!(fake.seen()[2].body, [&blob[..], &blob[..]].concat());
}

#[tokio::test]
async fn plain_text_where_tls_was_meant_says_so() {
    let fake = Fake::start(tags).await;
    let host = format!("https://{}", fake.address).parse().expect("a host");
    let registry = Registry::new(&outbound(), RegistryOptions { host, ..fake.options() });
    let error = registry.tags().await.expect_err("no TLS");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn tls_is_not_given_up_on_the_way() {
    let plain = Fake::sentinel().await;
    let there = plain.url();
    let (ca, config) = signed();
    let fake = Fake::start_tls(config, move |seen: &Seen| {
        let status = if seen.method == "POST" { 202 } else { 307 };
        Reply::new(status).header("Location", &there).header("WWW-Authenticate", "x")
    })
    .await;
    let trust = Trust::new(&ca, false).expect("a CA");
    let registry = Registry::new(&outbound(), RegistryOptions { trust: trust.clone(), ..fake.options() });
    assert!(matches!(registry.tags().await, Err(RemoteError::Redirect { .. })));
    assert!(matches!(registry.start_upload().await, Err(RemoteError::Redirect { .. })));

    let realm = format!("Bearer realm=\"{}/token\"", plain.url());
    let (ca, config) = signed();
    let fake = Fake::start_tls(config, move |_: &Seen| Reply::new(401).header("WWW-Authenticate", &realm)).await;
    let trust = Trust::new(&ca, false).expect("a CA");
    let registry = Registry::new(&outbound(), RegistryOptions { trust, ..fake.options() });
    assert!(matches!(registry.tags().await, Err(RemoteError::Redirect { .. })));
    assert_eq!(plain.connections(), 0);
}
