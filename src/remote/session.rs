//! One request at another registry, with all that belongs to it: credentials
//! where they may go, redirects by hand, a deadline for every step.
//!
//! The rules about where credentials go stand in `attempt` and `token` and
//! nowhere else: `Authorization` is set only on requests to the registry's own
//! origin, and to a realm that [`may_have_credentials`] passed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};

use super::answer::Answer;
use super::body::{self, Progress, Source};
use super::challenge::{self, Challenge};
use super::location::{resolve, with_query};
use super::token::{TokenAnswer, Tokens, is_downgrade, may_have_credentials};
use super::{Breach, Credentials, Origin, Outbound, RemoteError, Scheme, Trust};
use crate::limits;
use crate::secret::Secret;

/// What stays the same over all requests to one remote.
pub(super) struct Session {
    pub(super) outbound: Outbound,
    pub(super) origin: Origin,
    pub(super) credentials: Credentials,
    pub(super) trust: Trust,
    pub(super) private: bool,
    /// Origins beside the registry's own that may see the credentials.
    pub(super) realms: Vec<Origin>,
    pub(super) wanted: Mutex<Wanted>,
    /// Held while a token is fetched, so that parallel requests fetch one.
    pub(super) tokens: tokio::sync::Mutex<Tokens>,
}

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

/// One request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// What it needs to be allowed, in the form of token scopes, one a space.
    pub(super) scope: &'a str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload<'a>,
}

/// What a request carries.
pub(super) enum Payload<'a> {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A blob, opened anew for each attempt.
    Blob {
        /// Its length in bytes.
        size: u64,
        /// Opens it.
        open: &'a (dyn Fn() -> Source + Send + Sync),
    },
}

