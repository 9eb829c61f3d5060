//! Why the registry says no, or cannot say.
//!
//! Each variant is a case that a client can act on; which status and code it
//! becomes is decided above, in one place for each API.

use crate::access::{Action, Level};
use crate::limits;
use crate::oci::manifest::ManifestError;
use crate::oci::{Digest, Reference, RepoName, Tag};
use crate::store::StoreError;
use crate::store::file::{FileError, UploadId};
use crate::store::quarantine::Held;

use super::quota::Exceeded;

/// A refusal or a failure.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The repository is not there, or the caller may not know that it is.
    #[error("the repository {repository} does not exist{}", remedy(repository, *own))]
    RepositoryUnknown {
        /// Its name.
        repository: RepoName,
        /// The namespace is the caller's own: it is not there, and the caller
        /// may make it.
        own: bool,
    },
    /// The caller may see it, and no more.
    #[error("you need {} access to {repository}", needed.as_str())]
    Denied {
        /// Its name.
        repository: RepoName,
        /// What was needed.
        needed: Level,
    },
    /// The caller's credential does not name it.
    #[error("the scopes of what you signed in with do not have `{}` on {repository}", action.as_str())]
    OutOfScope {
        /// The repository's name.
        repository: RepoName,
        /// What was asked for.
        action: Action,
    },
    /// The call needs all of an account's rights.
    #[error("tokens and robots with scopes or an end make no credentials, keys or backups; sign in with the password")]
    Restricted,
    /// No such access token, or somebody else's.
    #[error("there is no such access token")]
    TokenUnknown,
    /// No such robot.
    #[error("there is no robot {name}")]
    RobotUnknown {
        /// Its name.
        name: String,
    },
    /// The robot is there already.
    #[error("the robot {name} exists already")]
    RobotExists {
        /// Its name.
        name: String,
    },
    /// The name cannot be a robot's.
    #[error(
        "{name:?} cannot be a robot's name: it has up to {most} lower-case letters and digits, with `.`, `_` or `-` \
         between them, and does not look like an id",
        most = limits::ROBOT_NAME_BYTES
    )]
    RobotName {
        /// What was asked for.
        name: String,
    },
    /// A robot has scopes, and they stay in its namespace.
    #[error("a robot of {namespace} has at least one scope, and each begins with `{namespace}/`")]
    RobotScopes {
        /// The namespace.
        namespace: String,
    },
    /// Too many of something that credentials are made of.
    #[error("there are {count} of them already, as many as are allowed; remove some")]
    TooManyCredentials {
        /// The limit that was met.
        count: usize,
    },
    /// A label or description that is longer than allowed.
    #[error("a label or a description has at most {most} bytes", most = limits::TOKEN_LABEL_BYTES)]
    LabelTooLong,
    /// A text that no certificate's name is.
    #[error(
        "{name:?} is no name of a certificate: write `fingerprint:` and the SHA-256 in hexadecimal digits, or `uri:`, \
         `email:`, `dns:` or `cn:` and the name"
    )]
    CertificateName {
        /// What was asked for.
        name: String,
    },
    /// No such mapping.
    #[error("no account is mapped to {name}")]
    CertificateUnknown {
        /// The name in certificates.
        name: String,
    },
    /// The call is for system admins.
    #[error("only a system admin may {action}")]
    AdminOnly {
        /// What was asked for.
        action: &'static str,
    },
    /// The namespace has no account.
    #[error("there is no user or organization {namespace}")]
    NamespaceUnknown {
        /// Its name.
        namespace: String,
    },
    /// The repository is there already.
    #[error("the repository {repository} exists already")]
    RepositoryExists {
        /// Its name.
        repository: RepoName,
    },
    /// The account is there already.
    #[error("the account {name} exists already")]
    AccountExists {
        /// Its name.
        name: String,
    },
    /// The account is not there.
    #[error("there is no account {name}")]
    AccountUnknown {
        /// Its name or id.
        name: String,
    },
    /// There is no such organization; a user may have the name.
    #[error("there is no organization {name}")]
    OrganizationUnknown {
        /// Its name or id.
        name: String,
    },
    /// There is no such user; an organization may have the name.
    #[error("there is no user {name}")]
    UserUnknown {
        /// Its name or id.
        name: String,
    },
    /// The organization has no such team.
    #[error("there is no team {team} in {organization}")]
    TeamUnknown {
        /// Its name or id.
        team: String,
        /// Where it was looked for.
        organization: String,
    },
    /// The organization has a team of this name.
    #[error("there is a team {team} in {organization} already")]
    TeamExists {
        /// Its name.
        team: String,
        /// Where.
        organization: String,
    },
    /// The name cannot be a team's.
    #[error(
        "{name:?} cannot be a team's name: it has up to {} bytes, none of them a control character or `/`, \
         no blanks at its ends, and it does not look like an id",
        limits::TEAM_NAME_BYTES
    )]
    TeamName {
        /// What was asked for.
        name: String,
    },
    /// Too many teams.
    #[error("{organization} has {} teams already, as many as are allowed", limits::TEAMS_PER_ORGANIZATION)]
    TooManyTeams {
        /// Where.
        organization: String,
    },
    /// The user does not belong to the organization or team.
    #[error("{user} is not a member of {of}")]
    MemberUnknown {
        /// The user's name or id.
        user: String,
        /// The organization, or the team.
        of: String,
    },
    /// The namespace is a user's: there are no teams in it.
    #[error("{namespace} is a user; only organizations have teams")]
    NoOrganization {
        /// Its name.
        namespace: String,
    },
    /// The team has no grant there.
    #[error("the team {team} has no access to {namespace} as a whole")]
    GrantUnknown {
        /// Its name.
        team: String,
        /// The namespace.
        namespace: String,
    },
    /// The account has no right on the repository.
    #[error("{account} has no access to {repository}")]
    NoAccess {
        /// Whose.
        account: String,
        /// On what.
        repository: RepoName,
    },
    /// The call is for somebody else.
    #[error("only {who} may do this")]
    NotFor {
        /// For whom.
        who: &'static str,
    },
    /// The account belongs to the daemon.
    #[error("{name} is there from the start and stays")]
    SystemAccount {
        /// Its name.
        name: String,
    },
    /// A text that is longer than allowed.
    #[error("a full name or a description has at most {} bytes", limits::FULL_NAME_BYTES)]
    TextTooLong,
    /// Something has changed under a call that takes more than one step.
    #[error("somebody else has changed {name} meanwhile; try again")]
    Overtaken {
        /// What.
        name: String,
    },
    /// The name cannot be an account's.
    #[error(
        "{name:?} cannot be an account's name: it is also the first part of repository names, so it has up to {} \
         lower-case letters and digits, with `.`, `_` or `-` between them; `system` is the daemon itself, \
         `anonymous` is nobody, and what looks like an id is an id",
        limits::ACCOUNT_NAME_BYTES
    )]
    AccountName {
        /// What was asked for.
        name: String,
    },
    /// No such blob in this repository.
    #[error("the blob {digest} is not in {repository}")]
    BlobUnknown {
        /// Its digest.
        digest: Digest,
        /// Where it was looked for.
        repository: RepoName,
    },
    /// It is here, and its bytes are damaged.
    #[error(
        "the {held} is damaged on the disk of the registry and is not served; \
         it is fetched from a mirror that has it, and pushing it again heals it too"
    )]
    Quarantined {
        /// What.
        held: Held,
    },
    /// A manifest in this repository needs the blob or manifest.
    #[error("{digest} cannot be removed from {repository}: a manifest there names it; delete the manifest first")]
    StillNamed {
        /// What was to be removed.
        digest: Digest,
        /// From where.
        repository: RepoName,
    },
    /// A tag leads to the manifest through an index.
    #[error(
        "the manifest {digest} cannot be removed from {repository}: the tag {:?} leads to it through an index{}",
        tag.as_str(),
        if *is_immutable { ", and tags there are immutable" } else { "; delete that tag first" }
    )]
    TagLeads {
        /// What was to be removed.
        digest: Digest,
        /// The tag of an index that it is an entry of, or of one that leads to
        /// such an index.
        tag: Tag,
        /// From where.
        repository: RepoName,
        /// The tag cannot be removed either.
        is_immutable: bool,
    },
    /// So many indexes lead to the manifest that nobody looks at all of them.
    #[error(
        "the manifest {digest} cannot be removed from {repository}: more than {} indexes there lead to it; \
         delete those first, or have them collected (`tidegate gc run`)",
        limits::LEADING_MANIFESTS
    )]
    NamedByMany {
        /// What was to be removed.
        digest: Digest,
        /// From where.
        repository: RepoName,
    },
    /// No such manifest or tag in this repository.
    #[error("{} is not in {repository}", named(reference))]
    ManifestUnknown {
        /// The tag or digest.
        reference: Reference,
        /// Where it was looked for.
        repository: RepoName,
    },
    /// The manifest names a blob that was not pushed to this repository.
    #[error("the manifest names the blob {digest}, which is not in {repository}; push or mount it first")]
    ManifestBlobUnknown {
        /// The blob.
        digest: Digest,
        /// Where it has to be.
        repository: RepoName,
    },
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The bytes hash to something else.
    #[error("the content hashes to {found}, not to the digest {expected} it was sent under")]
    DigestMismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The request was conditional, and its condition does not hold.
    #[error(transparent)]
    Condition(#[from] super::condition::Refused),
    /// The tag was never what it is to be set back to.
    #[error(
        "the tag {:?} of {repository} was never {digest}, as far as its history goes; \
         `tidegate tag history {repository}:{tag}` lists what it was",
        tag.as_str()
    )]
    NeverNamed {
        /// The tag.
        tag: Tag,
        /// What it was to be.
        digest: Digest,
        /// Where.
        repository: RepoName,
    },
    /// The tag is there and may not change.
    #[error("tag={tag} cannot be overwritten because {repository} is an immutable repository")]
    TagImmutable {
        /// The tag.
        tag: Tag,
        /// Where.
        repository: RepoName,
    },
    /// As many tags as a repository may have.
    #[error(
        "{repository} would have more than {} tags, as many as a repository may have; remove some that nobody needs",
        limits::TAGS_PER_REPOSITORY
    )]
    TooManyTags {
        /// Where.
        repository: RepoName,
    },
    /// More tags at once than the repository keeps.
    #[error(
        "this sets {count} tags at once, and {repository} keeps no more than {limit}, so some of them would be gone \
         at once; set fewer, or raise its tag limit (`tidegate repository update {repository} --tag-limit {count}`)"
    )]
    BeyondTagLimit {
        /// Where.
        repository: RepoName,
        /// How many it would set.
        count: usize,
        /// How many are kept.
        limit: u64,
    },
    /// Something would have to move more than the limit at once.
    #[error("{digest} brings more than {} manifests with it", limits::CLOSURE_MANIFESTS)]
    ClosureTooLarge {
        /// The root.
        digest: Digest,
    },
    /// No such upload session, or not the caller's.
    #[error("there is no upload session {session}; begin with POST …/blobs/uploads/")]
    UploadUnknown {
        /// What was given as its id.
        session: String,
    },
    /// Another request is writing to the session.
    #[error("another request is writing to the upload session {session}")]
    UploadBusy {
        /// Its id.
        session: UploadId,
    },
    /// A chunk that does not begin where the last ended.
    #[error("the upload has {offset} bytes, so the next chunk begins at {offset}; this one begins at {start}")]
    ChunkOutOfOrder {
        /// The session, to ask where it stands.
        session: UploadId,
        /// Where the upload stands.
        offset: u64,
        /// Where the chunk begins.
        start: u64,
    },
    /// A chunk that is not as long as it says.
    #[error("the chunk says it has {said} bytes and has {found}")]
    ChunkLength {
        /// The session, to ask where it stands.
        session: UploadId,
        /// What `Content-Range` says.
        said: u64,
        /// What came.
        found: u64,
    },
    /// The client broke off.
    #[error("the upload broke off after {offset} bytes; it can go on from there")]
    BodyBroken {
        /// Where it stands.
        offset: u64,
    },
    /// The client broke off in a request that has no session.
    #[error("the blob broke off and nothing of it was kept; send it again from its first byte")]
    BlobBroken,
    /// Too many open sessions.
    #[error("there are {count} open uploads, as many as are allowed; finish or cancel some")]
    TooManyUploads {
        /// The limit that was met.
        count: usize,
    },
    /// More than a blob may have.
    #[error("a blob has at most {} bytes", limits::BLOB_BYTES)]
    BlobTooLarge,
    /// No such policy on this repository.
    #[error("there is no such policy on {repository}")]
    PolicyUnknown {
        /// Where it was looked for.
        repository: RepoName,
    },
    /// Too many policies.
    #[error("{repository} has {} policies already, as many as are allowed", limits::POLICIES_PER_REPOSITORY)]
    TooManyPolicies {
        /// Where.
        repository: RepoName,
    },
    /// A quota leaves no room.
    #[error(transparent)]
    Quota(#[from] Box<Exceeded>),
    /// The disk is full.
    #[error("the disk of the registry is full; deletes and pulls still work")]
    Full,
    /// The system gave no file descriptor or no memory.
    #[error("the registry has no file descriptor left for this; try again soon")]
    Exhausted,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::File(error) if error.is_full() => Self::Full,
            StoreError::File(error) if error.is_exhausted() => Self::Exhausted,
            error => Self::Store(error),
        }
    }
}

impl From<Exceeded> for RegistryError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Quota(Box::new(exceeded))
    }
}

/// A refusal apart from a failure of the store, as operations tell them apart.
pub(super) fn settled<T>(found: Result<T, RegistryError>) -> Result<Result<T, RegistryError>, StoreError> {
    match found {
        Err(RegistryError::Store(error)) => Err(error),
        found => Ok(found),
    }
}

/// What to do about a repository that is not there.
fn remedy(repository: &RepoName, own: bool) -> String {
    if own {
        let namespace = repository.namespace();
        return format!(
            "; you may make it with `tidegate repository create {repository}` or POST /api/v0/repositories/{namespace}"
        );
    }
    format!(", or you may not see it; an admin makes it with `tidegate repository create {repository}`")
}

/// What a client asked for, in words.
fn named(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("the tag {:?}", tag.as_str()),
        Reference::Digest(digest) => format!("the manifest {digest}"),
    }
}

impl From<FileError> for RegistryError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::TooLarge => Self::BlobTooLarge,
            error if error.is_full() => Self::Full,
            error if error.is_exhausted() => Self::Exhausted,
            error => Self::Store(error.into()),
        }
    }
}
