//! Access tokens, as DTR has them, and what goes beyond: scopes and an end.
//!
//! A token is called by its hash; its text is told once, when it is made.

use std::time::Duration;

use http::header;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::access::Scopes;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::lifecycle;
use crate::registry::access_token::{CleanUp, MadeToken, NewToken, TokenChange};
use crate::registry::{Caller, RegistryError};
use crate::store::record::{Origin, Token};
use crate::store::token::Hash;

use super::answer::{Answer, moment};
use super::call::Call;
use super::error::ApiError;

/// DTR's words for how a token came about.
const MADE: &str = "user";
const AUTO: &str = "auto";

/// A token to be made. What narrows it is ours, and a slip in its name would
/// make a token without it; so unknown fields are refused, but for those of
/// DTR's tokens, which its tools may send along.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct NewForm {
    token_label: Option<String>,
    scopes: Option<Vec<String>>,
    expires_at: Option<String>,
    #[serde(rename = "token")]
    _token: IgnoredAny,
    #[serde(rename = "hashedToken")]
    _hashed_token: IgnoredAny,
    #[serde(rename = "isActive")]
    _is_active: IgnoredAny,
    #[serde(rename = "lastUsed")]
    _last_used: IgnoredAny,
    #[serde(rename = "createdAt")]
    _created_at: IgnoredAny,
    #[serde(rename = "generatedBy")]
    _generated_by: IgnoredAny,
    #[serde(rename = "creatorUa")]
    _creator_ua: IgnoredAny,
}

/// What of a token changes. What narrows it stays as long as it does: asked for
/// here, it is refused and not passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ChangeForm {
    token_label: Option<String>,
    is_active: Option<bool>,
    scopes: Option<IgnoredAny>,
    expires_at: Option<IgnoredAny>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    hashed_token: String,
    token_label: String,
    is_active: bool,
    last_used: String,
    created_at: String,
    generated_by: &'static str,
    creator_ua: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// `GET /api/v0/api_tokens`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let holder = holder(call)?;
    list_of(call, holder).await
}

/// The tokens of an account or robot.
pub(super) async fn list_of(call: Call<'_>, holder: Id) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let start = page.start.as_deref().map(|start| parse(start).ok_or(RegistryError::TokenUnknown)).transpose()?;
    let (registry, caller, size) = (call.registry().clone(), call.caller.clone(), page.size);
    let listed = lifecycle::blocking(move || registry.tokens(&caller, &holder, start.as_ref(), size)).await;
    let (mut found, count) = listed?;
    let next = (found.len() > page.size).then(|| found.pop()).flatten().map(|(hash, _)| hex::encode(hash));
    let shapes: Vec<TokenShape> = found.into_iter().map(|(hash, token)| shape(&hash, token)).collect();
    Ok(Answer::ok(&shapes).next(next).count(page.count.then_some(count)))
}

/// `POST /api/v0/api_tokens`
pub(super) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: NewForm = call.form()?;
    let holder = holder(call)?;
    let new = new(call, form.token_label.unwrap_or_default(), form.scopes, form.expires_at.as_deref())?;
    let made = call.registry().make_token(Some(call.caller), &holder, new).await?;
    Ok(Answer::ok(&made_shape(made)))
}

/// `DELETE /api/v0/api_tokens`
pub(super) async fn clean_up(call: Call<'_>) -> Result<Answer, ApiError> {
    let holder = holder(call)?;
    let of_sign_in = match call.query.filled("generatedby") {
        None | Some(AUTO) => Some(true),
        Some(MADE) => Some(false),
        Some("any") => None,
        Some(other) => {
            let why = format!("{other:?} is none of {AUTO}, {MADE} and any");
            return Err(ApiError::Parameter { name: "generatedby", why });
        }
    };
    let used_before = call.query.filled("usedbefore").map(|text| time("usedbefore", text)).transpose()?;
    let which = CleanUp { used_before, of_sign_in };
    call.registry().clean_tokens(call.caller, &holder, which).await?;
    // DTR answers 200, and its tools check for it.
    Ok(Answer::ok(&serde_json::json!({})))
}

/// `GET /api/v0/api_tokens/{hashedtoken}`
pub(super) fn get(call: Call<'_>, hash: &str) -> Result<Answer, ApiError> {
    let hash = known(hash)?;
    Ok(Answer::ok(&shape(&hash, call.registry().token(call.caller, &hash)?)))
}

