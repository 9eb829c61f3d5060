//! What clients ask of a system without a directory (LDAP): it says that it has
//! none, in the shapes that they read, and takes back what it said.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::jobs::system::NoteDone;
use crate::store::Lane;
use crate::store::record::JobAction;

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::error::ApiError;
use super::super::job;
use super::super::route::GivenId;

/// How members would be kept in step with a directory.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SyncShape {
    enable_sync: bool,
    select_group_members: bool,
    #[serde(rename = "groupDN")]
    group_dn: &'static str,
    group_member_attr: &'static str,
    #[serde(rename = "searchBaseDN")]
    search_base_dn: &'static str,
    search_scope_subtree: bool,
    search_filter: &'static str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SyncForm {
    enable_sync: Option<bool>,
    enable_link: Option<bool>,
    backend: Option<String>,
    #[serde(rename = "serverURL")]
    server_url: Option<String>,
    action: Option<String>,
}

#[derive(Debug, Serialize)]
struct WorkersShape {
    workers: [WorkerShape; 1],
}

#[derive(Debug, Serialize)]
struct WorkerShape {
    id: String,
    address: &'static str,
}

/// `GET` and `PUT …SyncConfig`
pub(super) fn sync(call: Call<'_>, is_put: bool) -> Result<Answer, ApiError> {
    let form: SyncForm = if is_put { call.form()? } else { SyncForm::default() };
    if form.enable_sync == Some(true) {
        return Err(ApiError::NoDirectory);
    }
    Ok(Answer::ok(&SyncShape::default()))
}

/// `GET` and `PUT …/groupLinkConfig`
pub(super) fn group(call: Call<'_>, is_put: bool) -> Result<Answer, ApiError> {
    let form: SyncForm = if is_put { call.form()? } else { SyncForm::default() };
    if form.enable_link == Some(true) {
        return Err(ApiError::NoDirectory);
    }
    Ok(Answer::ok(&json!({ "enableLink": false, "groupName": "" })))
}

/// `GET` and `PUT /config/auth`
pub(super) fn auth(call: Call<'_>, is_put: bool) -> Result<Answer, ApiError> {
    let form: SyncForm = if is_put { call.form()? } else { SyncForm::default() };
    match form.backend.as_deref() {
        None | Some("" | "managed") => Ok(Answer::ok(&json!({ "backend": "managed" }))),
        Some(_) => Err(ApiError::NoDirectory),
    }
}

/// `GET` and `PUT /config/auth/ldap`
pub(super) fn ldap(call: Call<'_>, is_put: bool) -> Result<Answer, ApiError> {
    let form: SyncForm = if is_put { call.form()? } else { SyncForm::default() };
    if form.server_url.is_some_and(|url| !url.is_empty()) {
        return Err(ApiError::NoDirectory);
    }
    let sync = serde_json::to_value(SyncShape::default()).unwrap_or(Value::Null);
    Ok(Answer::ok(&json!({
        "serverURL": "", "noSimplePagination": false, "startTLS": false, "rootCerts": "", "tlsSkipVerify": false,
        "readerDN": "", "readerPassword": "", "userSearchConfigs": [], "adminSyncOpts": sync, "syncSchedule": "",
    })))
}

/// `POST /jobs`: what these would do is done already.
pub(super) async fn create_job(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: SyncForm = call.form()?;
    let (action, line) = match form.action.as_deref() {
        Some(word) if word == JobAction::LdapSync.as_str() => {
            (JobAction::LdapSync, "there is no directory (LDAP) to keep in step with")
        }
        Some(word) if word == JobAction::CleanupDb.as_str() => {
            (JobAction::CleanupDb, "the accounts need no clean-up: what is left of any is removed at once")
        }
        other => {
            let why = format!("{:?} is neither \"ldap-sync\" nor \"cleanup-db\"", other.unwrap_or_default());
            return Err(ApiError::Parameter { name: "action", why });
        }
    };
    let store = call.registry().store();
    let id = store.chance().id();
    let noted = store.submit(Lane::Foreground, NoteDone { action, job: id, line }).await?;
    noted.unwrap_or_else(|never| match never {});
    Ok(Answer::accepted(&job::of(call, &id)?.ok_or(ApiError::NoSuchJob)?))
}

/// `GET /workers`: the daemon is the only one.
pub(super) fn workers(call: Call<'_>) -> Answer {
    let id = call.registry().store().instance().to_string();
    Answer::ok(&WorkersShape { workers: [WorkerShape { id, address: "localhost" }] })
}

/// `GET /workers/{id}/ping`
pub(super) fn ping(call: Call<'_>, id: GivenId) -> Result<Answer, ApiError> {
    if id == Some(call.registry().store().instance()) { Ok(Answer::nothing()) } else { Err(ApiError::NoSuchWorker) }
}
