//! The headers and shapes that several answers of the registry API share.

use http::response::Builder;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::http::Body;
use crate::oci::condition::Unmet;
use crate::oci::{Condition, Digest, RepoName};
use crate::registry::RegistryError;
use crate::registry::condition::{Subject, hold};
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

/// 304 for a client that has it already; a refusal for one that wants
/// something else (RFC 9110 §13.2.2); nothing when it is to be read.
pub(super) fn unread(
    condition: &Condition,
    subject: impl Into<Subject>,
    repository: &RepoName,
    digest: &Digest,
) -> Result<Option<Response<Body>>, RegistryError> {
    match condition.unmet(Some(digest)) {
        None => Ok(None),
        Some(Unmet::IfNoneMatch) => Ok(Some(not_modified(digest))),
        Some(Unmet::IfMatch) => hold(condition, subject, repository, Some(digest)).map(|()| None),
    }
}

/// 304: the client has it already.
fn not_modified(digest: &Digest) -> Response<Body> {
    let builder = Response::builder().status(StatusCode::NOT_MODIFIED);
    finish(builder.header(header::ETAG, etag(digest)).header(CONTENT_DIGEST, digest.to_string()), Body::empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::http::condition::{to_change, to_read};

    #[test]
    fn a_read_passes_over_a_bad_if_none_match_and_nothing_else() {
        let (digest, repository) = (Digest::sha256_of(b"x"), "dev/app".parse().unwrap());
        let status = |name: HeaderName, value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            let condition = to_read(&headers).map_err(|_| 400_u16)?;
            match unread(&condition, Subject::Blob(digest), &repository, &digest) {
                Ok(answer) => Ok::<u16, u16>(answer.map_or(200, |answer| answer.status().as_u16())),
                Err(_) => Err(412_u16),
            }
        };
        let none = |value: String| status(header::IF_NONE_MATCH, value);
        for known in [format!("\"{digest}\""), format!("W/\"{digest}\""), "*".into(), format!("\"a\", \"{digest}\"")] {
            assert_eq!(none(known), Ok(304));
        }
        for other in [digest.to_string(), "\"a\"".into(), String::new()] {
            assert_eq!(none(other), Ok(200));
        }
        let if_match = |value: String| status(header::IF_MATCH, value);
        assert_eq!((if_match(format!("\"{digest}\"")), if_match("*".into())), (Ok(200), Ok(200)));
        assert_eq!((if_match("\"a\"".into()), if_match(format!("W/\"{digest}\""))), (Err(412), Err(412)));
        assert_eq!(if_match(digest.to_string()), Err(400));
        let mut bad = HeaderMap::new();
        bad.insert(header::IF_NONE_MATCH, digest.to_string().parse().unwrap());
        assert!(to_change(&bad).is_err(), "a change passes over neither");
    }

    #[test]
    fn a_session_without_bytes_says_zero_to_zero() {
        assert_eq!(progress_range(0), "0-0");
        assert_eq!(progress_range(1), "0-0");
        assert_eq!(progress_range(100), "0-99");
    }
}
