//! One request from its path to its answer: read, allowed, done, logged.

use http::request::Parts;
use http::{Method, Response};

use crate::http::connection::Peer;
use crate::http::intake::Sender;
use crate::http::request_body::RequestBody;
use crate::http::{Body, Query, RequestId, SignInError, State};
use crate::limits;
use crate::registry::Caller;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::route::ApiRoute;
use super::{
    access, audit, backup, certified, decisions, enzi, history, job, mirror, mirror_once, namespace, policy, promotion,
    quota, repository, robot, scrub, sealing_key, settings, system, tag, token,
};

/// Answers a request below `/api/v0` or `/enzi/v0`; `path` is the whole path.
/// Whoever holds the local socket is the system already.
pub(in crate::http) async fn handle(
    state: &State,
    caller: Caller,
    peer: Peer,
    parts: &Parts,
    path: &str,
    query: &Query,
    body: RequestBody,
) -> Response<Body> {
    let answered = async {
        let route = admit(state, &caller, &parts.method, path)?;
        let sender = Sender::of(&caller);
        let cap = match sender {
            Sender::Stranger => limits::SIGN_IN_BODY_BYTES,
            Sender::Known => limits::API_BODY_BYTES,
        };
        let body = state.intake().read(body, cap, sender).await?;
        let (name, changes) = (route.name(), route.changes());
        let (method, headers) = (&parts.method, &parts.headers);
        let call = Call { state, caller: &caller, from: peer.addr, method, query, headers, body: &body };
        let answered = answer(call, route).await?;
        if changes {
            tracing::info!(api.call = name, "changed");
        } else {
            tracing::debug!(api.call = name, "read");
        }
        Ok::<_, ApiError>(answered)
    };
    match answered.await {
        Ok(answer) => answer.into(),
        Err(error) => {
            let id = parts.extensions.get::<RequestId>().expect("the front door puts it there");
            error.into_response(id)
        }
    }
}

/// What is asked for, if it is something and the caller may ask. Who has no
/// name is told to say one, and nothing else.
pub(super) fn admit(state: &State, caller: &Caller, method: &Method, path: &str) -> Result<ApiRoute, ApiError> {
    let admitted = ApiRoute::parse(method, path).map_err(ApiError::from).and_then(|route| {
        route.right().require(state, caller)?;
        Ok(route)
    });
    if *caller == Caller::Anonymous && !admitted.as_ref().is_ok_and(ApiRoute::is_open) {
        return Err(SignInError::Missing.into());
    }
    admitted
}

