//! Bodies: what is answered, and what is read with a cap and a deadline.
//!
//! A request body comes from a stranger: it may be endless, or never end. It
//! is read in [`Chunks`], where every wait for the next byte has a deadline, or
//! whole by `super::intake`, which has a size and a deadline for all of it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::room::Room;
use crate::limits;

/// Any error, for bodies that come from elsewhere.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
#[derive(Debug, Default)]
pub struct Body(Content);

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    Full {
        bytes: Bytes,
        /// The memory that they are counted in, when they are many.
        _room: Option<Room>,
    },
    Stream {
        body: UnsyncBoxBody<Bytes, BoxError>,
        /// Bytes still to come, where the length is known.
        left: Option<u64>,
    },
}

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed here.
    #[error("the body has more than {cap} bytes, the most allowed here")]
    TooLarge {
        /// The most allowed.
        cap: usize,
    },
    /// No byte came for too long, or the whole did not come in time.
    #[error("the body did not come within {} s", .within.as_secs())]
    Stalled {
        /// The time it had.
        within: Duration,
    },
    /// It came, but too slowly to wait for.
    #[error("the body came at {rate:.0} bytes a second (over {} s); at least {} are needed", .over.as_secs(), limits::BODY_SLOWEST)]
    TooSlow {
        /// Bytes a second.
        rate: f64,
        /// The time over which that was measured.
        over: Duration,
    },
    /// Others hold all the memory there is for bodies.
    #[error("the registry is reading as many request bodies as it has memory for; try again soon")]
    NoRoom,
    /// The connection broke, or the client sent no valid body.
    #[error("the body broke off")]
    Broken(#[source] BoxError),
}

/// The chunks of a request body, each awaited with a deadline.
#[derive(Debug)]
pub struct Chunks<B = Incoming> {
    body: B,
    stall: Duration,
    /// Bytes that came in the window that runs, and the time that was spent
    /// waiting for them: a disk of ours that is slow is not the client's fault.
    came: u64,
    waited: Duration,
}

impl<B> Chunks<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// With the product's deadline.
    pub fn new(body: B) -> Self {
        Self::with_stall(body, limits::BODY_STALL)
    }

    /// With a deadline of the caller's for each chunk.
    pub fn with_stall(body: B, stall: Duration) -> Self {
        Self { body, stall, came: 0, waited: Duration::ZERO }
    }

    /// The next bytes, never empty; `None` at the end. After an error the body
    /// must not be read on.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let begun = Instant::now();
        let next = self.wait().await?;
        Some(next.and_then(|bytes| self.keep_pace(bytes, begun.elapsed())))
    }

    /// An error when a whole window brought less than it has to.
    fn keep_pace(&mut self, bytes: Bytes, waited: Duration) -> Result<Bytes, BodyError> {
        self.came = self.came.saturating_add(bytes.len() as u64);
        self.waited = self.waited.saturating_add(waited);
        if self.waited < limits::BODY_SLOWEST_OVER {
            return Ok(bytes);
        }
        let (came, over) = (std::mem::take(&mut self.came), std::mem::take(&mut self.waited));
        let rate = came as f64 / over.as_secs_f64();
        if rate < limits::BODY_SLOWEST as f64 { Err(BodyError::TooSlow { rate, over }) } else { Ok(bytes) }
    }

    async fn wait(&mut self) -> Option<Result<Bytes, BodyError>> {
        let Self { body, stall, .. } = self;
        // Around the loop: empty frames are not bytes, and reset no deadline.
        let bytes = async {
            loop {
                match body.frame().await? {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) if !data.is_empty() => return Some(Ok(data)),
                        // Trailers mean nothing here.
                        Ok(_) | Err(_) => {}
                    },
                    Err(error) => return Some(Err(BodyError::Broken(error.into()))),
                }
            }
        };
        let waited = tokio::time::timeout(*stall, bytes).await;
        waited.unwrap_or(Some(Err(BodyError::Stalled { within: *stall })))
    }
}

impl Body {
    /// No bytes at all.
    pub const fn empty() -> Self {
        Self(Content::Empty)
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::held(bytes, None)
    }

    /// These bytes, for which there is `room`.
    pub(super) fn held(bytes: impl Into<Bytes>, room: Option<Room>) -> Self {
        Self(Content::Full { bytes: bytes.into(), _room: room })
    }

    /// What the stream gives, of unknown length.
    pub fn stream<S, E>(chunks: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self(Content::Stream { body: from_stream(chunks), left: None })
    }

