//! From call to handler, exhaustively.

use http::request::Parts;
use http::{HeaderName, Response, header};

use super::answer::finish;
use super::list::Referrers;
use super::{Call, Error, blob, list, manifest, upload};
use crate::http::request_body::RequestBody;
use crate::http::{Body, State};
use crate::registry::Caller;

/// The header by which clients know a registry, on every answer below `/v2`.
pub(in crate::http) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers one call of a caller who signed in.
pub(in crate::http) async fn handle(
    state: &State,
    caller: &Caller,
    call: Call,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    match call {
        Call::Base => Ok(finish(Response::builder().header(header::CONTENT_TYPE, "application/json"), "{}")),
        Call::Catalog { page } => list::catalog(state, caller, page).await,
        Call::Tags { repository, page } => list::tags(state, caller, repository, page).await,
        Call::Referrers { repository, subject, artifact_type, last, entries } => {
            let asked = Referrers { repository, subject, artifact_type, last, entries };
            list::referrers(state, caller, asked).await
        }
        Call::GetManifest { repository, reference } => {
            manifest::get(state, caller, &repository, &reference, parts).await
        }
        Call::PutManifest { repository, reference, tags } => {
            manifest::put(state, caller, (&repository, &reference), tags, parts, body).await
        }
        Call::DeleteManifest { repository, reference } => {
            manifest::delete(state, caller, &repository, &reference, parts).await
        }
        Call::GetBlob { repository, digest } => blob::get(state, caller, (repository, digest), parts).await,
        Call::DeleteBlob { repository, digest } => blob::delete(state, caller, &repository, &digest, parts).await,
        Call::BeginUpload { repository, algorithm } => upload::begin(state, caller, &repository, algorithm).await,
        Call::PutBlob { repository, digest } => upload::whole(state, caller, &repository, &digest, body).await,
        Call::Mount { repository, digest, source } => upload::mount(state, caller, &repository, &digest, &source).await,
        Call::UploadProgress(session) => upload::progress(state, caller, &session).await,
        Call::AppendUpload(session) => upload::append(state, caller, &session, parts, body).await,
        Call::FinishUpload(session, digest) => upload::complete(state, caller, (&session, &digest), parts, body).await,
        Call::CancelUpload(session) => upload::cancel(state, caller, &session).await,
    }
}
