//! What a tag was: every change with who, when, from what, to what and why.

use serde::Serialize;

use crate::lifecycle;
use crate::oci::{RepoName, Tag};
use crate::registry::history::{Became, TagChange};
use crate::store::record::Removal;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::tag::{ManifestShape, MirroringShape, PromotionShape, author, origin, why};

/// One change of a tag.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeShape {
    /// The number of its event, and where a page begins.
    sequence: u64,
    at: String,
    author: String,
    cause: &'static str,
    /// What the tag named from then on; nothing when it was removed.
    digest: Option<String>,
    /// What it named before; nothing where it is not known, or was nothing.
    previous_digest: Option<String>,
    /// Whether the tag is this now.
    current: bool,
    /// Whether the manifest is still here, so that the tag can be set back.
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<ManifestShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion: Option<PromotionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirroring: Option<MirroringShape>,
}

/// `GET …/tags/{tag}/history`: newest first.
pub(super) async fn get(call: Call<'_>, repository: RepoName, tag: Tag) -> Result<Answer, ApiError> {
    let page = call.paging()?;
    let start = page.start.as_deref().map(str::parse).transpose().map_err(|_| ApiError::Parameter {
        name: "pageStart",
        why: "a page of a history begins at the sequence number of a change".to_owned(),
    })?;
    let (registry, caller) = (call.registry().clone(), call.caller.clone());
    let (found, next, count) = lifecycle::blocking(move || {
        let (found, next) = registry.tag_history(&caller, &repository, &tag, start, page.size)?;
        let count = page.count.then(|| registry.tag_history_len(&caller, &repository, &tag)).transpose()?;
        Ok::<_, ApiError>((found, next, count))
    })
    .await?;
    let shapes: Vec<ChangeShape> = found.into_iter().map(shape).collect();
    Ok(Answer::ok(&shapes).next(next).count(count))
}

fn shape(change: TagChange) -> ChangeShape {
    let TagChange { seq, at, actor, previous, became } = change;
    let mut shape = ChangeShape {
        sequence: seq,
        at: at.rfc3339(),
        author: actor.label(),
        cause: "",
        digest: None,
        previous_digest: previous.map(|digest| digest.to_string()),
        current: false,
        available: false,
        manifest: None,
        promotion: None,
        mirroring: None,
    };
    match became {
        Became::Nothing(removal) => shape.cause = why_gone(removal),
        Became::Value { digest, kind, size, cause, is_here, is_current } => {
            let digest = digest.to_string();
            shape.author = author(&actor, &cause);
            shape.cause = why(&cause);
            shape.manifest =
                Some(ManifestShape { digest: digest.clone(), media_type: kind.to_string(), size, image_size: None });
            (shape.promotion, shape.mirroring) = origin(cause, &digest);
            (shape.digest, shape.current, shape.available) = (Some(digest), is_current, is_here);
        }
    }
    shape
}

const fn why_gone(removal: Removal) -> &'static str {
    match removal {
        Removal::Tag => "delete",
        Removal::Manifest => "manifest_delete",
        Removal::Limit => "tag_limit",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chance::Id;
    use crate::clock::Timestamp;
    use crate::event::{Actor, Cause};
    use crate::oci::{Digest, MediaType};

    #[test]
    fn what_was_pulled_says_by_which_policy_and_from_where() {
        let (policy, digest) = (Id::from_bytes([0xab; 16]), Digest::sha256_of(b"x"));
        let (host, repository, tag) = ("https://far".to_owned(), "a/b".to_owned(), "3".to_owned());
        let became = Became::Value {
            digest,
            kind: MediaType::OciManifest,
            size: 5,
            cause: Cause::PullMirror { policy, host, repository, tag },
            is_here: true,
            is_current: false,
        };
        let (actor, at) = (Actor::Policy(policy), Timestamp::from_micros(1));
        let told = shape(TagChange { seq: 7, at, actor, previous: None, became });
        let expected = json!({
            "sequence": 7,
            "at": "1970-01-01T00:00:00.000001Z",
            "author": "POLL_MIRRORING ABABABAB",
            "cause": "poll_mirroring",
            "digest": digest,
            "previousDigest": null,
            "current": false,
            "available": true,
            "manifest": { "digest": digest, "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 5 },
            "mirroring": {
                "mirroringPolicyID": policy.to_string(), "digest": digest,
                "remoteHost": "https://far", "remoteRepository": "a/b", "remoteTag": "3",
            },
        });
        assert_eq!(serde_json::to_value(told).unwrap(), expected);
    }
}
