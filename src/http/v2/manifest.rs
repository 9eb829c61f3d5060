//! Manifests: read as they were stored, put, deleted.

use http::request::Parts;
use http::{Method, Response, StatusCode, header};

use super::Error;
use super::answer::{CONTENT_DIGEST, etag, finish, is_known, not_modified, status};
use crate::http::request_body::RequestBody;
use crate::http::{Body, State, read_capped};
use crate::limits;
use crate::oci::{Reference, RepoName, Tag};
use crate::registry::{Caller, RegistryError};

/// `GET` and `HEAD …/manifests/<reference>`. What was stored is served,
/// whatever `Accept` says: a client that names other kinds is better served by
/// the manifest than by a 404.
pub(super) async fn get(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    reference: &Reference,
    parts: &Parts,
) -> Result<Response<Body>, Error> {
    let is_head = parts.method == Method::HEAD;
    let served = match state.registry().manifest(caller, repository, reference) {
        // A client that pushes asks so whether it has to send it: it has.
        Err(RegistryError::Quarantined { .. }) if is_head => {
            let (reference, repository) = (reference.clone(), repository.clone());
            return Err(RegistryError::ManifestUnknown { reference, repository }.into());
        }
        found => found?,
    };
    if is_known(&parts.headers, &served.digest) {
        return Ok(not_modified(&served.digest));
    }
    let answer = Response::builder()
        .header(CONTENT_DIGEST, served.digest.to_string())
        .header(header::ETAG, etag(&served.digest))
        .header(header::CONTENT_TYPE, served.kind.as_str())
        .header(header::CONTENT_LENGTH, served.size);
    if is_head {
        return Ok(finish(answer, Body::empty()));
    }
    let bytes = state.registry().manifest_bytes(served).await?;
    Ok(finish(answer, bytes))
}

/// `PUT …/manifests/<reference>`, with further tags as `?tag=`.
pub(super) async fn put(
    state: &State,
    caller: &Caller,
    (repository, reference): (&RepoName, &Reference),
    tags: Vec<Tag>,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    let bytes = read_capped(body, limits::MANIFEST_BYTES).await?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (digest, subject) =
        state.registry().put_manifest(caller, repository, reference, tags.clone(), kind, bytes.into()).await?;
    let mut answer = status(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{repository}/manifests/{digest}"))
        .header(CONTENT_DIGEST, digest.to_string());
    if let Some(subject) = subject {
        answer = answer.header("oci-subject", subject.to_string());
    }
    for tag in tags {
        answer = answer.header("oci-tag", tag.as_str());
    }
    Ok(finish(answer, Body::empty()))
}

/// `DELETE …/manifests/<reference>`: a tag alone, or a manifest with its tags.
pub(super) async fn delete(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    reference: &Reference,
) -> Result<Response<Body>, Error> {
    match reference {
        Reference::Tag(tag) => state.registry().delete_tag(caller, repository, tag).await?,
        Reference::Digest(digest) => state.registry().delete_manifest(caller, repository, digest).await?,
    }
    Ok(finish(status(StatusCode::ACCEPTED), Body::empty()))
}
