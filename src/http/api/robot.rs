//! Robots: names for programs, below the namespaces they belong to. These calls
//! are ours: unknown fields are refused.

use serde::{Deserialize, Serialize};

use crate::registry::caller::ROBOT_MARK;
use crate::registry::robot::{NewRobot, RobotChange};
use crate::store::record::Robot;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::token::{TokenShape, list_of, made_shape, new, read_scopes};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct RobotForm {
    name: Option<String>,
    description: Option<String>,
    scopes: Option<Vec<String>>,
    expires_at: Option<String>,
}

/// What of a robot changes. Its name stays, and an end is a token's: asked for
/// here, either is refused and not passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ChangeForm {
    description: Option<String>,
    scopes: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct TokenForm {
    token_label: Option<String>,
    expires_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RobotShape {
    id: String,
    namespace: String,
    name: String,
    /// What it signs in with.
    username: String,
    description: String,
    scopes: Vec<String>,
    created_at: String,
    /// The first token of one that was just made.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    token: Option<TokenShape>,
}

#[derive(Debug, Serialize)]
struct RobotsShape {
    robots: Vec<RobotShape>,
}

/// `GET /api/v0/robots/{namespace}`
pub(super) fn list(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let start = page.start.as_deref().unwrap_or_default();
    let mut found = call.registry().robots(call.caller, namespace, start, page.size + 1)?;
    let next = (found.len() > page.size).then(|| found.pop()).flatten().map(|(name, _)| name);
    let robots = found.into_iter().map(|(name, robot)| shape(namespace, &name, robot, None)).collect();
    Ok(Answer::ok(&RobotsShape { robots }).next(next))
}

/// `POST /api/v0/robots/{namespace}`
pub(super) async fn create(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    let form: RobotForm = call.form()?;
    let name = form.name.filter(|name| !name.is_empty()).ok_or(ApiError::Missing("name"))?;
    let scopes = read_scopes(&form.scopes.ok_or(ApiError::Missing("scopes"))?)?;
    let token = new(call, String::new(), None, form.expires_at.as_deref())?;
    let robot = NewRobot { description: form.description.unwrap_or_default(), scopes };
    let made = call.registry().create_robot(call.caller, namespace, &name, robot).await?;
    let token = call.registry().make_token(Some(call.caller), &made.id, token).await?;
    Ok(Answer::created(&shape(namespace, &name, made, Some(made_shape(token)))))
}

/// `GET /api/v0/robots/{namespace}/{robot}`
pub(super) fn get(call: Call<'_>, namespace: &str, name: &str) -> Result<Answer, ApiError> {
    let robot = call.registry().robot(call.caller, namespace, name)?;
    Ok(Answer::ok(&shape(namespace, name, robot, None)))
}

/// `PATCH /api/v0/robots/{namespace}/{robot}`
pub(super) async fn update(call: Call<'_>, namespace: &str, name: &str) -> Result<Answer, ApiError> {
    let form: ChangeForm = call.form()?;
    let scopes = form.scopes.map(|texts| read_scopes(&texts)).transpose()?;
    let change = RobotChange { description: form.description, scopes };
    let robot = call.registry().update_robot(call.caller, namespace, name, change).await?;
    Ok(Answer::ok(&shape(namespace, name, robot, None)))
}

/// `DELETE /api/v0/robots/{namespace}/{robot}`
pub(super) async fn delete(call: Call<'_>, namespace: &str, name: &str) -> Result<Answer, ApiError> {
    call.registry().remove_robot(call.caller, namespace, name).await?;
    Ok(Answer::nothing())
}

/// `GET /api/v0/robots/{namespace}/{robot}/tokens`
pub(super) async fn tokens(call: Call<'_>, namespace: &str, name: &str) -> Result<Answer, ApiError> {
    let robot = call.registry().robot(call.caller, namespace, name)?;
    list_of(call, robot.id).await
}

/// `POST /api/v0/robots/{namespace}/{robot}/tokens`: another token beside those
/// there are, so that programs can be given it one by one.
pub(super) async fn create_token(call: Call<'_>, namespace: &str, name: &str) -> Result<Answer, ApiError> {
    let form: TokenForm = call.form()?;
    let robot = call.registry().robot(call.caller, namespace, name)?;
    let token = new(call, form.token_label.unwrap_or_default(), None, form.expires_at.as_deref())?;
    let made = call.registry().make_token(Some(call.caller), &robot.id, token).await?;
    Ok(Answer::created(&made_shape(made)))
}

fn shape(namespace: &str, name: &str, robot: Robot, token: Option<TokenShape>) -> RobotShape {
    RobotShape {
        id: robot.id.to_string(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        username: format!("{namespace}{ROBOT_MARK}{name}"),
        description: robot.description,
        scopes: robot.scopes,
        created_at: robot.created_at.rfc3339(),
        token,
    }
}
