//! Repositories.

use serde::{Deserialize, Serialize};

use crate::access::Level;
use crate::lifecycle;
use crate::limits;
use crate::oci::RepoName;
use crate::oci::page::Page;
use crate::registry::quota::Standing;
use crate::registry::repository::Settings;
use crate::registry::{Caller, Registry, RegistryError};
use crate::store::record::{Counts, Repository};

use super::answer::Answer;
use super::call::{Call, Paging};
use super::error::ApiError;
use super::quota;

/// What a repository is made with or changed to. Tools post the object of a
/// listing back: its other fields are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RepositoryForm {
    name: Option<String>,
    short_description: Option<String>,
    long_description: Option<String>,
    visibility: Option<String>,
    scan_on_push: Option<bool>,
    immutable_tags: Option<bool>,
    enable_manifest_lists: Option<bool>,
    tag_limit: Option<u64>,
    quota_bytes: Option<u64>,
}

/// A repository as DTR shows one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryShape {
    id: String,
    namespace: String,
    namespace_type: &'static str,
    name: String,
    short_description: String,
    long_description: String,
    visibility: &'static str,
    scan_on_push: bool,
    immutable_tags: bool,
    enable_manifest_lists: bool,
    pulls: u64,
    pushes: u64,
    tag_limit: u64,
    quota_bytes: u64,
    used_bytes: u64,
    /// What whoever changed it has to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[String; 1]>,
}

#[derive(Debug, Serialize)]
struct RepositoriesShape {
    repositories: Vec<RepositoryShape>,
}

/// A page of repositories, where the next begins, and how many there are.
type Listed = (Vec<RepositoryShape>, Option<RepoName>, Option<usize>);

/// `GET /api/v0/repositories[/{namespace}]`
pub(super) async fn list(call: Call<'_>, namespace: Option<String>) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    // The parameter is ours; DTR has the path.
    let namespace = namespace.or_else(|| call.query.filled("namespace").map(str::to_owned));
    let (repositories, next, count) = lifecycle::blocking(move || {
        let namespace = match namespace {
            Some(namespace) => Some(known(&registry, &caller, namespace)?),
            None => None,
        };
        gather(&registry, &caller, namespace.as_deref(), &page)
    })
    .await?;
    Ok(Answer::ok(&RepositoriesShape { repositories }).next(next).count(count))
}

/// `POST /api/v0/repositories/{namespace}`
pub(super) async fn create(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    let form: RepositoryForm = call.form()?;
    let rest = form.name.clone().filter(|name| !name.is_empty()).ok_or(ApiError::Missing("name"))?;
    let name = format!("{namespace}/{rest}");
    let name: RepoName = name.parse().map_err(|source| ApiError::RepositoryName { name, source })?;
    let made = call.registry().create_repository(call.caller, &name, settings(form)?).await?;
    let read = call.registry().store().snapshot()?;
    let is_org = call.registry().namespace_is_org(&read, namespace)?;
    let usage = call.registry().usage_of_repository(&read, &name, made.number)?;
    Ok(Answer::created(&shape(&name, made, is_org, Counts::default(), &usage)))
}

/// `GET /api/v0/repositories/{namespace}/{reponame}`
pub(super) fn get(call: Call<'_>, name: &RepoName) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&look(call, name)?.0))
}

/// `PATCH /api/v0/repositories/{namespace}/{reponame}`
pub(super) async fn update(call: Call<'_>, name: &RepoName) -> Result<Answer, ApiError> {
    let settings = settings(call.form()?)?;
    let sets_quota = settings.quota_bytes.is_some();
    call.registry().update_repository(call.caller, name, settings).await?;
    let (mut shown, usage) = look(call, name)?;
    let warning = usage.warning().filter(|_| sets_quota);
    shown.warnings = warning.clone().map(|warning| [warning]);
    Ok(Answer::ok(&shown).warn(warning.as_slice()))
}

/// A repository as it stands now.
fn look(call: Call<'_>, name: &RepoName) -> Result<(RepositoryShape, Standing), ApiError> {
    let registry = call.registry();
    let (record, owner) = registry.repository(call.caller, name)?;
    let read = registry.store().snapshot()?;
    let counts = registry.counts(&read, record.number)?;
    let usage = registry.usage_of_repository(&read, name, record.number)?;
    let is_org = owner.is_some_and(|owner| owner.is_org);
    Ok((shape(name, record, is_org, counts, &usage), usage))
}

