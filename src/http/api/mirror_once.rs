//! One tag sent to another registry by hand.

use serde::{Deserialize, Serialize};

use crate::access::Level;
use crate::audit::{Act, Action, ObjectKind};
use crate::jobs::once::{Errand, push_once};
use crate::jobs::remote;
use crate::jobs::settle::Outcome;
use crate::oci::{Reference, RepoName, Tag};
use crate::policy::Kind;
use crate::registry::RegistryError;
use crate::store::tag;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::mirror::{ask, enough, is_admin};
use super::mirror_form::MirrorForm;

/// What stands for the policy, as DTR has it for a promotion by hand.
const BY_HAND: &str = "MANUAL_MIRRORING";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OnceForm {
    remote_tag: Option<String>,
    #[serde(flatten)]
    remote: MirrorForm,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OnceShape {
    #[serde(rename = "mirroringPolicyID")]
    mirroring_policy_id: &'static str,
    digest: String,
    remote_repository: String,
    remote_tag: String,
}

/// `POST …/tags/{tag}/pushMirroring`: answered when it is there.
pub(super) async fn push(call: Call<'_>, repository: RepoName, name: Tag) -> Result<Answer, ApiError> {
    let form: OnceForm = call.form()?;
    let remote_tag: Tag = match form.remote_tag.filter(|tag| !tag.is_empty()) {
        Some(text) => text.parse()?,
        None => name.clone(),
    };
    let (remote, plain) = form.remote.remote(is_admin(call)?);
    let wrong = |error: remote::RemoteSettingError| ApiError::Policy { kind: Kind::PushMirror, why: error.to_string() };
    remote::check(&remote).map_err(wrong)?;
    let target = format!("{}/{}:{remote_tag}", remote.host, remote.repository);
    let image = format!("{repository}:{name}");
    let namespace = repository.namespace().to_owned();
    let (number, digest) = {
        let read = call.registry().store().snapshot()?;
        let record = call.caller.require(&read, &repository, Level::ReadOnly)??;
        let unknown = RegistryError::ManifestUnknown { reference: Reference::Tag(name.clone()), repository };
        (record.number, tag::get(&read, record.number, &name)?.ok_or(unknown)?.digest)
    };
    enough(Kind::PushMirror, &remote, ask(call, Kind::PushMirror, &remote, plain.clone()).await?)?;
    let act = Act::new(Action::TagSend, ObjectKind::Tag, image).within(&namespace).with("target", target);
    call.registry().note(call.caller, act.digests(None, Some(digest))).await?;
    let remote_repository = remote.repository.clone();
    let errand =
        Errand { repository: number, tag: name.clone(), digest, remote, plain, remote_tag: remote_tag.clone() };
    match push_once(call.registry(), call.remotes(), call.caller, errand).await.map_err(wrong)? {
        Outcome::Done { bytes, .. } => {
            tracing::info!(tag = %name, digest = %digest, size_bytes = bytes, "a tag was sent to another registry by hand");
        }
        Outcome::Gone { why } | Outcome::Failed { why, .. } => return Err(ApiError::Remote(why)),
        Outcome::Interrupted => return Err(ApiError::Remote("the daemon stops".to_owned())),
    }
    Ok(Answer::created(&OnceShape {
        mirroring_policy_id: BY_HAND,
        digest: digest.to_string(),
        remote_repository,
        remote_tag: remote_tag.to_string(),
    }))
}
