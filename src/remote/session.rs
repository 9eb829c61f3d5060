//! One request at another registry, with all that belongs to it: credentials
//! where they may go, redirects by hand, a deadline for every step.
//!
//! `Authorization` is set in two places: in `attempt`, on requests to the
//! registry's own origin alone, and in `sign_in`, towards a realm that was
//! found to belong to it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};

use super::answer::Answer;
use super::body::{self, Progress, Source};
use super::censor::Censor;
use super::location::resolve;
use super::pace::Pace;
use super::sign_in::Wanted;
use super::token::Tokens;
use super::{Breach, Credentials, Origin, Outbound, RemoteError, Scheme, Trust};
use crate::limits;

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
    /// What of the other side's words must not be repeated.
    pub(super) censor: Arc<Censor>,
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
                    self.tokens.lock().await.end(call.scope, self.outbound.options().clock.monotonic());
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
        answer.into_error(now, self.credentials.is_anonymous()).await
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
    pub(super) async fn exchange(
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
        let pool = self
            .outbound
            .pool(&self.trust, self.private)
            .await
            .map_err(|source| super::ConnectError::Tls { origin: origin.clone(), source })?;
        let mut sending = std::pin::pin!(pool.request(request));
        let mut pace = Pace::new(timing);
        let response = loop {
            let taken = progress.as_ref().map_or(0, |progress| progress.bytes());
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
                    Some(progress) if progress.steps() != before && progress.is_finished() => {}
                    Some(progress) if progress.steps() != before => {
                        pace.moved(progress.bytes() - taken, patience, &origin)?;
                    }
                    Some(progress) if progress.is_finished() => {
                        return Err(RemoteError::Timeout { origin, after: patience });
                    }
                    Some(_) => return Err(RemoteError::Stalled { origin, after: patience }),
                },
            }
        };
        match (response, progress.and_then(|progress| progress.failure())) {
            (_, Some(failure)) => Err(RemoteError::Source(failure)),
            (Ok(response), None) => {
                let answer = Answer::new(response, uri, origin, timing, Arc::clone(&self.censor));
                self.outbound.tell_warnings(&answer);
                Ok(answer)
            }
            (Err(error), None) => Err(RemoteError::of_client(origin, error)),
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
}

/// Whether a status sends the caller somewhere else.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}
