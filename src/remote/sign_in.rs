//! Signing in at another registry: what a challenge asks for, and whether it
//! gets it.
//!
//! The one place where credentials are put into a request to somewhere else
//! than the registry itself is `fetch_token`, behind [`may_have_credentials`].

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};

use super::answer::Answer;
use super::body;
use super::challenge::{self, Challenge};
use super::location::{resolve, with_query};
use super::session::{Session, is_redirect};
use super::token::{TokenAnswer, is_downgrade, may_have_credentials};
use super::{Breach, Origin, RemoteError};
use crate::limits;
use crate::secret::Secret;

/// What the registry wants to see, as far as it has said.
#[derive(Clone, Default)]
pub(super) enum Wanted {
    /// It has not said.
    #[default]
    Nothing,
    /// User name and password.
    Basic,
    /// A token.
    Token {
        /// Where from.
        realm: Uri,
        /// For whom.
        service: Option<String>,
        /// A scope of the registry's own making, beside the usual ones.
        scope: Option<String>,
    },
}

impl Session {
    /// The `Authorization` for a request to the registry's own origin.
    pub(super) async fn authorization(&self, scope: &str) -> Result<Option<HeaderValue>, RemoteError> {
        match self.wanted() {
            Wanted::Nothing => Ok(None),
            Wanted::Basic => Ok(self.credentials.basic()),
            Wanted::Token { .. } => {
                let token = self.token(scope).await?;
                let text = Secret::new(format!("Bearer {}", token.expose()));
                let mut value = HeaderValue::from_str(text.expose())
                    .map_err(|_| RemoteError::protocol(&self.origin, Breach::Token))?;
                value.set_sensitive(true);
                Ok(Some(value))
            }
        }
    }

    /// Reads the challenges of a 401; whether there is something to try that
    /// was not tried.
    pub(super) fn learn(&self, answer: &Answer) -> Result<bool, RemoteError> {
        let challenges: Vec<Challenge> = answer.headers(WWW_AUTHENTICATE).flat_map(challenge::parse).collect();
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, scope } => Some((realm, service, scope)),
            Challenge::Basic | Challenge::Other(_) => None,
        });
        if let Some((realm, service, asked)) = bearer {
            let realm = resolve(&answer.uri, realm).ok_or_else(|| answer.broke(Breach::Header("token realm")))?;
            // The usual scopes are made here; only one of another kind is news.
            let asked = asked.clone().filter(|asked| !asked.starts_with("repository:"));
            *self.wanted_mut() = Wanted::Token { realm, service: service.clone(), scope: asked };
            return Ok(true);
        }
        if challenges.contains(&Challenge::Basic)
            && !self.credentials.is_anonymous()
            && !matches!(self.wanted(), Wanted::Basic)
        {
            *self.wanted_mut() = Wanted::Basic;
            return Ok(true);
        }
        Ok(false)
    }

    /// A token for `scope`, kept or fetched.
    async fn token(&self, scope: &str) -> Result<Secret, RemoteError> {
        let clock = &self.outbound.options().clock;
        let mut tokens = self.tokens.lock().await;
        let now = clock.monotonic();
        if let Some(token) = tokens.get(scope, now) {
            return Ok(token);
        }
        let (token, life) = self.fetch_token(scope).await?;
        self.censor.add(&token);
        tokens.put(scope, token.clone(), now + life, now);
        Ok(token)
    }

    async fn fetch_token(&self, scope: &str) -> Result<(Secret, Duration), RemoteError> {
        let Wanted::Token { realm, service, scope: own } = self.wanted() else {
            return Err(RemoteError::protocol(&self.origin, Breach::Token));
        };
        let owner = Origin::of(&realm).ok_or(super::ConnectError::Target)?;
        if is_downgrade(&self.origin, &owner) {
            let reason = "for its tokens, which gives up TLS";
            return Err(RemoteError::Redirect { origin: self.origin.clone(), to: owner, reason });
        }
        if !self.credentials.is_anonymous() && !may_have_credentials(&self.origin, &owner, &self.realms) {
            return Err(RemoteError::Realm { origin: self.origin.clone(), realm: owner });
        }
        let mut parameters = Vec::new();
        parameters.extend(service.as_deref().map(|service| ("service", service)));
        parameters.extend(own.as_deref().map(|scope| ("scope", scope)));
        parameters.extend(scope.split(' ').map(|scope| ("scope", scope)));
        if !self.credentials.username.is_empty() {
            parameters.push(("account", &self.credentials.username));
        }
        let refuse = || RemoteError::protocol(&self.origin, Breach::Header("token realm"));
        let mut uri = with_query(&realm, &parameters).ok_or_else(refuse)?;
        for _ in 0..=limits::REMOTE_REDIRECTS {
            let origin = Origin::of(&uri).ok_or(super::ConnectError::Target)?;
            let mut builder = Request::builder().method(Method::GET).uri(uri.clone());
            if let Some(value) = self.credentials.basic() {
                builder = builder.header(AUTHORIZATION, value);
            }
            let answer = self.exchange(origin.clone(), builder, body::full(Bytes::new()), None).await?;
            if is_redirect(answer.status()) {
                let to = answer.header(LOCATION).and_then(|location| resolve(&uri, location)).ok_or_else(refuse)?;
                let target = Origin::of(&to).ok_or(super::ConnectError::Target)?;
                if target != owner {
                    let reason = "and a token realm is not followed to another origin";
                    return Err(RemoteError::Redirect { origin, to: target, reason });
                }
                uri = to;
                continue;
            }
            if answer.status() != StatusCode::OK {
                let now = self.outbound.options().clock.now();
                return Err(answer.into_error(now, self.credentials.is_anonymous()).await);
            }
            let token: TokenAnswer = answer.json("token").await?;
            return token.read().ok_or_else(|| RemoteError::protocol(&owner, Breach::Token));
        }
        Err(RemoteError::Redirect { origin: owner.clone(), to: owner, reason: "one redirect too many" })
    }

    pub(super) fn wanted(&self) -> Wanted {
        self.wanted_mut().clone()
    }

    fn wanted_mut(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
