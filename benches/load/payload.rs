//! Request bodies: none, whole ones, and long ones that are made while they
//! are sent, without a copy of what is in them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};

/// Bytes of one piece of a long body.
const PIECE_BYTES: usize = 1024 * 1024;

/// A request body.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Empty,
    Full(Bytes),
    Long {
        long: Long,
        /// Whether `Content-Length` says how much comes; chunked otherwise.
        announced: bool,
    },
}

/// A long content: one random block over and over, so no two are the same.
#[derive(Clone, Debug)]
pub(crate) struct Long {
    block: Bytes,
    left: u64,
}

impl Long {
    /// `size` bytes that are like no others.
    pub(crate) fn new(size: u64) -> Self {
        let mut block = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(PIECE_BYTES)];
        fill(&mut block);
        Self { block: Bytes::from(block), left: size }
    }

    /// Its digest: the hash of all of it, so ask before the clock runs.
    pub(crate) fn digest(&self) -> String {
        let (mut hash, mut rest) = (Sha256::new(), self.clone());
        while let Some(piece) = rest.next() {
            hash.update(&piece);
        }
        format!("sha256:{}", hex::encode(hash.finalize()))
    }

    fn next(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.block.len());
        self.left -= length as u64;
        (length > 0).then(|| self.block.slice(..length))
    }
}

/// Random bytes.
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random bytes");
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let payload = self.get_mut();
        let piece = match payload {
            Self::Empty => None,
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *payload = Self::Empty;
                Some(bytes)
            }
            Self::Long { long, .. } => long.next(),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Long { long, announced } => *announced && long.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Long { long, announced: true } => SizeHint::with_exact(long.left),
            Self::Long { announced: false, .. } => SizeHint::default(),
        }
    }
}
