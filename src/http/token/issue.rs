//! `/auth/token`: a credential in, a token out.
//!
//! `GET` with what every request may be signed in with; DTR's tools leave
//! `service` and `scope` out. `POST` with a form, as OAuth2 has it. Who signs in
//! with a password and wants to stay (`offline_token`, `access_type`) gets an
//! access token that stands in its place as long as the password holds; who
//! shows an access token keeps that one, so that all of it ends with it.

use http::header;
use http::request::Parts;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::AuthError;
use crate::chance::Id;
use crate::http::connection::Peer;
use crate::http::sign_in::{NOBODY, Said, SignInError, SignedIn, by_access_token, by_name, said, sign_in};
use crate::http::{Query, State, host};
use crate::identity::{Bearer, Proof};
use crate::limits;
use crate::registry::Caller;
use crate::registry::access_token::NewToken;
use crate::secret::Secret;
use crate::store::record::Origin;

/// `GET /auth/token`
pub(super) async fn get(state: &State, parts: &Parts, query: &Query, peer: Peer) -> Result<Option<Value>, AuthError> {
    let known = sign_in(state, parts, peer).await?;
    let stays = query.first("offline_token").is_some_and(|said| said == "true" || said == "1");
    let shown = match said(parts)? {
        Some(Said::Basic(_, password)) => Some(password),
        Some(Said::Bearer(_)) | None => None,
    };
    let kept = match shown {
        Some(shown) if stays => Some(keep(state, parts, &known, &shown, query.filled("client_id")).await?),
        Some(_) | None => None,
    };
    issue(state, parts, &known, kept).map(Some)
}

/// `POST /auth/token`
pub(super) async fn grant(state: &State, parts: &Parts, body: &[u8], peer: Peer) -> Result<Option<Value>, AuthError> {
    let text = std::str::from_utf8(body).map_err(|_| AuthError::Request("the form is not UTF-8"))?;
    // In a form a plus is a blank; one that is meant is escaped.
    let form = Query::parse(Some(&Zeroizing::new(text.trim().replace('+', "%20"))));
    let field = |name: &'static str| form.filled(name);
    let (known, kept) = match field("grant_type") {
        Some("password") => {
            let missing = AuthError::Request("`username` and `password` are missing");
            let (Some(name), Some(password)) = (field("username"), field("password")) else { return Err(missing) };
            let password = Secret::new(password);
            let known = by_name(state, name, &password, peer.addr).await?;
            let stays = field("access_type") == Some("offline");
            let kept = match stays {
                true => Some(keep(state, parts, &known, &password, field("client_id")).await?),
                false => None,
            };
            (known, kept)
        }
        Some("refresh_token") => {
            let token = field("refresh_token").ok_or(AuthError::Request("`refresh_token` is missing"))?;
            let known = by_access_token(state, token, None)?.ok_or(SignInError::Token)?;
            (known, Some(Secret::new(token)))
        }
        Some(_) | None => return Err(AuthError::Grant),
    };
    let mut shape = issue(state, parts, &known, kept)?;
    let scopes: Vec<&str> = form.all("scope").collect();
    shape["scope"] = json!(scopes.join(" "));
    Ok(Some(shape))
}

/// What a program keeps in place of what it has shown.
pub(super) async fn keep(
    state: &State,
    parts: &Parts,
    known: &SignedIn,
    shown: &Secret,
    program: Option<&str>,
) -> Result<Secret, AuthError> {
    let (Proof::Password(print), Caller::Account { id, .. }) = (&known.proof, &known.caller) else {
        return Ok(shown.clone());
    };
    sign_in_token(state, parts, id, *print, program.unwrap_or("sign-in"), limits::SIGN_IN_TOKEN).await
}

/// An access token that stands for a password.
pub(super) async fn sign_in_token(
    state: &State,
    parts: &Parts,
    account: &Id,
    print: [u8; 16],
    label: &str,
    lasts: std::time::Duration,
) -> Result<Secret, AuthError> {
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let new = NewToken {
        label: label.to_owned(),
        origin: Origin::SignIn { print },
        creator_ua: agent.unwrap_or_default().to_owned(),
        scopes: None,
        lasts: Some(lasts),
    };
    Ok(state.registry().make_token(None, account, new).await?.text)
}

/// The token that says who it is.
fn issue(state: &State, parts: &Parts, known: &SignedIn, kept: Option<Secret>) -> Result<Value, AuthError> {
    let subject = match (&known.caller, known.caller.id()) {
        (_, Some(id)) => *id,
        // Docker asks for one before it pulls what everyone may.
        (Caller::Anonymous, None) => NOBODY,
        (_, None) => return Err(AuthError::Request("the local socket needs no token, and has none")),
    };
    let host = host::named(parts).ok_or(AuthError::Request("a token is for a host: send a Host header"))?;
    let store = state.registry().store();
    let now = store.now();
    let bearer = Bearer { subject, proof: known.proof.clone() };
    let token = state.signer().sign(&bearer, &host, now, store.chance());
    let mut shape = json!({
        "token": token,
        "access_token": token,
        "expires_in": limits::BEARER_TOKEN.as_secs(),
        "issued_at": now.rfc3339(),
    });
    if let Some(kept) = kept {
        shape["refresh_token"] = json!(kept.expose());
    }
    Ok(shape)
}
