//! Tags with where they came from, and manifests.

use serde::{Deserialize, Serialize};

use crate::event::{Actor, Cause};
use crate::lifecycle;
use crate::limits;
use crate::oci::page::Page;
use crate::oci::{Digest, RepoName, Tag};
use crate::registry::tag_list::image_size;
use crate::store::record::TagValue;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::route::RouteError;

/// DTR's name for the policy of a promotion by hand.
pub(super) const BY_HAND: &str = "MANUAL_PROMOTION";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TagShape {
    name: String,
    digest: String,
    author: String,
    updated_at: String,
    created_at: String,
    hash_mismatch: bool,
    in_notary: bool,
    manifest: ManifestShape,
    /// Ours, as in the tag's history.
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion: Option<PromotionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirroring: Option<MirroringShape>,
}

/// What a tag is set back to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RestoreForm {
    digest: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestShape {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) size: u64,
    /// The bytes of what it names: ours, DTR says nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_size: Option<u64>,
}

/// Where a promoted tag came from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromotionShape {
    #[serde(rename = "promotionPolicyID")]
    pub(super) promotion_policy_id: String,
    /// DTR's description requires a field of this name and says nothing of it.
    pub(super) string: String,
    pub(super) source_repository: String,
    pub(super) source_tag: String,
}

/// Where a pulled tag came from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MirroringShape {
    #[serde(rename = "mirroringPolicyID")]
    mirroring_policy_id: String,
    digest: String,
    remote_host: String,
    remote_repository: String,
    remote_tag: String,
}

/// `GET …/tags`
pub(super) async fn list(call: Call<'_>, repository: RepoName) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let (shapes, next, count) = lifecycle::blocking(move || {
        let (found, next) = registry.tag_values(&caller, &repository, page.start.as_deref(), page.size)?;
        let count = if page.count {
            let all = Page { entries: usize::MAX, last: None };
            Some(registry.tags(&caller, &repository, &all)?.0.len())
        } else {
            None
        };
        let read = registry.store().snapshot()?;
        let mut shapes = Vec::with_capacity(found.len());
        for (tag, value) in found {
            let size = image_size(&read, &value.digest)?;
            shapes.push(shape(&tag, value, size));
        }
        Ok::<_, ApiError>((shapes, next, count))
    })
    .await?;
    Ok(Answer::ok(&shapes).next(next).count(count))
}

/// `GET …/tags/{tag}`: DTR answers with a list of one.
pub(super) fn get(call: Call<'_>, repository: &RepoName, tag: &Tag) -> Result<Answer, ApiError> {
    let value = call.registry().tag_value(call.caller, repository, tag)?;
    shown(call, tag, value)
}

/// `GET …/tags/{digest}`: the tags of a manifest, up to a page of them.
pub(super) async fn of_digest(call: Call<'_>, repository: RepoName, digest: Digest) -> Result<Answer, ApiError> {
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let shapes = lifecycle::blocking(move || {
        let found = registry.tags_of(&caller, &repository, &digest, limits::PAGE_ENTRIES)?;
        let size = image_size(&registry.store().snapshot()?, &digest)?;
        let shapes: Vec<TagShape> = found.into_iter().map(|(tag, value)| shape(&tag, value, size)).collect();
        Ok::<_, ApiError>(shapes)
    })
    .await?;
    Ok(Answer::ok(&shapes))
}

/// `PUT …/tags/{tag}`: sets it back to something that it was; `If-Match` says
/// what it has to be until then.
pub(super) async fn restore(call: Call<'_>, repository: &RepoName, tag: &Tag) -> Result<Answer, ApiError> {
    let (form, condition): (RestoreForm, _) = (call.form()?, call.condition()?);
    let text = form.digest.filter(|text| !text.is_empty()).ok_or(ApiError::Missing("digest"))?;
    let digest: Digest = text.parse().map_err(RouteError::Digest)?;
    let value = call.registry().restore_tag(call.caller, repository, tag, &digest, condition).await?;
    shown(call, tag, value)
}

