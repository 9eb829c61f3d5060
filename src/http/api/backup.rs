//! Backups: rows, files and keys on their way out, for system admins.
//!
//! The daemon reads and the command line writes, because under a service
//! manager the daemon can write nowhere but in its own folder. One backup is
//!
//! 1. `POST /api/v0/backups[?folder=…]`: 200 and the stream of all rows as of one commit
//!    (`docs/FORMAT.md`), whose head names the backup's id. From here on blob
//!    files that lose their name are not removed, until the backup is over. A
//!    folder, by any name, takes one at a time: an earlier one to it is over.
//! 2. `GET /api/v0/backups/{id}/files/{digest}/{upload}?size={bytes}`: 200 and the bytes of
//!    a file that the rows name, with its `Content-Length`; as often as needed.
//! 3. `GET /api/v0/backups/{id}/keys`: 200 and `{"keys": [{"name", "text"}]}`,
//!    over the local socket alone.
//! 4. `DELETE /api/v0/backups/{id}`: 204. A backup that is not used for ten
//!    minutes is over by itself, and every call of it then answers 404.
//!
//! | Status | Code | When |
//! |---|---|---|
//! | 404 | `NO_SUCH_BACKUP` | it is over, or there never was one |
//! | 404 | `NO_SUCH_FILE` | the file is not there, or of another length |
//! | 400 | `INVALID_PARAMETERS` | no `size` of a file, or a long name of a folder |
//! | 403 | `NOT_AUTHORIZED` | no system admin; keys over the network |
//! | 429 | `TOO_MANY_REQUESTS` | four backups are under way already |
//!
//! What goes wrong after the head of an answer breaks it off, and the log says
//! why: a stream without its end, or a file that is too short, is not taken.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::audit::{Act, Action, ObjectKind};
use crate::chance::Id;
use crate::http::Body;
use crate::oci::Digest;
use crate::registry::Caller;
use crate::store::backup::BackupOver;
use crate::store::file::{BlobFile, FileError, UploadId};
use crate::store::quarantine::Held;
use crate::store::{Store, StoreError, error_chain};
use crate::{lifecycle, limits};

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;
use super::route::GivenId;

#[derive(Serialize)]
struct KeysShape {
    keys: Vec<KeyShape>,
}

#[derive(Serialize)]
struct KeyShape {
    name: &'static str,
    text: String,
}

/// Rows on their way. Nobody goes on with a backup whose rows did not arrive:
/// dropped before the last, it is over.
struct Sending {
    store: Store,
    id: Id,
    is_whole: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.is_whole {
            self.store.end_backup(&self.id);
        }
    }
}

/// `POST /api/v0/backups`
pub(super) async fn begin(call: Call<'_>) -> Result<Answer, ApiError> {
    let store = call.registry().store().clone();
    let folder = call.query.filled("folder").unwrap_or_default().to_owned();
    if folder.len() > limits::BACKUP_FOLDER_BYTES {
        let why = format!("it has more than {} bytes", limits::BACKUP_FOLDER_BYTES);
        return Err(ApiError::Parameter { name: "folder", why });
    }
    // Told before anything leaves.
    let act = Act::new(Action::BackupBegin, ObjectKind::Backup, "rows");
    let act = if folder.is_empty() { act } else { act.with("folder", &folder) };
    call.registry().note(call.caller, act).await?;
    let begun = {
        let store = store.clone();
        lifecycle::blocking(move || store.begin_backup(&folder)).await
    };
    let id = begun?;
    tracing::info!(backup.id = %id, "a backup begins");
    let sending = Sending { store, id, is_whole: false };
    let pieces = stream::try_unfold(sending, move |mut sending| async move {
        let piece = next_piece(sending.store.clone(), id).await?;
        sending.is_whole = piece.is_none();
        Ok::<_, BackupOver>(piece.map(|piece| (piece, sending)))
    });
    let pieces = pieces.inspect_err(move |error| {
        tracing::error!(backup.id = %id, error = error_chain(error), "the rows of a backup broke off");
    });
    Ok(Answer::bytes(Body::stream(pieces)))
}

/// `DELETE /api/v0/backups/{id}`
pub(super) fn end(call: Call<'_>, id: GivenId) -> Result<Answer, ApiError> {
    match id.filter(|id| call.registry().store().end_backup(id)) {
        Some(_) => Ok(Answer::nothing()),
        None => Err(BackupOver::Ended.into()),
    }
}

/// `GET /api/v0/backups/{id}/files/{digest}/{upload}?size=…`
pub(super) async fn file(call: Call<'_>, id: GivenId, digest: Digest, upload: UploadId) -> Result<Answer, ApiError> {
    let store = call.registry().store().clone();
    let id = under_way(&store, id)?;
    let size = call.number("size")?;
    let size =
        size.ok_or_else(|| ApiError::Parameter { name: "size", why: "the file's length is needed".to_owned() })?;
    let file = BlobFile { digest, upload };
    let opened = {
        let files = store.files().clone();
        lifecycle::blocking(move || files.open_blob(&file, size as u64)).await
    };
    let reader = match opened {
        Ok(Some(reader)) => reader,
        Ok(None) | Err(FileError::Length { .. }) => {
            // Whichever of the two names it: the other is looked at for nothing.
            call.registry().suspect(Held::blob(digest));
            call.registry().suspect(Held::manifest(digest));
            return Err(ApiError::NoSuchFile(file));
        }
        Err(error) => return Err(StoreError::from(error).into()),
    };
    let length = reader.remaining();
    // A file takes as long as the link allows: every chunk of it is use.
    let chunks = reader.into_stream().inspect(move |chunk| match chunk {
        Ok(_) => {
            store.renew_backup(&id);
        }
        Err(error) => tracing::error!(file = %file, error = error_chain(error), "a file of a backup broke off"),
    });
    Ok(Answer::bytes(Body::sized(length, chunks)))
}

/// `GET /api/v0/backups/{id}/keys`
pub(super) async fn keys(call: Call<'_>, id: GivenId) -> Result<Answer, ApiError> {
    match call.caller {
        Caller::System => {}
        Caller::Account { .. } | Caller::Robot { .. } | Caller::Anonymous => return Err(ApiError::KeysLocal),
    }
    under_way(call.registry().store(), id)?;
    let act = Act::new(Action::BackupKeys, ObjectKind::Backup, "keys");
    call.registry().note(call.caller, act).await?;
    let files = call.state.key_files().to_vec();
    let read = lifecycle::blocking(move || {
        let mut keys = Vec::new();
        for (name, path) in files {
            match std::fs::read_to_string(&path) {
                Ok(text) => keys.push(KeyShape { name, text }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(FileError::Io { action: "read", path, source }),
            }
        }
        Ok(keys)
    });
    let keys = read.await.map_err(StoreError::from)?;
    tracing::info!("the keys were given to a backup");
    Ok(Answer::ok(&KeysShape { keys }))
}

async fn next_piece(store: Store, id: Id) -> Result<Option<Bytes>, BackupOver> {
    lifecycle::blocking(move || store.backup_rows(&id)).await
}

fn under_way(store: &Store, id: GivenId) -> Result<Id, BackupOver> {
    id.filter(|id| store.renew_backup(id)).ok_or(BackupOver::Ended)
}
