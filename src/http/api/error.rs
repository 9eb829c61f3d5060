//! The one place that decides status, code and words of the management API's
//! refusals, in DTR's spelling where DTR has one. The matches are exhaustive: a
//! new way to fail gets its answer here before it compiles.
//!
//! 4xx speaks to the client; a 5xx says a code, and the log says the rest.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::access::NoLevel;
use crate::http::{Body, BodyError, CHALLENGE, RequestId, SignInError, condition, quota, told};
use crate::identity::token::access;
use crate::identity::{KeyChangeError, KeyringError, PasswordError, SetupError};
use crate::limits;
use crate::oci::condition::ConditionError;
use crate::oci::name::NameError;
use crate::oci::tag::TagError;
use crate::oci::{Reference, RepoName};
use crate::policy::Kind;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::store::backup::BackupOver;
use crate::store::file::BlobFile;

use super::route::RouteError;

/// Why a call is not answered as it hoped.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// Nobody knows who asks.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// It is no call.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The registry says no, or cannot say.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body is no JSON, or not of the call's shape.
    #[error("the body is not what this call takes: {0}")]
    Json(String),
    /// A field that the call needs is not there.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A value that the call does not take.
    #[error("`{name}`: {why}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A condition that cannot be read.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// The caller does not own the namespace.
    #[error("you need admin access to the namespace {namespace}")]
    Namespace {
        /// Its name.
        namespace: String,
    },
    /// A name that no repository can have.
    #[error("{name:?} cannot be a repository's name: {source}")]
    RepositoryName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Neither public nor private.
    #[error("the visibility is \"public\" or \"private\", not {0:?}")]
    Visibility(String),
    /// No level.
    #[error("`accessLevel`: {0}")]
    Level(#[from] NoLevel),
    /// Something that cannot be set here.
    #[error("{0}")]
    Settings(String),
    /// A user's settings that cannot be.
    #[error("there are no content caches: `contentCacheUUID` stays empty")]
    UserSettings,
    /// A name that no tag can have.
    #[error("`targetTag`: {0}")]
    TagName(#[from] TagError),
    /// A user without a password.
    #[error("a user needs a password")]
    NoPassword,
    /// The old password is another.
    #[error("the old password is wrong")]
    WrongPassword,
    /// What another system has made of a password.
    #[error(
        "this registry cannot check passwords by the hashes of other systems (bcrypt, PBKDF2): leave `passwordHash` \
         out, and set a password for each user that is to sign in"
    )]
    ForeignHash,
    /// There is no directory.
    #[error("this registry has no directory (LDAP, SAML): its accounts are its own")]
    NoDirectory,
    /// No such worker.
    #[error("there is no such worker; the daemon is the only one")]
    NoSuchWorker,
    /// A password that may not be set.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The policy's own texts are wrong.
    #[error("{why}")]
    Policy {
        /// Which kind of policy.
        kind: Kind,
        /// What is wrong, and what is allowed.
        why: String,
    },
    /// The other registry does not let us do what the mirror needs.
    #[error("{0}")]
    Remote(String),
    /// No such policy of this kind.
    #[error("there is no such {} policy on {repository}", .kind.as_str().replace('_', " "))]
    NoSuchPolicy {
        /// Which kind.
        kind: Kind,
        /// Where it was looked for.
        repository: RepoName,
    },
    /// Others changed the policy each time that this change was merged into it.
    #[error("the policy is being changed by others all the time; try again")]
    Overtaken,
    /// No such user.
    #[error("there is no user {0}")]
    NoSuchUser(String),
    /// No such job.
    #[error("there is no such job")]
    NoSuchJob,
    /// The backup does not go on, or not yet.
    #[error(transparent)]
    Backup(#[from] BackupOver),
    /// A file that the backup names is not there.
    #[error("the file {0} is not there, or not as long as it should be; `tidegate verify` says more")]
    NoSuchFile(BlobFile),
    /// The set-up secret was not taken.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Keys go to whoever is on the host, and to nobody else.
    #[error("keys are given over the local socket alone")]
    KeysLocal,
    /// A sealing key that is needed.
    #[error("{sealed} mirrors are still sealed by key {id} ({mirrors}): seal them anew first (`tidegate key rekey`)")]
    KeyInUse {
        /// The key.
        id: String,
        /// How many mirrors.
        sealed: usize,
        /// Some of them.
        mirrors: String,
    },
    /// A sealing key that a backup may need.
    #[error("a backup is under way that may need key {id}; try again when it is done")]
    KeyInBackup {
        /// The key.
        id: String,
    },
    /// The sealing keys do not change.
    #[error(transparent)]
    KeyChange(KeyChangeError),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Registry(error.into())
    }
}

