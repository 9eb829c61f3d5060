//! Real sockets on loopback, real clients, and clients that misbehave.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::request_body::lend;
use super::*;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::identity::{Authority, CertificateNames};

/// Longer than anything here takes; a test that meets it fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// For deadlines that a test waits out.
const SHORT: Duration = Duration::from_millis(200);

type Ask = Request<Empty<Bytes>>;

/// A listener at work, with a trusted authority where it speaks TLS.
struct Site {
    folder: tempfile::TempDir,
    scope: Scope,
    options: Options,
    address: Option<SocketAddr>,
    clients: Scope,
}

fn options() -> Options {
    Options { drain: PATIENCE, ..Options::default() }
}

fn authority(folder: &Path) -> Authority {
    Authority::open_or_create(&folder.join("tls"), Clock::system().now(), &Chance::system()).unwrap()
}

fn tls(folder: &Path) -> Tls {
    let names = CertificateNames::new(None, ["registry.example"]).unwrap();
    Tls::new(authority(folder).server_certificate(&names, Clock::system().now()).unwrap().server_config())
}

fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

impl Site {
    async fn open<H, F>(spec: impl FnOnce(&Path) -> Spec, options: Options, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let bound = bind(spec(folder.path()), 3).await.unwrap();
        let (scope, address) = (Scope::new(), bound.local_addr());
        scope.spawn(serve(bound, scope.clone(), options.clone(), handler));
        Self { folder, scope, options, address, clients: Scope::new() }
    }

    async fn plain<H, F>(options: Options, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::open(|_| Spec::Tcp { address: local(), tls: None }, options, handler).await
    }

    async fn secure<H, F>(options: Options, handshake: Duration, handler: H) -> Self
    where
        H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let spec = |folder: &Path| Spec::Tcp { address: local(), tls: Some(tls(folder).with_handshake(handshake)) };
        Self::open(spec, options, handler).await
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address.unwrap()).await.unwrap()
    }

    /// Over TLS by `name`, offering one protocol.
    async fn tls(&self, name: &str, protocol: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(authority(self.folder.path()).certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp().await).await.unwrap()
    }

    async fn http1<S>(&self, stream: S) -> http1::SendRequest<Empty<Bytes>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.clients.spawn(connection);
        client
    }

    async fn http2<S>(&self, stream: S) -> http2::SendRequest<Empty<Bytes>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        self.clients.spawn(connection);
        client
    }

    fn count(&self, of: impl FnOnce(&super::super::connection::Tally) -> &std::sync::atomic::AtomicU64) -> u64 {
        of(&self.options.tally).load(Ordering::Relaxed)
    }

    /// Stops it and checks that nothing stays behind.
    async fn close(self) {
        assert!(self.scope.drain(PATIENCE).await, "{} tasks stay", self.scope.running());
    }
}

fn ask(path: &str) -> Ask {
    Request::builder().uri(path).header(header::HOST, "registry.example").body(Empty::new()).unwrap()
}

