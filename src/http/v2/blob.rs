//! Blobs: read, in whole or in part, and deleted.

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::Error;
use super::answer::{CONTENT_DIGEST, etag, finish, status, unread};
use crate::http::{Body, State, condition};
use crate::lifecycle;
use crate::oci::range::{Download, download};
use crate::oci::{Digest, RepoName};
use crate::registry::Caller;
use crate::registry::condition::{Subject, hold};
use crate::store::error_chain;
use crate::store::quarantine::Held;

/// `GET` and `HEAD …/blobs/<digest>`. A client that has the blob gets 304; a
/// `Range` gets 206, or 416 when it lies outside.
pub(super) async fn get(
    state: &State,
    caller: &Caller,
    (repository, digest): (RepoName, Digest),
    parts: &Parts,
) -> Result<Response<Body>, Error> {
    let is_head = parts.method == Method::HEAD;
    // RFC 9110 §14.2: `Range` means something for GET alone.
    let range = if is_head { None } else { wanted_range(parts, &digest) };
    let condition = condition::to_read(&parts.headers)?;
    let kept = unread(&condition, Subject::Blob(digest), &repository, &digest);
    if is_head || !matches!(kept, Ok(None)) {
        let size = state.registry().blob_size(caller, &repository, &digest)?;
        if let Some(answer) = kept? {
            return Ok(answer);
        }
        let answer = head(StatusCode::OK, &digest).header(header::CONTENT_LENGTH, size);
        return Ok(finish(answer, Body::empty()));
    }
    let (registry, caller) = (state.registry().clone(), caller.clone());
    let reader = lifecycle::blocking(move || registry.open_blob(&caller, &repository, &digest)).await?;
    let size = reader.size();
    let (answer, reader) = match download(range.as_deref(), size) {
        Download::Whole => (head(StatusCode::OK, &digest), reader),
        Download::Part { first, last } => {
            let answer = head(StatusCode::PARTIAL_CONTENT, &digest);
            (answer.header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}")), reader.part(first, last))
        }
        Download::Unsatisfiable => return Err(Error::Unsatisfiable { size }),
    };
    let length = reader.remaining();
    // HTTP/2 leaves it out where there is nothing to send.
    let answer = answer.header(header::CONTENT_LENGTH, length);
    // The head is on its way by then: the client sees the answer break off,
    // and only this line says why.
    let registry = state.registry().clone();
    let chunks = futures_util::TryStreamExt::inspect_err(reader.into_stream(), move |error| {
        tracing::error!(blob.digest = %digest, error = error_chain(error), "a download broke off");
        registry.suspect(Held::blob(digest));
    });
    Ok(finish(answer, Body::sized(length, chunks)))
}

/// `DELETE …/blobs/<digest>`
pub(super) async fn delete(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    digest: &Digest,
    parts: &Parts,
) -> Result<Response<Body>, Error> {
    // What is here under a digest is always the same.
    hold(&condition::to_change(&parts.headers)?, Subject::Blob(*digest), repository, Some(digest))?;
    state.registry().delete_blob(caller, repository, digest).await?;
    Ok(finish(status(StatusCode::ACCEPTED), Body::empty()))
}

/// The `Range` header, unless `If-Range` names other content.
fn wanted_range(parts: &Parts, digest: &Digest) -> Option<String> {
    let condition = parts.headers.get(header::IF_RANGE).map(HeaderValue::as_bytes);
    if condition.is_some_and(|condition| condition != etag(digest).as_bytes()) {
        return None;
    }
    parts.headers.get(header::RANGE)?.to_str().ok().map(str::to_owned)
}

/// What every answer with a blob says. The bytes are a stranger's: a browser
/// must not make a page of them.
fn head(status: StatusCode, digest: &Digest) -> http::response::Builder {
    Response::builder()
        .status(status)
        .header(CONTENT_DIGEST, digest.to_string())
        .header(header::ETAG, etag(digest))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_DISPOSITION, "attachment")
        .header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox")
}