impl ApiError {
    /// Status and code. Total.
    pub(super) fn verdict(&self) -> (StatusCode, &'static str) {
        match self {
            Self::SignIn(error) => match error {
                SignInError::Missing
                | SignInError::Malformed
                | SignInError::Repeated
                | SignInError::Wrong
                | SignInError::Token => (StatusCode::UNAUTHORIZED, "NOT_AUTHENTICATED"),
                SignInError::TooMany { .. } | SignInError::Busy => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
                SignInError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
            },
            Self::Route(error) => match error {
                RouteError::Nothing => (StatusCode::NOT_FOUND, "NOT_FOUND"),
                RouteError::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "NOT_ALLOWED"),
                RouteError::Repository { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_REPOSITORY"),
                RouteError::Tag { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_TAG"),
                RouteError::Digest(_) => (StatusCode::BAD_REQUEST, "INVALID_DIGEST"),
            },
            Self::Registry(error) => of_registry(error),
            Self::Body(error) => match error {
                BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "INVALID_JSON"),
                BodyError::Stalled { .. } | BodyError::TooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, "INVALID_JSON"),
                BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
                BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "INVALID_JSON"),
            },
            Self::Json(_) | Self::Missing(_) => (StatusCode::BAD_REQUEST, "INVALID_JSON"),
            Self::Condition(_) | Self::Parameter { .. } => (StatusCode::BAD_REQUEST, "INVALID_PARAMETERS"),
            Self::Namespace { .. } => (StatusCode::FORBIDDEN, "NOT_AUTHORIZED"),
            Self::RepositoryName { .. } => (StatusCode::BAD_REQUEST, "INVALID_REPOSITORY_NAME"),
            Self::Visibility(_) => (StatusCode::BAD_REQUEST, "INVALID_REPOSITORY_VISIBILITY"),
            Self::Level(_) => (StatusCode::BAD_REQUEST, "INVALID_ACCESS_LEVEL"),
            Self::Settings(_) => (StatusCode::BAD_REQUEST, "INVALID_SETTINGS"),
            Self::UserSettings => (StatusCode::BAD_REQUEST, "INVALID_USER_SETTINGS"),
            Self::TagName(_) => (StatusCode::BAD_REQUEST, "INVALID_TAG_NAME"),
            Self::NoPassword | Self::ForeignHash => (StatusCode::BAD_REQUEST, "INVALID_PASSWORD"),
            Self::WrongPassword => (StatusCode::BAD_REQUEST, "PASSWORD_INCORRECT"),
            Self::NoDirectory => (StatusCode::BAD_REQUEST, "LDAP_NOT_CONFIGURED"),
            Self::NoSuchWorker => (StatusCode::NOT_FOUND, "NO_SUCH_WORKER"),
            Self::Password(PasswordError::TooShort { .. } | PasswordError::TooLong { .. }) => {
                (StatusCode::BAD_REQUEST, "INVALID_PASSWORD")
            }
            Self::Policy { kind, .. } => match kind {
                Kind::Promotion => (StatusCode::BAD_REQUEST, "INVALID_PROMOTION_POLICY"),
                // DTR answers 404 here, and its tools know it.
                Kind::PushMirror => (StatusCode::NOT_FOUND, "INVALID_PUSH_MIRRORING_POLICY"),
                Kind::PullMirror => (StatusCode::NOT_FOUND, "INVALID_POLL_MIRRORING_POLICY"),
            },
            Self::Remote(_) => (StatusCode::BAD_REQUEST, "REMOTE_REGISTRY_INVALID_PERMISSIONS"),
            Self::NoSuchPolicy { kind, .. } => match kind {
                Kind::Promotion => (StatusCode::NOT_FOUND, "NO_SUCH_PROMOTION_POLICY"),
                Kind::PushMirror => (StatusCode::NOT_FOUND, "NO_SUCH_PUSH_MIRRORING_POLICY"),
                Kind::PullMirror => (StatusCode::NOT_FOUND, "NO_SUCH_POLL_MIRRORING_POLICY"),
            },
            Self::Overtaken => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
            Self::NoSuchUser(_) => (StatusCode::NOT_FOUND, "NO_SUCH_USER"),
            Self::NoSuchJob => (StatusCode::NOT_FOUND, "NO_SUCH_JOB"),
            Self::Backup(BackupOver::Ended) => (StatusCode::NOT_FOUND, "NO_SUCH_BACKUP"),
            Self::Backup(BackupOver::TooMany) => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
            Self::Backup(BackupOver::Store(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
            Self::NoSuchFile(_) => (StatusCode::NOT_FOUND, "NO_SUCH_FILE"),
            Self::Setup(SetupError::Refused) => (StatusCode::FORBIDDEN, "NOT_AUTHORIZED"),
            Self::Setup(SetupError::TooMany) => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
            Self::KeysLocal => (StatusCode::FORBIDDEN, "NOT_AUTHORIZED"),
            Self::KeyInUse { .. } | Self::KeyInBackup { .. } => (StatusCode::CONFLICT, "SEALING_KEY_IN_USE"),
            Self::KeyChange(error) => match error {
                KeyChangeError::Unknown(_) => (StatusCode::NOT_FOUND, "NO_SUCH_SEALING_KEY"),
                KeyChangeError::Given { .. } => (StatusCode::CONFLICT, "SEALING_KEYS_GIVEN"),
                KeyChangeError::Seals(_) => (StatusCode::CONFLICT, "SEALING_KEY_IN_USE"),
                KeyChangeError::Keyring(KeyringError::Full { .. }) => (StatusCode::CONFLICT, "TOO_MANY_SEALING_KEYS"),
                KeyChangeError::Keyring(KeyringError::File(_) | KeyringError::Malformed { .. }) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR")
                }
            },
        }
    }

    /// The answer. Logs what the client is not told.
    pub(super) fn into_response(self, id: &RequestId) -> Response<Body> {
        let (status, code) = self.verdict();
        let error = if status.is_server_error() {
            let is_ours = status == StatusCode::INTERNAL_SERVER_ERROR;
            told::turned_away(&self, is_ours);
            let message = match status {
                StatusCode::INTERNAL_SERVER_ERROR => {
                    "internal error; the log of the registry says more under this request's id".to_owned()
                }
                _ => self.to_string(),
            };
            json!({ "code": code, "message": message, "detail": { "requestId": id.to_string() } })
        } else {
            tracing::debug!(error = &*access::hide(&self.to_string()), "refused");
            let mut error = json!({ "code": code, "message": self.to_string() });
            if let Self::Registry(RegistryError::Condition(refused)) = &self {
                error["detail"] = condition::detail(refused);
            }
            if let Self::Registry(RegistryError::Quota(exceeded)) = &self {
                error["detail"] = quota::detail(exceeded);
            }
            error
        };
        let mut response = Response::new(Body::from(json!({ "errors": [error] }).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.header());
        response
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let wait = |time: std::time::Duration| Some((header::RETRY_AFTER, HeaderValue::from(time.as_secs())));
        match self {
            Self::SignIn(error) => Some(match error.retry_after() {
                Some(wait) => (header::RETRY_AFTER, wait),
                None => (header::WWW_AUTHENTICATE, CHALLENGE),
            }),
            Self::Route(RouteError::Method { allow }) => Some((header::ALLOW, allow.parse().ok()?)),
            Self::Registry(RegistryError::Exhausted | RegistryError::Store(StoreError::Stopped)) => {
                wait(limits::RETRY_AFTER_BUSY)
            }
            Self::Registry(RegistryError::Full) => wait(limits::RETRY_AFTER_FULL),
            Self::Setup(SetupError::TooMany) => wait(limits::SETUP_TRIES_WINDOW),
            Self::Backup(BackupOver::TooMany) | Self::Overtaken | Self::Body(BodyError::NoRoom) => {
                wait(limits::RETRY_AFTER_BUSY)
            }
            _ => None,
        }
    }
}

