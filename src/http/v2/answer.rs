//! The headers and shapes that several answers of the registry API share.

use http::response::Builder;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::http::Body;
use crate::oci::{Digest, RepoName};
use crate::store::file::UploadId;

/// The digest of what is answered, or of what was stored.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The id of an upload session.
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// An answer of this status with `Content-Length: 0`, for headers to be added.
pub(super) fn status(status: StatusCode) -> Builder {
    let builder = Response::builder().status(status);
    if status == StatusCode::NO_CONTENT { builder } else { builder.header(header::CONTENT_LENGTH, 0) }
}

/// The answer with its body. Every header came from a type whose text is a
/// header's.
pub(super) fn finish(builder: Builder, body: impl Into<Body>) -> Response<Body> {
    builder.body(body.into()).expect("names, digests, tags and numbers are valid in headers")
}

/// Where a session goes on. Relative, so that it holds behind any proxy.
pub(super) fn upload_location(repository: &RepoName, id: UploadId) -> HeaderValue {
    format!("/v2/{repository}/blobs/uploads/{id}").parse().expect("names and ids are valid in headers")
}

/// What a session has, as `0-<last byte>`; one without bytes says `0-0` too.
pub(super) fn progress_range(offset: u64) -> HeaderValue {
    format!("0-{}", offset.saturating_sub(1)).parse().expect("digits are valid in headers")
}

/// The strong validator of content: its digest.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has this content already (`If-None-Match`, RFC 9110
/// §13.1.2).
pub(super) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let etag = etag(digest);
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
    })
}

/// 304: the client has it already.
pub(super) fn not_modified(digest: &Digest) -> Response<Body> {
    let builder = Response::builder().status(StatusCode::NOT_MODIFIED);
    finish(builder.header(header::ETAG, etag(digest)).header(CONTENT_DIGEST, digest.to_string()), Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_the_content_is_recognised() {
        let digest = Digest::sha256_of(b"x");
        let known = |value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            is_known(&headers, &digest)
        };
        assert!(known(format!("\"{digest}\"")) && known(format!("W/\"{digest}\"")) && known("*".to_owned()));
        assert!(known(format!("\"a\", \"{digest}\"")));
        assert!(!known(digest.to_string()) && !known("\"a\"".to_owned()));
        assert!(!is_known(&HeaderMap::new(), &digest));
    }

    #[test]
    fn a_session_without_bytes_says_zero_to_zero() {
        assert_eq!(progress_range(0), "0-0");
        assert_eq!(progress_range(1), "0-0");
        assert_eq!(progress_range(100), "0-99");
    }
}
