//! Members of organizations.

use serde::{Deserialize, Serialize};

use crate::chance::Id;
use crate::lifecycle;
use crate::registry::organization::{MemberFilter, MemberShown, Part};

use super::super::answer::Answer;
use super::super::call::{Call, Paging};
use super::super::error::ApiError;
use super::shape::{AccountShape, MemberShape, MembersShape, TeamShape};

/// What a membership is put with; scripts write back what they have read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MemberForm {
    pub(super) is_admin: Option<bool>,
}

/// Lists of members.
pub(super) struct Members;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberOrgShape {
    org: AccountShape,
    is_admin: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberOrgsShape {
    member_orgs: Vec<MemberOrgShape>,
    next_page_start: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberTeamShape {
    team: TeamShape,
    is_admin: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberTeamsShape {
    member_teams: Vec<MemberTeamShape>,
    next_page_start: String,
}

/// Where a page of a list that is sorted by ids begins: an id, or the name of
/// the account that has it.
pub(super) fn start(call: Call<'_>, page: &Paging) -> Result<Option<Id>, ApiError> {
    let Some(text) = &page.start else { return Ok(None) };
    match (text.parse(), call.registry().account(text)) {
        (Ok(id), _) => Ok(Some(id)),
        (Err(_), Ok((_, account))) => Ok(Some(account.id)),
        (Err(error), Err(_)) => Err(ApiError::Parameter { name: "start", why: format!("{text:?}: {error}") }),
    }
}

impl Members {
    /// Words that mean nothing here are sent by tools and mean all.
    pub(super) fn filter(call: Call<'_>) -> MemberFilter {
        match call.query.filled("filter") {
            Some("admins") => MemberFilter::Admins,
            Some("non-admins") => MemberFilter::NonAdmins,
            _ => MemberFilter::All,
        }
    }

    pub(super) fn answer(call: Call<'_>, part: Part<MemberShown>) -> Result<Answer, ApiError> {
        let of = |shown| MemberShape::of(call.registry(), shown);
        let members = part.entries.into_iter().map(of).collect::<Result<_, _>>()?;
        let next_page_start = text(part.next);
        let shape = MembersShape { members, next_page_start, resource_count: part.count };
        Ok(Answer::ok(&shape).next(part.next).count(Some(part.count)))
    }
}

/// `GET /accounts/{o}/members`, by user id.
pub(super) async fn list(call: Call<'_>, organization: String) -> Result<Answer, ApiError> {
    let page = call.account_paging()?;
    let (filter, from) = (Members::filter(call), start(call, &page)?);
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let part =
        lifecycle::blocking(move || registry.members(&caller, &organization, (filter, from.as_ref(), page.size)));
    Members::answer(call, part.await?)
}

/// `GET /accounts/{o}/members/{u}`
pub(super) fn get(call: Call<'_>, organization: &str, user: &str) -> Result<Answer, ApiError> {
    let shown = call.registry().member(call.caller, organization, user)?;
    Ok(Answer::ok(&MemberShape::of(call.registry(), shown)?))
}

/// `PUT /accounts/{o}/members/{u}`
pub(super) async fn put(call: Call<'_>, organization: &str, user: &str) -> Result<Answer, ApiError> {
    let form: MemberForm = call.form()?;
    let shown = call.registry().put_member(call.caller, organization, user, form.is_admin).await?;
    Ok(Answer::ok(&MemberShape::of(call.registry(), shown)?))
}

/// `DELETE /accounts/{o}/members/{u}`: one that is gone is gone.
pub(super) async fn remove(call: Call<'_>, organization: &str, user: &str) -> Result<Answer, ApiError> {
    call.registry().remove_member(call.caller, organization, user).await?;
    Ok(Answer::nothing())
}

/// `GET /accounts/{u}/organizations`, by organization id.
pub(super) fn organizations(call: Call<'_>, user: &str) -> Result<Answer, ApiError> {
    let page = call.account_paging()?;
    let from = start(call, &page)?;
    let part = call.registry().organizations_of(call.caller, user, (from.as_ref(), page.size))?;
    let of = |shown: MemberShown| {
        let org = AccountShape::of(call.registry(), shown.name, shown.account)?;
        Ok::<_, ApiError>(MemberOrgShape { org, is_admin: shown.is_admin })
    };
    let member_orgs = part.entries.into_iter().map(of).collect::<Result<_, _>>()?;
    Ok(Answer::ok(&MemberOrgsShape { member_orgs, next_page_start: text(part.next) }).next(part.next))
}

/// `GET /accounts/{o}/members/{u}/teams`, by team id.
pub(super) fn teams(call: Call<'_>, organization: &str, user: &str) -> Result<Answer, ApiError> {
    let page = call.account_paging()?;
    let from = match &page.start {
        None => None,
        Some(text) => {
            let why = |error: crate::chance::IdError| ApiError::Parameter { name: "start", why: error.to_string() };
            Some(text.parse().map_err(why)?)
        }
    };
    let part = call.registry().teams_of(call.caller, (organization, user), (from.as_ref(), page.size))?;
    let of = |shown: crate::registry::team::TeamShown| MemberTeamShape {
        is_admin: shown.is_admin,
        team: TeamShape::from(shown),
    };
    let member_teams = part.entries.into_iter().map(of).collect();
    Ok(Answer::ok(&MemberTeamsShape { member_teams, next_page_start: text(part.next) }).next(part.next))
}

fn text(next: Option<Id>) -> String {
    next.map(|id| id.to_string()).unwrap_or_default()
}
