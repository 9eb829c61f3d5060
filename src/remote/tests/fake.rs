//! A registry on loopback that answers what a test tells it to, and remembers
//! what it was asked.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::clock::{Clock, Timestamp};
use crate::lifecycle::Scope;
use crate::remote::{Credentials, Names, Outbound, OutboundOptions, Registry, RegistryOptions, Timing, Trust};
use crate::secret::Secret;

/// A request, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

/// An answer.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    chunks: Vec<Bytes>,
    end: End,
    /// A chunk each time it ticks.
    drip: Option<Arc<Mutex<tokio::time::Interval>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The body ends.
    Whole,
    /// The connection breaks.
    Broken,
    /// Nothing more comes.
    Hanging,
    /// Not even the head comes.
    Silent,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), chunks: Vec::new(), end: End::Whole, drip: None }
    }

    pub(crate) fn silent() -> Self {
        Self { end: End::Silent, ..Self::new(200) }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// One more chunk; `Content-Length` only where a test sets it.
    pub(crate) fn body(mut self, chunk: impl AsRef<[u8]>) -> Self {
        self.chunks.push(Bytes::copy_from_slice(chunk.as_ref()));
        self
    }

    /// The body byte by byte, one each `every`.
    pub(crate) fn dripping(mut self, every: Duration) -> Self {
        let whole = self.chunks.concat();
        self.chunks = whole.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        self.drip = Some(Arc::new(Mutex::new(tokio::time::interval(every))));
        self
    }

    pub(crate) fn then_break(mut self) -> Self {
        self.end = End::Broken;
        self
    }

    pub(crate) fn then_hang(mut self) -> Self {
        self.end = End::Hanging;
        self
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(drip) = self.drip.clone() {
            std::task::ready!(drip.lock().expect("not poisoned").poll_tick(cx));
        }
        if !self.chunks.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.chunks.remove(0)))));
        }
        match self.end {
            End::Whole => Poll::Ready(None),
            End::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            End::Hanging | End::Silent => Poll::Pending,
        }
    }
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// The server. It stops when it is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    scope: Scope,
    secure: bool,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.scope.stop();
    }
}

impl Fake {
    /// A server over plain HTTP.
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(None, Arc::new(handler)).await
    }

    /// A server over TLS.
    pub(crate) async fn start_tls(
        tls: rustls::ServerConfig,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(Some(TlsAcceptor::from(Arc::new(tls))), Arc::new(handler)).await
    }

    /// A server that nobody should ask anything.
    pub(crate) async fn sentinel() -> Self {
        Self::start(|_| Reply::new(418)).await
    }

    async fn run(tls: Option<TlsAcceptor>, handler: Handler) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let fake = Self {
            address: listener.local_addr().expect("bound"),
            seen: Arc::default(),
            connections: Arc::default(),
            scope: Scope::new(),
            secure: tls.is_some(),
        };
        let (seen, connections, scope) = (fake.seen.clone(), fake.connections.clone(), fake.scope.clone());
        let serving = async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (tls, handler, seen) = (tls.clone(), handler.clone(), seen.clone());
                let inner = scope.clone();
                scope.spawn(async move { inner.until_stopped(serve(tcp, tls, handler, seen)).await });
            }
        };
        let scope = fake.scope.clone();
        fake.scope.spawn(async move { scope.until_stopped(serving).await });
        fake
    }

    /// Scheme, host and port.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }

    /// Everything it was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Method and path of everything it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// An anonymous client of `dev/web` here.
    pub(crate) fn registry(&self) -> Registry {
        self.registry_as(Credentials::anonymous())
    }

    /// A client of `dev/web` here.
    pub(crate) fn registry_as(&self, credentials: Credentials) -> Registry {
        Registry::new(&outbound(), RegistryOptions { credentials, ..self.options() })
    }

    /// What a client of `dev/web` here needs.
    pub(crate) fn options(&self) -> RegistryOptions {
        RegistryOptions {
            host: self.url().parse().expect("a host"),
            repository: "dev/web".parse().expect("a name"),
            credentials: Credentials::anonymous(),
            trust: Trust::system(),
            private: true,
            realms: Vec::new(),
        }
    }
}

/// A user with a password.
pub(crate) fn ann() -> Credentials {
    Credentials { username: "ann".into(), password: Secret::new("hunter22"), token: Secret::default() }
}

/// `ann:hunter22`, as Basic sends it.
pub(crate) const ANN: &str = "Basic YW5uOmh1bnRlcjIy";

pub(crate) fn outbound() -> Outbound {
    Outbound::new(outbound_options())
}

pub(crate) fn outbound_options() -> OutboundOptions {
    OutboundOptions {
        scope: Scope::new(),
        clock: Clock::manual(Timestamp::EPOCH),
        own: Vec::new(),
        allow: Vec::new(),
        user_agent: "tidegate/test".into(),
        timing: Timing::default(),
        names: Names::System,
    }
}

/// Deadlines that a test can wait for.
pub(crate) fn impatient() -> Outbound {
    let soon = Duration::from_millis(150);
    let timing = Timing { connect: soon, answer: soon, stall: soon, commit: soon, read: soon, ..Timing::default() };
    Outbound::new(OutboundOptions { timing, ..outbound_options() })
}

async fn serve(tcp: tokio::net::TcpStream, tls: Option<TlsAcceptor>, handler: Handler, seen: Arc<Mutex<Vec<Seen>>>) {
    let service = service_fn(move |request: Request<Incoming>| answer(request, handler.clone(), seen.clone()));
    // A client that goes away is a test's business, not the server's.
    let _gone = match tls {
        None => hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await,
        Some(acceptor) => match acceptor.accept(tcp).await {
            Err(_) => Ok(()),
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            }
            Ok(stream) => {
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            }
        },
    };
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
    all: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Reply>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let seen = Seen { method: head.method.to_string(), path, headers: head.headers, body };
    let reply = handler(&seen);
    all.lock().expect("not poisoned").push(seen);
    if reply.end == End::Silent {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(reply).expect("a valid answer"))
}
