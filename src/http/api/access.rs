//! What teams may do, and what an account may do in the end.

use serde::{Deserialize, Serialize};

use crate::access::Level;
use crate::chance::Id;
use crate::oci::RepoName;
use crate::registry::grant::{Place, TeamAccess};
use crate::registry::organization::Part;

use super::answer::Answer;
use super::call::Call;
use super::enzi::AccountShape;
use super::error::ApiError;
use super::repository::{RepositoryShape, shown};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AccessForm {
    access_level: Option<String>,
}

/// A team as these calls show it; DTR has the first two fields.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TeamShape {
    id: String,
    client_user_is_member: bool,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TeamAccessShape {
    access_level: &'static str,
    team: TeamShape,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfRepositoryShape {
    repository: RepositoryShape,
    team_access_list: Vec<TeamAccessShape>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfNamespaceShape {
    namespace: String,
    team_access_list: Vec<TeamAccessShape>,
}

#[derive(Debug, Serialize)]
struct InNamespaceShape {
    #[serde(flatten)]
    access: TeamAccessShape,
    namespace: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryAccessShape {
    access_level: &'static str,
    repository: RepositoryShape,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfTeamShape {
    team: TeamShape,
    repository_access_list: Vec<RepositoryAccessShape>,
}

#[derive(Debug, Serialize)]
struct OfUserShape {
    #[serde(flatten)]
    access: RepositoryAccessShape,
    user: AccountShape,
}

/// `GET /api/v0/repositories/{namespace}/{reponame}/teamAccess`
pub(super) fn of_repository(call: Call<'_>, name: &RepoName) -> Result<Answer, ApiError> {
    let part = teams(call, &Place::Repository(name.clone()))?;
    let (next, count) = (part.next, part.count);
    let answer = Answer::ok(&repository_shape(call, name, part.entries)?);
    counted(call, answer.next(next), count)
}

/// `PUT …/teamAccess/{team}`
pub(super) async fn grant(call: Call<'_>, name: &RepoName, team: &str) -> Result<Answer, ApiError> {
    let level = level(call)?;
    let granted = call.registry().grant(call.caller, Place::Repository(name.clone()), team, level).await?;
    Ok(Answer::ok(&repository_shape(call, name, vec![granted])?))
}

/// `DELETE …/teamAccess/{team}`: what is gone is gone.
pub(super) async fn revoke(call: Call<'_>, name: &RepoName, team: &str) -> Result<Answer, ApiError> {
    call.registry().revoke(call.caller, Place::Repository(name.clone()), team).await?;
    Ok(Answer::nothing())
}

/// `GET /api/v0/repositoryNamespaces/{namespace}/teamAccess`
pub(super) fn of_namespace(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    let part = teams(call, &Place::Namespace(namespace.to_owned()))?;
    let (next, count) = (part.next, part.count);
    let namespace = call.registry().account(namespace)?.0;
    let team_access_list = part.entries.into_iter().map(TeamAccessShape::from).collect();
    counted(call, Answer::ok(&OfNamespaceShape { namespace, team_access_list }).next(next), count)
}

/// `GET /api/v0/repositoryNamespaces/{namespace}/teamAccess/{team}`
pub(super) fn in_namespace(call: Call<'_>, namespace: &str, team: &str) -> Result<Answer, ApiError> {
    let access = call.registry().namespace_access(call.caller, namespace, team)?;
    namespace_answer(call, namespace, access)
}

/// `PUT /api/v0/repositoryNamespaces/{namespace}/teamAccess/{team}`
pub(super) async fn grant_namespace(call: Call<'_>, namespace: &str, team: &str) -> Result<Answer, ApiError> {
    let level = level(call)?;
    let granted = call.registry().grant(call.caller, Place::Namespace(namespace.to_owned()), team, level).await?;
    namespace_answer(call, namespace, granted)
}

/// `DELETE /api/v0/repositoryNamespaces/{namespace}/teamAccess/{team}`
pub(super) async fn revoke_namespace(call: Call<'_>, namespace: &str, team: &str) -> Result<Answer, ApiError> {
    call.registry().revoke(call.caller, Place::Namespace(namespace.to_owned()), team).await?;
    Ok(Answer::nothing())
}

/// `GET /api/v0/accounts/{orgname}/teams/{teamname}/repositoryAccess`: the
/// team's own grants on repositories, by name.
pub(super) fn of_team(call: Call<'_>, organization: &str, team: &str) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let from = (page.start.as_deref(), page.size);
    let (team, found, next) = call.registry().repositories_of_team(call.caller, (organization, team), from)?;
    let of = |access: crate::registry::grant::RepositoryAccess| {
        let repository = shown(call, &access.name, access.repository)?;
        Ok::<_, ApiError>(RepositoryAccessShape { access_level: access.level.as_str(), repository })
    };
    let repository_access_list = found.into_iter().map(of).collect::<Result<_, _>>()?;
    let team = TeamAccessShape::from(team).team;
    Ok(Answer::ok(&OfTeamShape { team, repository_access_list }).next(next))
}

/// `GET /api/v0/accounts/{username}/repositoryAccess/{namespace}/{reponame}`:
/// what the account may do in the end.
pub(super) fn of_user(call: Call<'_>, user: &str, name: &RepoName) -> Result<Answer, ApiError> {
    let (name, account, access) = call.registry().access_of(call.caller, user, name)?;
    let repository = shown(call, &access.name, access.repository)?;
    let access = RepositoryAccessShape { access_level: access.level.as_str(), repository };
    Ok(Answer::ok(&OfUserShape { access, user: AccountShape::of(call.registry(), name, account)? }))
}

fn level(call: Call<'_>) -> Result<Level, ApiError> {
    let form: AccessForm = call.form()?;
    let text = form.access_level.ok_or(ApiError::Missing("accessLevel"))?;
    Ok(text.parse()?)
}

fn teams(call: Call<'_>, place: &Place) -> Result<Part<TeamAccess>, ApiError> {
    let page = call.paging()?;
    let start: Option<Id> = match &page.start {
        None => None,
        Some(text) => {
            let why = |error: crate::chance::IdError| ApiError::Parameter { name: "pageStart", why: error.to_string() };
            Some(text.parse().map_err(why)?)
        }
    };
    Ok(call.registry().teams_with_access(call.caller, place, (start.as_ref(), page.size))?)
}

fn counted(call: Call<'_>, answer: Answer, count: usize) -> Result<Answer, ApiError> {
    Ok(answer.count(call.paging()?.count.then_some(count)))
}

fn repository_shape(call: Call<'_>, name: &RepoName, teams: Vec<TeamAccess>) -> Result<OfRepositoryShape, ApiError> {
    let (record, _) = call.registry().repository(call.caller, name)?;
    let team_access_list = teams.into_iter().map(TeamAccessShape::from).collect();
    Ok(OfRepositoryShape { repository: shown(call, name, record)?, team_access_list })
}

fn namespace_answer(call: Call<'_>, namespace: &str, access: TeamAccess) -> Result<Answer, ApiError> {
    let namespace = call.registry().account(namespace)?.0;
    Ok(Answer::ok(&InNamespaceShape { access: access.into(), namespace }))
}

impl From<TeamAccess> for TeamAccessShape {
    fn from(TeamAccess { team, level, is_mine }: TeamAccess) -> Self {
        let team = TeamShape { id: team.id.to_string(), client_user_is_member: is_mine, name: team.name };
        Self { access_level: level.as_str(), team }
    }
}
