//! One repository at another registry, and whether it lets us in.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::answer::Answer;
use super::censor::Censor;
use super::session::{Call, Payload, Session};
use super::{Credentials, Origin, Outbound, RemoteError, RemoteHost, RemoteRepository, Trust};

/// What it takes to talk to one repository at another registry.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Where the registry is.
    pub host: RemoteHost,
    /// The repository there.
    pub repository: RemoteRepository,
    /// What to sign in with.
    pub credentials: Credentials,
    /// Which certificates are believed.
    pub trust: Trust,
    /// Whether loopback and private ranges may be dialled: a system admin
    /// saved the policy.
    pub private: bool,
    /// Token realms at other origins that may see the credentials.
    pub realms: Vec<Origin>,
}

/// What the credentials allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
    /// Whether the repository is there. Many registries make it with the first
    /// push, so that a push mirror need not care.
    pub exists: bool,
}

/// One repository at another registry. Cheap to clone; clones share tokens.
#[derive(Clone)]
pub struct Registry {
    pub(super) session: Arc<Session>,
    pub(super) host: RemoteHost,
    /// The repository as the host knows it.
    pub(super) name: Arc<str>,
}

impl Registry {
    /// A client; nothing is sent yet.
    pub fn new(outbound: &Outbound, options: RegistryOptions) -> Self {
        let session = Session {
            censor: Arc::new(Censor::of(&options.credentials)),
            outbound: outbound.clone(),
            origin: options.host.origin(),
            credentials: options.credentials,
            trust: options.trust,
            private: options.private,
            realms: options.realms,
            wanted: Default::default(),
            tokens: Default::default(),
        };
        let name = options.repository.at(&options.host).into();
        Self { session: Arc::new(session), host: options.host, name }
    }

    /// Where requests go.
    pub fn origin(&self) -> &Origin {
        &self.session.origin
    }

    /// Finds out what the credentials allow, as DTR does when a mirror is
    /// saved: reads a page of tags; begins an upload and cancels it.
    ///
    /// An error means that the question has no answer: nothing is there, or
    /// the credentials are wrong.
    pub async fn check(&self) -> Result<Permissions, RemoteError> {
        let (read, exists, refusal) = self.may_read().await?;
        let write = match self.start_upload().await {
            Ok(upload) => {
                if let Err(error) = self.cancel_upload(upload).await {
                    tracing::debug!(error = %error.chain(), "the upload that tried the rights to write stays behind");
                }
                true
            }
            Err(RemoteError::Unauthorized { .. } | RemoteError::Forbidden { .. } | RemoteError::NotFound { .. }) => {
                false
            }
            // A read-only registry: 405 and the like.
            Err(RemoteError::Server { status: 400..=499, .. }) => false,
            Err(error) => return Err(error),
        };
        match refusal {
            Some(error) if !write => Err(error),
            _ => Ok(Permissions { read, write, exists }),
        }
    }

    /// The same for a mirror that only reads: nothing is begun over there, and
    /// nothing is said about writing.
    pub async fn check_read(&self) -> Result<Permissions, RemoteError> {
        match self.may_read().await? {
            (_, _, Some(error)) => Err(error),
            (read, exists, None) => Ok(Permissions { read, write: false, exists }),
        }
    }

    /// Whether a page of tags can be read, whether the repository is there, and
    /// the refusal of the credentials.
    async fn may_read(&self) -> Result<(bool, bool, Option<RemoteError>), RemoteError> {
        let tags = self.call(Method::GET, "/tags/list?n=1", &self.pull_scope())?;
        match self.session.expect(&tags.borrowed(), &[StatusCode::OK]).await {
            Ok(_) => Ok((true, true, None)),
            Err(RemoteError::NotFound { .. }) => Ok((true, false, None)),
            Err(error @ RemoteError::Unauthorized { .. }) => Ok((false, true, Some(error))),
            Err(RemoteError::Forbidden { .. }) => Ok((false, true, None)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.name)
    }

    pub(super) fn push_scope(&self) -> String {
        format!("repository:{}:pull,push", self.name)
    }

    /// A request below `/v2/<name>`.
    pub(super) fn call(&self, method: Method, below: &str, scope: &str) -> Result<Prepared, RemoteError> {
        let uri = self.session.uri(&format!("/v2/{}{below}", self.name))?;
        Ok(Prepared { method, uri, scope: scope.to_owned(), headers: Vec::new() })
    }

    /// Sends a request that carries nothing.
    pub(super) async fn send(&self, prepared: &Prepared) -> Result<Answer, RemoteError> {
        self.session.send(&prepared.borrowed()).await
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("host", &self.host).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A request in the making.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) scope: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Prepared {
    /// With one header more.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Carrying nothing.
    pub(super) fn borrowed(&self) -> Call<'_> {
        self.with(Payload::Empty)
    }

    /// Carrying `payload`.
    pub(super) fn with<'a>(&'a self, payload: Payload<'a>) -> Call<'a> {
        Call {
            method: self.method.clone(),
            uri: self.uri.clone(),
            scope: &self.scope,
            headers: self.headers.clone(),
            payload,
        }
    }
}
