//! The rows: a route as it is written, the right it needs, what whoever has that
//! right is answered, and what has to be put back afterwards.
//!
//! In paths and bodies `{name}` is the repository, `{repo}` the same with `%2F`
//! where the management API wants it, and other words in braces are what the
//! ground has: digests, and the ids of policies, jobs, sessions, tokens.

use super::people::Has;

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Nothing, not even to be who it says.
    Nobody,
    /// Nothing, but what it says of itself must hold; shows what it may see.
    Open,
    /// A name.
    Name,
    /// This on the repository, and where everyone may read, no name.
    Public,
    /// The same, but nobody is told that nothing is there: the list is empty, as
    /// the specification has it.
    Listed,
    /// This on the repository.
    On(Has),
    /// To rule the repository; or where it would be, for one that is gone.
    Remove,
    /// To be the reader, a system admin, or to rule the repository; and the
    /// reader must have something there.
    SeesReader,
    /// To be a system admin.
    System,
    /// To rule the organization's namespace.
    Namespace,
    /// To be in the organization.
    Member,
    /// To own the organization.
    Owner,
    /// To lead the team of pushers.
    Lead,
    /// To be the reader.
    Reader,
    /// A name with all its rights: for what is the caller's own.
    Own,
    /// The same, and the token is the reader's.
    OwnToken,
    /// To be on the host.
    Host,
}

/// What a call that went through leaves to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// Nothing.
    Nothing,
    /// The repository, what is in it, and its policies.
    Repository,
    /// Accounts, teams, members, grants, robots; and every repository.
    Accounts,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The route's name.
    pub(super) kind: &'static str,
    /// Its method.
    pub(super) method: &'static str,
    /// How it is written.
    pub(super) path: &'static str,
    /// What it needs.
    pub(super) right: Right,
    /// What whoever has that is answered: the status, and the code of an error.
    pub(super) answer: (u16, &'static str),
    /// What it is sent with.
    pub(super) body: &'static str,
    /// What it leaves.
    pub(super) leaves: Leaves,
}

use Has::{Pushes, Reads, Rules, Writes};
use Leaves::{Accounts, Nothing, Repository};
use Right::{
    Host, Lead, Listed, Member, Name, Namespace, Nobody, On, Open, Own, OwnToken, Owner, Public, Reader, Remove,
    SeesReader, System,
};

const fn row(
    kind: &'static str,
    (method, path): (&'static str, &'static str),
    right: Right,
    status: u16,
    body: &'static str,
    leaves: Leaves,
) -> Row {
    Row { kind, method, path, right, answer: (status, ""), body, leaves }
}

/// A route that changes nothing and takes no body.
const fn read(kind: &'static str, path: &'static str, right: Right) -> Row {
    row(kind, ("GET", path), right, 200, "", Nothing)
}

impl Row {
    /// Whoever has the right is refused for another reason.
    const fn but(mut self, status: u16, code: &'static str) -> Self {
        self.answer = (status, code);
        self
    }

    /// A method that a path does not take.
    pub(super) const fn refused(method: &'static str, path: &'static str) -> Self {
        row("", (method, path), Name, 405, "", Nothing)
    }

    /// Whether it is about a repository.
    pub(super) fn is_about_repository(&self) -> bool {
        self.path.contains("{name}") || self.path.contains("{repo}")
    }

    /// Whether it is of the registry API, which has the specification's codes.
    pub(super) fn is_registry(&self) -> bool {
        self.path.starts_with("/v2")
    }
}

/// All of them.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    [DOORS, REGISTRY, REPOSITORIES, POLICIES, SYSTEM, CREDENTIALS, ACCOUNTS, ORGANIZATIONS, DIRECTORY]
        .into_iter()
        .flatten()
}

