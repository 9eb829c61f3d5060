//! Settings in DTR's shape. What cannot be set here is shown as it is, taken
//! back as it was shown, and refused otherwise.

use serde_json::{Map, Value, json};

use crate::registry::settings::SettingsChange;
use crate::store::record::Settings;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

/// The one that can be set.
const CREATE_ON_PUSH: &str = "createRepositoryOnPush";

/// `GET /api/v0/meta/settings`
pub(super) fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&Value::Object(shape(call, call.registry().settings()?))))
}

/// `POST /api/v0/meta/settings`
pub(super) async fn update(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: Map<String, Value> = call.form()?;
    let known = shape(call, call.registry().settings()?);
    let mut change = SettingsChange::default();
    for (name, value) in form {
        let refuse = |why: &str| Err(ApiError::Settings(format!("`{name}` {why}")));
        match (name.as_str(), &value, known.get(&name)) {
            (_, Value::Null, _) => {}
            (CREATE_ON_PUSH, Value::Bool(wanted), _) => change.create_on_push = Some(*wanted),
            (CREATE_ON_PUSH, _, _) => return refuse("takes true or false"),
            // Where keys are sent none is shown; an empty one changes nothing.
            ("webTLSKey", Value::String(text), _) if text.is_empty() => {}
            (_, value, Some(shown)) if value == shown => {}
            (_, _, Some(_)) | ("webTLSKey", _, None) => {
                return refuse("cannot be changed here; the configuration file has what can be set");
            }
            // Unknown fields are passed over, as everywhere.
            (_, _, None) => {}
        }
    }
    call.registry().update_settings(call.caller, change).await?;
    Ok(Answer::accepted(&json!({})))
}

/// `GET /api/v0/accounts/language`
pub(super) fn language() -> Answer {
    Answer::ok(&json!({ "language": "en" }))
}

/// `GET /api/v0/accounts/{username}/settings`: there are no content caches.
pub(super) fn of_user() -> Answer {
    Answer::ok(&json!({ "ContentCacheUUID": "" }))
}

/// `PATCH /api/v0/accounts/{username}/settings`
pub(super) fn update_user(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: Map<String, Value> = call.form()?;
    match form.get("contentCacheUUID") {
        None | Some(Value::Null) => Ok(of_user()),
        Some(Value::String(text)) if text.is_empty() => Ok(of_user()),
        Some(_) => Err(ApiError::UserSettings),
    }
}

/// Every field that DTR's description requires.
fn shape(call: Call<'_>, settings: Settings) -> Map<String, Value> {
    let replica = call.registry().store().instance().to_string();
    let shown = json!({
        "dtrHost": "", "sso": false, CREATE_ON_PUSH: settings.create_on_push, "replicaSettings": {},
        "httpProxy": "", "httpsProxy": "", "noProxy": "",
        "disableUpgrades": true, "reportAnalytics": false, "anonymizeAnalytics": true, "disableBackupWarning": true,
        "logProtocol": "", "logHost": "", "logLevel": "",
        "webTLSCert": call.state.ca_pem().unwrap_or_default(), "webTLSCA": "", "webTLSClientCA": "",
        "clientCertAuthEnabled": false, "replicaID": replica,
        "scanningEnabled": false, "scanningSyncOnline": false, "scanningDeadline": 0,
        "scanningEnableAutoRecheck": false,
        "jobHistoryCompactionEnabled": true, "jobHistoryToKeep": crate::limits::JOBS_KEPT, "jobHistoryMaxAge": "",
        "repoEventHistoryCompactionEnabled": true, "repoEventHistoryToKeep": crate::limits::EVENTS_KEPT,
        "repoEventHistoryMaxAge": "",
        "storageVolume": "", "nfsHost": "", "nfsPath": "", "readOnlyRegistry": false, "disablePersistentCookies": false,
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
