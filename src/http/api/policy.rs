//! What the calls on policies of all kinds have in common: finding one, and
//! how it fared.

use serde::Serialize;

use crate::access::Level;
use crate::oci::RepoName;
use crate::policy::Kind;
use crate::registry::RegistryError;
use crate::registry::policy::Shown;
use crate::store::record::{PolicyBody, PolicyStatus};
use crate::store::{policy, repo};

use super::answer::{Answer, moment};
use super::call::Call;
use super::error::ApiError;
use super::route::GivenId;
use super::{mirror, promotion};

/// DTR's status of a mirror; promotions have one here too.
#[derive(Debug, Serialize)]
pub(super) struct StatusShape {
    code: String,
    detail: String,
    timestamp: String,
}

impl From<&PolicyStatus> for StatusShape {
    fn from(status: &PolicyStatus) -> Self {
        Self { code: status.code.clone(), detail: status.detail.clone(), timestamp: moment(status.at) }
    }
}

/// `GET …/{kind}Policies`
pub(super) fn list(call: Call<'_>, kind: Kind, repository: &RepoName) -> Result<Answer, ApiError> {
    match kind {
        Kind::Promotion => promotion::list(call, repository),
        Kind::PushMirror | Kind::PullMirror => mirror::list_kind(call, kind, repository),
    }
}

/// `POST …/{kind}Policies`
pub(super) async fn create(call: Call<'_>, kind: Kind, repository: RepoName) -> Result<Answer, ApiError> {
    match kind {
        Kind::Promotion => promotion::create(call, repository).await,
        Kind::PushMirror | Kind::PullMirror => mirror::create(call, kind, repository).await,
    }
}

/// `GET …/{kind}Policies/{id}`
pub(super) fn get(call: Call<'_>, kind: Kind, repository: &RepoName, id: GivenId) -> Result<Answer, ApiError> {
    match kind {
        Kind::Promotion => promotion::get(call, repository, id),
        Kind::PushMirror | Kind::PullMirror => mirror::get(call, kind, repository, id),
    }
}

/// `PUT …/{kind}Policies/{id}`
pub(super) async fn update(call: Call<'_>, kind: Kind, repository: RepoName, id: GivenId) -> Result<Answer, ApiError> {
    match kind {
        // Like reading and deleting it, from either end; saving needs both.
        Kind::Promotion => promotion::update(call, from_either_end(call, &repository, id, Level::Admin)?).await,
        Kind::PushMirror | Kind::PullMirror => mirror::update(call, kind, find(call, kind, &repository, id)?).await,
    }
}

/// `DELETE …/{kind}Policies/{id}`: one that is not there is gone already.
pub(super) async fn delete(call: Call<'_>, kind: Kind, repository: &RepoName, id: GivenId) -> Result<Answer, ApiError> {
    let found = match kind {
        Kind::Promotion => from_either_end(call, repository, id, Level::Admin),
        Kind::PushMirror | Kind::PullMirror => find(call, kind, repository, id),
    };
    match found {
        Ok(found) => {
            call.registry().delete_policy(call.caller, &found.repository, found.policy.id).await?;
            Ok(Answer::nothing())
        }
        Err(ApiError::NoSuchPolicy { .. }) => Ok(Answer::nothing()),
        Err(error) => Err(error),
    }
}

/// A policy of a kind that stands on a repository.
pub(super) fn find(call: Call<'_>, kind: Kind, repository: &RepoName, id: GivenId) -> Result<Shown, ApiError> {
    let shown = call.registry().policies(call.caller, repository)?;
    shown
        .into_iter()
        .find(|shown| Some(shown.policy.id) == id && shown.policy.kind() == kind)
        .ok_or_else(|| ApiError::NoSuchPolicy { kind, repository: repository.clone() })
}

/// A promotion policy that a repository is one end of, for a caller with
/// `level` on either end.
pub(super) fn from_either_end(
    call: Call<'_>,
    repository: &RepoName,
    id: GivenId,
    level: Level,
) -> Result<Shown, ApiError> {
    let read = call.registry().store().snapshot()?;
    let found = match id {
        Some(id) => policy::get(&read, &id)?,
        None => None,
    };
    if let Some(policy) = found
        && let PolicyBody::Promotion { target } = &policy.body
        && let Some(source) = repo::name_of(&read, policy.repository)?
        && (*repository == source || repository.as_str() == target)
    {
        let may = |name: &RepoName| Ok::<_, RegistryError>(call.caller.require(&read, name, level)?.is_ok());
        let may_at_target = match target.parse() {
            Ok(target) => may(&target)?,
            Err(_) => false,
        };
        if may_at_target || may(&source)? {
            let status = policy::status(&read, &policy.id)?;
            return Ok(Shown { policy, status, repository: source });
        }
    }
    // Whoever may not look here is not told what is here.
    call.caller.require(&read, repository, level)??;
    Err(ApiError::NoSuchPolicy { kind: Kind::Promotion, repository: repository.clone() })
}
