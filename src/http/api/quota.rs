//! Quotas: how much all together, namespaces and repositories hold and may.
//!
//! The quota of a repository is one of its settings (`repository`).

use serde::{Deserialize, Serialize};

use crate::lifecycle;
use crate::limits;
use crate::oci::RepoName;
use crate::registry::RegistryError;
use crate::registry::quota::Standing;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct QuotaForm {
    quota_bytes: Option<u64>,
}

/// What is held, and how much may be; a quota of 0 is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageShape {
    kind: &'static str,
    name: String,
    used_bytes: u64,
    quota_bytes: u64,
}

#[derive(Debug, Serialize)]
struct AllShape {
    /// Something is not counted yet: figures are too low, and nothing is
    /// refused.
    counting: bool,
    all: UsageShape,
    namespaces: Vec<UsageShape>,
}

#[derive(Debug, Serialize)]
struct NamespaceShape {
    counting: bool,
    namespace: UsageShape,
    repositories: Vec<UsageShape>,
}

/// What a quota is now.
#[derive(Debug, Serialize)]
struct SetShape {
    #[serde(flatten)]
    usage: UsageShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[String; 1]>,
}

/// `GET /api/v0/quotas`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let registry = call.registry().clone();
    let (shown, next) = lifecycle::blocking(move || {
        let (all, is_whole) = registry.usage_of_all()?;
        let start = page.start.as_deref().unwrap_or_default();
        let mut accounts = registry.accounts(start, page.size + 1)?;
        let next = (accounts.len() > page.size).then(|| accounts.pop()).flatten().map(|(name, _)| name);
        let mut namespaces = Vec::with_capacity(accounts.len());
        for (name, _) in accounts {
            match registry.usage_of_namespace(&name) {
                Ok(standing) => namespaces.push(shape(&standing)),
                // Gone in between.
                Err(RegistryError::NamespaceUnknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<_, RegistryError>((AllShape { counting: !is_whole, all: shape(&all), namespaces }, next))
    })
    .await?;
    Ok(Answer::ok(&shown).next(next))
}

/// `GET /api/v0/quotas/{namespace}`
pub(super) async fn get(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let (registry, namespace) = (call.registry().clone(), namespace.to_owned());
    let (shown, next) = lifecycle::blocking(move || {
        let (_, is_whole) = registry.usage_of_all()?;
        let standing = registry.usage_of_namespace(&namespace)?;
        let (repositories, next) = registry.usage_within(&namespace, page.start.as_deref(), page.size)?;
        let repositories = repositories.iter().map(shape).collect();
        let shown = NamespaceShape { counting: !is_whole, namespace: shape(&standing), repositories };
        Ok::<(NamespaceShape, Option<RepoName>), RegistryError>((shown, next))
    })
    .await?;
    Ok(Answer::ok(&shown).next(next))
}

/// `PUT /api/v0/quotas` and `PUT /api/v0/quotas/{namespace}`
pub(super) async fn set(call: Call<'_>, namespace: Option<&str>) -> Result<Answer, ApiError> {
    let form: QuotaForm = call.form()?;
    let bytes = form.quota_bytes.ok_or(ApiError::Missing("quotaBytes"))?;
    check(bytes)?;
    let standing = call.registry().set_quota(call.caller, namespace, bytes).await?;
    let warning = standing.warning();
    let shown = SetShape { usage: shape(&standing), warnings: warning.clone().map(|warning| [warning]) };
    Ok(Answer::ok(&shown).warn(warning.as_slice()))
}

/// Refuses a quota that is a slip.
pub(super) fn check(bytes: u64) -> Result<(), ApiError> {
    if bytes <= limits::QUOTA_BYTES {
        return Ok(());
    }
    let why = format!("a quota has at most {} bytes; 0 is no quota", limits::QUOTA_BYTES);
    Err(ApiError::Parameter { name: "quotaBytes", why })
}

fn shape(standing: &Standing) -> UsageShape {
    UsageShape {
        kind: standing.of.kind(),
        name: standing.of.name().to_owned(),
        used_bytes: standing.used,
        quota_bytes: standing.limit.unwrap_or(0),
    }
}
