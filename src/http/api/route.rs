//! What is asked for, as data: one pure, total function from method and path.
//!
//! Each segment is percent-decoded by itself, so that `%2F` in DTR's
//! `{reponame}` is a slash of the repository's name. One slash at the end is
//! taken as none: clients write it behind collections, and a redirect would
//! lose their body.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::chance::Id;
use crate::oci::digest::DigestError;
use crate::oci::name::NameError;
use crate::oci::tag::TagError;
use crate::oci::{Digest, RepoName, Tag};
use crate::policy::Kind;
use crate::store::file::UploadId;

use super::enzi::EnziRoute;

/// A call of the management API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum ApiRoute {
    /// The accounts API.
    Enzi(EnziRoute),
    /// `GET …/teamAccess`
    ListTeamAccess(RepoName),
    /// `PUT …/teamAccess/{team}`
    GrantTeam(RepoName, String),
    /// `DELETE …/teamAccess/{team}`
    RevokeTeam(RepoName, String),
    /// `GET /api/v0/repositoryNamespaces/{namespace}/teamAccess`
    ListNamespaceAccess(String),
    /// `GET …/teamAccess/{team}`
    GetNamespaceAccess(String, String),
    /// `PUT …/teamAccess/{team}`
    GrantNamespace(String, String),
    /// `DELETE …/teamAccess/{team}`
    RevokeNamespace(String, String),
    /// `GET /api/v0/accounts/{orgname}/teams/{teamname}/repositoryAccess`
    TeamRepositories(String, String),
    /// `GET /api/v0/accounts/{username}/repositoryAccess/{namespace}/{reponame}`
    UserAccess(String, RepoName),
    /// `DELETE /api/v0/accounts/{namespace}`
    DeleteNamespace(String),
    /// `DELETE /api/v0/accounts/{namespace}/repositories`
    EmptyNamespace(String),
    /// `GET /api/v0/accounts/language`
    Language,
    /// `GET /api/v0/accounts/{username}/settings`
    UserSettings(String),
    /// `PATCH /api/v0/accounts/{username}/settings`
    UpdateUserSettings(String),
    /// `GET /api/v0/audit`
    Audit,
    /// `GET /api/v0/meta/settings`
    Settings,
    /// `POST /api/v0/meta/settings`
    UpdateSettings,
    /// `GET /api/v0/api_tokens`
    ListTokens,
    /// `POST /api/v0/api_tokens`
    CreateToken,
    /// `DELETE /api/v0/api_tokens`
    CleanUpTokens,
    /// `GET /api/v0/api_tokens/{hashedtoken}`
    GetToken(String),
    /// `PATCH /api/v0/api_tokens/{hashedtoken}`
    UpdateToken(String),
    /// `DELETE /api/v0/api_tokens/{hashedtoken}`
    DeleteToken(String),
    /// `GET /api/v0/robots/{namespace}`
    ListRobots(String),
    /// `POST /api/v0/robots/{namespace}`
    CreateRobot(String),
    /// `GET /api/v0/robots/{namespace}/{robot}`
    GetRobot(String, String),
    /// `PATCH /api/v0/robots/{namespace}/{robot}`
    UpdateRobot(String, String),
    /// `DELETE /api/v0/robots/{namespace}/{robot}`
    DeleteRobot(String, String),
    /// `GET /api/v0/robots/{namespace}/{robot}/tokens`
    ListRobotTokens(String, String),
    /// `POST /api/v0/robots/{namespace}/{robot}/tokens`
    CreateRobotToken(String, String),
    /// `GET /api/v0/clientCertificates`
    ListCertificates,
    /// `POST /api/v0/clientCertificates`
    MapCertificate,
    /// `DELETE /api/v0/clientCertificates`
    UnmapCertificate,
    /// `GET /api/v0/meta/features`
    Features,
    /// `GET /api/v0/admin/version`
    Version,
    /// `POST /api/v0/admin/verify`
    Verify,
    /// `GET /api/v0/admin/scrub`
    ScrubStatus,
    /// `GET /api/v0/admin/quarantine`
    ListQuarantine,
    /// `GET /api/v0/admin/sealingKeys`
    ListSealingKeys,
    /// `POST /api/v0/admin/sealingKeys`
    AddSealingKey,
    /// `DELETE /api/v0/admin/sealingKeys/{id}`
    RetireSealingKey(String),
    /// `POST /api/v0/remote/registry`
    CheckRemote,
    /// `GET /api/v0/repositories[/{namespace}]`
    ListRepositories(Option<String>),
    /// `POST /api/v0/repositories/{namespace}`
    CreateRepository(String),
    /// `GET …/{reponame}`
    GetRepository(RepoName),
    /// `PATCH …/{reponame}`
    UpdateRepository(RepoName),
    /// `DELETE …/{reponame}`
    DeleteRepository(RepoName),
    /// `GET /api/v0/quotas`
    ListQuotas,
    /// `PUT /api/v0/quotas[/{namespace}]`
    SetQuota(Option<String>),
    /// `GET /api/v0/quotas/{namespace}`
    GetQuotas(String),
    /// `GET …/tags`
    ListTags(RepoName),
    /// `GET …/tags/{tag}`
    GetTag(RepoName, Tag),
    /// `GET …/tags/{digest}`
    TagsOf(RepoName, Digest),
    /// `PUT …/tags/{tag}`
    RestoreTag(RepoName, Tag),
    /// `DELETE …/tags/{tag}`
    DeleteTag(RepoName, Tag),
    /// `GET …/tags/{tag}/history`
    TagHistory(RepoName, Tag),
    /// `GET …/tags/{tag}/decisions`
    Decisions(RepoName, Tag),
    /// `POST …/tags/{tag}/promotion`
    PromoteTag(RepoName, Tag),
    /// `POST …/tags/{tag}/pushMirroring`
    PushTag(RepoName, Tag),
    /// `GET …/manifests`
    ListManifests(RepoName),
    /// `DELETE …/manifests/{digest}`
    DeleteManifest(RepoName, Digest),
    /// `GET …/{kind}Policies`
    ListPolicies(Kind, RepoName),
    /// `POST …/{kind}Policies`
    CreatePolicy(Kind, RepoName),
    /// `GET …/{kind}Policies/{id}`
    GetPolicy(Kind, RepoName, GivenId),
    /// `PUT …/{kind}Policies/{id}`
    UpdatePolicy(Kind, RepoName, GivenId),
    /// `DELETE …/{kind}Policies/{id}`
    DeletePolicy(Kind, RepoName, GivenId),
    /// `POST …/promotionPolicies/test`
    TestPromotion(RepoName),
    /// `POST …/pollMirroringPolicies/{id}/run`
    RunPull(RepoName, GivenId),
    /// `GET …/mirroringPolicies`
    ListMirrors(RepoName),
    /// `DELETE …/mirroringPolicies`
    DeleteMirrors(RepoName),
    /// `GET /api/v0/jobs`
    ListJobs,
    /// `POST /api/v0/jobs`
    CreateJob,
    /// `GET /api/v0/jobs/{id}`
    GetJob(GivenId),
    /// `DELETE /api/v0/jobs/{id}`
    DeleteJob(GivenId),
    /// `POST /api/v0/jobs/{id}/cancel`
    CancelJob(GivenId),
    /// `GET /api/v0/jobs/{id}/logs`
    JobLogs(GivenId),
    /// `POST /api/v0/backups`
    BeginBackup,
    /// `DELETE /api/v0/backups/{id}`
    EndBackup(GivenId),
    /// `GET /api/v0/backups/{id}/files/{digest}/{upload}`
    BackupFile(GivenId, Digest, UploadId),
    /// `GET /api/v0/backups/{id}/keys`
    BackupKeys(GivenId),
}

