//! A request's body that comes back when nobody wanted it.
//!
//! Closing a connection under a client that is still sending makes its system
//! throw away the answer: it would see a broken pipe where we said why. So a
//! body that was refused is read on for a little (a bounded number of bytes, a
//! bounded time), and only then the connection is closed. A client that waits
//! for `100 Continue` has sent nothing and is not asked to begin.
//!
//! Over HTTP/2 nothing is closed, but a body that is let go has its stream reset
//! without an error (RFC 9113 §8.1), which some clients, curl 7.88 among them,
//! take for a failure when they still send: they see a broken stream where we
//! said why. There the answer goes out at once and the body is held behind it,
//! within the same bounds: a client that has its answer ends the stream itself.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::Body;
use crate::lifecycle::Scope;
use crate::limits;

/// A request's body, lent to a handler.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None` only while it is dropped.
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

/// Where a body comes back that was not read to its end.
#[derive(Debug)]
pub(super) struct Unread(oneshot::Receiver<Incoming>);

/// Where the unread bodies of an HTTP/2 connection are held, as an extension of
/// its requests.
#[derive(Clone, Debug)]
pub(super) struct Linger(Scope);

/// Lends a body to a handler.
pub(super) fn lend(body: Incoming) -> (RequestBody, Unread) {
    let (back, unread) = oneshot::channel();
    (RequestBody { body: Some(body), back: Some(back) }, Unread(unread))
}

impl Unread {
    /// Reads on what the handler left, within bounds, and says on the answer
    /// that the connection ends when there was more.
    pub(super) async fn settle(mut self, parts: &Parts, response: &mut Response<Body>) {
        let Ok(mut body) = self.0.try_recv() else { return };
        if parts.version == Version::HTTP_2
            && let Some(linger) = parts.extensions.get::<Linger>()
        {
            return linger.hold(body);
        }
        let is_waiting = parts.headers.contains_key(header::EXPECT);
        if (is_waiting || !ended_in_time(&mut body).await) && parts.version <= Version::HTTP_11 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Linger {
    /// For a connection whose tasks run in `scope`.
    pub(super) fn new(scope: &Scope) -> Self {
        Self(scope.clone())
    }

    /// Keeps the stream of `body` open for a while, reading a little on. What is
    /// not read stays with the client: the window closes.
    fn hold(&self, mut body: Incoming) {
        let scope = self.0.clone();
        self.0.spawn(async move {
            let held = async {
                if read_on(&mut body).await == Left::More {
                    std::future::pending::<()>().await;
                }
            };
            scope.until_stopped(tokio::time::timeout(limits::UNWANTED_BODY, held)).await;
        });
    }
}

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    More,
    /// The client went away.
    Broken,
}

/// Whether the body ended within the bounds.
async fn ended_in_time(body: &mut Incoming) -> bool {
    let read = tokio::time::timeout(limits::UNWANTED_BODY, read_on(body)).await;
    read.is_ok_and(|left| left == Left::Nothing)
}

/// Reads a body on, up to the bound of bytes.
async fn read_on(body: &mut Incoming) -> Left {
    let mut left = limits::UNWANTED_BODY_BYTES;
    loop {
        match body.frame().await {
            None => return Left::Nothing,
            Some(Err(_)) => return Left::Broken,
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return Left::More,
                }
            }
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.body.as_mut() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Nobody waits for it once the answer is on its way.
            let _ = back.send(body);
        }
    }
}
