//! Docker's token service, and how tools of DTR sign in.
//!
//! The registry API answers 401 with a challenge that names this service
//! (`challenge`); a client shows it a password, an access token or a
//! certificate and gets a token that holds for minutes (`issue`; the
//! distribution project's "Token Authentication Specification" and its OAuth2
//! variant). Programs of DTR's users sign in for longer (`session`).
//!
//! Tokens say who, never what: `scope` is read by nobody, and rights are looked
//! up with each request.

/// What a 401 of the registry API says.
pub(super) mod challenge;
/// `/auth/token`.
mod issue;
/// `/auth/login`, `…/id/login`, `…/id/logout`.
mod session;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::connection::Peer;
use super::intake::Sender;
use super::request_body::RequestBody;
use super::sign_in::{CHALLENGE, SignInError};
use super::{Body, BodyError, Query, State, told};
use crate::identity::token::access;
use crate::limits;
use crate::registry::RegistryError;
use crate::store::error_chain;

/// What is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `GET /auth/token`
    Token,
    /// `POST /auth/token`
    Grant,
    /// `POST /auth/login`: DTR's.
    Login,
    /// `POST /id/login`, `POST /enzi/v0/id/login`: the accounts API's.
    IdLogin,
    /// `POST` to either's `logout`.
    Logout,
    /// One of them by another method.
    Method(&'static str),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum AuthError {
    /// Nobody knows who asks.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The request cannot be read.
    #[error("{0}")]
    Request(&'static str),
    /// Another way to be known than those there are.
    #[error("`grant_type` is `password` or `refresh_token`")]
    Grant,
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The registry says no, or cannot say.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another method than the path takes.
    #[error("this path takes {0}")]
    Method(&'static str),
}

impl Auth {
    /// Reads a request; `None` where the path is none of these.
    pub fn parse(method: &Method, path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let post = |auth: Self| if *method == Method::POST { auth } else { Self::Method("POST") };
        Some(match path {
            "/auth/token" => match *method {
                Method::GET | Method::HEAD => Self::Token,
                Method::POST => Self::Grant,
                _ => Self::Method("GET, HEAD, POST"),
            },
            "/auth/login" => post(Self::Login),
            "/id/login" | "/enzi/v0/id/login" => post(Self::IdLogin),
            "/auth/logout" | "/id/logout" | "/enzi/v0/id/logout" => post(Self::Logout),
            _ => return None,
        })
    }

    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "auth.token",
            Self::Grant => "auth.grant",
            Self::Login | Self::IdLogin => "auth.login",
            Self::Logout => "auth.logout",
            Self::Method(_) => "auth",
        }
    }
}

/// Answers one request.
pub(super) async fn handle(
    state: &State,
    auth: Auth,
    parts: &Parts,
    query: &Query,
    body: RequestBody,
    peer: Peer,
) -> Response<Body> {
    let answered = async {
        match auth {
            Auth::Token => issue::get(state, parts, query, peer).await,
            Auth::Grant => {
                let body = state.intake().read(body, limits::SIGN_IN_BODY_BYTES, Sender::Stranger).await?;
                issue::grant(state, parts, &body, peer).await
            }
            Auth::Login | Auth::IdLogin => {
                let body = state.intake().read(body, limits::SIGN_IN_BODY_BYTES, Sender::Stranger).await?;
                let field = if auth == Auth::Login { "auth_token" } else { "sessionToken" };
                session::login(state, parts, &body, peer, field).await
            }
            Auth::Logout => session::logout(state, parts, query, peer).await,
            Auth::Method(allow) => Err(AuthError::Method(allow)),
        }
    };
    let mut response = match answered.await {
        Ok(Some(shape)) => shaped(StatusCode::OK, &shape),
        Ok(None) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(error) => refused(auth, &error),
    };
    // RFC 6749 §5.1: what has a token in it is kept by nobody on the way.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal in the shape of both APIs (`errors`) and of OAuth (RFC 6749 §5.2).
fn refused(auth: Auth, error: &AuthError) -> Response<Body> {
    let (status, code, oauth) = verdict(error);
    // Docker's clients know the registry's words, DTR's tools those of DTR.
    let code = match (auth, code) {
        (Auth::Token | Auth::Grant, "NOT_AUTHENTICATED") => "UNAUTHORIZED",
        (Auth::Token | Auth::Grant, "TOO_MANY_REQUESTS") => "TOOMANYREQUESTS",
        (Auth::Token | Auth::Grant, "UNAVAILABLE") => "UNKNOWN",
        (_, code) => code,
    };
    let words = if status == StatusCode::SERVICE_UNAVAILABLE {
        told::turned_away(error, false);
        error.to_string()
    } else if status.is_server_error() {
        tracing::error!(error = error_chain(error), "a request failed");
        "internal error; the log of the registry says more under this request's id".to_owned()
    } else {
        tracing::debug!(error = &*access::hide(&error.to_string()), "refused");
        error.to_string()
    };
    let mut shape = json!({
        "errors": [{ "code": code, "message": words }],
        "error": oauth,
        "error_description": words,
    });
    if status == StatusCode::UNAUTHORIZED {
        // What scripts look for after a sign-in.
        shape["message"] = json!("unauthorized");
    }
    let mut response = shaped(status, &shape);
    let headers = response.headers_mut();
    match error {
        AuthError::SignIn(error) => {
            if let Some(wait) = error.retry_after() {
                headers.insert(header::RETRY_AFTER, wait);
            }
        }
        AuthError::Method(allow) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        AuthError::Body(BodyError::NoRoom) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER_BUSY.as_secs()));
        }
        AuthError::Request(_) | AuthError::Grant | AuthError::Body(_) | AuthError::Registry(_) => {}
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    response
}

fn verdict(error: &AuthError) -> (StatusCode, &'static str, &'static str) {
    const ASKED_WRONG: (StatusCode, &str, &str) = (StatusCode::BAD_REQUEST, "INVALID_JSON", "invalid_request");
    match error {
        AuthError::SignIn(error) => match error {
            SignInError::Missing
            | SignInError::Malformed
            | SignInError::Repeated
            | SignInError::Wrong
            | SignInError::Token => (StatusCode::UNAUTHORIZED, "NOT_AUTHENTICATED", "invalid_grant"),
            SignInError::TooMany { .. } | SignInError::Busy => {
                (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", "slow_down")
            }
            SignInError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "server_error"),
        },
        AuthError::Request(_) => ASKED_WRONG,
        AuthError::Grant => (StatusCode::BAD_REQUEST, "INVALID_PARAMETERS", "unsupported_grant_type"),
        AuthError::Body(BodyError::TooLarge { .. }) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "INVALID_JSON", "invalid_request")
        }
        AuthError::Body(BodyError::NoRoom) => {
            (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "temporarily_unavailable")
        }
        AuthError::Body(_) => ASKED_WRONG,
        AuthError::Registry(RegistryError::Full) => {
            (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL", "temporarily_unavailable")
        }
        AuthError::Registry(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "server_error"),
        AuthError::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "NOT_ALLOWED", "invalid_request"),
    }
}

fn shaped(status: StatusCode, shape: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(shape.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
