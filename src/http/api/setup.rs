//! The first system admin, from elsewhere.
//!
//! `POST /api/v0/setup` with `{"secret", "name", "password", "fullName"}`, by
//! nobody who has signed in: the secret stands in the log of the daemon and in
//! a file of its data folder (`identity::setup`). 201 and the account; 403 for
//! a secret that is wrong, used or over, in the same words; 429 for
//! too many wrong ones. What is wrong with the name or the password is told,
//! and does not use the secret up. While there is none, no body is read.

use http::request::Parts;
use http::{Method, Response};
use serde::Deserialize;
use serde_json::json;

use crate::http::connection::Peer;
use crate::http::intake::Sender;
use crate::http::request_body::RequestBody;
use crate::http::{Body, Query, RequestId, State};
use crate::identity::SetupError;
use crate::identity::password;
use crate::limits;
use crate::registry::Caller;
use crate::secret::Secret;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::route::RouteError;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct SetupForm {
    secret: Option<Secret>,
    name: Option<String>,
    password: Option<Secret>,
    full_name: Option<String>,
}

/// Answers whatever is asked of this path.
pub(in crate::http) async fn handle(
    state: &State,
    parts: &Parts,
    query: &Query,
    body: RequestBody,
    peer: Peer,
) -> Response<Body> {
    match set_up(state, parts, query, body, peer).await {
        Ok(answer) => answer.into(),
        Err(error) => {
            let id = parts.extensions.get::<RequestId>().expect("the front door puts it there");
            error.into_response(id)
        }
    }
}

async fn set_up(
    state: &State,
    parts: &Parts,
    query: &Query,
    body: RequestBody,
    peer: Peer,
) -> Result<Answer, ApiError> {
    if parts.method != Method::POST {
        return Err(RouteError::Method { allow: "POST".to_owned() }.into());
    }
    let now = state.registry().store().clock().monotonic();
    // For most of a registry's life: nothing is read that nobody can use.
    if !state.setup().is_open(now).await {
        return Err(SetupError::Refused.into());
    }
    let body = state.intake().read(body, limits::SETUP_BODY_BYTES, Sender::Stranger).await?;
    let caller = Caller::Anonymous;
    let (method, headers) = (&parts.method, &parts.headers);
    let call = Call { state, caller: &caller, from: peer.addr, method, query, headers, body: &body };
    let form: SetupForm = call.form()?;
    let secret = form.secret.ok_or(ApiError::Missing("secret"))?;
    let now = state.registry().store().clock().monotonic();
    let shown = state.setup().show(&secret, peer.addr.map(|addr| addr.ip()), now).await?;
    let name = form.name.filter(|name| !name.is_empty()).ok_or(ApiError::Missing("name"))?;
    let password = form.password.ok_or(ApiError::Missing("password"))?;
    password::check(&password)?;
    let hash = state.passwords().hash(&password).await?;
    let made = state.registry().make_first_admin(name.clone(), form.full_name.unwrap_or_default(), hash).await?;
    shown.finish().await;
    let Some(account) = made else { return Err(SetupError::Refused.into()) };
    tracing::info!(account.name = name, "the first system admin was made; the set-up secret is gone");
    Ok(Answer::created(&json!({ "id": account.id.to_string(), "name": name, "isAdmin": true, "isActive": true })))
}