/// The id in a path; `None` is a text that no id can be, so nothing has it.
pub(in crate::http) type GivenId = Option<Id>;

/// Why a request is no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum RouteError {
    /// Nothing is there.
    #[error("there is nothing at this path")]
    Nothing,
    /// Something is there, for other methods.
    #[error("this path takes {allow}")]
    Method {
        /// Which.
        allow: String,
    },
    /// No repository can have the name.
    #[error("{name:?}: {source}")]
    Repository {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// No tag can have the name.
    #[error("{tag:?}: {source}")]
    Tag {
        /// The name.
        tag: String,
        /// What is wrong with it.
        source: TagError,
    },
    /// No digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

type Parsed = Result<ApiRoute, RouteError>;

/// A method, and the call that it is for a path.
pub(super) type Way<'a, R> = (Method, &'a dyn Fn() -> Result<R, RouteError>);

impl ApiRoute {
    /// Reads a request below `/api/v0` or `/enzi/v0`; `path` is the whole path
    /// as it was sent. Total.
    pub(in crate::http) fn parse(method: &Method, path: &str) -> Parsed {
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Option<Vec<_>> = path
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8().ok().filter(|segment| !segment.is_empty()))
            .collect();
        let segments = segments.ok_or(RouteError::Nothing)?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            ["enzi", "v0", rest @ ..] => EnziRoute::parse(method, rest).map(Self::Enzi),
            ["id"] => pick(method, &[(Method::GET, &|| Ok(Self::Enzi(EnziRoute::WhoAmI)))]),
            ["api", "v0", "api_tokens", rest @ ..] => tokens(method, rest),
            ["api", "v0", "robots", namespace, rest @ ..] => robots(method, namespace, rest),
            ["api", "v0", "clientCertificates"] => pick(
                method,
                &[
                    (Method::GET, &|| Ok(Self::ListCertificates)),
                    (Method::POST, &|| Ok(Self::MapCertificate)),
                    (Method::DELETE, &|| Ok(Self::UnmapCertificate)),
                ],
            ),
            ["api", "v0", "repositories"] => pick(method, &[(Method::GET, &|| Ok(Self::ListRepositories(None)))]),
            ["api", "v0", "repositories", namespace] => pick(
                method,
                &[
                    (Method::GET, &|| Ok(Self::ListRepositories(Some((*namespace).to_owned())))),
                    (Method::POST, &|| Ok(Self::CreateRepository((*namespace).to_owned()))),
                ],
            ),
            ["api", "v0", "repositories", namespace, name, rest @ ..] => repository(method, namespace, name, rest),
            ["api", "v0", "quotas"] => {
                pick(method, &[(Method::GET, &|| Ok(Self::ListQuotas)), (Method::PUT, &|| Ok(Self::SetQuota(None)))])
            }
            ["api", "v0", "quotas", namespace] => pick(
                method,
                &[
                    (Method::GET, &|| Ok(Self::GetQuotas((*namespace).to_owned()))),
                    (Method::PUT, &|| Ok(Self::SetQuota(Some((*namespace).to_owned())))),
                ],
            ),
            ["api", "v0", "repositoryNamespaces", namespace, "teamAccess", rest @ ..] => {
                namespace_access(method, namespace, rest)
            }
            ["api", "v0", "accounts", rest @ ..] => accounts(method, rest),
            ["api", "v0", "meta", "settings"] => {
                pick(method, &[(Method::GET, &|| Ok(Self::Settings)), (Method::POST, &|| Ok(Self::UpdateSettings))])
            }
            ["api", "v0", "jobs", rest @ ..] => jobs(method, rest),
            ["api", "v0", "backups", rest @ ..] => backups(method, rest),
            ["api", "v0", "audit"] => pick(method, &[(Method::GET, &|| Ok(Self::Audit))]),
            ["api", "v0", "meta", "features"] => pick(method, &[(Method::GET, &|| Ok(Self::Features))]),
            ["api", "v0", "admin", "version"] => pick(method, &[(Method::GET, &|| Ok(Self::Version))]),
            ["api", "v0", "admin", "verify"] => pick(method, &[(Method::POST, &|| Ok(Self::Verify))]),
            ["api", "v0", "admin", "scrub"] => pick(method, &[(Method::GET, &|| Ok(Self::ScrubStatus))]),
            ["api", "v0", "admin", "quarantine"] => pick(method, &[(Method::GET, &|| Ok(Self::ListQuarantine))]),
            ["api", "v0", "admin", "sealingKeys"] => pick(
                method,
                &[(Method::GET, &|| Ok(Self::ListSealingKeys)), (Method::POST, &|| Ok(Self::AddSealingKey))],
            ),
            ["api", "v0", "admin", "sealingKeys", id] => {
                pick(method, &[(Method::DELETE, &|| Ok(Self::RetireSealingKey((*id).to_owned())))])
            }
            ["api", "v0", "remote", "registry"] => pick(method, &[(Method::POST, &|| Ok(Self::CheckRemote))]),
            _ => Err(RouteError::Nothing),
        }
    }

    /// Its name in the log.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Enzi(route) => route.name(),
            Self::ListTeamAccess(_) => "api.access.list",
            Self::GrantTeam(..) => "api.access.grant",
            Self::RevokeTeam(..) => "api.access.revoke",
            Self::ListNamespaceAccess(_) => "api.access.namespace.list",
            Self::GetNamespaceAccess(..) => "api.access.namespace.get",
            Self::GrantNamespace(..) => "api.access.namespace.grant",
            Self::RevokeNamespace(..) => "api.access.namespace.revoke",
            Self::TeamRepositories(..) => "api.access.team",
            Self::UserAccess(..) => "api.access.user",
            Self::DeleteNamespace(_) => "api.namespace.delete",
            Self::EmptyNamespace(_) => "api.namespace.empty",
            Self::Language => "api.language",
            Self::UserSettings(_) => "api.user.settings",
            Self::UpdateUserSettings(_) => "api.user.settings.update",
            Self::Audit => "api.audit",
            Self::Settings => "api.settings",
            Self::UpdateSettings => "api.settings.update",
            Self::ListTokens => "api.token.list",
            Self::CreateToken => "api.token.create",
            Self::CleanUpTokens => "api.token.clean_up",
            Self::GetToken(_) => "api.token.get",
            Self::UpdateToken(_) => "api.token.update",
            Self::DeleteToken(_) => "api.token.delete",
            Self::ListRobots(_) => "api.robot.list",
            Self::CreateRobot(_) => "api.robot.create",
            Self::GetRobot(..) => "api.robot.get",
            Self::UpdateRobot(..) => "api.robot.update",
            Self::DeleteRobot(..) => "api.robot.delete",
            Self::ListRobotTokens(..) => "api.robot.tokens",
            Self::CreateRobotToken(..) => "api.robot.create_token",
            Self::ListCertificates => "api.certificate.list",
            Self::MapCertificate => "api.certificate.map",
            Self::UnmapCertificate => "api.certificate.unmap",
            Self::Features => "api.features",
            Self::Version => "api.version",
            Self::Verify => "api.verify",
            Self::ScrubStatus => "api.scrub.status",
            Self::ListQuarantine => "api.quarantine.list",
            Self::ListSealingKeys => "api.sealing_key.list",
            Self::AddSealingKey => "api.sealing_key.add",
            Self::RetireSealingKey(_) => "api.sealing_key.retire",
            Self::CheckRemote => "api.remote.check",
            Self::ListRepositories(_) => "api.repository.list",
            Self::CreateRepository(_) => "api.repository.create",
            Self::GetRepository(_) => "api.repository.get",
            Self::UpdateRepository(_) => "api.repository.update",
            Self::DeleteRepository(_) => "api.repository.delete",
            Self::ListQuotas => "api.quota.list",
            Self::SetQuota(_) => "api.quota.set",
            Self::GetQuotas(_) => "api.quota.get",
            Self::ListTags(_) => "api.tag.list",
            Self::GetTag(..) => "api.tag.get",
            Self::TagsOf(..) => "api.tag.of_digest",
            Self::RestoreTag(..) => "api.tag.restore",
            Self::DeleteTag(..) => "api.tag.delete",
            Self::TagHistory(..) => "api.tag.history",
            Self::Decisions(..) => "api.tag.decisions",
            Self::PromoteTag(..) => "api.tag.promote",
            Self::PushTag(..) => "api.tag.push_mirror",
            Self::ListManifests(_) => "api.manifest.list",
            Self::DeleteManifest(..) => "api.manifest.delete",
            Self::ListPolicies(..) => "api.policy.list",
            Self::CreatePolicy(..) => "api.policy.create",
            Self::GetPolicy(..) => "api.policy.get",
            Self::UpdatePolicy(..) => "api.policy.update",
            Self::DeletePolicy(..) => "api.policy.delete",
            Self::TestPromotion(_) => "api.policy.test",
            Self::RunPull(..) => "api.policy.run",
            Self::ListMirrors(_) => "api.mirror.list",
            Self::DeleteMirrors(_) => "api.mirror.delete",
            Self::ListJobs => "api.job.list",
            Self::CreateJob => "api.job.create",
            Self::GetJob(_) => "api.job.get",
            Self::DeleteJob(_) => "api.job.delete",
            Self::CancelJob(_) => "api.job.cancel",
            Self::JobLogs(_) => "api.job.logs",
            Self::BeginBackup => "api.backup.begin",
            Self::EndBackup(_) => "api.backup.end",
            Self::BackupFile(..) => "api.backup.file",
            Self::BackupKeys(_) => "api.backup.keys",
        }
    }

    /// Whether it changes something: worth a line to the operator.
    pub(super) const fn changes(&self) -> bool {
        match self {
            Self::Enzi(route) => route.changes(),
            Self::CreateRepository(_)
            | Self::GrantTeam(..)
            | Self::RevokeTeam(..)
            | Self::GrantNamespace(..)
            | Self::RevokeNamespace(..)
            | Self::DeleteNamespace(_)
            | Self::EmptyNamespace(_)
            | Self::UpdateSettings
            | Self::CreateToken
            | Self::CleanUpTokens
            | Self::UpdateToken(_)
            | Self::DeleteToken(_)
            | Self::CreateRobot(_)
            | Self::UpdateRobot(..)
            | Self::DeleteRobot(..)
            | Self::CreateRobotToken(..)
            | Self::MapCertificate
            | Self::UnmapCertificate
            | Self::AddSealingKey
            | Self::RetireSealingKey(_)
            | Self::UpdateRepository(_)
            | Self::DeleteRepository(_)
            | Self::SetQuota(_)
            | Self::RestoreTag(..)
            | Self::DeleteTag(..)
            | Self::PromoteTag(..)
            | Self::PushTag(..)
            | Self::DeleteManifest(..)
            | Self::CreatePolicy(..)
            | Self::UpdatePolicy(..)
            | Self::DeletePolicy(..)
            | Self::RunPull(..)
            | Self::DeleteMirrors(_)
            | Self::CreateJob
            | Self::DeleteJob(_)
            | Self::CancelJob(_)
            | Self::BeginBackup
            | Self::EndBackup(_)
            | Self::BackupKeys(_) => true,
            Self::Features
            | Self::ListTeamAccess(_)
            | Self::ListNamespaceAccess(_)
            | Self::GetNamespaceAccess(..)
            | Self::TeamRepositories(..)
            | Self::UserAccess(..)
            | Self::Language
            | Self::UserSettings(_)
            | Self::UpdateUserSettings(_)
            | Self::Audit
            | Self::Settings
            | Self::ListTokens
            | Self::GetToken(_)
            | Self::ListRobots(_)
            | Self::GetRobot(..)
            | Self::ListRobotTokens(..)
            | Self::ListCertificates
            | Self::Version
            | Self::Verify
            | Self::ScrubStatus
            | Self::ListQuarantine
            | Self::ListSealingKeys
            | Self::CheckRemote
            | Self::ListRepositories(_)
            | Self::GetRepository(_)
            | Self::ListQuotas
            | Self::GetQuotas(_)
            | Self::ListTags(_)
            | Self::GetTag(..)
            | Self::TagsOf(..)
            | Self::TagHistory(..)
            | Self::Decisions(..)
            | Self::ListManifests(_)
            | Self::ListPolicies(..)
            | Self::GetPolicy(..)
            | Self::TestPromotion(_)
            | Self::ListMirrors(_)
            | Self::ListJobs
            | Self::GetJob(_)
            | Self::JobLogs(_)
            | Self::BackupFile(..) => false,
        }
    }
}

