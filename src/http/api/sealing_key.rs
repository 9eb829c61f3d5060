//! Sealing keys: which there are, what each has sealed, and how one is replaced.
//!
//! `GET /api/v0/admin/sealingKeys`: 200 and `{"keys": [...], "missing": [...],
//! "unusable": null}`, or why a key file that is there cannot be used.
//! `POST /api/v0/admin/sealingKeys`: 201 and the same; the new key seals from
//! now on. What the others sealed is sealed anew by `POST /api/v0/jobs` with
//! `{"action": "rekey"}`.
//! `DELETE /api/v0/admin/sealingKeys/{id}`: 204; the key is gone.
//!
//! | Status | Code | When |
//! |---|---|---|
//! | 404 | `NO_SUCH_SEALING_KEY` | there is none with this id |
//! | 409 | `SEALING_KEY_IN_USE` | it seals, something is sealed by it, or a backup is under way that may need it |
//! | 409 | `SEALING_KEYS_GIVEN` | they come from the service manager, and are changed there |
//!
//! No key leaves here; a backup takes them over the local socket.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::audit::{Act, Action, ObjectKind};
use crate::chance::Id;
use crate::identity::KeyChangeError;
use crate::jobs::rekey::{uses, written};
use crate::lifecycle;
use crate::limits;
use crate::store::{Read, Store, StoreError, policy, repo};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

#[derive(Debug, Serialize)]
struct KeysShape {
    keys: Vec<KeyShape>,
    missing: Vec<MissingShape>,
    /// Why a file that is there cannot be used.
    unusable: Option<String>,
}

#[derive(Debug, Serialize)]
struct KeyShape {
    id: String,
    /// Whether it is the one that seals.
    seals: bool,
    /// The name of its file.
    file: String,
    /// Mirrors with credentials that it sealed.
    sealed: usize,
}

/// A key that something is sealed by and that is nowhere.
#[derive(Debug, Serialize)]
struct MissingShape {
    id: String,
    sealed: usize,
    /// The mirrors that stand for it: some of them, where there are many.
    mirrors: Vec<String>,
}

/// `GET /api/v0/admin/sealingKeys`
pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&shape(call).await?))
}

/// `POST /api/v0/admin/sealingKeys`
pub(super) async fn add(call: Call<'_>) -> Result<Answer, ApiError> {
    // Told before it is done: the key is no row.
    call.registry().note(call.caller, Act::new(Action::KeyAdd, ObjectKind::Key, "new")).await?;
    let keys = call.remotes().keys().clone();
    let added = lifecycle::blocking(move || keys.add()).await?;
    tracing::info!(key.id = added, "a sealing key was added; it seals from now on");
    Ok(Answer::created(&shape(call).await?))
}

/// `DELETE /api/v0/admin/sealingKeys/{id}`
pub(super) async fn retire(call: Call<'_>, id: &str) -> Result<Answer, ApiError> {
    let (store, keys) = (call.registry().store(), call.remotes().keys());
    let held = keys.hold().await;
    // A client that gave up has sent its mirror all the same.
    written(store).await?;
    let sealed = {
        let (store, id) = (store.clone(), id.to_owned());
        lifecycle::blocking(move || {
            let read = store.snapshot()?;
            let by = uses(&read)?.remove(&id).unwrap_or_default();
            Ok::<_, StoreError>((by.len(), names(&read, &by)?))
        })
        .await?
    };
    if sealed.0 > 0 {
        return Err(ApiError::KeyInUse { id: id.to_owned(), sealed: sealed.0, mirrors: sealed.1.join(", ") });
    }
    // Its rows may be older than what was just looked at.
    if store.has_backups() {
        return Err(ApiError::KeyInBackup { id: id.to_owned() });
    }
    if keys.list().iter().any(|key| key.id == id && !key.seals) {
        call.registry().note(call.caller, Act::new(Action::KeyRetire, ObjectKind::Key, id)).await?;
    }
    keys.retire(id, &held)?;
    tracing::info!(key.id = id, "a sealing key was taken away; nothing was sealed by it");
    Ok(Answer::nothing())
}

async fn shape(call: Call<'_>) -> Result<KeysShape, ApiError> {
    let (store, keys) = (call.registry().store().clone(), call.remotes().keys().clone());
    let shape = lifecycle::blocking(move || {
        let mut uses: BTreeMap<String, BTreeSet<Id>> = uses(&store.snapshot()?)?;
        keys.set_sealed_by(&uses.keys().cloned().collect());
        let known = keys.list().into_iter().map(|key| KeyShape {
            sealed: uses.remove(&key.id).map_or(0, |by| by.len()),
            file: key.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            id: key.id,
            seals: key.seals,
        });
        let known = known.collect();
        Ok::<_, StoreError>(KeysShape { keys: known, missing: missing(&store, uses)?, unusable: keys.unusable() })
    });
    Ok(shape.await?)
}

fn missing(store: &Store, uses: BTreeMap<String, BTreeSet<Id>>) -> Result<Vec<MissingShape>, StoreError> {
    let read = store.snapshot()?;
    let shape = |(id, by): (String, BTreeSet<Id>)| -> Result<MissingShape, StoreError> {
        Ok(MissingShape { id, sealed: by.len(), mirrors: names(&read, &by)? })
    };
    uses.into_iter().map(shape).collect()
}

/// Mirrors by repository and id, as many as fit an answer.
fn names(read: &impl Read, policies: &BTreeSet<Id>) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for id in policies.iter().take(limits::SEALED_SHOWN) {
        let Some(found) = policy::get(read, id)? else { continue };
        let repository = repo::name_of(read, found.repository)?.map(|name| name.to_string()).unwrap_or_default();
        names.push(format!("{} {id} of {repository}", found.kind().as_str().replace('_', " ")));
    }
    Ok(names)
}

impl From<KeyChangeError> for ApiError {
    fn from(error: KeyChangeError) -> Self {
        Self::KeyChange(error)
    }
}
