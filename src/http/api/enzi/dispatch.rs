//! One call from its route to its answer.

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::error::ApiError;
use super::super::job;
use super::{EnziRoute, account, directory, member, team};

/// Answers a call that was admitted.
pub(in crate::http::api) async fn answer(call: Call<'_>, route: EnziRoute) -> Result<Answer, ApiError> {
    match route {
        EnziRoute::ListAccounts => account::list(call).await,
        EnziRoute::CreateAccount => account::create(call).await,
        EnziRoute::ChangeAccounts => account::change_many(call).await,
        EnziRoute::GetAccount(a) => account::get(call, &a),
        EnziRoute::UpdateAccount(a) => account::update(call, &a).await,
        EnziRoute::DeleteAccount(a) => account::delete(call, &a).await,
        EnziRoute::ChangePassword(u) => account::change_password(call, &u).await,
        EnziRoute::ImportAccounts => account::import(call).await,
        EnziRoute::WhoAmI => account::who_am_i(call),
        EnziRoute::OrganizationsOf(u) => member::organizations(call, &u),
        EnziRoute::ListMembers(o) => member::list(call, o).await,
        EnziRoute::GetMember(o, u) => member::get(call, &o, &u),
        EnziRoute::PutMember(o, u) => member::put(call, &o, &u).await,
        EnziRoute::RemoveMember(o, u) => member::remove(call, &o, &u).await,
        EnziRoute::TeamsOf(o, u) => member::teams(call, &o, &u),
        EnziRoute::ListTeams(o) => team::list(call, &o),
        EnziRoute::CreateTeam(o) => team::create(call, &o).await,
        EnziRoute::GetTeam(o, t) => team::get(call, &o, &t),
        EnziRoute::UpdateTeam(o, t) => team::update(call, &o, &t).await,
        EnziRoute::DeleteTeam(o, t) => team::delete(call, &o, &t).await,
        EnziRoute::ListTeamMembers(o, t) => team::members(call, o, t).await,
        EnziRoute::GetTeamMember(o, t, u) => team::member(call, (&o, &t), &u),
        EnziRoute::PutTeamMember(o, t, u) => team::put_member(call, (&o, &t), &u).await,
        EnziRoute::RemoveTeamMember(o, t, u) => team::remove_member(call, (&o, &t), &u).await,
        EnziRoute::TeamSync(o, t, is_put) => {
            // It must be there, whatever is said of it.
            call.registry().team(call.caller, &o, &t)?;
            directory::sync(call, is_put)
        }
        EnziRoute::TeamGroup(o, t, is_put) => {
            call.registry().team(call.caller, &o, &t)?;
            directory::group(call, is_put)
        }
        EnziRoute::OwnerSync(_, is_put) => directory::sync(call, is_put),
        EnziRoute::AuthConfig(is_put) => directory::auth(call, is_put),
        EnziRoute::LdapConfig(is_put) => directory::ldap(call, is_put),
        EnziRoute::AccountsConfig => account::config(call).await,
        EnziRoute::CreateJob => directory::create_job(call).await,
        EnziRoute::ListJobs => job::list(call).await,
        EnziRoute::GetJob(id) => job::get(call, id),
        EnziRoute::JobLogs(id) => job::logs(call, id),
        EnziRoute::CancelJob(id) => job::cancel(call, id, *call.method == http::Method::DELETE).await,
        EnziRoute::ListWorkers => Ok(directory::workers(call)),
        EnziRoute::PingWorker(id) => directory::ping(call, id),
    }
}
