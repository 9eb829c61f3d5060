//! One connection, from its first byte to its last.
//!
//! HTTP/2 where the client chose it in the TLS handshake, HTTP/1.1 everywhere
//! else. What a client could hold open has a deadline: the handshake (in
//! [`crate::http::tls`]), the request head, a response that is not read, and silence
//! between requests. What a handler reads of a request body is its own affair
//! ([`crate::http::body`]).
//!
//! What never becomes a request is answered by hyper itself, with a status and
//! an empty body: 400 for bytes that are no HTTP, 414 for a target beyond
//! 65 534 bytes, 431 for more than 100 header lines or for a head beyond what
//! is read at all ([`crate::limits::REQUEST_HEAD_READ_BYTES`]). A head that is merely
//! too large is refused here, in words.
//!
//! A panic in a handler ends at its request: logged once, counted, answered
//! with 500; the connection and the daemon go on.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::body::{Body, BoxError};
use super::request_body::Linger;
use super::sign_in::ShownCertificate;
use super::stall::Stall;
use super::taken::{Taken, watched};
use super::tls::{self, Tls};
use crate::lifecycle::Scope;
use crate::limits;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The far end; `None` over a unix socket.
    pub addr: Option<SocketAddr>,
    /// Over the unix socket, which only those may open who may administer.
    pub local: bool,
    /// The user at the other end of a unix socket, where the system says so.
    pub uid: Option<u32>,
    /// Over TLS.
    pub tls: bool,
    /// The listener's place in the configuration.
    pub listener: usize,
}

/// How connections are treated. Clones share the room and the tally, so one
/// value and its clones serve all listeners.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time for a request head, and until the first request.
    pub request_head: Duration,
    /// Time a response may go without the client taking a byte.
    pub response_stall: Duration,
    /// Time an HTTP/2 connection may be without a request.
    pub idle: Duration,
    /// Time that running requests get at the end.
    pub drain: Duration,
    /// Room for connections over the network.
    pub connections: Arc<Semaphore>,
    /// What happened.
    pub tally: Arc<Tally>,
}

/// What happened on all listeners since the start, for the metrics.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Times the system gave no connection.
    pub accepts_failed: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: AtomicU64,
    /// Requests begun.
    pub requests: AtomicU64,
    /// Requests that run, until their answer is sent.
    pub running: AtomicU64,
    /// Panics in handlers or response bodies; each is a bug.
    pub panics: AtomicU64,
}

/// A connection that was accepted.
pub(super) enum Accepted {
    Tcp { stream: TcpStream, from: SocketAddr, tls: Option<Tls> },
    Unix(UnixStream),
}

/// What a connection's task works with.
#[derive(Clone)]
pub(super) struct Context {
    /// Where its tasks run; told to stop when connections should finish.
    pub(super) connections: Scope,
    /// Told to stop when they must end at once.
    pub(super) cut: Scope,
    pub(super) options: Options,
}

/// How many requests of a connection run, and how many there were.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    begun: u64,
    running: usize,
}

/// A request that runs until this is dropped.
struct Running(Arc<watch::Sender<Requests>>, Arc<Tally>);

/// A response body that keeps its request running and stops panics.
struct Answer {
    body: Body,
    tally: Arc<Tally>,
    /// How fast the client takes it; none over HTTP/1.1.
    taken: Option<Arc<Taken>>,
    _running: Running,
}

/// Spawns the streams of an HTTP/2 connection.
#[derive(Clone)]
struct Streams(Context);

