//! The one place that decides status, code and words of the registry API's
//! refusals. The match is exhaustive: a new way to fail must be given its
//! answer here before it compiles.
//!
//! 4xx speaks to the client. A 5xx says a code and the request's id, and the
//! log says the rest. Codes are the distribution specification's; where the
//! specification has none that fits, the comment says why this one.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::CallError;
use super::answer::{UPLOAD_UUID, progress_range, upload_location};
use crate::http::Body;
use crate::http::body::BodyError;
use crate::http::condition;
use crate::http::quota;
use crate::http::rate::TooMany;
use crate::http::request_id::RequestId;
use crate::http::room::Crowded;
use crate::http::sign_in::{CHALLENGE, SignInError};
use crate::http::told;
use crate::identity::token::access;
use crate::limits;
use crate::oci::condition::ConditionError;
use crate::oci::digest::DigestError;
use crate::oci::manifest::ManifestError;
use crate::oci::name::NameError;
use crate::oci::path::V2PathError;
use crate::oci::range::ChunkError;
use crate::oci::reference::ReferenceError;
use crate::oci::{ErrorCode, RepoName};
use crate::registry::RegistryError;
use crate::registry::upload::Progress;
use crate::store::StoreError;
use crate::store::record::Holder;

/// Why a request of the registry API is not answered as it hoped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no request.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nobody knows who asks.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The registry says no, or cannot say.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A body that is read whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A condition that cannot be read.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// A chunk that cannot be put where it says; the client is told where the
    /// upload stands and goes on from there.
    #[error("{why}")]
    OffTrack {
        /// What is wrong with it.
        why: OffTrack,
        /// Where the upload belongs.
        repository: RepoName,
        /// Where it stands.
        stands: Progress,
    },
    /// One request too many.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// No memory for another large answer.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// A `Range` outside the blob.
    #[error("the range lies outside the blob, which has {size} bytes")]
    Unsatisfiable {
        /// The blob's length.
        size: u64,
    },
}