/// Answers a call that was admitted.
pub(super) async fn answer(call: Call<'_>, route: ApiRoute) -> Result<Answer, ApiError> {
    match route {
        ApiRoute::Enzi(route) => enzi::answer(call, route).await,
        ApiRoute::ListTeamAccess(name) => access::of_repository(call, &name),
        ApiRoute::GrantTeam(name, team) => access::grant(call, &name, &team).await,
        ApiRoute::RevokeTeam(name, team) => access::revoke(call, &name, &team).await,
        ApiRoute::ListNamespaceAccess(namespace) => access::of_namespace(call, &namespace),
        ApiRoute::GetNamespaceAccess(namespace, team) => access::in_namespace(call, &namespace, &team),
        ApiRoute::GrantNamespace(namespace, team) => access::grant_namespace(call, &namespace, &team).await,
        ApiRoute::RevokeNamespace(namespace, team) => access::revoke_namespace(call, &namespace, &team).await,
        ApiRoute::TeamRepositories(organization, team) => access::of_team(call, &organization, &team),
        ApiRoute::UserAccess(user, name) => access::of_user(call, &user, &name),
        ApiRoute::DeleteNamespace(namespace) => namespace::delete(call, &namespace).await,
        ApiRoute::EmptyNamespace(namespace) => namespace::empty(call, &namespace).await,
        ApiRoute::Language => Ok(settings::language()),
        ApiRoute::UserSettings(_) => Ok(settings::of_user()),
        ApiRoute::UpdateUserSettings(_) => settings::update_user(call),
        ApiRoute::Audit => audit::list(call).await,
        ApiRoute::Settings => settings::get(call),
        ApiRoute::UpdateSettings => settings::update(call).await,
        ApiRoute::ListTokens => token::list(call).await,
        ApiRoute::CreateToken => token::create(call).await,
        ApiRoute::CleanUpTokens => token::clean_up(call).await,
        ApiRoute::GetToken(hash) => token::get(call, &hash),
        ApiRoute::UpdateToken(hash) => token::update(call, &hash).await,
        ApiRoute::DeleteToken(hash) => token::delete(call, &hash).await,
        ApiRoute::ListRobots(namespace) => robot::list(call, &call.namespace(&namespace)?),
        ApiRoute::CreateRobot(namespace) => robot::create(call, &call.namespace(&namespace)?).await,
        ApiRoute::GetRobot(namespace, name) => robot::get(call, &call.namespace(&namespace)?, &name),
        ApiRoute::UpdateRobot(namespace, name) => robot::update(call, &call.namespace(&namespace)?, &name).await,
        ApiRoute::DeleteRobot(namespace, name) => robot::delete(call, &call.namespace(&namespace)?, &name).await,
        ApiRoute::ListRobotTokens(namespace, name) => robot::tokens(call, &call.namespace(&namespace)?, &name).await,
        ApiRoute::CreateRobotToken(namespace, name) => {
            robot::create_token(call, &call.namespace(&namespace)?, &name).await
        }
        ApiRoute::ListCertificates => certified::list(call),
        ApiRoute::MapCertificate => certified::map(call).await,
        ApiRoute::UnmapCertificate => certified::unmap(call).await,
        ApiRoute::Features => Ok(system::features()),
        ApiRoute::Version => Ok(system::version()),
        ApiRoute::Verify => system::verify(call).await,
        ApiRoute::ScrubStatus => scrub::status(call),
        ApiRoute::ListQuarantine => scrub::list(call).await,
        ApiRoute::ListSealingKeys => sealing_key::list(call).await,
        ApiRoute::AddSealingKey => sealing_key::add(call).await,
        ApiRoute::RetireSealingKey(id) => sealing_key::retire(call, &id).await,
        ApiRoute::CheckRemote => mirror::check(call).await,
        ApiRoute::ListRepositories(namespace) => repository::list(call, namespace).await,
        ApiRoute::CreateRepository(namespace) => repository::create(call, &call.namespace(&namespace)?).await,
        ApiRoute::GetRepository(name) => repository::get(call, &name),
        ApiRoute::UpdateRepository(name) => repository::update(call, &name).await,
        ApiRoute::DeleteRepository(name) => repository::delete(call, &name).await,
        ApiRoute::ListQuotas => quota::list(call).await,
        ApiRoute::SetQuota(namespace) => {
            let namespace = namespace.map(|namespace| call.namespace(&namespace)).transpose()?;
            quota::set(call, namespace.as_deref()).await
        }
        ApiRoute::GetQuotas(namespace) => quota::get(call, &call.namespace(&namespace)?).await,
        ApiRoute::ListTags(name) => tag::list(call, name).await,
        ApiRoute::GetTag(name, tag) => tag::get(call, &name, &tag),
        ApiRoute::TagsOf(name, digest) => tag::of_digest(call, name, digest).await,
        ApiRoute::RestoreTag(name, tag) => tag::restore(call, &name, &tag).await,
        ApiRoute::DeleteTag(name, tag) => tag::delete(call, &name, &tag).await,
        ApiRoute::TagHistory(name, tag) => history::get(call, name, tag).await,
        ApiRoute::Decisions(name, tag) => decisions::get(call, &name, &tag),
        ApiRoute::PromoteTag(name, tag) => promotion::by_hand(call, name, tag).await,
        ApiRoute::PushTag(name, tag) => mirror_once::push(call, name, tag).await,
        ApiRoute::ListManifests(name) => tag::manifests(call, name).await,
        ApiRoute::DeleteManifest(name, digest) => tag::delete_manifest(call, &name, &digest).await,
        ApiRoute::ListPolicies(kind, name) => policy::list(call, kind, &name),
        ApiRoute::CreatePolicy(kind, name) => policy::create(call, kind, name).await,
        ApiRoute::GetPolicy(kind, name, id) => policy::get(call, kind, &name, id),
        ApiRoute::UpdatePolicy(kind, name, id) => policy::update(call, kind, name, id).await,
        ApiRoute::DeletePolicy(kind, name, id) => policy::delete(call, kind, &name, id).await,
        ApiRoute::TestPromotion(name) => promotion::test(call, name).await,
        ApiRoute::RunPull(name, id) => mirror::run(call, &name, id).await,
        ApiRoute::ListMirrors(name) => mirror::list(call, &name),
        ApiRoute::DeleteMirrors(name) => mirror::delete(call, &name).await,
        ApiRoute::ListJobs => job::list(call).await,
        ApiRoute::CreateJob => job::create(call).await,
        ApiRoute::GetJob(id) => job::get(call, id),
        ApiRoute::DeleteJob(id) => job::cancel(call, id, true).await,
        ApiRoute::CancelJob(id) => job::cancel(call, id, false).await,
        ApiRoute::JobLogs(id) => job::logs(call, id),
        ApiRoute::BeginBackup => backup::begin(call).await,
        ApiRoute::EndBackup(id) => backup::end(call, id),
        ApiRoute::BackupFile(id, digest, upload) => backup::file(call, id, digest, upload).await,
        ApiRoute::BackupKeys(id) => backup::keys(call, id).await,
    }
}