/// Speaks with one client until it goes, or the scope stops and it has been
/// served. What it is doing is on the heap, so that a connection that does
/// little does not hold room for the other things.
pub(super) async fn run<H, F>(accepted: Accepted, peer: Peer, context: Context, handler: H)
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let within = context.options.response_stall;
    match accepted {
        Accepted::Tcp { stream, tls: Some(tls), .. } => {
            let accepting = Box::pin(tls.accept_tcp(stream, |stream| Stall::new(stream, within)));
            match context.connections.until_stopped(accepting).await {
                Some(Ok(stream)) => {
                    let shown = tls::shown(&stream);
                    if tls::chose_http2(&stream) {
                        Box::pin(http2(TokioIo::new(stream), peer, shown, context, handler)).await;
                    } else {
                        Box::pin(http1(TokioIo::new(stream), peer, shown, context, handler)).await;
                    }
                }
                Some(Err(error)) => {
                    context.options.tally.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                    let source = std::error::Error::source(&error).map(tracing::field::display);
                    tracing::debug!(%error, source, "no TLS");
                }
                None => {}
            }
        }
        Accepted::Tcp { stream, tls: None, .. } => {
            let connection = http1(TokioIo::new(Stall::new(stream, within)), peer, None, context, handler);
            Box::pin(connection).await;
        }
        Accepted::Unix(stream) => {
            Box::pin(http1(TokioIo::new(Stall::new(stream, within)), peer, None, context, handler)).await;
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_head: limits::REQUEST_HEAD,
            response_stall: limits::RESPONSE_STALL,
            idle: limits::CONNECTION_IDLE,
            drain: limits::DRAIN,
            connections: Arc::new(Semaphore::new(limits::CONNECTIONS)),
            tally: Arc::default(),
        }
    }
}

async fn http1<I, H, F>(io: I, peer: Peer, shown: Option<ShownCertificate>, context: Context, handler: H)
where
    I: Read + Write + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let requests = Arc::new(watch::Sender::new(Requests::default()));
    let watched = requests.subscribe();
    let tally = Arc::clone(&context.options.tally);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        if let Some(shown) = &shown {
            request.extensions_mut().insert(shown.clone());
        }
        let running = Running::begin(&requests, &tally);
        answer(handler.clone(), request, peer, running, Arc::clone(&tally)).map(Ok::<_, Infallible>)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.options.request_head)
        .max_header_size(limits::REQUEST_HEAD_READ_BYTES)
        .max_buf_size(limits::CONNECTION_BUFFER_BYTES)
        // A client may close its side behind a request and still hear the
        // answer; the deadlines of the answer bound one that is gone.
        .half_close(true)
        .keep_alive(true)
        .serve_connection(io, service);
    // Between requests, hyper's own head deadline ends the silence.
    drive(connection, http1::Connection::graceful_shutdown, watched, None, &context).await;
}

async fn http2<I, H, F>(io: I, peer: Peer, shown: Option<ShownCertificate>, context: Context, handler: H)
where
    I: Read + Write + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let requests = Arc::new(watch::Sender::new(Requests::default()));
    let watched = requests.subscribe();
    let tally = Arc::clone(&context.options.tally);
    let linger = Linger::new(&context.connections);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let running = Running::begin(&requests, &tally);
        request.extensions_mut().insert(linger.clone());
        if let Some(shown) = &shown {
            request.extensions_mut().insert(shown.clone());
        }
        answer(handler.clone(), request, peer, running, Arc::clone(&tally)).map(Ok::<_, Infallible>)
    });
    let connection = http2::Builder::new(Streams(context.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS)
        .max_pending_accept_reset_streams(limits::STREAMS_RESET)
        .max_header_list_size(limits::REQUEST_HEAD_READ_BYTES as u32)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::STREAM_SEND_BYTES)
        .keep_alive_interval(limits::PING_EVERY)
        .keep_alive_timeout(limits::PING_ANSWER)
        .serve_connection(io, service);
    let idle = Some(context.options.idle);
    drive(connection, http2::Connection::graceful_shutdown, watched, idle, &context).await;
}

/// Runs a connection to its end. Told to stop, or silent for `idle`, it is
/// closed in the protocol's way; over HTTP/2 that needs the client's answer,
/// and a client that gives none is left.
async fn drive<C>(
    connection: C,
    close: fn(Pin<&mut C>),
    mut requests: watch::Receiver<Requests>,
    idle: Option<Duration>,
    context: &Context,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let head = context.options.request_head;
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = context.connections.stopped() => None,
        () = silence(&mut requests, head, idle) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            close(connection.as_mut());
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = silence(&mut requests, head, idle.and(Some(head))) => {
                    tracing::debug!("the client did not close; left");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        let source = std::error::Error::source(&error).map(tracing::field::display);
        tracing::debug!(%error, source, "the connection broke");
    }
}