/// What is wrong with a chunk.
#[derive(Debug, thiserror::Error)]
pub enum OffTrack {
    /// Its `Content-Range` cannot be read.
    #[error(transparent)]
    Header(#[from] ChunkError),
    /// It says one thing and is another.
    #[error(transparent)]
    Registry(RegistryError),
}

impl Error {
    /// Status and code. Total.
    pub fn verdict(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::Call(error) => of_call(error),
            Self::SignIn(error) => match error {
                SignInError::Missing
                | SignInError::Malformed
                | SignInError::Repeated
                | SignInError::Wrong
                | SignInError::Token => (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized),
                SignInError::TooMany { .. } | SignInError::Busy => {
                    (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests)
                }
                SignInError::Store(error) => of_store(error),
            },
            Self::Registry(error) => of_registry(error),
            // The specification has no code for a bad header.
            Self::Condition(_) => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            // Only manifests are read whole.
            Self::Body(error) => match error {
                BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid),
                BodyError::Stalled { .. } | BodyError::TooSlow { .. } => {
                    (StatusCode::REQUEST_TIMEOUT, ErrorCode::ManifestInvalid)
                }
                BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown),
                BodyError::Broken(_) => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
            },
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests),
            Self::Crowded(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown),
            Self::OffTrack { .. } | Self::Unsatisfiable { .. } => {
                (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid)
            }
        }
    }

    /// The answer. Logs what the client is not told.
    pub fn into_response(self, id: &RequestId) -> Response<Body> {
        let (status, code) = self.verdict();
        let body = if status == StatusCode::INTERNAL_SERVER_ERROR {
            told::turned_away(&self, true);
            let message = "internal error; the log of the registry says more under this request's id";
            json!({ "errors": [{ "code": code.as_str(), "message": message, "detail": { "requestId": id.to_string() } }] })
        } else if status.is_server_error() {
            told::turned_away(&self, false);
            let detail = json!({ "requestId": id.to_string() });
            json!({ "errors": [{ "code": code.as_str(), "message": self.to_string(), "detail": detail }] })
        } else {
            tracing::debug!(error = &*access::hide(&self.to_string()), "refused");
            let mut error = json!({ "code": code.as_str(), "message": self.to_string() });
            if let Self::Registry(RegistryError::Condition(refused)) = &self {
                error["detail"] = condition::detail(refused);
            }
            if let Self::Registry(RegistryError::Quota(exceeded)) = &self {
                error["detail"] = quota::detail(exceeded);
            }
            json!({ "errors": [error] })
        };
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
        response
    }

    /// What the client needs to go on.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let wait = |time: std::time::Duration| vec![(header::RETRY_AFTER, HeaderValue::from(time.as_secs()))];
        match self {
            Self::Call(CallError::Method { allow }) => vec![(header::ALLOW, HeaderValue::from_static(allow))],
            // The front door, which knows how it was called, puts a better one in its place.
            Self::SignIn(
                SignInError::Missing
                | SignInError::Malformed
                | SignInError::Repeated
                | SignInError::Wrong
                | SignInError::Token,
            ) => vec![(header::WWW_AUTHENTICATE, CHALLENGE)],
            Self::SignIn(error @ (SignInError::TooMany { .. } | SignInError::Busy)) => {
                error.retry_after().map(|wait| (header::RETRY_AFTER, wait)).into_iter().collect()
            }
            Self::Registry(
                RegistryError::UploadBusy { .. } | RegistryError::Exhausted | RegistryError::Store(StoreError::Stopped),
            ) => wait(limits::RETRY_AFTER_BUSY),
            Self::TooMany(refused) => vec![(header::RETRY_AFTER, refused.retry_after())],
            Self::Crowded(_) | Self::Body(BodyError::NoRoom) => wait(limits::RETRY_AFTER_BUSY),
            Self::Registry(RegistryError::Quarantined { .. }) => wait(limits::RETRY_AFTER_DAMAGED),
            Self::Registry(RegistryError::Full | RegistryError::TooManyUploads { .. }) => {
                wait(limits::RETRY_AFTER_FULL)
            }
            Self::OffTrack { repository, stands, .. } => vec![
                (header::LOCATION, upload_location(repository, stands.id)),
                (header::RANGE, progress_range(stands.offset)),
                (UPLOAD_UUID, stands.id.to_string().parse().expect("an id is hexadecimal digits")),
            ],
            Self::Unsatisfiable { size } => {
                let range = format!("bytes */{size}").parse().expect("digits and a unit");
                vec![(header::CONTENT_RANGE, range), (header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))]
            }
            _ => Vec::new(),
        }
    }
}

fn of_call(error: &CallError) -> (StatusCode, ErrorCode) {
    match error {
        CallError::Path(error) => match error {
            V2PathError::Shape => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
            V2PathError::Name(NameError::TooLong | NameError::OnePart | NameError::Grammar) => {
                (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid)
            }
            V2PathError::Reference(ReferenceError::Tag(_)) => (StatusCode::BAD_REQUEST, ErrorCode::TagInvalid),
            V2PathError::Reference(ReferenceError::Digest(error)) | V2PathError::Digest(error) => of_digest(error),
        },
        CallError::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        // The specification has no code for a bad query.
        CallError::Page(_) => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        CallError::Digest { source, .. } => of_digest(source),
        CallError::NoDigest | CallError::Algorithm => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
        CallError::Tag(_) => (StatusCode::BAD_REQUEST, ErrorCode::TagInvalid),
        // Distribution specification, "Pushing manifests with tags".
        CallError::TooManyTags { .. } => (StatusCode::URI_TOO_LONG, ErrorCode::TagInvalid),
    }
}

fn of_digest(error: &DigestError) -> (StatusCode, ErrorCode) {
    match error {
        DigestError::Shape | DigestError::Algorithm | DigestError::Hex => {
            (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid)
        }
    }
}

