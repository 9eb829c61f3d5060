//! Manifests: read as they were stored, put, deleted.

use http::request::Parts;
use http::{Method, Response, StatusCode, header};

use super::Error;
use super::answer::{CONTENT_DIGEST, etag, finish, status, unread};
use crate::http::request_body::RequestBody;
use crate::http::{Body, State, condition, read_capped};
use crate::limits;
use crate::oci::{Reference, RepoName, Tag};
use crate::registry::manifest::Sent;
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
    let condition = condition::to_read(&parts.headers)?;
    let is_head = parts.method == Method::HEAD;
    let registry = state.registry();
    let found = match is_head {
        true => registry.manifest_told(caller, repository, reference),
        false => registry.manifest(caller, repository, reference),
    };
    let served = match found {
        // A client that pushes asks so whether it has to send it: it has.
        Err(RegistryError::Quarantined { .. }) if is_head => {
            let (reference, repository) = (reference.clone(), repository.clone());
            return Err(RegistryError::ManifestUnknown { reference, repository }.into());
        }
        found => found?,
    };
    if let Some(answer) = unread(&condition, reference, repository, &served.digest)? {
        return Ok(answer);
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
///
/// `If-Match` and `If-None-Match` speak of every tag that the request sets, in
/// the path and as `?tag=` alike: it sets all of them or none, and none that
/// the client did not know. By digest and without a tag they speak of the
/// manifest.
pub(super) async fn put(
    state: &State,
    caller: &Caller,
    (repository, reference): (&RepoName, &Reference),
    tags: Vec<Tag>,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    let condition = condition::to_change(&parts.headers)?;
    let bytes = read_capped(body, limits::MANIFEST_BYTES).await?.into();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let sent = Sent { content_type, bytes, tags: tags.clone(), condition };
    let (digest, subject) = state.registry().put_manifest(caller, repository, reference, sent).await?;
    let mut answer = status(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{repository}/manifests/{digest}"))
        .header(header::ETAG, etag(&digest))
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
    parts: &Parts,
) -> Result<Response<Body>, Error> {
    let condition = condition::to_change(&parts.headers)?;
    match reference {
        Reference::Tag(tag) => state.registry().delete_tag(caller, repository, tag, condition).await?,
        Reference::Digest(digest) => state.registry().delete_manifest(caller, repository, digest, condition).await?,
    }
    Ok(finish(status(StatusCode::ACCEPTED), Body::empty()))
}