fn accounts(method: &Method, rest: &[&str]) -> Parsed {
    let text = |text: &str| text.to_owned();
    match rest {
        // An account may have the name all the same.
        [name @ "language"] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::Language)),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteNamespace(text(name)))),
            ],
        ),
        [namespace] => pick(method, &[(Method::DELETE, &|| Ok(ApiRoute::DeleteNamespace(text(namespace))))]),
        [namespace, "repositories"] => {
            pick(method, &[(Method::DELETE, &|| Ok(ApiRoute::EmptyNamespace(text(namespace))))])
        }
        [user, "settings"] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::UserSettings(text(user)))),
                (Method::PATCH, &|| Ok(ApiRoute::UpdateUserSettings(text(user)))),
            ],
        ),
        [user, "repositoryAccess", namespace, name] => {
            pick(method, &[(Method::GET, &|| Ok(ApiRoute::UserAccess(text(user), repo_name(namespace, name)?)))])
        }
        [organization, "teams", team, "repositoryAccess"] => {
            pick(method, &[(Method::GET, &|| Ok(ApiRoute::TeamRepositories(text(organization), text(team))))])
        }
        _ => Err(RouteError::Nothing),
    }
}

fn namespace_access(method: &Method, namespace: &str, rest: &[&str]) -> Parsed {
    let namespace = || namespace.to_owned();
    match rest {
        [] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::ListNamespaceAccess(namespace())))]),
        [team] => {
            let team = || (*team).to_owned();
            pick(
                method,
                &[
                    (Method::GET, &|| Ok(ApiRoute::GetNamespaceAccess(namespace(), team()))),
                    (Method::PUT, &|| Ok(ApiRoute::GrantNamespace(namespace(), team()))),
                    (Method::DELETE, &|| Ok(ApiRoute::RevokeNamespace(namespace(), team()))),
                ],
            )
        }
        _ => Err(RouteError::Nothing),
    }
}

