//! From call to handler, exhaustively.

use http::request::Parts;
use http::{HeaderName, Response, header};

use super::answer::finish;
use super::list::Referrers;
use super::{Call, CallError, Error, blob, list, manifest, upload};
use crate::access::Level;
use crate::http::request_body::RequestBody;
use crate::http::{Body, SignInError, State};
use crate::registry::Caller;

/// The header by which clients know a registry, on every answer below `/v2`.
pub(in crate::http) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Refuses what nobody may ask without a name. A stranger is not told whether
/// there is such a repository, or whether the request makes sense: it is told
/// to sign in, which programs wait for before they say who they are. So do
/// those that list repositories: what everyone may see is not all that they may.
pub(in crate::http) fn admit(
    state: &State,
    caller: &Caller,
    call: &Result<Call, CallError>,
) -> Result<(), SignInError> {
    if *caller != Caller::Anonymous {
        return Ok(());
    }
    let repository = match call {
        Ok(
            Call::Tags { repository, .. }
            | Call::Referrers { repository, .. }
            | Call::GetManifest { repository, .. }
            | Call::GetBlob { repository, .. },
        ) => repository,
        Ok(
            Call::Base
            | Call::Catalog { .. }
            | Call::PutManifest { .. }
            | Call::DeleteManifest { .. }
            | Call::DeleteBlob { .. }
            | Call::BeginUpload { .. }
            | Call::PutBlob { .. }
            | Call::Mount { .. }
            | Call::UploadProgress(_)
            | Call::AppendUpload(_)
            | Call::FinishUpload(..)
            | Call::CancelUpload(_),
        )
        | Err(_) => return Err(SignInError::Missing),
    };
    let read = state.registry().store().snapshot()?;
    match caller.require(&read, repository, Level::ReadOnly)? {
        Ok(_) => Ok(()),
        Err(_) => Err(SignInError::Missing),
    }
}

/// Answers one call of a caller that was admitted.
pub(in crate::http) async fn handle(
    state: &State,
    caller: &Caller,
    call: Call,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Error> {
    if let Call::PutManifest { repository, .. }
    | Call::BeginUpload { repository, .. }
    | Call::PutBlob { repository, .. }
    | Call::Mount { repository, .. } = &call
    {
        state.registry().make_for_push(caller, repository).await?;
    }
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