/// `DELETE …/tags/{tag}`; `If-Match` says what it has to be until then.
pub(super) async fn delete(call: Call<'_>, repository: &RepoName, tag: &Tag) -> Result<Answer, ApiError> {
    call.registry().delete_tag(call.caller, repository, tag, call.condition()?).await?;
    Ok(Answer::nothing())
}

/// `GET …/manifests`: a page begins after the digest that was last.
pub(super) async fn manifests(call: Call<'_>, repository: RepoName) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let last: Option<Digest> = match page.start.as_deref() {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|error| ApiError::Parameter { name: "pageStart", why: format!("{error}") })?)
        }
    };
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let (found, more) =
        lifecycle::blocking(move || registry.manifest_bodies(&caller, &repository, last.as_ref(), page.size)).await?;
    let next = found.last().map(|(digest, _)| digest.to_string()).filter(|_| more);
    let shapes: Vec<ManifestShape> = found
        .into_iter()
        .map(|(digest, body)| ManifestShape {
            digest: digest.to_string(),
            media_type: body.kind.to_string(),
            size: body.size,
            image_size: None,
        })
        .collect();
    Ok(Answer::ok(&shapes).next(next))
}

/// `DELETE …/manifests/{digest}`
pub(super) async fn delete_manifest(
    call: Call<'_>,
    repository: &RepoName,
    digest: &Digest,
) -> Result<Answer, ApiError> {
    call.registry().delete_manifest(call.caller, repository, digest, call.condition()?).await?;
    Ok(Answer::nothing())
}

fn shown(call: Call<'_>, tag: &Tag, value: TagValue) -> Result<Answer, ApiError> {
    let size = image_size(&call.registry().store().snapshot()?, &value.digest)?;
    Ok(Answer::ok(&[shape(tag, value, size)]))
}

fn shape(tag: &Tag, value: TagValue, image_size: Option<u64>) -> TagShape {
    let (digest, author) = (value.digest.to_string(), author(&value.actor, &value.cause));
    let cause = why(&value.cause);
    let (promotion, mirroring) = origin(value.cause, &digest);
    TagShape {
        name: tag.to_string(),
        author,
        updated_at: value.set_at.rfc3339(),
        created_at: value.created_at.rfc3339(),
        hash_mismatch: false,
        in_notary: false,
        manifest: ManifestShape {
            digest: digest.clone(),
            media_type: value.kind.to_string(),
            size: value.size,
            image_size,
        },
        digest,
        cause,
        promotion,
        mirroring,
    }
}

/// Why a tag was set, in a word.
pub(super) const fn why(cause: &Cause) -> &'static str {
    match cause {
        Cause::Push => "push",
        Cause::Promotion { .. } => "promotion",
        Cause::PullMirror { .. } => "poll_mirroring",
        Cause::Restore => "restore",
    }
}

/// Who set a tag. DTR's label of a policy that acts is that of promotions.
pub(super) fn author(actor: &Actor, cause: &Cause) -> String {
    match (actor, cause) {
        (Actor::Policy(id), Cause::PullMirror { .. }) => format!("POLL_MIRRORING {}", id.short()),
        (actor, _) => actor.label(),
    }
}

/// Where a tag that nobody pushed came from.
pub(super) fn origin(cause: Cause, digest: &str) -> (Option<PromotionShape>, Option<MirroringShape>) {
    match cause {
        Cause::Push | Cause::Restore => (None, None),
        Cause::Promotion { policy, repository, tag } => (
            Some(PromotionShape {
                promotion_policy_id: policy.map_or_else(|| BY_HAND.to_owned(), |policy| policy.to_string()),
                string: String::new(),
                source_repository: repository.to_string(),
                source_tag: tag.to_string(),
            }),
            None,
        ),
        Cause::PullMirror { policy, host, repository, tag } => (
            None,
            Some(MirroringShape {
                mirroring_policy_id: policy.to_string(),
                digest: digest.to_owned(),
                remote_host: host,
                remote_repository: repository,
                remote_tag: tag,
            }),
        ),
    }
}