fn repo_name(namespace: &str, name: &str) -> Result<RepoName, RouteError> {
    let name = format!("{namespace}/{name}");
    name.parse::<RepoName>().map_err(|source| RouteError::Repository { name, source })
}

fn tokens(method: &Method, rest: &[&str]) -> Parsed {
    match rest {
        [] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::ListTokens)),
                (Method::POST, &|| Ok(ApiRoute::CreateToken)),
                (Method::DELETE, &|| Ok(ApiRoute::CleanUpTokens)),
            ],
        ),
        [hash] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::GetToken((*hash).to_owned()))),
                (Method::PATCH, &|| Ok(ApiRoute::UpdateToken((*hash).to_owned()))),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteToken((*hash).to_owned()))),
            ],
        ),
        _ => Err(RouteError::Nothing),
    }
}

fn robots(method: &Method, namespace: &str, rest: &[&str]) -> Parsed {
    let namespace = || namespace.to_owned();
    match rest {
        [] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::ListRobots(namespace()))),
                (Method::POST, &|| Ok(ApiRoute::CreateRobot(namespace()))),
            ],
        ),
        [name] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::GetRobot(namespace(), (*name).to_owned()))),
                (Method::PATCH, &|| Ok(ApiRoute::UpdateRobot(namespace(), (*name).to_owned()))),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteRobot(namespace(), (*name).to_owned()))),
            ],
        ),
        [name, "tokens"] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::ListRobotTokens(namespace(), (*name).to_owned()))),
                (Method::POST, &|| Ok(ApiRoute::CreateRobotToken(namespace(), (*name).to_owned()))),
            ],
        ),
        _ => Err(RouteError::Nothing),
    }
}

