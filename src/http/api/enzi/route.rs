//! What is asked for, as data, and which right it needs.

use http::Method;

use crate::registry::Role;

use super::super::right::Right;
use super::super::route::{GivenId, RouteError, pick};

/// A call of the accounts API. Texts are names or ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum EnziRoute {
    /// `GET /accounts`
    ListAccounts,
    /// `POST /accounts`
    CreateAccount,
    /// `PATCH /accounts`
    ChangeAccounts,
    /// `GET /accounts/{a}`
    GetAccount(String),
    /// `PATCH /accounts/{a}`
    UpdateAccount(String),
    /// `DELETE /accounts/{a}`
    DeleteAccount(String),
    /// `POST /accounts/{u}/changePassword`
    ChangePassword(String),
    /// `GET /accounts/{u}/organizations`
    OrganizationsOf(String),
    /// `GET /id`
    WhoAmI,
    /// `POST /admin/importAccounts`
    ImportAccounts,
    /// `GET /accounts/{o}/members`
    ListMembers(String),
    /// `GET /accounts/{o}/members/{u}`
    GetMember(String, String),
    /// `PUT`, `PATCH /accounts/{o}/members/{u}`
    PutMember(String, String),
    /// `DELETE /accounts/{o}/members/{u}`
    RemoveMember(String, String),
    /// `GET /accounts/{o}/members/{u}/teams`
    TeamsOf(String, String),
    /// `GET /accounts/{o}/teams`
    ListTeams(String),
    /// `POST /accounts/{o}/teams`
    CreateTeam(String),
    /// `GET …/teams/{t}`
    GetTeam(String, String),
    /// `PATCH …/teams/{t}`
    UpdateTeam(String, String),
    /// `DELETE …/teams/{t}`
    DeleteTeam(String, String),
    /// `GET …/teams/{t}/members`
    ListTeamMembers(String, String),
    /// `GET …/teams/{t}/members/{u}`
    GetTeamMember(String, String, String),
    /// `PUT`, `PATCH …/teams/{t}/members/{u}`
    PutTeamMember(String, String, String),
    /// `DELETE …/teams/{t}/members/{u}`
    RemoveTeamMember(String, String, String),
    /// `GET`, `PUT …/teams/{t}/memberSyncConfig`; whether it is changed.
    TeamSync(String, String, bool),
    /// `GET`, `PUT …/teams/{t}/groupLinkConfig`; whether it is changed.
    TeamGroup(String, String, bool),
    /// `GET`, `PUT /accounts/{o}/adminMemberSyncConfig`; whether it is changed.
    OwnerSync(String, bool),
    /// `GET`, `PUT /config/auth`; whether it is changed.
    AuthConfig(bool),
    /// `GET`, `PUT /config/auth/ldap`; whether it is changed.
    LdapConfig(bool),
    /// `GET /config/accounts`
    AccountsConfig,
    /// `POST /jobs`
    CreateJob,
    /// `GET /jobs`
    ListJobs,
    /// `GET /jobs/{id}`
    GetJob(GivenId),
    /// `GET /jobs/{id}/logs`
    JobLogs(GivenId),
    /// `POST /jobs/{id}/cancel`, `DELETE /jobs/{id}`
    CancelJob(GivenId),
    /// `GET /workers`
    ListWorkers,
    /// `GET /workers/{id}/ping`
    PingWorker(GivenId),
}

type Parsed = Result<EnziRoute, RouteError>;

impl EnziRoute {
    /// Reads what stands behind `/enzi/v0`. Total.
    pub(in crate::http::api) fn parse(method: &Method, rest: &[&str]) -> Parsed {
        let text = |text: &str| text.to_owned();
        match rest {
            ["accounts"] => pick(
                method,
                &[
                    (Method::GET, &|| Ok(Self::ListAccounts)),
                    (Method::POST, &|| Ok(Self::CreateAccount)),
                    (Method::PATCH, &|| Ok(Self::ChangeAccounts)),
                ],
            ),
            ["accounts", a] => pick(
                method,
                &[
                    (Method::GET, &|| Ok(Self::GetAccount(text(a)))),
                    (Method::PATCH, &|| Ok(Self::UpdateAccount(text(a)))),
                    (Method::DELETE, &|| Ok(Self::DeleteAccount(text(a)))),
                ],
            ),
            ["accounts", u, "changePassword"] => pick(method, &[(Method::POST, &|| Ok(Self::ChangePassword(text(u))))]),
            ["accounts", u, "organizations"] => pick(method, &[(Method::GET, &|| Ok(Self::OrganizationsOf(text(u))))]),
            ["accounts", o, "adminMemberSyncConfig"] => read_or_put(method, &|put| Self::OwnerSync(text(o), put)),
            ["accounts", o, "members", rest @ ..] => members(method, o, rest),
            ["accounts", o, "teams", rest @ ..] => teams(method, o, rest),
            ["id"] => pick(method, &[(Method::GET, &|| Ok(Self::WhoAmI))]),
            ["admin", "importAccounts"] => pick(method, &[(Method::POST, &|| Ok(Self::ImportAccounts))]),
            ["config", "auth"] => read_or_put(method, &Self::AuthConfig),
            ["config", "auth", "ldap"] => read_or_put(method, &Self::LdapConfig),
            ["config", "accounts"] => pick(method, &[(Method::GET, &|| Ok(Self::AccountsConfig))]),
            ["jobs", rest @ ..] => jobs(method, rest),
            ["workers"] => pick(method, &[(Method::GET, &|| Ok(Self::ListWorkers))]),
            ["workers", id, "ping"] => pick(method, &[(Method::GET, &|| Ok(Self::PingWorker(id.parse().ok())))]),
            _ => Err(RouteError::Nothing),
        }
    }

