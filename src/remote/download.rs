//! A blob on its way here.
//!
//! The length is known before (a manifest names it) and is a hard cap. Whether
//! the bytes are the right ones is for the caller to see, who hashes them.

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use hyper::body::Incoming;

use super::answer::{Answer, next_chunk};
use super::pace::Pace;
use super::{Breach, Origin, RemoteError, Timing};

/// The bytes of a blob from some offset on, in order.
pub struct BlobStream {
    body: Option<Incoming>,
    origin: Origin,
    pace: Pace,
    size: u64,
    offset: u64,
    left: u64,
}

impl BlobStream {
    /// The blob's whole length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where in the blob the first byte of this stream lies. It is what was
    /// asked for, or 0 when the other side sends everything nevertheless: then
    /// what the caller has of it is to be thrown away, or skipped over here.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, never empty; `None` once all of them were there.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let Some(body) = &mut self.body else { return Ok(None) };
        match next_chunk(body, &self.origin, &mut self.pace).await? {
            Some(chunk) => {
                self.left = self
                    .left
                    .checked_sub(chunk.len() as u64)
                    .ok_or_else(|| RemoteError::protocol(&self.origin, Breach::TooLong { want: self.size }))?;
                Ok(Some(chunk))
            }
            None if self.left == 0 => {
                self.body = None;
                Ok(None)
            }
            None => Err(RemoteError::Truncated { origin: self.origin.clone(), missing: self.left }),
        }
    }

    /// A stream with nothing left to send.
    pub(super) fn finished(origin: Origin, timing: Timing, size: u64) -> Self {
        Self { body: None, origin, pace: Pace::new(timing), size, offset: size, left: 0 }
    }

    /// The stream that answers a request for a blob of `size` bytes from
    /// `offset` on.
    pub(super) fn of(answer: Answer, size: u64, offset: u64) -> Result<Self, RemoteError> {
        answer.refuse_encoding()?;
        let (offset, end) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => (offset, partial_end(&answer, size, offset)?),
            _ => (0, size),
        };
        let left = end - offset;
        match answer.length() {
            Some(got) if got != left => return Err(answer.broke(Breach::Length { want: left, got })),
            _ => {}
        }
        let (origin, pace) = (answer.origin.clone(), Pace::new(answer.timing()));
        // A range that was cut short ends as a truncated blob.
        Ok(Self { body: Some(answer.into_body()), origin, pace, size, offset, left: size - offset })
    }
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("origin", &self.origin)
            .field("size", &self.size)
            .field("offset", &self.offset)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The end (exclusive) of a 206 that begins at `offset` of `size` bytes.
fn partial_end(answer: &Answer, size: u64, offset: u64) -> Result<u64, RemoteError> {
    let header = answer.header(CONTENT_RANGE).unwrap_or_default();
    let refuse = || answer.broke(Breach::Range { want: offset, got: answer.clean(header) });
    let (first, last, total) = content_range(header).ok_or_else(refuse)?;
    if first != offset || last >= size || total.is_some_and(|total| total != size) {
        return Err(refuse());
    }
    Ok(last + 1)
}

/// `bytes <first>-<last>/<total or *>` (RFC 9110 §14.4).
fn content_range(header: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = header.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let total = if total == "*" { None } else { Some(number(total)?) };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        for (header, expected) in [
            ("bytes 5-9/10", Some((5, 9, Some(10)))),
            ("bytes 5-9/*", Some((5, 9, None))),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("bytes 5-9", None),
            ("5-9/10", None),
            ("bytes -9/10", None),
            ("bytes 5-9/-1", None),
            ("bytes 5-99999999999999999999/10", None),
            ("", None),
        ] {
            assert_eq!(content_range(header), expected, "{header}");
        }
    }
}
