//! Signing in for as long as a script runs, as DTR's tools do: a name and a
//! password in JSON, of whatever type they call it, for a token that is sent as
//! Bearer. It is an access token that came of signing in, so it can be listed
//! and taken back, and ends with the password.

use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AuthError;
use super::issue::sign_in_token;
use crate::http::connection::Peer;
use crate::http::sign_in::{SignInError, by_name, sign_in_to_manage};
use crate::http::{Query, State};
use crate::identity::Proof;
use crate::registry::{Caller, RegistryError};
use crate::secret::Secret;
use crate::store::record::Origin;
use crate::{json as strict, limits};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoginForm {
    username: Option<String>,
    password: Option<Secret>,
}

/// `POST /auth/login` and `POST …/id/login`; `field` is what the token is called.
pub(super) async fn login(
    state: &State,
    parts: &Parts,
    body: &[u8],
    peer: Peer,
    field: &str,
) -> Result<Option<Value>, AuthError> {
    let form = read(body).ok_or(AuthError::Request("the body is no JSON object with `username` and `password`"))?;
    let (Some(name), Some(password)) = (form.username, form.password) else {
        return Err(SignInError::Missing.into());
    };
    let known = by_name(state, &name, &password, peer.addr).await?;
    let token = match (&known.proof, &known.caller) {
        (Proof::Password(print), Caller::Account { id, .. }) => {
            sign_in_token(state, parts, id, *print, "session", limits::SESSION_TOKEN).await?
        }
        // An access token is a session already.
        _ => password,
    };
    Ok(Some(json!({ field: token.expose() })))
}

/// `POST …/id/logout`: takes back what the caller has signed in with, if signing
/// in made it.
pub(super) async fn logout(
    state: &State,
    parts: &Parts,
    query: &Query,
    peer: Peer,
) -> Result<Option<Value>, AuthError> {
    let known = sign_in_to_manage(state, parts, query, peer).await?;
    if let Proof::Token(hash) = known.proof {
        let came_of_sign_in = state
            .registry()
            .token(&known.caller, &hash)
            .is_ok_and(|token| matches!(token.origin, Origin::SignIn { .. }));
        if came_of_sign_in {
            match state.registry().remove_token(&known.caller, &hash).await {
                // Somebody else has taken it back.
                Ok(()) | Err(RegistryError::TokenUnknown) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(None)
}

/// The first JSON value of a body; what follows it does not matter.
fn read(body: &[u8]) -> Option<LoginForm> {
    let text = std::str::from_utf8(body).ok()?;
    strict::check(text, strict::Shape::Any).ok()?;
    let value = Value::deserialize(&mut serde_json::Deserializer::from_str(text)).ok()?;
    // serde would take a list of the fields as well.
    value.is_object().then(|| LoginForm::deserialize(value).ok()).flatten()
}