fn of_registry(error: &RegistryError) -> (StatusCode, &'static str) {
    match error {
        RegistryError::RepositoryUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_REPOSITORY"),
        RegistryError::Denied { .. }
        | RegistryError::AdminOnly { .. }
        | RegistryError::NotFor { .. }
        | RegistryError::SystemAccount { .. }
        | RegistryError::OutOfScope { .. }
        | RegistryError::Restricted => (StatusCode::FORBIDDEN, "NOT_AUTHORIZED"),
        RegistryError::NamespaceUnknown { .. }
        | RegistryError::AccountUnknown { .. }
        | RegistryError::OrganizationUnknown { .. }
        | RegistryError::UserUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_ACCOUNT"),
        RegistryError::TeamUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_TEAM"),
        RegistryError::MemberUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_MEMBER"),
        RegistryError::GrantUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_NAMESPACE_TEAM_ACCESS"),
        RegistryError::NoAccess { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_REPOSITORY_ACCESS"),
        RegistryError::NoOrganization { .. } => (StatusCode::BAD_REQUEST, "NOT_AN_ORGANIZATION"),
        RegistryError::TeamExists { .. } => (StatusCode::BAD_REQUEST, "TEAM_EXISTS"),
        RegistryError::TeamName { .. } => (StatusCode::BAD_REQUEST, "INVALID_TEAM_NAME"),
        RegistryError::TooManyTeams { .. } => (StatusCode::BAD_REQUEST, "TOO_MANY_TEAMS"),
        RegistryError::TextTooLong | RegistryError::LabelTooLong => (StatusCode::BAD_REQUEST, "INVALID_PARAMETERS"),
        RegistryError::Overtaken { .. } => (StatusCode::CONFLICT, "CONFLICT"),
        RegistryError::TokenUnknown => (StatusCode::NOT_FOUND, "NO_SUCH_API_TOKEN"),
        RegistryError::RobotUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_ROBOT"),
        RegistryError::RobotExists { .. } => (StatusCode::BAD_REQUEST, "ROBOT_EXISTS"),
        RegistryError::RobotName { .. } => (StatusCode::BAD_REQUEST, "INVALID_ROBOT_NAME"),
        RegistryError::RobotScopes { .. } => (StatusCode::BAD_REQUEST, "INVALID_SCOPE"),
        RegistryError::TooManyCredentials { .. } => (StatusCode::BAD_REQUEST, "TOO_MANY_CREDENTIALS"),
        RegistryError::CertificateName { .. } => (StatusCode::BAD_REQUEST, "INVALID_CERTIFICATE_NAME"),
        RegistryError::CertificateUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_CERTIFICATE"),
        RegistryError::RepositoryExists { .. } => (StatusCode::BAD_REQUEST, "REPOSITORY_EXISTS"),
        RegistryError::AccountExists { .. } => (StatusCode::BAD_REQUEST, "ACCOUNT_EXISTS"),
        RegistryError::AccountName { .. } => (StatusCode::BAD_REQUEST, "INVALID_ACCOUNT_NAME"),
        RegistryError::ManifestUnknown { reference: Reference::Tag(_), .. } => (StatusCode::NOT_FOUND, "NO_SUCH_TAG"),
        RegistryError::ManifestUnknown { reference: Reference::Digest(_), .. } | RegistryError::BlobUnknown { .. } => {
            (StatusCode::NOT_FOUND, "NO_SUCH_REF")
        }
        RegistryError::TooManyTags { .. } | RegistryError::BeyondTagLimit { .. } => {
            (StatusCode::CONFLICT, "TOO_MANY_TAGS")
        }
        RegistryError::StillNamed { .. } | RegistryError::TagLeads { .. } | RegistryError::NamedByMany { .. } => {
            (StatusCode::CONFLICT, "STILL_REFERENCED")
        }
        RegistryError::Quarantined { .. } => (StatusCode::CONFLICT, "QUARANTINED"),
        RegistryError::TagImmutable { .. } => (StatusCode::CONFLICT, "IMMUTABLE_TAG"),
        RegistryError::Condition(_) => (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED"),
        RegistryError::NeverNamed { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_REF"),
        RegistryError::ManifestBlobUnknown { .. } | RegistryError::Manifest(_) => {
            (StatusCode::BAD_REQUEST, "INVALID_MANIFEST")
        }
        RegistryError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "INVALID_DIGEST"),
        RegistryError::ClosureTooLarge { .. } | RegistryError::BlobTooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE")
        }
        RegistryError::UploadUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_UPLOAD"),
        RegistryError::UploadBusy { .. } | RegistryError::TooManyUploads { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS")
        }
        RegistryError::ChunkOutOfOrder { .. } | RegistryError::ChunkLength { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, "INVALID_RANGE")
        }
        RegistryError::BodyBroken { .. } | RegistryError::BlobBroken => (StatusCode::BAD_REQUEST, "INVALID_UPLOAD"),
        RegistryError::PolicyUnknown { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_POLICY"),
        RegistryError::TooManyPolicies { .. } => (StatusCode::BAD_REQUEST, "TOO_MANY_POLICIES"),
        RegistryError::Quota(_) => (StatusCode::FORBIDDEN, "QUOTA_EXCEEDED"),
        RegistryError::Full | RegistryError::Store(StoreError::Full) => {
            (StatusCode::INSUFFICIENT_STORAGE, "INSUFFICIENT_STORAGE")
        }
        RegistryError::Exhausted | RegistryError::Store(StoreError::Stopped) => {
            (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
        }
        RegistryError::Store(
            StoreError::Database(_) | StoreError::File(_) | StoreError::Damaged { .. } | StoreError::Panicked(_),
        ) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
    }
}
/// A refusal in the shape of this API, for what stands beside it.
pub(in crate::http) fn refused(error: RegistryError, id: &RequestId) -> Response<Body> {
    ApiError::from(error).into_response(id)
}