fn repository(method: &Method, namespace: &str, name: &str, rest: &[&str]) -> Parsed {
    let repo = || repo_name(namespace, name);
    let tag = |text: &str| text.parse::<Tag>().map_err(|source| RouteError::Tag { tag: text.to_owned(), source });
    match rest {
        [] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::GetRepository(repo()?))),
                (Method::PATCH, &|| Ok(ApiRoute::UpdateRepository(repo()?))),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteRepository(repo()?))),
            ],
        ),
        ["tags"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::ListTags(repo()?)))]),
        ["tags", text] => pick(
            method,
            &[
                (Method::GET, &|| match text.contains(':') {
                    true => Ok(ApiRoute::TagsOf(repo()?, text.parse()?)),
                    false => Ok(ApiRoute::GetTag(repo()?, tag(text)?)),
                }),
                (Method::GET, &|| Ok(ApiRoute::GetTag(repo()?, tag(text)?))),
                (Method::PUT, &|| Ok(ApiRoute::RestoreTag(repo()?, tag(text)?))),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteTag(repo()?, tag(text)?))),
            ],
        ),
        ["tags", text, "history"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::TagHistory(repo()?, tag(text)?)))]),
        ["tags", text, "decisions"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::Decisions(repo()?, tag(text)?)))]),
        ["tags", text, "promotion"] => {
            pick(method, &[(Method::POST, &|| Ok(ApiRoute::PromoteTag(repo()?, tag(text)?)))])
        }
        ["tags", text, "pushMirroring"] => {
            pick(method, &[(Method::POST, &|| Ok(ApiRoute::PushTag(repo()?, tag(text)?)))])
        }
        ["teamAccess"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::ListTeamAccess(repo()?)))]),
        ["teamAccess", team] => pick(
            method,
            &[
                (Method::PUT, &|| Ok(ApiRoute::GrantTeam(repo()?, (*team).to_owned()))),
                (Method::DELETE, &|| Ok(ApiRoute::RevokeTeam(repo()?, (*team).to_owned()))),
            ],
        ),
        ["manifests"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::ListManifests(repo()?)))]),
        ["manifests", text] => {
            pick(method, &[(Method::DELETE, &|| Ok(ApiRoute::DeleteManifest(repo()?, text.parse()?)))])
        }
        ["mirroringPolicies"] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::ListMirrors(repo()?))),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteMirrors(repo()?))),
            ],
        ),
        ["promotionPolicies", "test"] => pick(method, &[(Method::POST, &|| Ok(ApiRoute::TestPromotion(repo()?)))]),
        ["pollMirroringPolicies", id, "run"] => {
            pick(method, &[(Method::POST, &|| Ok(ApiRoute::RunPull(repo()?, id.parse().ok())))])
        }
        [kind, rest @ ..] => match kind_of(kind) {
            Some(kind) => policies(method, kind, &repo, rest),
            None => Err(RouteError::Nothing),
        },
    }
}

