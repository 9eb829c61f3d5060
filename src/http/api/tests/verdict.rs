//! Every way to be refused: one status, one code, words.

use http::StatusCode;

use super::super::error::ApiError;
use super::super::route::RouteError;
use crate::access::{Level, NoLevel};
use crate::chance::Chance;
use crate::http::{BodyError, RequestId, SignInError};
use crate::identity::PasswordError;
use crate::limits;
use crate::oci::condition::{ConditionError, Unmet};
use crate::oci::manifest::ManifestError;
use crate::oci::{Digest, Reference, RepoName, Tag};
use crate::policy::Kind;
use crate::registry::RegistryError;
use crate::registry::condition::{Refused, Subject};
use crate::registry::quota::{Bounded, Exceeded};
use crate::store::StoreError;
use crate::store::backup::BackupOver;
use crate::store::file::BlobFile;

fn repo() -> RepoName {
    "dev/app".parse().unwrap()
}

fn refusals() -> Vec<(ApiError, u16, &'static str)> {
    let digest = Digest::sha256_of(b"x");
    let tag: Tag = "1.0".parse().unwrap();
    let session = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let name_error = || "x".parse::<RepoName>().unwrap_err();
    let tag_error = || ".".parse::<Tag>().unwrap_err();
    let mut table: Vec<(ApiError, u16, &'static str)> = vec![
        (SignInError::Missing.into(), 401, "NOT_AUTHENTICATED"),
        (SignInError::TooMany { wait: limits::GUESS_WAIT }.into(), 429, "TOO_MANY_REQUESTS"),
        (SignInError::Busy.into(), 429, "TOO_MANY_REQUESTS"),
        (SignInError::Store(StoreError::Stopped).into(), 500, "INTERNAL_ERROR"),
        (RouteError::Nothing.into(), 404, "NOT_FOUND"),
        (RouteError::Method { allow: "GET".into() }.into(), 405, "NOT_ALLOWED"),
        (RouteError::Repository { name: "x".into(), source: name_error() }.into(), 404, "NO_SUCH_REPOSITORY"),
        (RouteError::Tag { tag: ".".into(), source: tag_error() }.into(), 404, "NO_SUCH_TAG"),
        (RouteError::Digest("x".parse::<Digest>().unwrap_err()).into(), 400, "INVALID_DIGEST"),
        (BodyError::TooLarge { cap: 1 }.into(), 413, "INVALID_JSON"),
        (BodyError::Stalled { within: limits::BODY_STALL }.into(), 408, "INVALID_JSON"),
        (BodyError::Broken("cut".into()).into(), 400, "INVALID_JSON"),
        (BodyError::NoRoom.into(), 503, "UNAVAILABLE"),
        (ApiError::Json("x".to_owned()), 400, "INVALID_JSON"),
        (ApiError::Missing("name"), 400, "INVALID_JSON"),
        (ApiError::Parameter { name: "depth", why: "no".into() }, 400, "INVALID_PARAMETERS"),
        (ConditionError { header: Unmet::IfMatch }.into(), 400, "INVALID_PARAMETERS"),
        (ApiError::Namespace { namespace: "dev".into() }, 403, "NOT_AUTHORIZED"),
        (ApiError::RepositoryName { name: "x".into(), source: name_error() }, 400, "INVALID_REPOSITORY_NAME"),
        (ApiError::Visibility("hidden".into()), 400, "INVALID_REPOSITORY_VISIBILITY"),
        (NoLevel("owner".into()).into(), 400, "INVALID_ACCESS_LEVEL"),
        (ApiError::Settings("no".into()), 400, "INVALID_SETTINGS"),
        (ApiError::UserSettings, 400, "INVALID_USER_SETTINGS"),
        (ApiError::TagName(tag_error()), 400, "INVALID_TAG_NAME"),
        (ApiError::NoPassword, 400, "INVALID_PASSWORD"),
        (ApiError::ForeignHash, 400, "INVALID_PASSWORD"),
        (ApiError::WrongPassword, 400, "PASSWORD_INCORRECT"),
        (ApiError::NoDirectory, 400, "LDAP_NOT_CONFIGURED"),
        (ApiError::NoSuchWorker, 404, "NO_SUCH_WORKER"),
        (PasswordError::TooShort { chars: 1 }.into(), 400, "INVALID_PASSWORD"),
        (PasswordError::TooLong { bytes: 9_999 }.into(), 400, "INVALID_PASSWORD"),
        (ApiError::Policy { kind: Kind::Promotion, why: "no".into() }, 400, "INVALID_PROMOTION_POLICY"),
        (ApiError::Policy { kind: Kind::PushMirror, why: "no".into() }, 404, "INVALID_PUSH_MIRRORING_POLICY"),
        (ApiError::Policy { kind: Kind::PullMirror, why: "no".into() }, 404, "INVALID_POLL_MIRRORING_POLICY"),
        (ApiError::Remote("no".into()), 400, "REMOTE_REGISTRY_INVALID_PERMISSIONS"),
        (ApiError::NoSuchPolicy { kind: Kind::Promotion, repository: repo() }, 404, "NO_SUCH_PROMOTION_POLICY"),
        (ApiError::NoSuchPolicy { kind: Kind::PushMirror, repository: repo() }, 404, "NO_SUCH_PUSH_MIRRORING_POLICY"),
        (ApiError::NoSuchPolicy { kind: Kind::PullMirror, repository: repo() }, 404, "NO_SUCH_POLL_MIRRORING_POLICY"),
        (ApiError::NoSuchUser("eve".into()), 404, "NO_SUCH_USER"),
        (ApiError::NoSuchJob, 404, "NO_SUCH_JOB"),
        (BackupOver::Ended.into(), 404, "NO_SUCH_BACKUP"),
        (BackupOver::TooMany.into(), 429, "TOO_MANY_REQUESTS"),
        (BackupOver::Store(StoreError::Stopped).into(), 500, "INTERNAL_ERROR"),
        (ApiError::NoSuchFile(BlobFile { digest, upload: session }), 404, "NO_SUCH_FILE"),
        (ApiError::KeysLocal, 403, "NOT_AUTHORIZED"),
    ];
    let exceeded = Exceeded { of: Bounded::All, limit: 5, used: 4, reserved: 0, needed: 2 };
    let subject = Subject::Tag(tag.clone());
    let refused = Refused { unmet: Unmet::IfMatch, subject, repository: repo(), there: Some(digest) };
    let of_registry = [
        (RegistryError::RepositoryUnknown { repository: repo(), own: false }, 404, "NO_SUCH_REPOSITORY"),
        (RegistryError::Denied { repository: repo(), needed: Level::Admin }, 403, "NOT_AUTHORIZED"),
        (RegistryError::OutOfScope { repository: repo(), action: crate::access::Action::Push }, 403, "NOT_AUTHORIZED"),
        (RegistryError::Restricted, 403, "NOT_AUTHORIZED"),
        (RegistryError::TokenUnknown, 404, "NO_SUCH_API_TOKEN"),
        (RegistryError::RobotUnknown { name: "ci".into() }, 404, "NO_SUCH_ROBOT"),
        (RegistryError::RobotExists { name: "ci".into() }, 400, "ROBOT_EXISTS"),
        (RegistryError::RobotName { name: "CI".into() }, 400, "INVALID_ROBOT_NAME"),
        (RegistryError::RobotScopes { namespace: "dev".into() }, 400, "INVALID_SCOPE"),
        (RegistryError::TooManyCredentials { count: 9 }, 400, "TOO_MANY_CREDENTIALS"),
        (RegistryError::LabelTooLong, 400, "INVALID_PARAMETERS"),
        (RegistryError::CertificateName { name: "x".into() }, 400, "INVALID_CERTIFICATE_NAME"),
        (RegistryError::CertificateUnknown { name: "cn:x".into() }, 404, "NO_SUCH_CERTIFICATE"),
        (RegistryError::AdminOnly { action: "see jobs" }, 403, "NOT_AUTHORIZED"),
        (RegistryError::NamespaceUnknown { namespace: "dev".into() }, 404, "NO_SUCH_ACCOUNT"),
        (RegistryError::RepositoryExists { repository: repo() }, 400, "REPOSITORY_EXISTS"),
        (RegistryError::AccountExists { name: "ann".into() }, 400, "ACCOUNT_EXISTS"),
        (RegistryError::AccountUnknown { name: "ann".into() }, 404, "NO_SUCH_ACCOUNT"),
        (RegistryError::AccountName { name: "Ann".into() }, 400, "INVALID_ACCOUNT_NAME"),
        (RegistryError::OrganizationUnknown { name: "ann".into() }, 404, "NO_SUCH_ACCOUNT"),
        (RegistryError::UserUnknown { name: "dev".into() }, 404, "NO_SUCH_ACCOUNT"),
        (RegistryError::TeamUnknown { team: "qa".into(), organization: "dev".into() }, 404, "NO_SUCH_TEAM"),
        (RegistryError::TeamExists { team: "qa".into(), organization: "dev".into() }, 400, "TEAM_EXISTS"),
        (RegistryError::TeamName { name: "".into() }, 400, "INVALID_TEAM_NAME"),
        (RegistryError::TooManyTeams { organization: "dev".into() }, 400, "TOO_MANY_TEAMS"),
        (RegistryError::MemberUnknown { user: "ann".into(), of: "dev".into() }, 404, "NO_SUCH_MEMBER"),
        (RegistryError::NoOrganization { namespace: "ann".into() }, 400, "NOT_AN_ORGANIZATION"),
        (
            RegistryError::GrantUnknown { team: "qa".into(), namespace: "dev".into() },
            404,
            "NO_SUCH_NAMESPACE_TEAM_ACCESS",
        ),
        (RegistryError::NoAccess { account: "ann".into(), repository: repo() }, 404, "NO_SUCH_REPOSITORY_ACCESS"),
        (RegistryError::NotFor { who: "a system admin" }, 403, "NOT_AUTHORIZED"),
        (RegistryError::SystemAccount { name: "dev".into() }, 403, "NOT_AUTHORIZED"),
        (RegistryError::TextTooLong, 400, "INVALID_PARAMETERS"),
        (RegistryError::Overtaken { name: "ann".into() }, 409, "CONFLICT"),
        (RegistryError::BlobUnknown { digest, repository: repo() }, 404, "NO_SUCH_REF"),
        (RegistryError::Quarantined { held: crate::store::quarantine::Held::blob(digest) }, 409, "QUARANTINED"),
        (RegistryError::StillNamed { digest, repository: repo() }, 409, "STILL_REFERENCED"),
        (RegistryError::TooManyTags { repository: repo() }, 409, "TOO_MANY_TAGS"),
        (RegistryError::BeyondTagLimit { repository: repo(), count: 3, limit: 1 }, 409, "TOO_MANY_TAGS"),
        (RegistryError::NamedByMany { digest, repository: repo() }, 409, "STILL_REFERENCED"),
        (
            RegistryError::TagLeads { digest, tag: tag.clone(), repository: repo(), is_immutable: false },
            409,
            "STILL_REFERENCED",
        ),
        (
            RegistryError::ManifestUnknown { reference: Reference::Tag(tag.clone()), repository: repo() },
            404,
            "NO_SUCH_TAG",
        ),
        (
            RegistryError::ManifestUnknown { reference: Reference::Digest(digest), repository: repo() },
            404,
            "NO_SUCH_REF",
        ),
        (RegistryError::ManifestBlobUnknown { digest, repository: repo() }, 400, "INVALID_MANIFEST"),
        (RegistryError::Manifest(ManifestError::Schema1), 400, "INVALID_MANIFEST"),
        (RegistryError::DigestMismatch { expected: digest, found: digest }, 400, "INVALID_DIGEST"),
        (refused.into(), 412, "PRECONDITION_FAILED"),
        (RegistryError::NeverNamed { tag: tag.clone(), digest, repository: repo() }, 404, "NO_SUCH_REF"),
        (RegistryError::TagImmutable { tag, repository: repo() }, 409, "IMMUTABLE_TAG"),
        (RegistryError::ClosureTooLarge { digest }, 413, "TOO_LARGE"),
        (RegistryError::UploadUnknown { session: "x".into() }, 404, "NO_SUCH_UPLOAD"),
        (RegistryError::UploadBusy { session }, 429, "TOO_MANY_REQUESTS"),
        (RegistryError::ChunkOutOfOrder { session, offset: 1, start: 2 }, 416, "INVALID_RANGE"),
        (RegistryError::ChunkLength { session, said: 1, found: 2 }, 416, "INVALID_RANGE"),
        (RegistryError::BodyBroken { offset: 1 }, 400, "INVALID_UPLOAD"),
        (RegistryError::BlobBroken, 400, "INVALID_UPLOAD"),
        (RegistryError::TooManyUploads { count: 1 }, 429, "TOO_MANY_REQUESTS"),
        (RegistryError::BlobTooLarge, 413, "TOO_LARGE"),
        (RegistryError::PolicyUnknown { repository: repo() }, 404, "NO_SUCH_POLICY"),
        (RegistryError::TooManyPolicies { repository: repo() }, 400, "TOO_MANY_POLICIES"),
        (exceeded.into(), 403, "QUOTA_EXCEEDED"),
        (RegistryError::Full, 507, "INSUFFICIENT_STORAGE"),
        (RegistryError::Exhausted, 503, "UNAVAILABLE"),
        (RegistryError::Store(StoreError::Stopped), 503, "UNAVAILABLE"),
        (RegistryError::Store(StoreError::Panicked("here")), 500, "INTERNAL_ERROR"),
    ];
    table.extend(of_registry.map(|(error, status, code)| (error.into(), status, code)));
    table
}

#[test]
fn every_refusal_has_its_status_code_and_words() {
    let id = RequestId::of(&http::HeaderMap::new(), &Chance::seeded(1));
    for (error, status, code) in refusals() {
        let words = error.to_string();
        assert_eq!(error.verdict(), (StatusCode::from_u16(status).unwrap(), code), "{words}");
        let allow = matches!(&error, ApiError::Route(RouteError::Method { .. }));
        let response = error.into_response(&id);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers().contains_key("allow"), allow, "{words}");
        assert!(!words.is_empty() && words != code, "{code}");
    }
}
