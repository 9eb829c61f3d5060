//! Tags with where they came from, and manifests.

use serde::Serialize;

use crate::event::Cause;
use crate::lifecycle;
use crate::limits;
use crate::oci::page::Page;
use crate::oci::{Digest, RepoName, Tag};
use crate::store::record::TagValue;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion: Option<PromotionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirroring: Option<MirroringShape>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestShape {
    digest: String,
    media_type: String,
    size: u64,
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
struct MirroringShape {
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
    let (found, next, count) = lifecycle::blocking(move || {
        let (found, next) = registry.tag_values(&caller, &repository, page.start.as_deref(), page.size)?;
        let count = if page.count {
            let all = Page { entries: usize::MAX, last: None };
            Some(registry.tags(&caller, &repository, &all)?.0.len())
        } else {
            None
        };
        Ok::<_, ApiError>((found, next, count))
    })
    .await?;
    let shapes: Vec<TagShape> = found.into_iter().map(|(tag, value)| shape(&tag, value)).collect();
    Ok(Answer::ok(&shapes).next(next).count(count))
}

/// `GET …/tags/{tag}`: DTR answers with a list of one.
pub(super) fn get(call: Call<'_>, repository: &RepoName, tag: &Tag) -> Result<Answer, ApiError> {
    let value = call.registry().tag_value(call.caller, repository, tag)?;
    Ok(Answer::ok(&[shape(tag, value)]))
}

/// `GET …/tags/{digest}`: the tags of a manifest, up to a page of them.
pub(super) fn of_digest(call: Call<'_>, repository: &RepoName, digest: &Digest) -> Result<Answer, ApiError> {
    let found = call.registry().tags_of(call.caller, repository, digest, limits::PAGE_ENTRIES)?;
    let shapes: Vec<TagShape> = found.into_iter().map(|(tag, value)| shape(&tag, value)).collect();
    Ok(Answer::ok(&shapes))
}

/// `DELETE …/tags/{tag}`
pub(super) async fn delete(call: Call<'_>, repository: &RepoName, tag: &Tag) -> Result<Answer, ApiError> {
    call.registry().delete_tag(call.caller, repository, tag).await?;
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
    call.registry().delete_manifest(call.caller, repository, digest).await?;
    Ok(Answer::nothing())
}

fn shape(tag: &Tag, value: TagValue) -> TagShape {
    let digest = value.digest.to_string();
    let (promotion, mirroring) = match value.cause {
        Cause::Push => (None, None),
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
                digest: digest.clone(),
                remote_host: host,
                remote_repository: repository,
                remote_tag: tag,
            }),
        ),
    };
    TagShape {
        name: tag.to_string(),
        author: value.actor.label(),
        updated_at: value.set_at.rfc3339(),
        created_at: value.created_at.rfc3339(),
        hash_mismatch: false,
        in_notary: false,
        manifest: ManifestShape { digest: digest.clone(), media_type: value.kind.to_string(), size: value.size },
        digest,
        promotion,
        mirroring,
    }
}
