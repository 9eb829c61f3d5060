//! Uploads: in one request, in one stream, in chunks, or by mounting what is
//! here already.

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::request::Parts;
use http::{Response, StatusCode, header};
use http_body::Body as _;

use super::Error;
use super::answer::{CONTENT_DIGEST, UPLOAD_UUID, finish, progress_range, status, upload_location};
use super::call::{MountSource, Session};
use super::error::OffTrack;
use crate::http::request_body::RequestBody;
use crate::http::{Body, Chunks, State};
use crate::oci::range::{Chunk, ChunkError};
use crate::oci::{Algorithm, Digest, RepoName};
use crate::registry::upload::{BrokenBody, Progress, Said};
use crate::registry::{Caller, RegistryError};

/// `POST …/blobs/uploads/`
pub(super) async fn begin(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    algorithm: Algorithm,
) -> Result<Response<Body>, Error> {
    let id = state.registry().begin_upload(caller, repository, algorithm).await?;
    Ok(stands(StatusCode::ACCEPTED, repository, Progress { id, offset: 0 }))
}

/// `POST …/blobs/uploads/?digest=`
pub(super) async fn whole(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    digest: &Digest,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    let length = body.size_hint().exact();
    state.registry().store_blob(caller, repository, digest, length, bytes_of(body)).await?;
    Ok(stored(repository, digest))
}

/// `POST …/blobs/uploads/?mount=`. What cannot be mounted, for whatever
/// reason, becomes an upload: the answer tells nothing about other
/// repositories.
pub(super) async fn mount(
    state: &State,
    caller: &Caller,
    repository: &RepoName,
    digest: &Digest,
    source: &MountSource,
) -> Result<Response<Body>, Error> {
    let mounted = match source {
        MountSource::Repository(name) => state.registry().mount(caller, Some(name), repository, digest).await?,
        MountSource::Anywhere => state.registry().mount(caller, None, repository, digest).await?,
        MountSource::Nowhere => false,
    };
    if mounted { Ok(stored(repository, digest)) } else { begin(state, caller, repository, digest.algorithm()).await }
}

/// `GET` and `HEAD …/blobs/uploads/<session>`
pub(super) async fn progress(state: &State, caller: &Caller, session: &Session) -> Result<Response<Body>, Error> {
    let stands_at = state.registry().upload_progress(caller, &session.repository, &session.id).await?;
    Ok(stands(StatusCode::NO_CONTENT, &session.repository, stands_at))
}

/// `PATCH …/blobs/uploads/<session>`: a chunk with `Content-Range`, or a stream
/// without.
pub(super) async fn append(
    state: &State,
    caller: &Caller,
    session: &Session,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    let stands_at = add(state, caller, (session, None), parts, body).await?;
    Ok(stands(StatusCode::ACCEPTED, &session.repository, stands_at))
}

/// `PUT …/blobs/uploads/<session>?digest=`, with the last bytes or without.
pub(super) async fn complete(
    state: &State,
    caller: &Caller,
    (session, digest): (&Session, &Digest),
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    if !body.is_end_stream() || parts.headers.contains_key(header::CONTENT_RANGE) {
        add(state, caller, (session, Some(*digest)), parts, body).await?;
    }
    state.registry().finish_upload(caller, &session.repository, &session.id, digest).await?;
    Ok(stored(&session.repository, digest))
}

/// `DELETE …/blobs/uploads/<session>`
pub(super) async fn cancel(state: &State, caller: &Caller, session: &Session) -> Result<Response<Body>, Error> {
    state.registry().cancel_upload(caller, &session.repository, &session.id).await?;
    Ok(finish(status(StatusCode::NO_CONTENT), Body::empty()))
}

/// Adds a body to a session. A chunk that does not fit is answered with where
/// the session stands.
async fn add(
    state: &State,
    caller: &Caller,
    (session, digest): (&Session, Option<Digest>),
    parts: &Parts,
    body: RequestBody,
) -> Result<Progress, Error> {
    let registry = state.registry();
    let (repository, id) = (&session.repository, session.id.as_str());
    let length = body.size_hint().exact();
    let added = match chunk_of(parts) {
        Ok(chunk) => registry
            .append_upload(caller, repository, id, Said { chunk, length, digest }, bytes_of(body))
            .await
            .map_err(OffTrack::Registry),
        Err(error) => Err(OffTrack::Header(error)),
    };
    let why = match added {
        Ok(progress) => return Ok(progress),
        Err(OffTrack::Registry(error)) if !is_off_track(&error) => return Err(error.into()),
        Err(why) => why,
    };
    let stands = registry.upload_progress(caller, repository, id).await?;
    Err(Error::OffTrack { why, repository: repository.clone(), stands })
}

fn is_off_track(error: &RegistryError) -> bool {
    matches!(error, RegistryError::ChunkOutOfOrder { .. } | RegistryError::ChunkLength { .. })
}

fn chunk_of(parts: &Parts) -> Result<Option<Chunk>, ChunkError> {
    match parts.headers.get(header::CONTENT_RANGE) {
        None => Ok(None),
        Some(value) => Chunk::parse(value.to_str().map_err(|_| ChunkError)?).map(Some),
    }
}

/// The bytes of a body, each awaited with a deadline.
fn bytes_of(body: RequestBody) -> impl Stream<Item = Result<Bytes, BrokenBody>> + Send + 'static {
    stream::unfold(Some(Chunks::new(body)), async |chunks| {
        let mut chunks = chunks?;
        match chunks.next().await? {
            Ok(bytes) => Some((Ok(bytes), Some(chunks))),
            Err(error) => {
                tracing::debug!(%error, "an upload's body broke off");
                Some((Err(BrokenBody), None))
            }
        }
    })
}

/// The answer that says where a session stands.
fn stands(code: StatusCode, repository: &RepoName, progress: Progress) -> Response<Body> {
    let answer = status(code)
        .header(header::LOCATION, upload_location(repository, progress.id))
        .header(header::RANGE, progress_range(progress.offset))
        .header(UPLOAD_UUID, progress.id.to_string());
    finish(answer, Body::empty())
}

/// The answer that says where a blob is now.
fn stored(repository: &RepoName, digest: &Digest) -> Response<Body> {
    let answer = status(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{repository}/blobs/{digest}"))
        .header(CONTENT_DIGEST, digest.to_string());
    finish(answer, Body::empty())
}