    /// Its name in the log.
    pub(in crate::http::api) const fn name(&self) -> &'static str {
        match self {
            Self::ListAccounts => "enzi.account.list",
            Self::CreateAccount => "enzi.account.create",
            Self::ChangeAccounts => "enzi.account.change_many",
            Self::GetAccount(_) => "enzi.account.get",
            Self::UpdateAccount(_) => "enzi.account.update",
            Self::DeleteAccount(_) => "enzi.account.delete",
            Self::ChangePassword(_) => "enzi.account.password",
            Self::OrganizationsOf(_) => "enzi.account.organizations",
            Self::WhoAmI => "enzi.id",
            Self::ImportAccounts => "enzi.account.import",
            Self::ListMembers(_) => "enzi.member.list",
            Self::GetMember(..) => "enzi.member.get",
            Self::PutMember(..) => "enzi.member.put",
            Self::RemoveMember(..) => "enzi.member.remove",
            Self::TeamsOf(..) => "enzi.member.teams",
            Self::ListTeams(_) => "enzi.team.list",
            Self::CreateTeam(_) => "enzi.team.create",
            Self::GetTeam(..) => "enzi.team.get",
            Self::UpdateTeam(..) => "enzi.team.update",
            Self::DeleteTeam(..) => "enzi.team.delete",
            Self::ListTeamMembers(..) => "enzi.team.member.list",
            Self::GetTeamMember(..) => "enzi.team.member.get",
            Self::PutTeamMember(..) => "enzi.team.member.put",
            Self::RemoveTeamMember(..) => "enzi.team.member.remove",
            Self::TeamSync(..) => "enzi.team.sync",
            Self::TeamGroup(..) => "enzi.team.group",
            Self::OwnerSync(..) => "enzi.organization.sync",
            Self::AuthConfig(_) => "enzi.config.auth",
            Self::LdapConfig(_) => "enzi.config.ldap",
            Self::AccountsConfig => "enzi.config.accounts",
            Self::CreateJob => "enzi.job.create",
            Self::ListJobs => "enzi.job.list",
            Self::GetJob(_) => "enzi.job.get",
            Self::JobLogs(_) => "enzi.job.logs",
            Self::CancelJob(_) => "enzi.job.cancel",
            Self::ListWorkers => "enzi.worker.list",
            Self::PingWorker(_) => "enzi.worker.ping",
        }
    }

    /// Whether it changes something: worth a line to the operator.
    pub(in crate::http::api) const fn changes(&self) -> bool {
        match self {
            Self::CreateAccount
            | Self::ChangeAccounts
            | Self::UpdateAccount(_)
            | Self::DeleteAccount(_)
            | Self::ChangePassword(_)
            | Self::ImportAccounts
            | Self::PutMember(..)
            | Self::RemoveMember(..)
            | Self::CreateTeam(_)
            | Self::UpdateTeam(..)
            | Self::DeleteTeam(..)
            | Self::PutTeamMember(..)
            | Self::RemoveTeamMember(..) => true,
            Self::ListAccounts
            | Self::GetAccount(_)
            | Self::OrganizationsOf(_)
            | Self::WhoAmI
            | Self::ListMembers(_)
            | Self::GetMember(..)
            | Self::TeamsOf(..)
            | Self::ListTeams(_)
            | Self::GetTeam(..)
            | Self::ListTeamMembers(..)
            | Self::GetTeamMember(..)
            | Self::TeamSync(..)
            | Self::TeamGroup(..)
            | Self::OwnerSync(..)
            | Self::AuthConfig(_)
            | Self::LdapConfig(_)
            | Self::AccountsConfig
            | Self::CreateJob
            | Self::ListJobs
            | Self::GetJob(_)
            | Self::JobLogs(_)
            | Self::CancelJob(_)
            | Self::ListWorkers
            | Self::PingWorker(_) => false,
        }
    }

    /// The right that the call needs.
    pub(in crate::http::api) fn right(&self) -> Right<'_> {
        match self {
            Self::ListAccounts | Self::GetAccount(_) | Self::WhoAmI => Right::SignedIn,
            Self::CreateAccount | Self::ImportAccounts => Right::SystemAdmin("create accounts"),
            Self::ChangeAccounts | Self::DeleteAccount(_) => Right::SystemAdmin("delete accounts"),
            Self::UpdateAccount(a) => Right::Account(a),
            Self::ChangePassword(u) | Self::OrganizationsOf(u) => Right::User(u),
            Self::ListMembers(o) | Self::TeamsOf(o, _) | Self::ListTeams(o) | Self::GetTeam(o, _) => {
                Right::Organization(o, Role::Member)
            }
            Self::ListTeamMembers(o, _) | Self::GetTeamMember(o, _, _) => Right::Organization(o, Role::Member),
            Self::GetMember(..) => Right::Decided("member of the organization, or the user"),
            Self::PutMember(o, _) | Self::RemoveMember(o, _) | Self::CreateTeam(o) | Self::DeleteTeam(o, _) => {
                Right::Organization(o, Role::Owner)
            }
            Self::OwnerSync(o, _) => Right::Organization(o, Role::Owner),
            Self::UpdateTeam(o, t)
            | Self::PutTeamMember(o, t, _)
            | Self::RemoveTeamMember(o, t, _)
            | Self::TeamSync(o, t, _)
            | Self::TeamGroup(o, t, _) => Right::Team(o, t),
            Self::AuthConfig(_) | Self::LdapConfig(_) | Self::AccountsConfig => {
                Right::SystemAdmin("see and change the configuration")
            }
            Self::CreateJob | Self::ListJobs | Self::GetJob(_) | Self::JobLogs(_) | Self::CancelJob(_) => {
                Right::SystemAdmin("see and steer jobs")
            }
            Self::ListWorkers | Self::PingWorker(_) => Right::SystemAdmin("see workers"),
        }
    }
}

