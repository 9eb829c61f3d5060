//! A request's body that comes back when nobody wanted it.
//!
//! Closing a connection under a client that is still sending makes its system
//! throw away the answer: it would see a broken pipe where we said why. So a
//! body that was refused is read on for a little (a bounded number of bytes, a
//! bounded time), and only then the connection is closed. A client that waits
//! for `100 Continue` has sent nothing and is not asked to begin. Over HTTP/2
//! nothing is closed but the stream is reset without an error (RFC 9113 §8.1),
//! which some clients, curl 7.88 among them, take for a failure: what is small
//! is read on there too.

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

/// Lends a body to a handler.
pub(super) fn lend(body: Incoming) -> (RequestBody, Unread) {
    let (back, unread) = oneshot::channel();
    (RequestBody { body: Some(body), back: Some(back) }, Unread(unread))
}

impl Unread {
    /// Reads on what the handler left, within bounds, and says on the answer
    /// that the connection ends when there was more.
    pub(super) async fn settle(mut self, parts: &Parts, response: &mut Response<Body>) {
        let Ok(body) = self.0.try_recv() else { return };
        let is_waiting = parts.headers.contains_key(header::EXPECT);
        if (is_waiting || !read_on(body).await) && parts.version <= Version::HTTP_11 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Whether the body ended within the bounds.
async fn read_on(mut body: Incoming) -> bool {
    let reading = async {
        let mut left = limits::UNWANTED_BODY_BYTES;
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                    match left.checked_sub(bytes) {
                        Some(rest) => left = rest,
                        None => return false,
                    }
                }
            }
        }
    };
    tokio::time::timeout(limits::UNWANTED_BODY, reading).await.unwrap_or(false)
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