/// What stands beside the APIs.
const DOORS: &[Row] = &[
    read("Nothing", "/", Nobody).but(404, "NOT_FOUND"),
    read("Nothing", "/console", Nobody).but(404, "NOT_FOUND"),
    read("Ca", "/ca", Nobody),
    read("Ping", "/_ping", Nobody),
    read("Health", "/health", Nobody),
    read("Metrics", "/metrics", System),
    row("Setup", ("POST", "/api/v0/setup"), Nobody, 403, "{}", Nothing).but(403, "NOT_AUTHORIZED"),
    row("ReadOnly", ("POST", "/metrics"), Nobody, 405, "", Nothing).but(405, "NOT_ALLOWED"),
    read("auth.Token", "/auth/token?service=registry.example&scope=repository:dev/app:pull", Open),
    row(
        "auth.Grant",
        ("POST", "/auth/token"),
        Nobody,
        200,
        "grant_type=password&username=reader&password={password}",
        Nothing,
    ),
    row(
        "auth.Login",
        ("POST", "/auth/login"),
        Nobody,
        200,
        r#"{"username":"reader","password":"{password}"}"#,
        Nothing,
    ),
    row(
        "auth.IdLogin",
        ("POST", "/enzi/v0/id/login"),
        Nobody,
        200,
        r#"{"username":"reader","password":"{password}"}"#,
        Nothing,
    ),
    row(
        "auth.IdLogin",
        ("POST", "/id/login"),
        Nobody,
        200,
        r#"{"username":"reader","password":"{password}"}"#,
        Nothing,
    ),
    row("auth.Logout", ("POST", "/enzi/v0/id/logout"), Open, 204, "", Nothing),
    row("auth.Logout", ("POST", "/id/logout"), Open, 204, "", Nothing),
    row("auth.Logout", ("POST", "/auth/logout"), Open, 204, "", Nothing),
    row("auth.Method", ("PUT", "/auth/login"), Nobody, 405, "", Nothing).but(405, "NOT_ALLOWED"),
    read("api.none", "/api/v0/nothing", Name).but(404, "NOT_FOUND"),
    read("v2.none", "/v2/nothing", Name).but(404, "UNSUPPORTED"),
];

/// `/v2`.
const REGISTRY: &[Row] = &[
    read("v2.Base", "/v2/", Name),
    read("v2.Catalog", "/v2/_catalog", Name),
    read("v2.Tags", "/v2/{name}/tags/list", Public),
    read("v2.Referrers", "/v2/{name}/referrers/{digest}", Listed),
    read("v2.GetManifest", "/v2/{name}/manifests/1.0", Public),
    read("v2.GetManifest", "/v2/{name}/manifests/{digest}", Public),
    read("v2.GetBlob", "/v2/{name}/blobs/{blob}", Public),
    row("v2.PutManifest", ("PUT", "/v2/{name}/manifests/1.0"), On(Pushes), 201, "{manifest}", Nothing),
    row("v2.PutManifest", ("PUT", "/v2/{name}/manifests/{digest}?tag=1.0"), On(Pushes), 201, "{manifest}", Nothing),
    row("v2.DeleteManifest", ("DELETE", "/v2/{name}/manifests/1.0"), On(Writes), 202, "", Repository),
    row("v2.DeleteManifest", ("DELETE", "/v2/{name}/manifests/{digest}"), On(Writes), 202, "", Repository),
    row("v2.DeleteBlob", ("DELETE", "/v2/{name}/blobs/{loose}"), On(Writes), 202, "", Repository),
    row("v2.BeginUpload", ("POST", "/v2/{name}/blobs/uploads/"), On(Pushes), 202, "", Nothing),
    row("v2.PutBlob", ("POST", "/v2/{name}/blobs/uploads/?digest={loose}"), On(Pushes), 201, "loose", Nothing),
    row("v2.Mount", ("POST", "/v2/{name}/blobs/uploads/?mount={blob}&from={name}"), On(Pushes), 201, "", Nothing),
    row("v2.UploadProgress", ("GET", "/v2/{name}/blobs/uploads/{session}"), On(Pushes), 204, "", Nothing),
    row("v2.AppendUpload", ("PATCH", "/v2/{name}/blobs/uploads/{session}"), On(Pushes), 202, "loose", Nothing),
    row(
        "v2.FinishUpload",
        ("PUT", "/v2/{name}/blobs/uploads/{session}?digest={loose}"),
        On(Pushes),
        201,
        "loose",
        Nothing,
    ),
    row("v2.CancelUpload", ("DELETE", "/v2/{name}/blobs/uploads/{session}"), On(Pushes), 204, "", Nothing),
];

