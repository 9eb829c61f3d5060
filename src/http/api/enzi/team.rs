//! Teams of organizations.

use serde::{Deserialize, Serialize};

use crate::lifecycle;
use crate::registry::team::TeamChange;

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::error::ApiError;
use super::member::{MemberForm, Members, start};
use super::shape::{MemberShape, TeamShape};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TeamForm {
    name: Option<String>,
    description: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TeamsShape {
    teams: Vec<TeamShape>,
    next_page_start: String,
    resource_count: u64,
}

/// `GET /accounts/{o}/teams`, by name.
pub(super) fn list(call: Call<'_>, organization: &str) -> Result<Answer, ApiError> {
    let page = call.account_paging()?;
    let from = (page.start.as_deref(), page.size);
    let (teams, next, resource_count) = call.registry().teams(call.caller, organization, from)?;
    let teams = teams.into_iter().map(TeamShape::from).collect();
    let shape = TeamsShape { teams, next_page_start: next.clone().unwrap_or_default(), resource_count };
    Ok(Answer::ok(&shape).next(next))
}

/// `POST /accounts/{o}/teams`
pub(super) async fn create(call: Call<'_>, organization: &str) -> Result<Answer, ApiError> {
    let form: TeamForm = call.form()?;
    let name = form.name.filter(|name| !name.is_empty()).ok_or(ApiError::Missing("name"))?;
    let new = (name, form.description.unwrap_or_default());
    let made = call.registry().create_team(call.caller, organization, new).await?;
    Ok(Answer::created(&TeamShape::from(made)))
}

/// `GET …/teams/{t}`
pub(super) fn get(call: Call<'_>, organization: &str, team: &str) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&TeamShape::from(call.registry().team(call.caller, organization, team)?)))
}

/// `PATCH …/teams/{t}`: what is left out, and a name that is empty, stays.
pub(super) async fn update(call: Call<'_>, organization: &str, team: &str) -> Result<Answer, ApiError> {
    let form: TeamForm = call.form()?;
    let change = TeamChange { name: form.name.filter(|name| !name.is_empty()), description: form.description };
    let changed = call.registry().update_team(call.caller, (organization, team), change).await?;
    Ok(Answer::ok(&TeamShape::from(changed)))
}

/// `DELETE …/teams/{t}`: one that is gone is gone.
pub(super) async fn delete(call: Call<'_>, organization: &str, team: &str) -> Result<Answer, ApiError> {
    call.registry().delete_team(call.caller, organization, team).await?;
    Ok(Answer::nothing())
}

/// `GET …/teams/{t}/members`, by user id.
pub(super) async fn members(call: Call<'_>, organization: String, team: String) -> Result<Answer, ApiError> {
    let page = call.account_paging()?;
    let (filter, from) = (Members::filter(call), start(call, &page)?);
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let part = lifecycle::blocking(move || {
        registry.team_members(&caller, (&organization, &team), (filter, from.as_ref(), page.size))
    });
    Members::answer(call, part.await?)
}

/// `GET …/teams/{t}/members/{u}`
pub(super) fn member(call: Call<'_>, of: (&str, &str), user: &str) -> Result<Answer, ApiError> {
    let shown = call.registry().team_member(call.caller, of, user)?;
    Ok(Answer::ok(&MemberShape::of(call.registry(), shown)?))
}

/// `PUT …/teams/{t}/members/{u}`
pub(super) async fn put_member(call: Call<'_>, of: (&str, &str), user: &str) -> Result<Answer, ApiError> {
    let form: MemberForm = call.form()?;
    let shown = call.registry().put_team_member(call.caller, of, user, form.is_admin).await?;
    Ok(Answer::ok(&MemberShape::of(call.registry(), shown)?))
}

/// `DELETE …/teams/{t}/members/{u}`: one that is gone is gone.
pub(super) async fn remove_member(call: Call<'_>, of: (&str, &str), user: &str) -> Result<Answer, ApiError> {
    call.registry().remove_team_member(call.caller, of, user).await?;
    Ok(Answer::nothing())
}
