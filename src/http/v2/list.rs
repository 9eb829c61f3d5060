//! Listings: repositories, tags, referrers; each in pages, with a `Link` to
//! the next (distribution specification, "Listing Tags").

use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::Error;
use super::answer::finish;
use crate::http::query::escape;
use crate::http::room::Room;
use crate::http::{Body, State};
use crate::lifecycle;
use crate::limits;
use crate::oci::page::Page;
use crate::oci::{Digest, MediaType, RepoName};
use crate::registry::{Caller, RegistryError};

/// What `GET …/referrers/<digest>` asks for.
#[derive(Debug)]
pub(super) struct Referrers {
    pub(super) repository: RepoName,
    pub(super) subject: Digest,
    pub(super) artifact_type: Option<String>,
    pub(super) last: Option<Digest>,
    pub(super) entries: usize,
}

/// `GET /v2/_catalog`: the repositories that the caller may see.
pub(super) async fn catalog(state: &State, caller: &Caller, page: Page) -> Result<Response<Body>, Error> {
    let room = room_for(state, page.entries).await?;
    let (registry, caller, entries) = (state.registry().clone(), caller.clone(), page.entries);
    let (found, more) = lifecycle::blocking(move || registry.repositories(&caller, None, &page)).await?;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let next = names.last().filter(|_| more).map(|last| link("/v2/_catalog", entries, last, None));
    Ok(answer("application/json", &json!({ "repositories": names }), next, false, room))
}

/// `GET …/tags/list`: a repository's tags in byte order.
pub(super) async fn tags(
    state: &State,
    caller: &Caller,
    repository: RepoName,
    page: Page,
) -> Result<Response<Body>, Error> {
    let room = room_for(state, page.entries).await?;
    let (registry, caller, entries) = (state.registry().clone(), caller.clone(), page.entries);
    let (name, found, more) = lifecycle::blocking(move || {
        registry.tags(&caller, &repository, &page).map(|(found, more)| (repository, found, more))
    })
    .await?;
    let path = format!("/v2/{name}/tags/list");
    let next = found.last().filter(|_| more).map(|last| link(&path, entries, last.as_str(), None));
    Ok(answer("application/json", &json!({ "name": name, "tags": found }), next, false, room))
}

/// `GET …/referrers/<digest>`: what is attached to a manifest, as an index.
///
/// Never 404: clients take that for a registry without this listing and fall
/// back to tags. A repository that is not there has no referrers.
pub(super) async fn referrers(state: &State, caller: &Caller, asked: Referrers) -> Result<Response<Body>, Error> {
    let room = state.rooms().take(limits::REFERRERS_PAGE_BYTES as u64).await?;
    let (registry, caller) = (state.registry().clone(), caller.clone());
    let (asked, found) = lifecycle::blocking(move || {
        let Referrers { repository, subject, artifact_type, last, entries } = &asked;
        let found = registry.referrers(&caller, repository, subject, artifact_type.as_deref(), last.as_ref(), *entries);
        (asked, found)
    })
    .await;
    let (found, more) = match found {
        Err(RegistryError::RepositoryUnknown { .. }) => (Vec::new(), false),
        found => found?,
    };
    let path = format!("/v2/{}/referrers/{}", asked.repository, asked.subject);
    let wanted = asked.artifact_type.as_deref();
    let next = found.last().filter(|_| more).map(|last| link(&path, asked.entries, &last.digest.to_string(), wanted));
    let kind = MediaType::OciIndex.as_str();
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": found });
    Ok(answer(kind, &index, next, wanted.is_some(), room))
}

/// The next page. Relative, so that it holds behind any proxy.
fn link(path: &str, entries: usize, last: &str, artifact_type: Option<&str>) -> String {
    let filter = artifact_type.map(|wanted| format!("&artifactType={}", escape(wanted))).unwrap_or_default();
    format!("<{path}?n={entries}&last={}{filter}>; rel=\"next\"", escape(last))
}

/// Room for a page of names, which is large only where somebody asked for that.
async fn room_for(state: &State, entries: usize) -> Result<Option<Room>, Error> {
    let is_large = entries > limits::PAGE_DEFAULT_ENTRIES;
    let bytes = if is_large { entries as u64 * u64::from(limits::LISTED_ENTRY_BYTES) } else { 0 };
    Ok(state.rooms().take(bytes).await?)
}

fn answer(kind: &str, body: &Value, next: Option<String>, is_filtered: bool, mut room: Option<Room>) -> Response<Body> {
    let mut answer = Response::builder().status(StatusCode::OK).header(header::CONTENT_TYPE, kind);
    if let Some(next) = next {
        answer = answer.header(header::LINK, next);
    }
    if is_filtered {
        answer = answer.header("oci-filters-applied", "artifactType");
    }
    let body = body.to_string();
    if let Some(room) = &mut room {
        room.shrink(body.len());
    }
    finish(answer, Body::held(body, room))
}