fn read_or_put(method: &Method, call: &dyn Fn(bool) -> EnziRoute) -> Parsed {
    pick(method, &[(Method::GET, &|| Ok(call(false))), (Method::PUT, &|| Ok(call(true)))])
}

fn members(method: &Method, o: &str, rest: &[&str]) -> Parsed {
    let o = || o.to_owned();
    match rest {
        [] => pick(method, &[(Method::GET, &|| Ok(EnziRoute::ListMembers(o())))]),
        [u] => {
            let u = || (*u).to_owned();
            let put = || Ok(EnziRoute::PutMember(o(), u()));
            pick(
                method,
                &[
                    (Method::GET, &|| Ok(EnziRoute::GetMember(o(), u()))),
                    (Method::PUT, &put),
                    (Method::PATCH, &put),
                    (Method::DELETE, &|| Ok(EnziRoute::RemoveMember(o(), u()))),
                ],
            )
        }
        [u, "teams"] => pick(method, &[(Method::GET, &|| Ok(EnziRoute::TeamsOf(o(), (*u).to_owned())))]),
        _ => Err(RouteError::Nothing),
    }
}

fn teams(method: &Method, o: &str, rest: &[&str]) -> Parsed {
    let o = || o.to_owned();
    let [t, rest @ ..] = rest else {
        return pick(
            method,
            &[(Method::GET, &|| Ok(EnziRoute::ListTeams(o()))), (Method::POST, &|| Ok(EnziRoute::CreateTeam(o())))],
        );
    };
    let t = || (*t).to_owned();
    match rest {
        [] => pick(
            method,
            &[
                (Method::GET, &|| Ok(EnziRoute::GetTeam(o(), t()))),
                (Method::PATCH, &|| Ok(EnziRoute::UpdateTeam(o(), t()))),
                (Method::DELETE, &|| Ok(EnziRoute::DeleteTeam(o(), t()))),
            ],
        ),
        ["members"] => pick(method, &[(Method::GET, &|| Ok(EnziRoute::ListTeamMembers(o(), t())))]),
        ["members", u] => {
            let u = || (*u).to_owned();
            let put = || Ok(EnziRoute::PutTeamMember(o(), t(), u()));
            pick(
                method,
                &[
                    (Method::GET, &|| Ok(EnziRoute::GetTeamMember(o(), t(), u()))),
                    (Method::PUT, &put),
                    (Method::PATCH, &put),
                    (Method::DELETE, &|| Ok(EnziRoute::RemoveTeamMember(o(), t(), u()))),
                ],
            )
        }
        ["memberSyncConfig"] => read_or_put(method, &|put| EnziRoute::TeamSync(o(), t(), put)),
        ["groupLinkConfig"] => read_or_put(method, &|put| EnziRoute::TeamGroup(o(), t(), put)),
        _ => Err(RouteError::Nothing),
    }
}

fn jobs(method: &Method, rest: &[&str]) -> Parsed {
    match rest {
        [] => pick(method, &[(Method::GET, &|| Ok(EnziRoute::ListJobs)), (Method::POST, &|| Ok(EnziRoute::CreateJob))]),
        [id] => {
            let id = || id.parse().ok();
            pick(
                method,
                &[(Method::GET, &|| Ok(EnziRoute::GetJob(id()))), (Method::DELETE, &|| Ok(EnziRoute::CancelJob(id())))],
            )
        }
        [id, "logs"] => pick(method, &[(Method::GET, &|| Ok(EnziRoute::JobLogs(id.parse().ok())))]),
        [id, "cancel"] => pick(method, &[(Method::POST, &|| Ok(EnziRoute::CancelJob(id.parse().ok())))]),
        _ => Err(RouteError::Nothing),
    }
}