impl Session {
    /// The URI of `path` (with a query) at the registry.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, RemoteError> {
        let refuse = |_| RemoteError::Connect(super::ConnectError::Target);
        format!("{}{path}", self.origin).parse().map_err(refuse)
    }

    /// Sends a request: signs in when asked to, follows the redirects of a GET
    /// or HEAD. Any status but 401 and a redirect is the caller's to judge.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, RemoteError> {
        let mut uri = call.uri.clone();
        let (mut hops, mut signed_in) = (0, false);
        loop {
            let had_token = matches!(self.wanted(), Wanted::Token { .. });
            let answer = self.attempt(call, &uri).await?;
            let status = answer.status();
            if status == StatusCode::UNAUTHORIZED {
                if answer.origin != self.origin {
                    return Err(RemoteError::Redirect {
                        origin: self.origin.clone(),
                        to: answer.origin,
                        reason: "which asks for credentials; they belong to the first alone",
                    });
                }
                if had_token {
                    self.tokens.lock().await.forget(call.scope);
                }
                if signed_in || !self.learn(&answer)? {
                    return Err(self.error(answer).await);
                }
                signed_in = true;
            } else if is_redirect(status) {
                hops += 1;
                uri = self.follow(&answer, call, hops)?;
            } else {
                return Ok(answer);
            }
        }
    }

    /// Sends a request for something that has to be there.
    pub(super) async fn expect(&self, call: &Call<'_>, expected: &[StatusCode]) -> Result<Answer, RemoteError> {
        let answer = self.send(call).await?;
        if expected.contains(&answer.status()) { Ok(answer) } else { Err(self.error(answer).await) }
    }

    /// The error that an answer is.
    pub(super) async fn error(&self, answer: Answer) -> RemoteError {
        let now = self.outbound.options().clock.now();
        let tokens = self.tokens.lock().await.clone();
        let redact = |text: &str| tokens.redact(self.credentials.redact(text));
        answer.into_error(now, self.credentials.is_anonymous(), redact).await
    }

    /// One request over the wire.
    async fn attempt(&self, call: &Call<'_>, uri: &Uri) -> Result<Answer, RemoteError> {
        let origin = Origin::of(uri).ok_or(super::ConnectError::Target)?;
        let mut builder = Request::builder().method(call.method.clone()).uri(uri.clone());
        for (name, value) in &call.headers {
            builder = builder.header(name, value);
        }
        if origin == self.origin
            && let Some(value) = self.authorization(call.scope).await?
        {
            builder = builder.header(AUTHORIZATION, value);
        }
        let (body, progress) = match &call.payload {
            Payload::Empty | Payload::Blob { size: 0, .. } => {
                if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) {
                    builder = builder.header(CONTENT_LENGTH, 0);
                }
                (body::full(Bytes::new()), None)
            }
            Payload::Bytes(bytes) => (body::full(bytes.clone()), None),
            Payload::Blob { size, open } => {
                builder = builder.header(CONTENT_LENGTH, *size);
                let (body, progress) = body::streamed(open(), *size);
                (body, Some(progress))
            }
        };
        self.exchange(origin, builder, body, progress).await
    }

    /// Sends what was built, and waits for the answer's head: for a bounded
    /// time, or for as long as the body moves and then for a bounded time.
    async fn exchange(
        &self,
        origin: Origin,
        builder: http::request::Builder,
        body: body::SendBody,
        progress: Option<Arc<Progress>>,
    ) -> Result<Answer, RemoteError> {
        let options = self.outbound.options();
        let timing = options.timing;
        let request = builder
            .header(USER_AGENT, options.user_agent.as_str())
            .header(ACCEPT_ENCODING, "identity")
            .body(body)
            .map_err(|_| super::ConnectError::Target)?;
        let uri = request.uri().clone();
        tracing::debug!(http.method = %request.method(), remote.origin = %origin, url.path = uri.path(), "asking a remote registry");
        let mut sending = std::pin::pin!(self.outbound.send(&self.trust, self.private, request));
        let response = loop {
            let (patience, before) = match &progress {
                None => (timing.answer, 0),
                Some(progress) if progress.is_finished() => (timing.commit, progress.steps()),
                // The connection has a deadline of its own.
                Some(progress) => (timing.stall.max(timing.connect), progress.steps()),
            };
            match tokio::time::timeout(patience, &mut sending).await {
                Ok(response) => break response,
                Err(_) => match &progress {
                    None => return Err(RemoteError::Timeout { origin, after: patience }),
                    Some(progress) if progress.steps() != before => {}
                    Some(progress) if progress.is_finished() => {
                        return Err(RemoteError::Timeout { origin, after: patience });
                    }
                    Some(_) => return Err(RemoteError::Stalled { origin, after: patience }),
                },
            }
        };
        match (response, progress.and_then(|progress| progress.failure())) {
            (_, Some(failure)) => Err(RemoteError::Source(failure)),
            (Ok(response), None) => Ok(Answer::new(response, uri, origin, timing)),
            (Err(error), None) => Err(error),
        }
    }

    /// Where a redirect leads, when it is one to follow.
    fn follow(&self, answer: &Answer, call: &Call<'_>, hops: usize) -> Result<Uri, RemoteError> {
        let location = answer.header(LOCATION).and_then(|location| resolve(&answer.uri, location));
        let to = location.ok_or_else(|| answer.broke(Breach::Header("Location")))?;
        let target = Origin::of(&to).ok_or(super::ConnectError::Target)?;
        let refuse = |to, reason| Err(RemoteError::Redirect { origin: answer.origin.clone(), to, reason });
        if !matches!(call.method, Method::GET | Method::HEAD) {
            return refuse(target, "and only reading follows redirects; give that address as the remote host");
        }
        if hops > limits::REMOTE_REDIRECTS {
            return refuse(target, "one redirect too many");
        }
        if answer.origin.scheme() == Scheme::Https && target.scheme() == Scheme::Http {
            return refuse(target, "which gives up TLS");
        }
        Ok(to)
    }

    /// The `Authorization` for a request to the registry's own origin.
    async fn authorization(&self, scope: &str) -> Result<Option<HeaderValue>, RemoteError> {
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
    fn learn(&self, answer: &Answer) -> Result<bool, RemoteError> {
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
        tokens.put(scope, token.clone(), now + life, now);
        Ok(token)
    }

    async fn fetch_token(&self, scope: &str) -> Result<(Secret, Duration), RemoteError> {
        let Wanted::Token { realm, service, scope: own } = self.wanted() else {
            return Err(RemoteError::protocol(&self.origin, Breach::Token));
        };
        let owner = Origin::of(&realm).ok_or(super::ConnectError::Target)?;
        if is_downgrade(&self.origin, &owner)
            || !self.credentials.is_anonymous() && !may_have_credentials(&self.origin, &owner, &self.realms)
        {
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
                let redact = |text: &str| self.credentials.redact(text);
                return Err(answer.into_error(now, self.credentials.is_anonymous(), redact).await);
            }
            let token: TokenAnswer = answer.json("token").await?;
            return token.read().ok_or_else(|| RemoteError::protocol(&owner, Breach::Token));
        }
        Err(RemoteError::Redirect { origin: owner.clone(), to: owner, reason: "one redirect too many" })
    }

    fn wanted(&self) -> Wanted {
        self.wanted_mut().clone()
    }

    fn wanted_mut(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}
