//! Manifests: read as they were stored, put, deleted.

use std::collections::HashSet;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};

use super::Error;
use super::answer::{CONTENT_DIGEST, etag, finish, status, unread};
use crate::http::intake::Sender;
use crate::http::request_body::RequestBody;
use crate::http::{Body, State, condition};
use crate::lifecycle;
use crate::limits;
use crate::oci::{Digest, Reference, RepoName, Tag, warning};
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
    let room = state.rooms().take(served.size).await?;
    let bytes = state.registry().manifest_bytes(served).await?;
    Ok(finish(answer, Body::held(bytes, room)))
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
    mut tags: Vec<Tag>,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    // One that is named twice is set once, and told once.
    let mut named = HashSet::new();
    tags.retain(|tag| named.insert(tag.clone()));
    let condition = condition::to_change(&parts.headers)?;
    // Before there is a byte of it in memory.
    state.registry().may_put_manifest(caller, repository, reference, &condition)?;
    let bytes = state.intake().read(body, limits::MANIFEST_BYTES, Sender::of(caller)).await?;
    let is_large = bytes.len() > limits::MANIFEST_INLINE_BYTES;
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
    if let Some(words) = absent(state, caller, repository, digest, is_large).await? {
        answer = answer.header(header::WARNING, warning::header(&words));
    }
    for tag in tags {
        answer = answer.header("oci-tag", tag.as_str());
    }
    Ok(finish(answer, Body::empty()))
}

/// What whoever pushed a manifest should know: a pull of what is not here fails.
/// Where the manifest is large and names much, that is looked up elsewhere.
async fn absent(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    digest: Digest,
    is_large: bool,
) -> Result<Option<String>, RegistryError> {
    let found = if is_large {
        let (registry, caller, repository) = (state.registry().clone(), caller.clone(), repository.clone());
        lifecycle::blocking(move || registry.absent(&caller, &repository, &digest)).await?
    } else {
        state.registry().absent(caller, repository, &digest)?
    };
    let Some(absent) = found else { return Ok(None) };
    let (count, of) = (absent.count, absent.named);
    Ok(Some(format!(
        "{count} of {of} that this manifest names are not in {repository}; a pull of them fails until they are pushed"
    )))
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