/// `/api/v0/repositories`.
const REPOSITORIES: &[Row] = &[
    read("api.ListRepositories", "/api/v0/repositories", Open),
    read("api.ListRepositories", "/api/v0/repositories/dev", Open),
    row("api.CreateRepository", ("POST", "/api/v0/repositories/dev"), Namespace, 201, r#"{"name":"made"}"#, Accounts),
    row("api.CreateRepository", ("POST", "/api/v0/repositories/{dev}"), Namespace, 201, r#"{"name":"made"}"#, Accounts),
    read("api.GetRepository", "/api/v0/repositories/{repo}", Public),
    row(
        "api.UpdateRepository",
        ("PATCH", "/api/v0/repositories/{repo}"),
        On(Rules),
        200,
        r#"{"shortDescription":"x"}"#,
        Nothing,
    ),
    row("api.DeleteRepository", ("DELETE", "/api/v0/repositories/{repo}"), Remove, 204, "", Repository),
    read("api.ListTags", "/api/v0/repositories/{repo}/tags", Public),
    read("api.GetTag", "/api/v0/repositories/{repo}/tags/1.0", Public),
    read("api.TagsOf", "/api/v0/repositories/{repo}/tags/{digest}", Public),
    row(
        "api.RestoreTag",
        ("PUT", "/api/v0/repositories/{repo}/tags/1.0"),
        On(Pushes),
        200,
        r#"{"digest":"{digest}"}"#,
        Nothing,
    ),
    row("api.DeleteTag", ("DELETE", "/api/v0/repositories/{repo}/tags/1.0"), On(Writes), 204, "", Repository),
    read("api.TagHistory", "/api/v0/repositories/{repo}/tags/1.0/history", On(Reads)),
    read("api.Decisions", "/api/v0/repositories/{repo}/tags/1.0/decisions", On(Reads)),
    row(
        "api.PromoteTag",
        ("POST", "/api/v0/repositories/{repo}/tags/1.0/promotion"),
        On(Pushes),
        201,
        r#"{"targetRepository":"{name}","targetTag":"promoted"}"#,
        Nothing,
    ),
    row("api.PushTag", ("POST", "/api/v0/repositories/{repo}/tags/1.0/pushMirroring"), On(Reads), 404, "{}", Nothing)
        .but(404, "INVALID_PUSH_MIRRORING_POLICY"),
    read("api.ListTeamAccess", "/api/v0/repositories/{repo}/teamAccess", On(Rules)),
    row(
        "api.GrantTeam",
        ("PUT", "/api/v0/repositories/{repo}/teamAccess/spares"),
        On(Rules),
        200,
        r#"{"accessLevel":"admin"}"#,
        Nothing,
    ),
    row("api.RevokeTeam", ("DELETE", "/api/v0/repositories/{repo}/teamAccess/spares"), On(Rules), 204, "", Nothing),
    read("api.ListManifests", "/api/v0/repositories/{repo}/manifests", Public),
    row(
        "api.DeleteManifest",
        ("DELETE", "/api/v0/repositories/{repo}/manifests/{digest}"),
        On(Writes),
        204,
        "",
        Repository,
    ),
    read("api.UserAccess", "/api/v0/accounts/reader/repositoryAccess/{repo}", SeesReader),
];

/// Policies of all kinds.
const POLICIES: &[Row] = &[
    read("api.ListPolicies", "/api/v0/repositories/{repo}/promotionPolicies", On(Reads)),
    read("api.ListPolicies", "/api/v0/repositories/{repo}/promotionPolicies?source=false", On(Reads)),
    row(
        "api.CreatePolicy",
        ("POST", "/api/v0/repositories/{repo}/promotionPolicies"),
        On(Rules),
        201,
        "{policy}",
        Repository,
    ),
    row(
        "api.TestPromotion",
        ("POST", "/api/v0/repositories/{repo}/promotionPolicies/test"),
        On(Rules),
        200,
        "{policy}",
        Nothing,
    ),
    read("api.GetPolicy", "/api/v0/repositories/{repo}/promotionPolicies/{promotion}", On(Reads)),
    row(
        "api.UpdatePolicy",
        ("PUT", "/api/v0/repositories/{repo}/promotionPolicies/{promotion}"),
        On(Rules),
        200,
        r#"{"enabled":false}"#,
        Repository,
    ),
    row(
        "api.DeletePolicy",
        ("DELETE", "/api/v0/repositories/{repo}/promotionPolicies/{promotion}"),
        On(Rules),
        204,
        "",
        Repository,
    ),
    read("api.ListPolicies", "/api/v0/repositories/{repo}/pushMirroringPolicies", On(Reads)),
    row(
        "api.CreatePolicy",
        ("POST", "/api/v0/repositories/{repo}/pushMirroringPolicies"),
        On(Rules),
        404,
        "{}",
        Nothing,
    )
    .but(404, "INVALID_PUSH_MIRRORING_POLICY"),
    read("api.GetPolicy", "/api/v0/repositories/{repo}/pushMirroringPolicies/{push}", On(Reads)),
    row(
        "api.UpdatePolicy",
        ("PUT", "/api/v0/repositories/{repo}/pushMirroringPolicies/{push}"),
        On(Rules),
        200,
        r#"{"enabled":false}"#,
        Nothing,
    ),
    row(
        "api.DeletePolicy",
        ("DELETE", "/api/v0/repositories/{repo}/pushMirroringPolicies/{push}"),
        On(Rules),
        204,
        "",
        Repository,
    ),
    read("api.ListPolicies", "/api/v0/repositories/{repo}/pollMirroringPolicies", On(Reads)),
    row(
        "api.CreatePolicy",
        ("POST", "/api/v0/repositories/{repo}/pollMirroringPolicies"),
        On(Rules),
        404,
        "{}",
        Nothing,
    )
    .but(404, "INVALID_POLL_MIRRORING_POLICY"),
    read("api.GetPolicy", "/api/v0/repositories/{repo}/pollMirroringPolicies/{pull}", On(Reads)),
    row(
        "api.RunPull",
        ("POST", "/api/v0/repositories/{repo}/pollMirroringPolicies/{pull}/run"),
        On(Rules),
        202,
        "",
        Nothing,
    ),
    row(
        "api.UpdatePolicy",
        ("PUT", "/api/v0/repositories/{repo}/pollMirroringPolicies/{pull}"),
        On(Rules),
        200,
        r#"{"timeZone":"UTC"}"#,
        Nothing,
    ),
    row(
        "api.DeletePolicy",
        ("DELETE", "/api/v0/repositories/{repo}/pollMirroringPolicies/{pull}"),
        On(Rules),
        204,
        "",
        Repository,
    ),
    read("api.ListMirrors", "/api/v0/repositories/{repo}/mirroringPolicies", On(Reads)),
    row(
        "api.DeleteMirrors",
        ("DELETE", "/api/v0/repositories/{repo}/mirroringPolicies"),
        On(Rules),
        204,
        r#"[{"id":"{push}"},{"id":"{pull}"}]"#,
        Repository,
    ),
];

/// The daemon itself.
const SYSTEM: &[Row] = &[
    read("api.Features", "/api/v0/meta/features", Name),
    read("api.Version", "/api/v0/admin/version", Name),
    read("api.Settings", "/api/v0/meta/settings", System),
    row(
        "api.UpdateSettings",
        ("POST", "/api/v0/meta/settings"),
        System,
        202,
        r#"{"createRepositoryOnPush":false}"#,
        Nothing,
    ),
    row("api.Verify", ("POST", "/api/v0/admin/verify"), System, 200, "", Nothing),
    read("api.ScrubStatus", "/api/v0/admin/scrub", System),
    read("api.ListQuarantine", "/api/v0/admin/quarantine", System),
    row("api.CheckRemote", ("POST", "/api/v0/remote/registry"), Name, 400, "{}", Nothing)
        .but(400, "REMOTE_REGISTRY_INVALID_PERMISSIONS"),
    read("api.ListQuotas", "/api/v0/quotas", System),
    row("api.SetQuota", ("PUT", "/api/v0/quotas"), System, 200, r#"{"quotaBytes":0}"#, Nothing),
    read("api.GetQuotas", "/api/v0/quotas/dev", Namespace),
    row("api.SetQuota", ("PUT", "/api/v0/quotas/dev"), System, 200, r#"{"quotaBytes":0}"#, Nothing),
    read("api.GetQuotas", "/api/v0/quotas/{dev}", Namespace),
    row("api.SetQuota", ("PUT", "/api/v0/quotas/{dev}"), System, 200, r#"{"quotaBytes":0}"#, Nothing),
    read("api.ListSealingKeys", "/api/v0/admin/sealingKeys", System),
    row("api.AddSealingKey", ("POST", "/api/v0/admin/sealingKeys"), System, 201, "", Nothing),
    row("api.RetireSealingKey", ("DELETE", "/api/v0/admin/sealingKeys/ab"), System, 404, "", Nothing)
        .but(404, "NO_SUCH_SEALING_KEY"),
    read("api.ListJobs", "/api/v0/jobs", System),
    row("api.CreateJob", ("POST", "/api/v0/jobs"), System, 202, r#"{"action":"onlinegc"}"#, Nothing),
    read("api.GetJob", "/api/v0/jobs/{job}", System),
    read("api.JobLogs", "/api/v0/jobs/{job}/logs", System),
    row("api.CancelJob", ("POST", "/api/v0/jobs/{job}/cancel"), System, 204, "", Nothing),
    row("api.DeleteJob", ("DELETE", "/api/v0/jobs/{job}"), System, 204, "", Nothing),
    row("api.BeginBackup", ("POST", "/api/v0/backups"), System, 200, "", Nothing),
    read("api.BackupFile", "/api/v0/backups/{backup}/files/{blob}/{upload}?size=5", System),
    read("api.BackupKeys", "/api/v0/backups/{backup}/keys", Host).but(403, "NOT_AUTHORIZED"),
    row("api.EndBackup", ("DELETE", "/api/v0/backups/{backup}"), System, 204, "", Nothing),
    read("api.Audit", "/api/v0/audit?namespace=dev", Namespace),
    read("api.Audit", "/api/v0/audit", System),
];

/// Tokens, robots, certificates.
const CREDENTIALS: &[Row] = &[
    read("api.ListTokens", "/api/v0/api_tokens", Own),
    row("api.CreateToken", ("POST", "/api/v0/api_tokens"), Own, 200, "{}", Nothing),
    row("api.CleanUpTokens", ("DELETE", "/api/v0/api_tokens"), Own, 200, "", Nothing),
    read("api.ListTokens", "/api/v0/api_tokens?username=reader", Reader),
    row("api.CreateToken", ("POST", "/api/v0/api_tokens?username=reader"), Reader, 200, "{}", Nothing),
    row("api.CleanUpTokens", ("DELETE", "/api/v0/api_tokens?username=reader"), Reader, 200, "", Nothing),
    read("api.GetToken", "/api/v0/api_tokens/{token}", OwnToken),
    row("api.UpdateToken", ("PATCH", "/api/v0/api_tokens/{token}"), OwnToken, 200, r#"{"tokenLabel":"x"}"#, Nothing),
    row("api.DeleteToken", ("DELETE", "/api/v0/api_tokens/{token}"), OwnToken, 200, "", Nothing),
    read("api.ListRobots", "/api/v0/robots/dev", Namespace),
    row(
        "api.CreateRobot",
        ("POST", "/api/v0/robots/dev"),
        Namespace,
        201,
        r#"{"name":"made","scopes":["dev/app:pull"]}"#,
        Accounts,
    ),
    read("api.GetRobot", "/api/v0/robots/dev/spare", Namespace),
    row("api.UpdateRobot", ("PATCH", "/api/v0/robots/dev/spare"), Namespace, 200, r#"{"description":"x"}"#, Nothing),
    read("api.ListRobotTokens", "/api/v0/robots/dev/spare/tokens", Namespace),
    row("api.CreateRobotToken", ("POST", "/api/v0/robots/dev/spare/tokens"), Namespace, 201, "{}", Nothing),
    row("api.DeleteRobot", ("DELETE", "/api/v0/robots/dev/spare"), Namespace, 204, "", Accounts),
    read("api.ListRobots", "/api/v0/robots/{dev}", Namespace),
    row(
        "api.CreateRobot",
        ("POST", "/api/v0/robots/{dev}"),
        Namespace,
        201,
        r#"{"name":"made","scopes":["dev/app:pull"]}"#,
        Accounts,
    ),
    read("api.ListCertificates", "/api/v0/clientCertificates", System),
    row(
        "api.MapCertificate",
        ("POST", "/api/v0/clientCertificates"),
        System,
        201,
        r#"{"name":"cn:spare","account":"spare"}"#,
        Nothing,
    ),
    row("api.UnmapCertificate", ("DELETE", "/api/v0/clientCertificates?name=cn:spare"), System, 204, "", Nothing),
];

/// Accounts.
const ACCOUNTS: &[Row] = &[
    read("enzi.WhoAmI", "/enzi/v0/id", Name),
    read("enzi.WhoAmI", "/id", Name),
    read("enzi.ListAccounts", "/enzi/v0/accounts", Name),
    row(
        "enzi.CreateAccount",
        ("POST", "/enzi/v0/accounts"),
        System,
        201,
        r#"{"name":"made","password":"{password}"}"#,
        Accounts,
    ),
    row(
        "enzi.ChangeAccounts",
        ("PATCH", "/enzi/v0/accounts"),
        System,
        200,
        r#"{"operations":[{"op":"delete","ref":"spare"}]}"#,
        Accounts,
    ),
    row(
        "enzi.ImportAccounts",
        ("POST", "/enzi/v0/admin/importAccounts"),
        System,
        201,
        r#"{"accounts":[{"name":"made"}]}"#,
        Accounts,
    ),
    read("enzi.GetAccount", "/enzi/v0/accounts/reader", Name),
    row("enzi.UpdateAccount", ("PATCH", "/enzi/v0/accounts/reader"), Reader, 200, r#"{"fullName":"x"}"#, Nothing),
    row("enzi.UpdateAccount", ("PATCH", "/enzi/v0/accounts/dev"), Owner, 200, r#"{"fullName":"x"}"#, Nothing),
    row("enzi.UpdateAccount", ("PATCH", "/enzi/v0/accounts/root"), System, 200, r#"{"isAdmin":true}"#, Nothing),
    row("enzi.DeleteAccount", ("DELETE", "/enzi/v0/accounts/spare"), System, 204, "", Accounts),
    row(
        "enzi.ChangePassword",
        ("POST", "/enzi/v0/accounts/reader/changePassword"),
        Reader,
        200,
        r#"{"oldPassword":"{password}","newPassword":"{password}"}"#,
        Nothing,
    ),
    read("enzi.OrganizationsOf", "/enzi/v0/accounts/reader/organizations", Reader),
    read("api.Language", "/api/v0/accounts/language", Name),
    read("api.UserSettings", "/api/v0/accounts/reader/settings", Reader),
    row("api.UpdateUserSettings", ("PATCH", "/api/v0/accounts/reader/settings"), Reader, 200, "{}", Nothing),
    row("api.DeleteNamespace", ("DELETE", "/api/v0/accounts/spareorg"), System, 204, "", Accounts),
    row("api.DeleteNamespace", ("DELETE", "/api/v0/accounts/language"), System, 204, "", Nothing),
    row("api.EmptyNamespace", ("DELETE", "/api/v0/accounts/dev/repositories"), Namespace, 204, "", Accounts),
];

/// Members, teams, and what teams may.
const ORGANIZATIONS: &[Row] = &[
    read("enzi.ListMembers", "/enzi/v0/accounts/{dev}/members", Member),
    read("api.ListNamespaceAccess", "/api/v0/repositoryNamespaces/{dev}/teamAccess", Member),
    read("enzi.ListMembers", "/enzi/v0/accounts/dev/members", Member),
    read("enzi.GetMember", "/enzi/v0/accounts/dev/members/reader", Member),
    row("enzi.PutMember", ("PUT", "/enzi/v0/accounts/dev/members/spare"), Owner, 200, r#"{"isAdmin":true}"#, Accounts),
    row("enzi.PutMember", ("PATCH", "/enzi/v0/accounts/dev/members/spare"), Owner, 200, "{}", Nothing),
    row("enzi.RemoveMember", ("DELETE", "/enzi/v0/accounts/dev/members/spare"), Owner, 204, "", Accounts),
    read("enzi.TeamsOf", "/enzi/v0/accounts/dev/members/reader/teams", Member),
    read("enzi.ListTeams", "/enzi/v0/accounts/dev/teams", Member),
    row("enzi.CreateTeam", ("POST", "/enzi/v0/accounts/dev/teams"), Owner, 201, r#"{"name":"made"}"#, Accounts),
    read("enzi.GetTeam", "/enzi/v0/accounts/dev/teams/pushers", Member),
    row(
        "enzi.UpdateTeam",
        ("PATCH", "/enzi/v0/accounts/dev/teams/pushers"),
        Lead,
        200,
        r#"{"description":"x"}"#,
        Nothing,
    ),
    row("enzi.DeleteTeam", ("DELETE", "/enzi/v0/accounts/dev/teams/spares"), Owner, 204, "", Accounts),
    read("enzi.ListTeamMembers", "/enzi/v0/accounts/dev/teams/pushers/members", Member),
    read("enzi.GetTeamMember", "/enzi/v0/accounts/dev/teams/pushers/members/pusher", Member),
    row("enzi.PutTeamMember", ("PUT", "/enzi/v0/accounts/dev/teams/pushers/members/spare"), Lead, 200, "{}", Accounts),
    row("enzi.PutTeamMember", ("PATCH", "/enzi/v0/accounts/dev/teams/pushers/members/spare"), Lead, 200, "{}", Nothing),
    row(
        "enzi.RemoveTeamMember",
        ("DELETE", "/enzi/v0/accounts/dev/teams/pushers/members/spare"),
        Lead,
        204,
        "",
        Accounts,
    ),
    read("enzi.TeamSync", "/enzi/v0/accounts/dev/teams/pushers/memberSyncConfig", Lead),
    row("enzi.TeamSync", ("PUT", "/enzi/v0/accounts/dev/teams/pushers/memberSyncConfig"), Lead, 200, "{}", Nothing),
    read("enzi.TeamGroup", "/enzi/v0/accounts/dev/teams/pushers/groupLinkConfig", Lead),
    row("enzi.TeamGroup", ("PUT", "/enzi/v0/accounts/dev/teams/pushers/groupLinkConfig"), Lead, 200, "{}", Nothing),
    read("enzi.OwnerSync", "/enzi/v0/accounts/dev/adminMemberSyncConfig", Owner),
    row("enzi.OwnerSync", ("PUT", "/enzi/v0/accounts/dev/adminMemberSyncConfig"), Owner, 200, "{}", Nothing),
    read("api.TeamRepositories", "/api/v0/accounts/dev/teams/pushers/repositoryAccess", Member),
    read("api.ListNamespaceAccess", "/api/v0/repositoryNamespaces/dev/teamAccess", Member),
    read("api.GetNamespaceAccess", "/api/v0/repositoryNamespaces/dev/teamAccess/spares", Member),
    row(
        "api.GrantNamespace",
        ("PUT", "/api/v0/repositoryNamespaces/dev/teamAccess/spares"),
        Namespace,
        200,
        r#"{"accessLevel":"read-only"}"#,
        Nothing,
    ),
    row(
        "api.RevokeNamespace",
        ("DELETE", "/api/v0/repositoryNamespaces/dev/teamAccess/spares"),
        Namespace,
        204,
        "",
        Accounts,
    ),
];

/// What a system without a directory says, and its jobs.
const DIRECTORY: &[Row] = &[
    read("enzi.AuthConfig", "/enzi/v0/config/auth", System),
    row("enzi.AuthConfig", ("PUT", "/enzi/v0/config/auth"), System, 200, r#"{"backend":"managed"}"#, Nothing),
    read("enzi.LdapConfig", "/enzi/v0/config/auth/ldap", System),
    row("enzi.LdapConfig", ("PUT", "/enzi/v0/config/auth/ldap"), System, 200, "{}", Nothing),
    read("enzi.AccountsConfig", "/enzi/v0/config/accounts", System),
    read("enzi.ListJobs", "/enzi/v0/jobs", System),
    row("enzi.CreateJob", ("POST", "/enzi/v0/jobs"), System, 202, r#"{"action":"ldap-sync"}"#, Nothing),
    read("enzi.GetJob", "/enzi/v0/jobs/{job}", System),
    read("enzi.JobLogs", "/enzi/v0/jobs/{job}/logs", System),
    row("enzi.CancelJob", ("POST", "/enzi/v0/jobs/{job}/cancel"), System, 204, "", Nothing),
    row("enzi.CancelJob", ("DELETE", "/enzi/v0/jobs/{job}"), System, 204, "", Nothing),
    read("enzi.ListWorkers", "/enzi/v0/workers", System),
    row("enzi.PingWorker", ("GET", "/enzi/v0/workers/{instance}/ping"), System, 204, "", Nothing),
];
