//! One tag sent to another registry by hand: no policy stands behind it, and
//! nothing of it is kept. Whoever asked waits for it, and asks again when it
//! was cut short; what was sent by then is not sent again.

use std::sync::atomic::AtomicU64;

use crate::oci::{Digest, Tag};
use crate::registry::{Caller, Registry};
use crate::store::RepoId;
use crate::store::record::{Direction, Policy, PolicyBody, Remote, Transfer};

use super::log::JobLog;
use super::push_mirror::Push;
use super::remote::{Plain, RemoteSettingError, Remotes};
use super::settle::Outcome;

/// What is sent, and where to.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The repository here.
    pub repository: RepoId,
    /// The tag here.
    pub tag: Tag,
    /// What it is.
    pub digest: Digest,
    /// The other registry.
    pub remote: Remote,
    /// How to sign in there.
    pub plain: Plain,
    /// The tag there.
    pub remote_tag: Tag,
}

/// Sends it, on the rights of `caller`; how it went.
pub async fn push_once(
    registry: &Registry,
    remotes: &Remotes,
    caller: &Caller,
    errand: Errand,
) -> Result<Outcome, RemoteSettingError> {
    let Errand { repository, tag, digest, mut remote, plain, remote_tag } = errand;
    let store = registry.store();
    let (id, now) = (store.chance().id(), store.now());
    remotes.seal(&id, &mut remote, &plain).await?;
    let policy = Policy {
        id,
        version: 1,
        repository,
        owner: caller.owner(),
        enabled: true,
        applies_from: 0,
        rules: Vec::new(),
        tag_template: remote_tag.to_string(),
        time_zone: "UTC".to_owned(),
        created_at: now,
        updated_at: now,
        body: PolicyBody::Push { remote },
    };
    let transfer = Transfer {
        direction: Direction::Push,
        want: digest,
        generation: 1,
        done: 0,
        have: None,
        remote_tag: remote_tag.to_string(),
        seq: 0,
        version: 1,
        attempts: 0,
        next_at: now,
        last_error: String::new(),
        bytes: 0,
        job: id,
        updated_at: now,
    };
    let log = JobLog::new(store.clone(), id);
    let (policy, tag, transfer, log, bytes) = (&policy, &tag, &transfer, &log, AtomicU64::new(0));
    Ok(Push { registry, remotes, policy, tag, transfer, log, bytes }.run().await)
}