/// Completes when no request has run for `idle` (`first`, while there was none
/// yet); never without `idle`.
async fn silence(requests: &mut watch::Receiver<Requests>, first: Duration, idle: Option<Duration>) {
    let Some(idle) = idle else { return std::future::pending().await };
    loop {
        let now = *requests.borrow_and_update();
        let patience = match now {
            Requests { running: 1.., .. } => Duration::MAX,
            Requests { begun: 0, .. } => first,
            Requests { .. } => idle,
        };
        // Without a sender the connection is at its end and says so itself.
        match tokio::time::timeout(patience, requests.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Asks the handler; a panic becomes a 500.
async fn answer<H, F>(
    handler: H,
    request: Request<Incoming>,
    peer: Peer,
    running: Running,
    tally: Arc<Tally>,
) -> Response<Answer>
where
    H: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    tally.requests.fetch_add(1, Ordering::Relaxed);
    if head_bytes(&request) > limits::REQUEST_HEAD_BYTES {
        return head_too_large(request.version()).map(|body| Answer { body, tally, taken: None, _running: running });
    }
    // Calling the handler may panic as well as awaiting it.
    // On the heap, and gone with the last step of it: hyper keeps room for this
    // future as long as the connection lasts, and it is the largest by far.
    let handled = Box::pin(AssertUnwindSafe(async move { handler(request, peer).await }));
    let response = handled.catch_unwind().await;
    let response = response.unwrap_or_else(|panic| {
        report(panic.as_ref(), &tally);
        internal_error()
    });
    response.map(|body| Answer { body, tally, taken: Taken::of_stream(), _running: running })
}

/// The one line about a panic.
fn report(panic: &(dyn Any + Send), tally: &Tally) {
    tally.panics.fetch_add(1, Ordering::Relaxed);
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("of another type than text"), "a request's handler panicked");
}

/// The length of a request's head, as HTTP/1.1 writes it.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let line = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
    request.headers().iter().fold(line, |bytes, (name, value)| bytes + name.as_str().len() + value.len() + 4)
}

fn head_too_large(version: Version) -> Response<Body> {
    let message = format!("the head of a request has at most {} bytes", limits::REQUEST_HEAD_BYTES);
    let body = serde_json::json!({ "errors": [{ "code": "UNSUPPORTED", "message": message }] });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Nothing of a body is read. HTTP/2 has no such header.
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn internal_error() -> Response<Body> {
    let mut response =
        Response::new(Body::from(r#"{"errors":[{"code":"UNKNOWN","message":"internal error; the log says more"}]}"#));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Running {
    fn begin(requests: &Arc<watch::Sender<Requests>>, tally: &Arc<Tally>) -> Self {
        tally.running.fetch_add(1, Ordering::Relaxed);
        requests.send_modify(|now| {
            now.begun += 1;
            now.running += 1;
        });
        Self(Arc::clone(requests), Arc::clone(tally))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.1.running.fetch_sub(1, Ordering::Relaxed);
        self.0.send_modify(|now| now.running -= 1);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let answer = self.get_mut();
        if let Some(taken) = &answer.taken {
            taken.asked();
        }
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut answer.body).poll_frame(cx)));
        let polled = polled.unwrap_or_else(|panic| {
            report(panic.as_ref(), &answer.tally);
            answer.body = Body::empty();
            Poll::Ready(Some(Err("the response broke off".into())))
        });
        if let (Some(taken), Poll::Ready(Some(Ok(frame)))) = (&answer.taken, &polled) {
            taken.handed(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let cut = self.0.cut.clone();
        self.0.connections.spawn(async move {
            cut.until_stopped(watched(stream)).await;
        });
    }
}