fn policies(method: &Method, kind: Kind, repo: &dyn Fn() -> Result<RepoName, RouteError>, rest: &[&str]) -> Parsed {
    match rest {
        [] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::ListPolicies(kind, repo()?))),
                (Method::POST, &|| Ok(ApiRoute::CreatePolicy(kind, repo()?))),
            ],
        ),
        [id] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::GetPolicy(kind, repo()?, id.parse().ok()))),
                (Method::PUT, &|| Ok(ApiRoute::UpdatePolicy(kind, repo()?, id.parse().ok()))),
                (Method::DELETE, &|| Ok(ApiRoute::DeletePolicy(kind, repo()?, id.parse().ok()))),
            ],
        ),
        _ => Err(RouteError::Nothing),
    }
}

fn jobs(method: &Method, rest: &[&str]) -> Parsed {
    match rest {
        [] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::ListJobs)), (Method::POST, &|| Ok(ApiRoute::CreateJob))]),
        [id] => pick(
            method,
            &[
                (Method::GET, &|| Ok(ApiRoute::GetJob(id.parse().ok()))),
                (Method::DELETE, &|| Ok(ApiRoute::DeleteJob(id.parse().ok()))),
            ],
        ),
        [id, "cancel"] => pick(method, &[(Method::POST, &|| Ok(ApiRoute::CancelJob(id.parse().ok())))]),
        [id, "logs"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::JobLogs(id.parse().ok())))]),
        _ => Err(RouteError::Nothing),
    }
}