/// `DELETE /api/v0/repositories/{namespace}/{reponame}`: one that is gone is
/// gone, for whoever would own it; for others it might just be hidden.
pub(super) async fn delete(call: Call<'_>, name: &RepoName) -> Result<Answer, ApiError> {
    match call.registry().delete_repository(call.caller, name).await {
        Ok(left) => {
            let warnings: Vec<String> = left
                .iter()
                .map(|(source, policy)| format!("policy {policy} of {source} promotes into {name}, which is gone"))
                .collect();
            Ok(Answer::nothing().warn(&warnings))
        }
        Err(unknown @ RegistryError::RepositoryUnknown { .. }) => {
            let read = call.registry().store().snapshot()?;
            match call.caller.level(&read, name.namespace(), None)? {
                Some(Level::Admin) => Ok(Answer::nothing()),
                _ => Err(unknown.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The name of a namespace. Who has no name is not told whether there is one,
/// and a system admin sees what the account of one that is gone has left.
fn known(registry: &Registry, caller: &Caller, namespace: String) -> Result<String, RegistryError> {
    match registry.account(&namespace) {
        Ok((name, _)) => Ok(name),
        Err(RegistryError::AccountUnknown { .. }) if *caller == Caller::Anonymous => Ok(namespace),
        Err(unknown @ RegistryError::AccountUnknown { .. }) => {
            let page = Page { entries: 1, last: None };
            let is_left = registry.require_admin(caller, "see what is left").is_ok()
                && !registry.repositories(caller, Some(&namespace), &page)?.0.is_empty();
            if is_left { Ok(namespace) } else { Err(unknown) }
        }
        Err(error) => Err(error),
    }
}

fn gather(
    registry: &Registry,
    caller: &Caller,
    namespace: Option<&str>,
    page: &Paging,
) -> Result<Listed, RegistryError> {
    let mut found = Vec::new();
    // The registry lists what sorts after a name; the page begins at one.
    if let Some(first) = page.start.as_deref().and_then(|start| start.parse::<RepoName>().ok())
        && namespace.is_none_or(|namespace| namespace == first.namespace())
        && let Ok((record, _)) = registry.repository(caller, &first)
    {
        found.push((first, record));
    }
    let after = Page { entries: page.size + 1 - found.len(), last: page.start.clone() };
    found.extend(registry.repositories(caller, namespace, &after)?.0);
    let next = (found.len() > page.size).then(|| found.pop()).flatten().map(|(name, _)| name);
    let read = registry.store().snapshot()?;
    let mut shapes = Vec::with_capacity(found.len());
    for (name, record) in found {
        let is_org = registry.namespace_is_org(&read, name.namespace())?;
        let counts = registry.counts(&read, record.number)?;
        let usage = registry.usage_of_repository(&read, &name, record.number)?;
        shapes.push(shape(&name, record, is_org, counts, &usage));
    }
    let count = if page.count {
        let all = Page { entries: usize::MAX, last: None };
        Some(registry.repositories(caller, namespace, &all)?.0.len())
    } else {
        None
    };
    Ok((shapes, next, count))
}

fn settings(form: RepositoryForm) -> Result<Settings, ApiError> {
    let is_public = match form.visibility.as_deref() {
        None | Some("") => None,
        Some("public") => Some(true),
        Some("private") => Some(false),
        Some(other) => return Err(ApiError::Visibility(other.to_owned())),
    };
    if form.tag_limit.is_some_and(|limit| limit > limits::TAG_LIMIT) {
        let why = format!("a repository keeps at most {} tags by a limit; 0 is no limit", limits::TAG_LIMIT);
        return Err(ApiError::Parameter { name: "tagLimit", why });
    }
    if let Some(bytes) = form.quota_bytes {
        quota::check(bytes)?;
    }
    Ok(Settings {
        is_public,
        short_description: form.short_description,
        long_description: form.long_description,
        immutable_tags: form.immutable_tags,
        scan_on_push: form.scan_on_push,
        tag_limit: form.tag_limit,
        quota_bytes: form.quota_bytes,
        enable_manifest_lists: form.enable_manifest_lists,
    })
}

/// A repository as it is shown inside of another answer.
pub(super) fn shown(call: Call<'_>, name: &RepoName, record: Repository) -> Result<RepositoryShape, RegistryError> {
    let read = call.registry().store().snapshot()?;
    let is_org = call.registry().namespace_is_org(&read, name.namespace())?;
    let counts = call.registry().counts(&read, record.number)?;
    let usage = call.registry().usage_of_repository(&read, name, record.number)?;
    Ok(shape(name, record, is_org, counts, &usage))
}

fn shape(name: &RepoName, record: Repository, is_org: bool, counts: Counts, usage: &Standing) -> RepositoryShape {
    RepositoryShape {
        id: record.id.to_string(),
        namespace: name.namespace().to_owned(),
        namespace_type: if is_org { "organization" } else { "user" },
        name: name.rest().to_owned(),
        short_description: record.short_description,
        long_description: record.long_description,
        visibility: if record.is_public { "public" } else { "private" },
        scan_on_push: record.scan_on_push,
        immutable_tags: record.immutable_tags,
        enable_manifest_lists: record.enable_manifest_lists,
        pulls: counts.pulls,
        pushes: counts.pushes,
        tag_limit: record.tag_limit,
        quota_bytes: usage.limit.unwrap_or(0),
        used_bytes: usage.used,
        warnings: None,
    }
}