async fn read<E: std::fmt::Debug>(response: Result<Response<Incoming>, E>) -> (StatusCode, String) {
    let response = response.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Says who asked for what, over which version.
async fn echo(request: Request<Incoming>, peer: Peer) -> Response<Body> {
    Response::new(Body::from(format!(
        "{:?} {} tls={} local={} listener={} addr={}",
        request.version(),
        request.uri().path(),
        peer.tls,
        peer.local,
        peer.listener,
        peer.addr.is_some()
    )))
}

#[tokio::test]
async fn the_protocol_is_the_one_the_client_chose_in_the_handshake() {
    let site = Site::secure(options(), PATIENCE, echo).await;
    let mut one = site.http1(site.tls("127.0.0.1", "http/1.1").await).await;
    let expected = "HTTP/1.1 /v2/ tls=true local=false listener=3 addr=true";
    assert_eq!(read(one.send_request(ask("/v2/")).await).await, (StatusCode::OK, expected.to_owned()));
    assert_eq!(read(one.send_request(ask("/v2/")).await).await.0, StatusCode::OK, "kept alive");
    let mut two = site.http2(site.tls("registry.example", "h2").await).await;
    let expected = "HTTP/2.0 /v2/ tls=true local=false listener=3 addr=true";
    let ask = || Request::builder().uri("https://registry.example/v2/").body(Empty::new()).unwrap();
    assert_eq!(read(two.send_request(ask()).await).await, (StatusCode::OK, expected.to_owned()));
    assert_eq!(site.count(|tally| &tally.requests), 3);
    site.close().await;
}

#[tokio::test]
async fn plain_tcp_speaks_http1_only() {
    let site = Site::plain(options(), echo).await;
    let mut client = site.http1(site.tcp().await).await;
    let expected = "HTTP/1.1 / tls=false local=false listener=3 addr=true";
    assert_eq!(read(client.send_request(ask("/")).await).await, (StatusCode::OK, expected.to_owned()));
    let mut stream = site.tcp().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Refused or closed; never spoken.
    let _ = in_time(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    site.close().await;
}

/// hyper's automatic builder never closed such a client, whatever the
/// deadline: a few thousand of them would have held every connection there is.
#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_head_is_closed_at_the_deadline() {
    let site = Site::plain(Options { request_head: SHORT, ..options() }, echo).await;
    for sent in ["", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = site.tcp().await;
        let begun = tokio::time::Instant::now();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(begun.elapsed() >= SHORT, "closed after {:?}", begun.elapsed());
        assert_eq!(site.count(|tally| &tally.requests), 0, "{answer}");
    }
    site.close().await;
}

#[tokio::test]
async fn an_http2_client_that_sends_nothing_after_the_handshake_is_closed_too() {
    let site = Site::secure(Options { request_head: SHORT, ..options() }, PATIENCE, echo).await;
    let mut stream = site.tls("localhost", "h2").await;
    let mut frames = Vec::new();
    let _ = in_time(stream.read_to_end(&mut frames)).await;
    site.close().await;
}

#[tokio::test]
async fn an_http2_connection_without_requests_is_closed_after_its_idle_time() {
    let site = Site::secure(Options { idle: SHORT, ..options() }, PATIENCE, echo).await;
    let (mut client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(site.tls("localhost", "h2").await)).await.unwrap();
    let ended = site.clients.spawn(connection);
    let ask = Request::builder().uri("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(read(client.send_request(ask).await).await.0, StatusCode::OK);
    in_time(ended).await.unwrap().expect("closed in the protocol's way");
    site.close().await;
}

#[tokio::test]
async fn a_stalled_handshake_holds_up_nobody_and_ends() {
    // Long enough for an honest handshake on a busy machine.
    let site = Site::secure(options(), 10 * SHORT, echo).await;
    let mut silent = site.tcp().await;
    let mut half = site.tcp().await;
    half.write_all(&[22, 3, 1]).await.unwrap();
    let mut client = site.http1(site.tls("localhost", "http/1.1").await).await;
    assert_eq!(read(client.send_request(ask("/")).await).await.0, StatusCode::OK);
    for stalled in [&mut silent, &mut half] {
        let _ = in_time(stalled.read_to_end(&mut Vec::new())).await;
    }
    assert_eq!(site.count(|tally| &tally.handshakes_failed), 2);
    site.close().await;
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_answered_in_words() {
    let site = Site::secure(options(), PATIENCE, echo).await;
    let mut client = site.http1(site.tcp().await).await;
    let (status, words) = read(client.send_request(ask("/v2/")).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    // `docker pull` tries HTTP where it does not trust the certificate, and once
    // said "invalid character 'h'".
    let error: serde_json::Value = serde_json::from_str(&words).unwrap();
    let told = error["errors"][0]["message"].as_str().unwrap();
    assert!(error["errors"][0]["code"] == "UNSUPPORTED" && told.contains("https://"), "{words}");
    assert_eq!(site.count(|tally| &tally.requests), 0);
    site.close().await;
}

#[tokio::test]
async fn a_head_larger_than_allowed_gets_431() {
    let site = Site::plain(options(), echo).await;
    let mut client = site.http1(site.tcp().await).await;
    let mut large = ask("/");
    large.headers_mut().insert("x-large", "x".repeat(limits::REQUEST_HEAD_BYTES).parse().unwrap());
    let (status, words) = read(client.send_request(large).await).await;
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(words.contains("at most 32768 bytes") && words.contains("UNSUPPORTED"), "{words}");
    // Beyond what is read at all, hyper answers, without words.
    let mut endless = site.tcp().await;
    let filler = vec![b'x'; limits::REQUEST_HEAD_READ_BYTES + 1];
    endless.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    endless.write_all(&filler).await.unwrap();
    let mut line = [0; 12];
    in_time(endless.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 431");
    site.close().await;
}

/// A reset behind the answer made curl 7.88 tell of a broken stream where it
/// had been told that its image is too large, or that it has to sign in.
#[tokio::test]
async fn an_http2_client_that_still_sends_hears_why_and_ends_the_stream_itself() {
    let refuse = |request: Request<Incoming>, _: Peer| async move {
        let (parts, body) = request.into_parts();
        let (lent, unread) = lend(body);
        drop(lent);
        let mut response = Response::new(Body::from("no"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        unread.settle(&parts, &mut response).await;
        response
    };
    let site = Site::secure(options(), PATIENCE, refuse).await;
    let stream = site.tls("localhost", "h2").await;
    let (mut client, connection) =
        http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    site.clients.spawn(connection);
    let (sending, mut reset) = oneshot::channel::<()>();
    let endless = stream::unfold((true, sending), async |(is_first, sending)| {
        if !is_first {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), (false, sending)))
    });
    let ask = Request::builder().method("PUT").uri("https://localhost/").body(Body::stream(Box::pin(endless))).unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(read(in_time(client.send_request(ask)).await).await, (StatusCode::FORBIDDEN, "no".to_owned()));
    assert!(begun.elapsed() < limits::UNWANTED_BODY / 2, "answered at once");
    assert!(tokio::time::timeout(limits::UNWANTED_BODY / 4, &mut reset).await.is_err(), "reset behind the answer");
    // Not for ever.
    assert!(in_time(reset).await.is_err());
    site.close().await;
}

/// `curl | registry` in a pipe, and some health checks, close their own side
/// behind a request.
#[tokio::test]
async fn a_client_that_closes_its_side_behind_a_request_hears_the_answer() {
    let slow = |_: Request<Incoming>, _: Peer| async {
        tokio::time::sleep(SHORT).await;
        Response::new(Body::from("late"))
    };
    let site = Site::plain(options(), slow).await;
    let mut stream = site.tcp().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("late"), "{answer}");
    site.close().await;
}

#[tokio::test]
async fn a_panic_is_one_requests_trouble() {
    let handler = |request: Request<Incoming>, _: Peer| {
        assert_ne!(request.uri().path(), "/call", "a handler that panics when called");
        async move {
            let broken = stream::unfold(0, |n| async move {
                if n > 0 {
                    // So that the first half is on its way.
                    tokio::task::yield_now().await;
                    panic!("a body that panics half way");
                }
                Some((Ok::<_, Infallible>(Bytes::from_static(b"half")), n + 1))
            });
            match request.uri().path() {
                "/await" => panic!("a handler that panics when awaited"),
                "/body" => Response::new(Body::stream(broken)),
                path => Response::new(Body::from(path.to_owned())),
            }
        }
    };
    let site = Site::plain(options(), handler).await;
    let mut client = site.http1(site.tcp().await).await;
    for path in ["/call", "/await"] {
        let (status, body) = read(client.send_request(ask(path)).await).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.starts_with(r#"{"errors":[{"code":"UNKNOWN""#) && !body.contains("panics"), "{body}");
        assert_eq!(read(client.send_request(ask("/fine")).await).await, (StatusCode::OK, "/fine".to_owned()));
    }
    let broken = client.send_request(ask("/body")).await.unwrap();
    assert!(broken.into_body().collect().await.is_err(), "not taken for whole");
    assert_eq!(site.count(|tally| &tally.panics), 3);
    site.close().await;
}

/// A handler that says when it has begun and ends when it is told.
fn held() -> (mpsc::UnboundedReceiver<()>, Arc<Notify>, impl Fn(Request<Incoming>, Peer) -> BoxedAnswer + Clone) {
    let (begun, begins) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let handler = {
        let release = Arc::clone(&release);
        move |_: Request<Incoming>, _: Peer| -> BoxedAnswer {
            let (begun, release) = (begun.clone(), Arc::clone(&release));
            Box::pin(async move {
                let _ = begun.send(());
                release.notified().await;
                Response::new(Body::from("finished"))
            })
        }
    };
    (begins, release, handler)
}

type BoxedAnswer = std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

#[tokio::test]
async fn a_running_request_is_finished_while_nobody_new_gets_in() {
    let (mut begins, release, handler) = held();
    let site = Site::secure(options(), PATIENCE, handler).await;
    let mut one = site.http1(site.tls("localhost", "http/1.1").await).await;
    let mut two = site.http2(site.tls("localhost", "h2").await).await;
    let idle = site.http1(site.tls("localhost", "http/1.1").await).await;
    let (first, second) = (ask("/"), Request::builder().uri("https://localhost/").body(Empty::new()).unwrap());
    let first = site.clients.spawn(async move { read(one.send_request(first).await).await });
    let second = site.clients.spawn(async move { read(two.send_request(second).await).await });
    begins.recv().await.unwrap();
    begins.recv().await.unwrap();
    site.scope.stop();
    // The listener goes first: a connection is refused while the requests still run.
    in_time(async { while TcpStream::connect(site.address.unwrap()).await.is_ok() {} }).await;
    assert!(!first.is_finished() && !second.is_finished());
    release.notify_one();
    release.notify_one();
    for answer in [first, second] {
        assert_eq!(in_time(answer).await.unwrap(), (StatusCode::OK, "finished".to_owned()));
    }
    drop(idle);
    site.close().await;
}

#[tokio::test]
async fn what_outlasts_patience_is_cut() {
    let (mut begins, _never, handler) = held();
    let site = Site::secure(Options { drain: SHORT, ..options() }, PATIENCE, handler).await;
    let mut one = site.http1(site.tls("localhost", "http/1.1").await).await;
    let mut two = site.http2(site.tls("localhost", "h2").await).await;
    let (first, second) = (ask("/"), Request::builder().uri("https://localhost/").body(Empty::new()).unwrap());
    let first = site.clients.spawn(async move { one.send_request(first).await.is_err() });
    let second = site.clients.spawn(async move { two.send_request(second).await.is_err() });
    begins.recv().await.unwrap();
    begins.recv().await.unwrap();
    let clients = site.clients.clone();
    site.close().await;
    assert!(in_time(first).await.unwrap() && in_time(second).await.unwrap());
    clients.stop();
}

/// A client that asks for a large blob and reads nothing would have held its
/// buffers and its descriptor until the daemon stopped.
#[tokio::test]
async fn a_client_that_does_not_read_is_left_at_the_deadline() {
    let (dropped, left) = oneshot::channel::<Infallible>();
    let dropped = Arc::new(Mutex::new(Some(dropped)));
    let handler =
        move |_: Request<Incoming>, _: Peer| {
            let held = dropped.lock().unwrap().take();
            async move {
                let endless = stream::unfold(held, |held| async move {
                    Some((Ok::<_, Infallible>(Bytes::from(vec![0; 1 << 16])), held))
                });
                Response::new(Body::stream(endless))
            }
        };
    let site = Site::plain(Options { response_stall: SHORT, ..options() }, handler).await;
    let mut stream = site.tcp().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    in_time(left).await.unwrap_err();
    site.close().await;
}

#[tokio::test]
async fn a_full_house_makes_newcomers_wait_until_somebody_leaves() {
    let one_place = Options { connections: Arc::new(Semaphore::new(1)), ..options() };
    let site = Site::plain(one_place, echo).await;
    let mut first = site.http1(site.tcp().await).await;
    assert_eq!(read(first.send_request(ask("/")).await).await.0, StatusCode::OK);
    let mut second = site.http1(site.tcp().await).await;
    let mut waiting = std::pin::pin!(second.send_request(ask("/")));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    assert_eq!(read(first.send_request(ask("/")).await).await.0, StatusCode::OK);
    assert_eq!(site.count(|tally| &tally.accepted), 1);
    drop(first);
    assert_eq!(read(in_time(waiting).await).await.0, StatusCode::OK);
    assert_eq!(site.count(|tally| &tally.accepted), 2);
    site.close().await;
}

#[tokio::test]
async fn the_local_socket_has_room_when_the_network_has_none_and_goes_at_the_end() {
    let full = Options { connections: Arc::new(Semaphore::new(0)), ..options() };
    let site = Site::open(|folder| Spec::Unix { path: folder.join("run/admin.sock") }, full, echo).await;
    let path = site.folder.path().join("run/admin.sock");
    let mut client = site.http1(UnixStream::connect(&path).await.unwrap()).await;
    let expected = "HTTP/1.1 /api tls=false local=true listener=3 addr=false";
    assert_eq!(read(client.send_request(ask("/api")).await).await, (StatusCode::OK, expected.to_owned()));
    drop(client);
    assert!(site.scope.drain(PATIENCE).await);
    assert!(!path.exists());
}

#[tokio::test]
async fn an_address_in_use_or_not_here_is_said_with_what_to_do() {
    let first = bind(Spec::Tcp { address: local(), tls: None }, 0).await.unwrap();
    let address = first.local_addr().unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(first.to_string(), format!("http://{address}"));
    let error = bind(Spec::Tcp { address, tls: None }, 1).await.unwrap_err();
    assert!(matches!(error, ListenError::AddressInUse { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()) && error.to_string().contains("another port"), "{error}");
    // TEST-NET-1 (RFC 5737) is nobody's address.
    let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
    let error = bind(Spec::Tcp { address: nowhere, tls: None }, 1).await.unwrap_err();
    assert!(matches!(error, ListenError::NoSuchAddress { .. }), "{error}");
}

#[test]
fn only_errors_of_one_connection_go_without_a_pause() {
    for (errno, pause) in [
        (Errno::CONNABORTED, Duration::ZERO),
        (Errno::PERM, Duration::ZERO),
        (Errno::MFILE, limits::ACCEPT_RETRY),
        (Errno::NFILE, limits::ACCEPT_RETRY),
        (Errno::NOBUFS, limits::ACCEPT_RETRY),
        (Errno::NOMEM, limits::ACCEPT_RETRY),
        // Whatever it is, a loop without a pause would take a core.
        (Errno::BADF, limits::ACCEPT_RETRY),
    ] {
        assert_eq!(pause_after(&errno.into()), pause, "{errno:?}");
    }
}