fn backups(method: &Method, rest: &[&str]) -> Parsed {
    match rest {
        [] => pick(method, &[(Method::POST, &|| Ok(ApiRoute::BeginBackup))]),
        [id] => pick(method, &[(Method::DELETE, &|| Ok(ApiRoute::EndBackup(id.parse().ok())))]),
        [id, "files", digest, upload] => {
            let upload = || upload.parse().map_err(|_| RouteError::Nothing);
            let file = || Ok(ApiRoute::BackupFile(id.parse().ok(), digest.parse()?, upload()?));
            pick(method, &[(Method::GET, &file)])
        }
        [id, "keys"] => pick(method, &[(Method::GET, &|| Ok(ApiRoute::BackupKeys(id.parse().ok())))]),
        _ => Err(RouteError::Nothing),
    }
}

/// DTR's word for a kind of policy, in a path.
fn kind_of(segment: &str) -> Option<Kind> {
    match segment {
        "promotionPolicies" => Some(Kind::Promotion),
        "pushMirroringPolicies" => Some(Kind::PushMirror),
        "pollMirroringPolicies" => Some(Kind::PullMirror),
        _ => None,
    }
}

/// The call that a path is for the method. HEAD is GET without the body.
pub(super) fn pick<R>(method: &Method, calls: &[Way<'_, R>]) -> Result<R, RouteError> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    match calls.iter().find(|(method, _)| method == wanted) {
        Some((_, call)) => call(),
        None => {
            let mut allow: Vec<&str> = calls.iter().map(|(method, _)| method.as_str()).collect();
            if allow.contains(&"GET") {
                allow.push("HEAD");
            }
            Err(RouteError::Method { allow: allow.join(", ") })
        }
    }
}
