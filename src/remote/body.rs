//! Bodies that are sent, and how one sees that they move.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// A request's body, whatever it is made of.
pub(super) type SendBody = UnsyncBoxBody<Bytes, io::Error>;

/// Bytes on their way out.
pub(super) type Source = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A body that is all there.
pub(super) fn full(bytes: Bytes) -> SendBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body of exactly `size` bytes from `source`; a source that has more or
/// fewer fails it, so that no request is ever completed with other bytes.
pub(super) fn streamed(source: Source, size: u64) -> (SendBody, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let body = Metered { source, left: size, progress: progress.clone() };
    (body.boxed_unsync(), progress)
}

/// What can be seen of a streamed body from outside.
#[derive(Debug, Default)]
pub(super) struct Progress {
    steps: AtomicU64,
    bytes: AtomicU64,
    finished: AtomicBool,
    failure: Mutex<Option<io::Error>>,
}

impl Progress {
    /// Changes whenever something moved.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Bytes that were taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the last byte was taken.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Why the source failed, when it did; the first caller gets it.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: io::Error) -> io::Error {
        let told = io::Error::from(error.kind());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told
    }
}

struct Metered {
    source: Source,
    left: u64,
    progress: Arc<Progress>,
}

impl Body for Metered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let next = std::task::ready!(this.source.poll_next_unpin(cx));
        this.progress.steps.fetch_add(1, Ordering::Relaxed);
        let lied = |what| this.progress.fail(io::Error::new(io::ErrorKind::InvalidData, what));
        Poll::Ready(match next {
            Some(Ok(bytes)) => match this.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    this.left = left;
                    this.progress.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    // The connection stops asking after the last byte.
                    this.progress.finished.store(left == 0, Ordering::Relaxed);
                    Some(Ok(Frame::data(bytes)))
                }
                None => Some(Err(lied("the blob is longer than its length"))),
            },
            Some(Err(error)) => Some(Err(this.progress.fail(error))),
            None if this.left == 0 => {
                this.progress.finished.store(true, Ordering::Relaxed);
                None
            }
            None => Some(Err(lied("the blob is shorter than its length"))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        // An empty blob still has to be asked for, to see that it is empty.
        false
    }
}
