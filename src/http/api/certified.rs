//! Which account a client certificate stands for. These calls are ours.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MapForm {
    name: Option<String>,
    account: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MappedShape {
    name: String,
    account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct ListShape {
    certificates: Vec<MappedShape>,
}

/// `GET /api/v0/clientCertificates`
pub(super) fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let start = page.start.as_deref().unwrap_or_default();
    let mut found = call.registry().certificates(call.caller, start, page.size + 1)?;
    let next = (found.len() > page.size).then(|| found.pop()).flatten().map(|(name, ..)| name);
    let certificates = found
        .into_iter()
        .map(|(name, account, record)| MappedShape { name, account, created_at: Some(record.created_at.rfc3339()) })
        .collect();
    Ok(Answer::ok(&ListShape { certificates }).next(next))
}

/// `POST /api/v0/clientCertificates`
pub(super) async fn map(call: Call<'_>) -> Result<Answer, ApiError> {
    let form: MapForm = call.form()?;
    let name = form.name.ok_or(ApiError::Missing("name"))?;
    let account = form.account.ok_or(ApiError::Missing("account"))?;
    let name = call.registry().map_certificate(call.caller, &name, &account).await?;
    Ok(Answer::created(&MappedShape { name, account, created_at: None }))
}

/// `DELETE /api/v0/clientCertificates?name=`: a name may have slashes in it.
pub(super) async fn unmap(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.query.filled("name").ok_or(ApiError::Missing("name"))?;
    call.registry().unmap_certificate(call.caller, name).await?;
    Ok(Answer::nothing())
}