fn of_registry(error: &RegistryError) -> (StatusCode, ErrorCode) {
    match error {
        RegistryError::RepositoryUnknown { .. }
        | RegistryError::NamespaceUnknown { .. }
        | RegistryError::AccountUnknown { .. }
        | RegistryError::OrganizationUnknown { .. }
        | RegistryError::UserUnknown { .. }
        | RegistryError::TeamUnknown { .. }
        | RegistryError::MemberUnknown { .. }
        | RegistryError::GrantUnknown { .. }
        | RegistryError::NoAccess { .. }
        | RegistryError::PolicyUnknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
        RegistryError::Denied { .. }
        | RegistryError::AdminOnly { .. }
        | RegistryError::NotFor { .. }
        | RegistryError::SystemAccount { .. }
        | RegistryError::OutOfScope { .. }
        | RegistryError::Restricted => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        // Calls of the management API alone.
        RegistryError::TokenUnknown
        | RegistryError::RobotUnknown { .. }
        | RegistryError::RobotExists { .. }
        | RegistryError::RobotName { .. }
        | RegistryError::RobotScopes { .. }
        | RegistryError::TooManyCredentials { .. }
        | RegistryError::LabelTooLong
        | RegistryError::CertificateName { .. }
        | RegistryError::CertificateUnknown { .. } => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        RegistryError::RepositoryExists { .. }
        | RegistryError::AccountExists { .. }
        | RegistryError::TeamExists { .. }
        | RegistryError::TooManyTeams { .. }
        | RegistryError::Overtaken { .. }
        | RegistryError::TooManyPolicies { .. } => (StatusCode::CONFLICT, ErrorCode::Denied),
        RegistryError::AccountName { .. }
        | RegistryError::TeamName { .. }
        | RegistryError::NoOrganization { .. }
        | RegistryError::TextTooLong => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
        RegistryError::BlobUnknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::BlobUnknown),
        // The state of the repository is in the way, not the caller's rights:
        // once the manifest is gone the same request succeeds.
        RegistryError::StillNamed { .. }
        | RegistryError::TagLeads { .. }
        | RegistryError::NamedByMany { .. }
        | RegistryError::TooManyTags { .. }
        | RegistryError::BeyondTagLimit { .. } => (StatusCode::CONFLICT, ErrorCode::Denied),
        RegistryError::ManifestUnknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
        // 404 by the specification's table of endpoints (end-7).
        RegistryError::ManifestBlobUnknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::ManifestBlobUnknown),
        RegistryError::Manifest(ManifestError::TooLarge { .. }) | RegistryError::ClosureTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid)
        }
        // "Provided length did not match content length."
        RegistryError::Manifest(ManifestError::Size { .. }) => (StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid),
        RegistryError::Manifest(_) => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
        RegistryError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
        // Docker prints `<code>: <message>`; DTR's users know this refusal as
        // `unknown: tag=… cannot be overwritten because …`.
        RegistryError::TagImmutable { .. } => (StatusCode::CONFLICT, ErrorCode::Unknown),
        // The specification has no conditional requests, and so no code.
        RegistryError::Condition(_) => (StatusCode::PRECONDITION_FAILED, ErrorCode::Unknown),
        RegistryError::NeverNamed { .. } => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
        RegistryError::UploadUnknown { .. } => (StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown),
        // A retry after a cut connection meets its own predecessor: soon over.
        RegistryError::UploadBusy { .. } | RegistryError::TooManyUploads { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests)
        }
        RegistryError::ChunkOutOfOrder { .. } | RegistryError::ChunkLength { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid)
        }
        RegistryError::BodyBroken { .. } | RegistryError::BlobBroken => {
            (StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid)
        }
        RegistryError::BlobTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid),
        // It may come back by itself, so not 404; and the bytes are no client's fault.
        RegistryError::Quarantined { held } => match held.holder {
            Holder::Blob => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::BlobQuarantined),
            Holder::Manifest => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::ManifestQuarantined),
        },
        // What the field answers. docker gives up on DENIED and prints the
        // words; on 413, 429 and 5xx, or under another code, clients send the
        // whole layer again, some five times.
        RegistryError::Quota(_) => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        RegistryError::Full => (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Denied),
        // The specification has no code for a server that lacks something.
        RegistryError::Exhausted => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown),
        RegistryError::Store(error) => of_store(error),
    }
}