    /// What the stream gives, which is `length` bytes: it becomes the
    /// `Content-Length`, and a stream that gives more or fewer breaks the
    /// response off, so that no client takes it for whole.
    pub fn sized<S, E>(length: u64, chunks: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self(Content::Stream { body: from_stream(chunks), left: Some(length) })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::full(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(text)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let content = &mut self.get_mut().0;
        match content {
            Content::Empty => Poll::Ready(None),
            // HTTP/2 takes a piece whatever its size, and keeps it for as long as
            // the client likes. A large one is handed on in copies: the rest
            // stays here, where a client that takes nothing is left.
            Content::Full { bytes, .. } if bytes.len() > limits::ANSWER_PIECE_BYTES => {
                let piece = Bytes::copy_from_slice(&bytes.split_to(limits::ANSWER_PIECE_BYTES));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Content::Full { bytes, .. } => {
                let bytes = std::mem::take(bytes);
                *content = Content::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Stream { body, left } => {
                let next = std::task::ready!(Pin::new(body).poll_frame(cx));
                let Some(left) = left else { return Poll::Ready(next) };
                Poll::Ready(match next {
                    Some(Ok(frame)) => Some(count(left, frame)),
                    Some(Err(error)) => Some(Err(error)),
                    None if *left > 0 => Some(Err(format!("the response ended {left} bytes short").into())),
                    None => None,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Empty => true,
            Content::Full { bytes, .. } => bytes.is_empty(),
            Content::Stream { body, left } => *left == Some(0) || (left.is_none() && body.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Content::Stream { body, left: None } => body.size_hint(),
        }
    }
}

fn from_stream<S, E>(chunks: S) -> UnsyncBoxBody<Bytes, BoxError>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    StreamBody::new(chunks.map_ok(Frame::data).map_err(Into::into)).boxed_unsync()
}

/// Takes a frame's bytes off what is left.
fn count(left: &mut u64, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
    match left.checked_sub(length) {
        Some(rest) => {
            *left = rest;
            Ok(frame)
        }
        None => Err(format!("the response has {} bytes too many", length - *left).into()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    type Piece = Result<&'static str, &'static str>;

    fn pieces(pieces: &[Piece]) -> impl Stream<Item = Result<Bytes, &'static str>> + Send + Unpin + use<> {
        stream::iter(pieces.to_vec()).map_ok(Bytes::from)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_brings_nothing_is_given_up_at_the_deadline() {
        let stuck = from_stream(pieces(&[Ok("ab")]).chain(stream::pending()));
        let mut chunks = Chunks::new(stuck);
        assert_eq!(chunks.next().await.unwrap().unwrap(), "ab");
        let begun = tokio::time::Instant::now();
        assert!(matches!(chunks.next().await, Some(Err(BodyError::Stalled { within: limits::BODY_STALL }))));
        assert_eq!(begun.elapsed(), limits::BODY_STALL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_and_a_slow_one_is_not() {
        // One byte before each deadline once held a session for as long as the
        // client liked.
        let trickle = |every: Duration, bytes: &'static [u8]| {
            Box::pin(stream::repeat(()).then(move |()| async move {
                tokio::time::sleep(every).await;
                Ok::<_, BoxError>(Bytes::from_static(bytes))
            }))
        };
        let mut chunks = Chunks::new(from_stream(trickle(Duration::from_secs(1), b"x")));
        let begun = tokio::time::Instant::now();
        let error = loop {
            if let Err(error) = chunks.next().await.unwrap() {
                break error;
            }
        };
        assert!(matches!(error, BodyError::TooSlow { .. }), "{error}");
        assert_eq!(begun.elapsed(), limits::BODY_SLOWEST_OVER);
        let mut chunks = Chunks::new(from_stream(trickle(Duration::from_secs(2), &[0; 2_048])));
        for _ in 0..100 {
            chunks.next().await.unwrap().expect("1 KiB a second is enough");
        }
        // Time that we take over what came is not the client's.
        let mut chunks = Chunks::new(from_stream(pieces(&[Ok("a"), Ok("b"), Ok("c")])));
        for _ in 0..3 {
            chunks.next().await.unwrap().expect("it was there at once");
            tokio::time::advance(limits::BODY_SLOWEST_OVER).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn empty_frames_do_not_count_as_bytes() {
        let empty = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, BoxError>(Bytes::new())
        });
        let mut chunks = Chunks::new(from_stream(Box::pin(empty)));
        assert!(matches!(chunks.next().await, Some(Err(BodyError::Stalled { .. }))));
    }

    #[tokio::test]
    async fn a_sized_body_keeps_its_word_or_breaks_off() {
        let gather = async |length, given: &[Piece]| {
            let body = Body::sized(length, pieces(given));
            assert_eq!(body.size_hint().exact(), Some(length));
            body.collect().await.map(|whole| whole.to_bytes())
        };
        assert_eq!(gather(4, &[Ok("ab"), Ok("cd")]).await.unwrap(), "abcd");
        assert_eq!(gather(0, &[]).await.unwrap(), "");
        assert_eq!(gather(5, &[Ok("ab"), Ok("cd")]).await.unwrap_err().to_string(), "the response ended 1 bytes short");
        assert_eq!(
            gather(3, &[Ok("ab"), Ok("cd")]).await.unwrap_err().to_string(),
            "the response has 1 bytes too many"
        );
    }

    #[tokio::test]
    async fn many_bytes_are_handed_on_in_pieces() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let mut body = Body::from(bytes.clone());
        let mut gathered = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(!piece.is_empty() && piece.len() <= limits::ANSWER_PIECE_BYTES);
            gathered.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some((bytes.len() - gathered.len()) as u64));
        }
        assert_eq!(gathered, bytes);
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn whole_bodies_know_their_length_and_end() {
        for (body, length, end) in [(Body::empty(), 0, true), (Body::from(""), 0, true), (Body::from("abc"), 3, false)]
        {
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(length), end));
            assert_eq!(body.collect().await.unwrap().to_bytes().len() as u64, length);
        }
    }
}