/// `PATCH /api/v0/api_tokens/{hashedtoken}`
pub(super) async fn update(call: Call<'_>, hash: &str) -> Result<Answer, ApiError> {
    let form: ChangeForm = call.form()?;
    for (name, is_given) in [("scopes", form.scopes.is_some()), ("expiresAt", form.expires_at.is_some())] {
        if is_given {
            let why = "a token keeps what it was made with; make another and delete this one".to_owned();
            return Err(ApiError::Parameter { name, why });
        }
    }
    let hash = known(hash)?;
    let change = TokenChange { label: form.token_label, is_active: form.is_active };
    Ok(Answer::ok(&shape(&hash, call.registry().change_token(call.caller, &hash, change).await?)))
}

/// `DELETE /api/v0/api_tokens/{hashedtoken}`
pub(super) async fn delete(call: Call<'_>, hash: &str) -> Result<Answer, ApiError> {
    call.registry().remove_token(call.caller, &known(hash)?).await?;
    Ok(Answer::ok(&serde_json::json!({})))
}

/// A token to be made, from what a request says of it.
pub(super) fn new(
    call: Call<'_>,
    label: String,
    scopes: Option<Vec<String>>,
    expires_at: Option<&str>,
) -> Result<NewToken, ApiError> {
    let lasts = expires_at.filter(|text| !text.is_empty()).map(|text| lasts(call, text)).transpose()?;
    let agent = call.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    Ok(NewToken {
        label,
        origin: Origin::Made,
        creator_ua: agent.unwrap_or_default().to_owned(),
        scopes: scopes.map(|texts| read_scopes(&texts)).transpose()?,
        lasts,
    })
}

/// Scopes, and which of them is wrong.
pub(super) fn read_scopes(texts: &[String]) -> Result<Scopes, ApiError> {
    Scopes::read(texts).map_err(|error| ApiError::Parameter { name: "scopes", why: error.to_string() })
}

/// A token with its text, for the one answer that has it.
pub(super) fn made_shape(made: MadeToken) -> TokenShape {
    TokenShape { token: Some(made.text.expose().to_owned()), ..shape(&made.hash, made.token) }
}

/// Whose tokens are asked for: the caller's own, or those of `username`.
fn holder(call: Call<'_>) -> Result<Id, ApiError> {
    match (call.query.filled("username"), call.caller) {
        (None, Caller::System) => Err(ApiError::Missing("username")),
        (None, caller) => caller.id().copied().ok_or(ApiError::Missing("username")),
        (Some(name), caller) => {
            if caller.label() == name
                && let Some(id) = caller.id()
            {
                return Ok(*id);
            }
            // Whether there is such a user is not for others to know.
            call.registry().require_admin(caller, "see and change the tokens of others")?;
            match call.registry().account(name) {
                Ok((_, account)) if !account.is_org => Ok(account.id),
                Ok(_) => Err(ApiError::NoSuchUser(name.to_owned())),
                Err(RegistryError::AccountUnknown { name }) => Err(ApiError::NoSuchUser(name)),
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// How long until a moment, which must be to come.
fn lasts(call: Call<'_>, text: &str) -> Result<Duration, ApiError> {
    let end = time("expiresAt", text)?;
    let lasts = end.since(call.registry().store().now());
    if lasts.is_zero() {
        return Err(ApiError::Parameter { name: "expiresAt", why: "that moment is over".to_owned() });
    }
    Ok(lasts)
}

fn time(name: &'static str, text: &str) -> Result<Timestamp, ApiError> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    let parsed = parsed.map_err(|_| ApiError::Parameter { name, why: format!("{text:?} is no RFC 3339 time") })?;
    Ok(Timestamp::from_utc(parsed.to_utc()))
}

fn known(text: &str) -> Result<Hash, RegistryError> {
    parse(text).ok_or(RegistryError::TokenUnknown)
}

fn parse(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

fn shape(hash: &Hash, token: Token) -> TokenShape {
    TokenShape {
        token: None,
        hashed_token: hex::encode(hash),
        token_label: token.label,
        is_active: token.is_active,
        last_used: moment(token.last_used),
        created_at: moment(Some(token.created_at)),
        generated_by: match token.origin {
            Origin::Made => MADE,
            Origin::SignIn { .. } => AUTO,
        },
        creator_ua: token.creator_ua,
        scopes: token.scopes,
        expires_at: token.expires_at.map(Timestamp::rfc3339),
    }
}