fn of_store(error: &StoreError) -> (StatusCode, ErrorCode) {
    match error {
        // Another process is on its way.
        StoreError::Full => (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Denied),
        StoreError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown),
        StoreError::Database(_) | StoreError::File(_) | StoreError::Damaged { .. } | StoreError::Panicked(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::access::Level;
    use crate::chance::Chance;
    use crate::oci::condition::Unmet;
    use crate::oci::page::PageError;
    use crate::oci::tag::TagError;
    use crate::oci::{Digest, MediaType, Reference, Tag};
    use crate::registry::condition::{Refused, Subject};
    use crate::registry::quota::{Bounded, Exceeded};
    use crate::store::file::{FileError, UploadId};
    use crate::store::quarantine::Held;

    fn name() -> RepoName {
        "dev/website".parse().unwrap()
    }

    fn id() -> UploadId {
        UploadId::from_bytes([1; 16])
    }

    fn request_id() -> RequestId {
        RequestId::of(&http::HeaderMap::new(), &Chance::seeded(1))
    }

    #[test]
    fn every_refusal_has_its_status_code_and_headers() {
        use RegistryError as R;
        let (repository, digest, tag): (_, _, Tag) = (name(), Digest::sha256_of(b"x"), "1.0".parse().unwrap());
        let subject = Subject::Tag(tag.clone());
        let refused = R::from(Refused { unmet: Unmet::IfMatch, subject, repository: name(), there: Some(digest) });
        let reference = Reference::Digest(digest);
        let text = || "x".to_owned();
        let exceeded = Exceeded { of: Bounded::All, limit: 5, used: 4, reserved: 0, needed: 2 };
        let stands = Progress { id: id(), offset: 7 };
        let cases: Vec<(Error, u16, &str, &[&str])> = vec![
            (CallError::Path(V2PathError::Shape).into(), 404, "UNSUPPORTED", &[]),
            (CallError::Path(NameError::Grammar.into()).into(), 400, "NAME_INVALID", &[]),
            (CallError::Path(NameError::OnePart.into()).into(), 400, "NAME_INVALID", &[]),
            (CallError::Path(NameError::TooLong.into()).into(), 400, "NAME_INVALID", &[]),
            (CallError::Path(ReferenceError::Tag(TagError).into()).into(), 400, "TAG_INVALID", &[]),
            (CallError::Path(ReferenceError::Digest(DigestError::Hex).into()).into(), 400, "DIGEST_INVALID", &[]),
            (CallError::Path(DigestError::Shape.into()).into(), 400, "DIGEST_INVALID", &[]),
            (CallError::Method { allow: "GET" }.into(), 405, "UNSUPPORTED", &["allow"]),
            (CallError::Page(PageError).into(), 400, "UNSUPPORTED", &[]),
            (
                CallError::Digest { parameter: "mount", source: DigestError::Algorithm }.into(),
                400,
                "DIGEST_INVALID",
                &[],
            ),
            (CallError::NoDigest.into(), 400, "DIGEST_INVALID", &[]),
            (CallError::Algorithm.into(), 400, "DIGEST_INVALID", &[]),
            (CallError::Tag(TagError).into(), 400, "TAG_INVALID", &[]),
            (CallError::TooManyTags { count: 99 }.into(), 414, "TAG_INVALID", &[]),
            (SignInError::Missing.into(), 401, "UNAUTHORIZED", &["www-authenticate"]),
            (SignInError::Malformed.into(), 401, "UNAUTHORIZED", &["www-authenticate"]),
            (SignInError::Repeated.into(), 401, "UNAUTHORIZED", &["www-authenticate"]),
            (SignInError::Wrong.into(), 401, "UNAUTHORIZED", &["www-authenticate"]),
            (SignInError::Token.into(), 401, "UNAUTHORIZED", &["www-authenticate"]),
            (SignInError::TooMany { wait: limits::GUESS_WAIT }.into(), 429, "TOOMANYREQUESTS", &["retry-after"]),
            (SignInError::Busy.into(), 429, "TOOMANYREQUESTS", &["retry-after"]),
            (R::OutOfScope { repository: name(), action: crate::access::Action::Push }.into(), 403, "DENIED", &[]),
            (R::Restricted.into(), 403, "DENIED", &[]),
            (SignInError::Store(StoreError::Panicked("x")).into(), 500, "UNKNOWN", &[]),
            (BodyError::TooLarge { cap: 1 }.into(), 413, "MANIFEST_INVALID", &[]),
            (BodyError::Stalled { within: limits::BODY_STALL }.into(), 408, "MANIFEST_INVALID", &[]),
            (BodyError::Broken("cut".into()).into(), 400, "MANIFEST_INVALID", &[]),
            (BodyError::NoRoom.into(), 503, "UNKNOWN", &["retry-after"]),
            (
                Error::OffTrack { why: ChunkError.into(), repository: name(), stands },
                416,
                "RANGE_INVALID",
                &["location", "range", "docker-upload-uuid"],
            ),
            (ConditionError { header: Unmet::IfMatch }.into(), 400, "UNSUPPORTED", &[]),
            (refused.into(), 412, "UNKNOWN", &[]),
            (R::NeverNamed { tag: tag.clone(), digest, repository: name() }.into(), 404, "MANIFEST_UNKNOWN", &[]),
            (Error::Unsatisfiable { size: 7 }, 416, "RANGE_INVALID", &["content-range"]),
            (R::RepositoryUnknown { repository: name(), own: true }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::Denied { repository: name(), needed: Level::Admin }.into(), 403, "DENIED", &[]),
            (R::AdminOnly { action: "do this" }.into(), 403, "DENIED", &[]),
            (R::NamespaceUnknown { namespace: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::RepositoryExists { repository: name() }.into(), 409, "DENIED", &[]),
            (R::AccountExists { name: text() }.into(), 409, "DENIED", &[]),
            (R::AccountUnknown { name: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::AccountName { name: text() }.into(), 400, "NAME_INVALID", &[]),
            (R::OrganizationUnknown { name: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::UserUnknown { name: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::TeamUnknown { team: text(), organization: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::MemberUnknown { user: text(), of: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::GrantUnknown { team: text(), namespace: text() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::NoAccess { account: text(), repository: name() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::TeamExists { team: text(), organization: text() }.into(), 409, "DENIED", &[]),
            (R::TooManyTeams { organization: text() }.into(), 409, "DENIED", &[]),
            (R::Overtaken { name: text() }.into(), 409, "DENIED", &[]),
            (R::NotFor { who: "a system admin" }.into(), 403, "DENIED", &[]),
            (R::SystemAccount { name: text() }.into(), 403, "DENIED", &[]),
            (R::TeamName { name: text() }.into(), 400, "NAME_INVALID", &[]),
            (R::NoOrganization { namespace: text() }.into(), 400, "NAME_INVALID", &[]),
            (R::TextTooLong.into(), 400, "NAME_INVALID", &[]),
            (R::BlobUnknown { digest, repository: name() }.into(), 404, "BLOB_UNKNOWN", &[]),
            (R::StillNamed { digest, repository: name() }.into(), 409, "DENIED", &[]),
            (R::NamedByMany { digest, repository: name() }.into(), 409, "DENIED", &[]),
            (R::TooManyTags { repository: name() }.into(), 409, "DENIED", &[]),
            (R::BeyondTagLimit { repository: name(), count: 3, limit: 1 }.into(), 409, "DENIED", &[]),
            (
                R::TagLeads { digest, tag: tag.clone(), repository: name(), is_immutable: true }.into(),
                409,
                "DENIED",
                &[],
            ),
            (R::Quarantined { held: Held::blob(digest) }.into(), 503, "BLOB_QUARANTINED", &["retry-after"]),
            (R::Quarantined { held: Held::manifest(digest) }.into(), 503, "MANIFEST_QUARANTINED", &["retry-after"]),
            (R::ManifestUnknown { reference, repository: name() }.into(), 404, "MANIFEST_UNKNOWN", &[]),
            (R::ManifestBlobUnknown { digest, repository: name() }.into(), 404, "MANIFEST_BLOB_UNKNOWN", &[]),
            (R::Manifest(ManifestError::TooLarge { bytes: 9 }).into(), 413, "MANIFEST_INVALID", &[]),
            (R::Manifest(ManifestError::Ambiguous).into(), 400, "MANIFEST_INVALID", &[]),
            (R::Manifest(ManifestError::NotAnObject).into(), 400, "MANIFEST_INVALID", &[]),
            (R::Manifest(ManifestError::Size { digest, stated: 1, found: 2 }).into(), 400, "SIZE_INVALID", &[]),
            (
                R::Manifest(ManifestError::Missing { kind: MediaType::OciIndex, field: "manifests" }).into(),
                400,
                "MANIFEST_INVALID",
                &[],
            ),
            (R::DigestMismatch { expected: digest, found: digest }.into(), 400, "DIGEST_INVALID", &[]),
            (R::TagImmutable { tag, repository }.into(), 409, "UNKNOWN", &[]),
            (R::ClosureTooLarge { digest }.into(), 413, "MANIFEST_INVALID", &[]),
            (R::UploadUnknown { session: text() }.into(), 404, "BLOB_UPLOAD_UNKNOWN", &[]),
            (R::UploadBusy { session: id() }.into(), 429, "TOOMANYREQUESTS", &["retry-after"]),
            (R::ChunkOutOfOrder { session: id(), offset: 1, start: 2 }.into(), 416, "RANGE_INVALID", &[]),
            (R::ChunkLength { session: id(), said: 1, found: 2 }.into(), 416, "RANGE_INVALID", &[]),
            (R::BodyBroken { offset: 1 }.into(), 400, "BLOB_UPLOAD_INVALID", &[]),
            (R::BlobBroken.into(), 400, "BLOB_UPLOAD_INVALID", &[]),
            (R::TooManyUploads { count: 1 }.into(), 429, "TOOMANYREQUESTS", &["retry-after"]),
            (R::BlobTooLarge.into(), 413, "SIZE_INVALID", &[]),
            (R::PolicyUnknown { repository: name() }.into(), 404, "NAME_UNKNOWN", &[]),
            (R::TooManyPolicies { repository: name() }.into(), 409, "DENIED", &[]),
            (R::from(exceeded).into(), 403, "DENIED", &[]),
            (R::Full.into(), 507, "DENIED", &["retry-after"]),
            (
                TooMany { per_second: 1, wait: Duration::from_millis(1) }.into(),
                429,
                "TOOMANYREQUESTS",
                &["retry-after"],
            ),
            (Crowded.into(), 503, "UNKNOWN", &["retry-after"]),
            (R::Exhausted.into(), 503, "UNKNOWN", &["retry-after"]),
            (R::Store(StoreError::Stopped).into(), 503, "UNKNOWN", &["retry-after"]),
            (R::Store(StoreError::Panicked("x")).into(), 500, "UNKNOWN", &[]),
            (R::Store(FileError::Stopped.into()).into(), 500, "UNKNOWN", &[]),
        ];
        for (error, status, code, headers) in cases {
            let told = format!("{error:?}");
            let verdict = error.verdict();
            assert_eq!((verdict.0.as_u16(), verdict.1.as_str()), (status, code), "{told}");
            let response = error.into_response(&request_id());
            assert_eq!(response.status(), status, "{told}");
            for name in ["allow", "www-authenticate", "retry-after", "location", "range", "content-range"] {
                assert_eq!(response.headers().contains_key(name), headers.contains(&name), "{told}: {name}");
            }
        }
    }

    #[tokio::test]
    async fn a_failure_of_ours_says_its_request_and_nothing_of_the_inside() {
        let path = std::path::PathBuf::from("/var/lib/secret-place");
        let error = FileError::Length { path, expected: 1, found: 2 };
        let response = Error::from(RegistryError::Store(error.into())).into_response(&request_id());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errors"][0]["code"], "UNKNOWN");
        assert_eq!(body["errors"][0]["detail"]["requestId"], request_id().to_string());
        assert!(!body.to_string().contains("secret-place"), "{body}");
    }
}
