//! How a body is framed in HTTP/1.1 (RFC 9112 §6.1 and §7).
//!
//! Only `chunked` is known here. Below us, whatever ends in it is read as if it
//! were the only coding: a proxy in front may end the same request elsewhere.
//! So one that says anything else, or says it twice, is refused, and its
//! connection ends: where the next request would begin is not known.

use http::header;
use http::request::Parts;

/// A transfer coding that is not known, or is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the one transfer coding that is taken is `chunked`, once")]
pub(super) struct UnknownCoding;

/// Holds a request's `Transfer-Encoding` against what is known.
pub(super) fn check(parts: &Parts) -> Result<(), UnknownCoding> {
    let mut sent = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = sent.next() else { return Ok(()) };
    let is_known = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if is_known && sent.next().is_none() { Ok(()) } else { Err(UnknownCoding) }
}
