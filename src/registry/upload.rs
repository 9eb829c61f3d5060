//! Upload sessions: opened by one caller, written by one request at a time,
//! ended by a digest.
//!
//! A session is a folder on the disk and an entry here; after a restart the
//! entries are rebuilt from the folders. It belongs to who opened it and to
//! the repository it was opened for: to everybody else it does not exist.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::OwnedMutexGuard;

use crate::access::Level;
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::range::Chunk;
use crate::oci::{Algorithm, Digest, RepoName};
use crate::store::file::{
    AppendError, FileError, Level as Room, SealError, Sealed, Session, Upload, UploadId, append_stream,
};
use crate::store::{Store, StoreError};

use super::reserve::{Busy, Quotas, Reservation};
use super::unnamed::{Unnamed, Unsealed};
use super::{Caller, Registry, RegistryError};

/// The open sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<HashMap<UploadId, Entry>>,
    /// Uploads of the daemon's own, which no client can go on with.
    own: OwnUploads,
}

/// Why a body was not read to its end, if it was not.
type Refused = Arc<Mutex<Option<RegistryError>>>;

type OwnUploads = Arc<Mutex<HashSet<UploadId>>>;

/// The owner of the daemon's own uploads on the disk.
const OWN: &str = "daemon";

#[derive(Clone, Debug)]
struct Entry {
    owner: String,
    /// Whose sessions it counts among: robots have those of their namespace's
    /// account. After a restart the owner's, and it is the first to go.
    account: String,
    repository: RepoName,
    touched: Timestamp,
    /// It was opened before the last restart.
    is_left: bool,
    /// Where it stood when the request that has its lock came: bytes that no
    /// request takes back.
    settled: Arc<AtomicU64>,
    /// What it has set aside of quotas.
    reservation: Arc<Reservation>,
    upload: Arc<tokio::sync::Mutex<Slot>>,
}

/// What a request says of the bytes that it brings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// `Content-Range`, if it was there.
    pub chunk: Option<Chunk>,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// What the whole upload will be, if this is its end.
    pub digest: Option<Digest>,
}

/// What is behind a session's lock.
#[derive(Debug, Default)]
struct Slot {
    /// `None` until it is needed after a restart.
    upload: Option<Upload>,
}

/// A chunk's body as it arrives; an error means that the client broke off.
pub trait Body: Stream<Item = Result<Bytes, BrokenBody>> + Send + 'static {}

impl<S: Stream<Item = Result<Bytes, BrokenBody>> + Send + 'static> Body for S {}

/// The client broke off or stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's body ended early")]
pub struct BrokenBody;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The session.
    pub id: UploadId,
    /// Bytes it has.
    pub offset: u64,
}

impl Sessions {
    /// Takes over the sessions in the store's folder; broken ones, and those
    /// whose file a row names already, are dropped.
    pub(super) fn rebuild(store: &Store, quotas: &Quotas) -> Result<Self, StoreError> {
        let found = store.files().sessions()?;
        for broken in &found.broken {
            tracing::info!(upload.id = %broken.id, why = %broken.fault, "an upload session that cannot go on is dropped");
            store.files().drop_upload(broken.id)?;
        }
        let mut open = HashMap::new();
        for session in found.whole {
            if session.session.owner == OWN {
                store.files().drop_upload(session.id)?;
                continue;
            }
            let entry = Entry {
                account: session.session.owner.clone(),
                owner: session.session.owner,
                reservation: quotas.reservation(session.id, &session.session.repository, store.clock()),
                repository: session.session.repository,
                touched: session.touched,
                is_left: true,
                settled: Arc::default(),
                upload: Arc::new(tokio::sync::Mutex::new(Slot::default())),
            };
            open.insert(session.id, entry);
        }
        if !open.is_empty() {
            tracing::info!(sessions = open.len(), "upload sessions of an earlier run can go on");
        }
        Ok(Self { open: Mutex::new(open), own: OwnUploads::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, caller: &Caller, repository: &RepoName, session: &str) -> Result<(UploadId, Entry), RegistryError> {
        let unknown = || RegistryError::UploadUnknown { session: session.to_owned() };
        let id: UploadId = session.parse().map_err(|_| unknown())?;
        let entry = self.lock().get(&id).cloned().ok_or_else(unknown)?;
        if entry.owner != owner(caller) || entry.repository != *repository {
            return Err(unknown());
        }
        Ok((id, entry))
    }

    fn forget(&self, id: UploadId) {
        self.lock().remove(&id);
    }

    /// Drops a session that no request works on, for others who need its room.
    pub(super) fn drop_idle(&self, store: &Store, id: UploadId) {
        {
            let mut open = self.lock();
            if open.get(&id).is_none_or(|entry| Arc::strong_count(&entry.upload) > 1) {
                return;
            }
            open.remove(&id);
        }
        tracing::info!(upload.id = %id, "an upload that nobody went on with made room for others under a quota");
        let files = store.files().clone();
        crate::lifecycle::detached(move || {
            if let Err(error) = files.drop_upload(id) {
                tracing::warn!(upload.id = %id, error = crate::store::error_chain(&error), "its bytes could not be removed");
            }
        });
    }

    /// The ids of all open sessions; their files are nobody else's to remove.
    pub(super) fn ids(&self) -> Vec<UploadId> {
        let mut ids: Vec<UploadId> = self.lock().keys().copied().collect();
        ids.extend(self.own.lock().unwrap_or_else(PoisonError::into_inner).iter());
        ids
    }

    /// Makes room for one more session of `account`: when its own bound is met,
    /// the session of it that nobody has touched for longest has to go, those
    /// from before a restart first. When that of all is met, one of whoever has
    /// most: idle ones first, and then one between two requests, where that
    /// account still has no fewer than this one. `None` when there is room; an
    /// error when all are in use.
    fn make_room(
        open: &mut HashMap<UploadId, Entry>,
        account: &str,
        now: Timestamp,
    ) -> Result<Option<UploadId>, usize> {
        let mut held = HashMap::<&str, usize>::new();
        for entry in open.values() {
            *held.entry(&entry.account).or_default() += 1;
        }
        let held_by = |account: &str| held.get(account).copied().unwrap_or_default();
        let mine = held_by(account);
        let mine_is_full = mine >= limits::UPLOADS_PER_ACCOUNT;
        if !mine_is_full && open.len() < limits::UPLOADS {
            return Ok(None);
        }
        let is_idle = |entry: &Entry| entry.is_left || now.since(entry.touched) > limits::UPLOAD_ABANDONED;
        let may_go = |entry: &Entry| {
            let between_requests = Arc::strong_count(&entry.upload) == 1;
            between_requests
                && match mine_is_full {
                    true => is_idle(entry) && entry.account == account,
                    false => is_idle(entry) || (entry.has_begun() && held_by(&entry.account) > mine + 1),
                }
        };
        let first_to_go = open.iter().filter(|(_, entry)| may_go(entry)).min_by_key(|(_, entry)| {
            (!is_idle(entry), Reverse(held_by(&entry.account)), !entry.is_left, entry.touched)
        });
        let id = first_to_go.map(|(id, _)| *id).ok_or(if mine_is_full { mine } else { open.len() })?;
        open.remove(&id);
        Ok(Some(id))
    }
}

impl Entry {
    /// Whether its file is there.
    fn has_begun(&self) -> bool {
        self.upload.try_lock().is_ok_and(|slot| slot.upload.is_some())
    }
}

impl Said {
    /// How many bytes come, if that is known; refuses what cannot be put where
    /// it says in an upload that has `offset` bytes.
    fn fits(&self, session: UploadId, offset: u64) -> Result<Option<u64>, RegistryError> {
        let Some(chunk) = self.chunk else { return Ok(self.length) };
        if chunk.start != offset {
            return Err(RegistryError::ChunkOutOfOrder { session, offset, start: chunk.start });
        }
        match self.length.filter(|length| *length != chunk.bytes()) {
            Some(found) => Err(RegistryError::ChunkLength { session, said: chunk.bytes(), found }),
            None => Ok(Some(chunk.bytes())),
        }
    }
}

/// Marks an upload of the daemon's own as live, for as long as it is held: its
/// file is nobody else's to remove before a row names it. It goes into the very
/// operation that names the file, because whoever asked for that may be gone
/// before it is committed.
#[derive(Debug)]
pub(super) struct OwnUpload(OwnUploads, UploadId);

impl OwnUpload {
    pub(super) fn new(sessions: &Sessions, id: UploadId) -> Self {
        sessions.own.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Self(Arc::clone(&sessions.own), id)
    }
}

impl Drop for OwnUpload {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// A session of the daemon's own, for bytes that belong in `repository`.
pub(super) fn own_session(repository: &RepoName, digest: &Digest, created: Timestamp) -> Session {
    Session { repository: repository.clone(), owner: OWN.to_owned(), algorithm: digest.algorithm(), created }
}

/// The text that says whose a session is.
fn owner(caller: &Caller) -> String {
    match caller {
        Caller::System => "system".to_owned(),
        Caller::Account { id, .. } | Caller::Robot { id, .. } => id.to_string(),
        Caller::Anonymous => caller.label().to_owned(),
    }
}

/// Whose sessions those of the caller count among. A namespace can have a
/// thousand robots.
fn account(caller: &Caller) -> String {
    caller.account_id().map_or_else(|| owner(caller), |account| account.to_string())
}

impl Registry {
    /// Opens an upload session.
    pub async fn begin_upload(
        &self,
        caller: &Caller,
        repository: &RepoName,
        algorithm: Algorithm,
    ) -> Result<UploadId, RegistryError> {
        let record = caller.require(&self.store().snapshot()?, repository, Level::ReadWrite)??;
        self.refuse_used_up((repository, record.number))?;
        // Nobody is asked for bytes that there is no room for.
        self.store().files().disk().take(0)?;
        let now = self.store().clock().now();
        let (owner, account) = (owner(caller), account(caller));
        let id = UploadId::new(self.store().chance());
        let evicted = {
            let mut open = self.sessions().lock();
            let evicted = Sessions::make_room(&mut open, &account, now)
                .map_err(|count| RegistryError::TooManyUploads { count })?;
            let (owner, repository) = (owner.clone(), repository.clone());
            let upload = Arc::new(tokio::sync::Mutex::new(Slot::default()));
            let reservation = self.quotas().reservation(id, &repository, self.store().clock());
            let settled = Arc::default();
            let (touched, is_left) = (now, false);
            open.insert(id, Entry { owner, account, repository, touched, is_left, settled, reservation, upload });
            evicted
        };
        if let Some(evicted) = evicted {
            tracing::info!(upload.id = %evicted, "an upload that nobody went on with made room for another");
            self.drop_session(evicted).await?;
        }
        let session = Session { repository: repository.clone(), owner, algorithm, created: now };
        let files = self.store().files().clone();
        let begun = crate::lifecycle::blocking(move || files.begin_upload(id, &session)).await;
        match begun {
            Ok(upload) => {
                let entry = self.sessions().lock().get(&id).cloned();
                if let Some(entry) = entry {
                    entry.upload.lock().await.upload = Some(upload);
                }
                Ok(id)
            }
            Err(error) => {
                self.sessions().forget(id);
                Err(error.into())
            }
        }
    }

    /// Where a session stands. While another request goes on writing to it,
    /// that is where this one began: what it brings is not acknowledged yet.
    pub async fn upload_progress(
        &self,
        caller: &Caller,
        repository: &RepoName,
        session: &str,
    ) -> Result<Progress, RegistryError> {
        match self.take(caller, repository, session).await {
            Ok((id, upload)) => Ok(Progress { id, offset: upload.offset() }),
            Err(RegistryError::UploadBusy { .. }) => {
                let (id, entry) = self.sessions().find(caller, repository, session)?;
                Ok(Progress { id, offset: entry.settled.load(Ordering::Acquire) })
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a body to a session. A chunk that is not as long as it says leaves
    /// the session as it was; one that the quotas leave no room for ends it, for
    /// nobody goes on from there.
    pub async fn append_upload(
        &self,
        caller: &Caller,
        repository: &RepoName,
        session: &str,
        said: Said,
        body: impl Body,
    ) -> Result<Progress, RegistryError> {
        let (id, upload) = self.take(caller, repository, session).await?;
        let busy = upload.busy.clone();
        let known = said.fits(id, upload.offset())?;
        self.admit(upload.offset(), known)?;
        let added = match self.reserve(&busy, upload.offset() + known.unwrap_or(0), said.digest.as_ref()) {
            Ok(()) => self.add_body(&busy, upload, said, body).await,
            Err(refusal) => Err(refusal),
        };
        match added {
            Ok(offset) => {
                if let Some(entry) = self.sessions().lock().get_mut(&id) {
                    entry.touched = self.store().clock().now();
                }
                Ok(Progress { id, offset })
            }
            Err(refusal @ RegistryError::Quota(_)) => {
                self.drop_session(id).await?;
                Err(refusal)
            }
            Err(RegistryError::BodyBroken { .. }) => {
                let offset = self.take(caller, repository, session).await?.1.offset();
                busy.keep(offset);
                Err(RegistryError::BodyBroken { offset })
            }
            Err(error) => Err(error),
        }
    }

    /// Adds a body to an upload, within what was said and what the quotas leave
    /// room for; where it stands then.
    async fn add_body(
        &self,
        busy: &Busy,
        mut upload: Writing,
        said: Said,
        body: impl Body,
    ) -> Result<u64, RegistryError> {
        let (start, id) = (upload.offset(), upload.id());
        let chunk = said.chunk.map(|chunk| chunk.bytes());
        let mark = chunk.map(|_| upload.mark());
        let is_open_ended = chunk.or(said.length).is_none() && self.quotas().any();
        let (mut came, mut asked, mut refused) = (0, 0, None);
        // More than was said is not even written.
        let fitting = body.take_while(|piece| {
            came += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            if is_open_ended && came - asked >= limits::RESERVE_STEP_BYTES {
                asked = came;
                refused = self.reserve(busy, start + came, said.digest.as_ref()).err();
            }
            ready(refused.is_none() && chunk.is_none_or(|chunk| came <= chunk))
        });
        upload = match append_stream(upload, fitting).await {
            Ok(upload) => upload,
            Err(AppendError::Source(_)) => return Err(RegistryError::BodyBroken { offset: start }),
            Err(AppendError::File(error)) => return Err(self.file_failed(error)),
        };
        if let Some(refused) = refused {
            return Err(refused);
        }
        if let (Some(said), Some(mark)) = (chunk.filter(|chunk| *chunk != came), mark) {
            let cut = crate::lifecycle::blocking(move || upload.rewind(mark)).await;
            busy.keep(start);
            cut.map_err(|error| self.file_failed(error))?;
            return Err(RegistryError::ChunkLength { session: id, said, found: came });
        }
        if is_open_ended {
            self.reserve(busy, upload.offset(), said.digest.as_ref())?;
        }
        Ok(upload.offset())
    }

    /// Ends a session: its bytes must hash to `digest`. A mismatch stores
    /// nothing and drops the session. Where there is no room for what has to be
    /// written down, the session stays, to be ended later.
    pub async fn finish_upload(
        &self,
        caller: &Caller,
        repository: &RepoName,
        session: &str,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let (id, mut upload) = self.take(caller, repository, session).await?;
        let (expected, busy) = (*digest, upload.busy.clone());
        if let Err(refusal) = self.reserve(&busy, upload.offset(), Some(digest)) {
            drop(upload);
            self.drop_session(id).await?;
            return Err(refusal);
        }
        if self.store().files().disk().level() == Room::Bare {
            return Err(StoreError::Full.into());
        }
        let announced = self.store().writer().announce();
        let (files, own) = (self.store().files().clone(), OwnUpload::new(self.sessions(), id));
        let sealed = crate::lifecycle::blocking(move || {
            let sealed = upload.verify_and_seal(&expected)?;
            Ok((sealed, Unnamed::new(files, sealed.file, own)))
        });
        let (linked, is_over) = match sealed.await {
            Ok(sealed) => (self.link_upload(caller, repository, sealed, Some(announced)).await, true),
            Err(SealError::Mismatch { found }) => (Err(RegistryError::DigestMismatch { expected, found }), true),
            Err(SealError::File(error)) => (Err(self.file_failed(error)), false),
        };
        // What was sealed or refused for good would only lie there.
        if is_over {
            self.drop_session(id).await?;
        }
        linked
    }

    /// Cancels a session.
    pub async fn cancel_upload(
        &self,
        caller: &Caller,
        repository: &RepoName,
        session: &str,
    ) -> Result<(), RegistryError> {
        // The lock is taken, so no request is writing to it any more.
        let (id, upload) = self.take(caller, repository, session).await?;
        drop(upload);
        self.drop_session(id).await
    }

    /// Stores a blob whose bytes another part of the daemon brings: verified
    /// and linked like a client's upload. `length` is what it is announced
    /// with, if it is. Its length.
    pub async fn store_blob(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
        length: Option<u64>,
        body: impl Body,
    ) -> Result<u64, RegistryError> {
        caller.require(&self.store().snapshot()?, repository, Level::ReadWrite)??;
        self.admit(0, length)?;
        let id = UploadId::new(self.store().chance());
        let busy = self.quotas().reservation(id, repository, self.store().clock()).busy();
        self.reserve(&busy, length.unwrap_or(0), Some(digest))?;
        let session = own_session(repository, digest, self.store().clock().now());
        let (body, refused) = self.bounded(&busy, (digest, length), body);
        let received = self.receive(session, digest, body).await;
        if let Some(refusal) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(refusal);
        }
        let (sealed, file) = received?;
        self.link_upload(caller, repository, (sealed, file), None).await?;
        Ok(sealed.size)
    }

    /// A body that ends where the quotas leave no room for more, unless its
    /// length was held against them before; and why it ended.
    fn bounded(&self, busy: &Busy, (digest, length): (&Digest, Option<u64>), body: impl Body) -> (impl Body, Refused) {
        let (registry, busy, digest, refused) = (self.clone(), busy.clone(), *digest, Refused::default());
        let (mut came, mut asked, why) = (0, 0, Arc::clone(&refused));
        let is_open_ended = length.is_none() && self.quotas().any();
        let body = body.take_while(move |piece| {
            came += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            let refusal = if is_open_ended && came - asked >= limits::RESERVE_STEP_BYTES {
                asked = came;
                registry.reserve(&busy, came, Some(&digest)).err()
            } else {
                None
            };
            let goes_on = refusal.is_none();
            if !goes_on {
                *why.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
            }
            ready(goes_on)
        });
        (body, refused)
    }

    /// Takes in bytes that must hash to `digest`, as an upload of the daemon's
    /// own; their file has no name yet. What is not taken in whole is removed.
    pub(super) async fn receive(
        &self,
        session: Session,
        digest: &Digest,
        body: impl Body,
    ) -> Result<(Sealed, Unnamed), RegistryError> {
        let id = UploadId::new(self.store().chance());
        let own = OwnUpload::new(self.sessions(), id);
        let files = self.store().files().clone();
        let begun = crate::lifecycle::blocking(move || {
            let upload = files.begin_upload(id, &session)?;
            Ok((upload, Unsealed::new(files, id, own)))
        });
        let (upload, unsealed) = begun.await.map_err(|error| self.file_failed(error))?;
        let mut upload = match append_stream(Box::new(upload), body).await {
            Ok(upload) => upload,
            Err(error) => {
                crate::lifecycle::blocking(move || unsealed.remove()).await;
                return Err(match error {
                    AppendError::Source(_) => RegistryError::BlobBroken,
                    AppendError::File(error) => self.file_failed(error),
                });
            }
        };
        let expected = *digest;
        let sealed = crate::lifecycle::blocking(move || match upload.verify_and_seal(&expected) {
            Ok(sealed) => Ok((sealed, unsealed.sealed(sealed.file))),
            Err(error) => {
                unsealed.remove();
                Err(error)
            }
        });
        sealed.await.map_err(|error| match error {
            SealError::Mismatch { found } => RegistryError::DigestMismatch { expected, found },
            SealError::File(error) => self.file_failed(error),
        })
    }

    /// Drops sessions that saw no byte for longer than the limit; how many.
    pub async fn expire_uploads(&self) -> Result<usize, RegistryError> {
        let now = self.store().clock().now();
        let idle: Vec<UploadId> = {
            let open = self.sessions().lock();
            let is_idle =
                |entry: &Entry| now.since(entry.touched) > limits::UPLOAD_IDLE && Arc::strong_count(&entry.upload) == 1;
            open.iter().filter(|(_, entry)| is_idle(entry)).map(|(id, _)| *id).collect()
        };
        for id in &idle {
            self.drop_session(*id).await?;
        }
        Ok(idle.len())
    }

    /// The ids of all open sessions.
    pub fn open_uploads(&self) -> Vec<UploadId> {
        self.sessions().ids()
    }

    /// Refuses what cannot be taken whole before a byte of it is asked for.
    fn admit(&self, held: u64, announced: Option<u64>) -> Result<(), RegistryError> {
        let Some(bytes) = announced else { return Ok(()) };
        if bytes > limits::BLOB_BYTES.saturating_sub(held) {
            return Err(RegistryError::BlobTooLarge);
        }
        Ok(self.store().files().disk().take(bytes)?)
    }

    async fn drop_session(&self, id: UploadId) -> Result<(), RegistryError> {
        self.sessions().forget(id);
        let files = self.store().files().clone();
        crate::lifecycle::blocking(move || files.drop_upload(id)).await?;
        Ok(())
    }

    /// The session's upload, locked for this request.
    async fn take(
        &self,
        caller: &Caller,
        repository: &RepoName,
        session: &str,
    ) -> Result<(UploadId, Writing), RegistryError> {
        caller.require(&self.store().snapshot()?, repository, Level::ReadWrite)??;
        let (id, entry) = self.sessions().find(caller, repository, session)?;
        let (settled, busy) = (entry.settled, entry.reservation.busy());
        let Ok(mut slot) = tokio::time::timeout(limits::UPLOAD_BUSY, entry.upload.lock_owned()).await else {
            return Err(RegistryError::UploadBusy { session: id });
        };
        if slot.upload.is_none() {
            let files = self.store().files().clone();
            let resumed = crate::lifecycle::blocking(move || files.resume_upload(id)).await?;
            slot.upload = resumed;
        }
        // One that was sealed for a client that went away before it heard of it
        // is over as well.
        let Some(upload) = slot.upload.as_ref().filter(|upload| !upload.has_ended()) else {
            self.sessions().forget(id);
            return Err(RegistryError::UploadUnknown { session: session.to_owned() });
        };
        settled.store(upload.offset(), Ordering::Release);
        Ok((id, Writing { slot, busy }))
    }

    /// A failed sync ends the daemon: nothing may be acknowledged any more.
    fn file_failed(&self, error: FileError) -> RegistryError {
        if error.is_fatal() {
            self.store().writer().stop(&error);
        }
        match error {
            FileError::Ended { id } => RegistryError::UploadUnknown { session: id.to_string() },
            error => error.into(),
        }
    }
}

/// An upload under its session's lock.
struct Writing {
    slot: OwnedMutexGuard<Slot>,
    busy: Busy,
}

impl std::ops::Deref for Writing {
    type Target = Upload;

    fn deref(&self) -> &Upload {
        self.slot.upload.as_ref().expect("`take` hands out sessions whose upload is open")
    }
}

impl std::ops::DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut Upload {
        self.slot.upload.as_mut().expect("`take` hands out sessions whose upload is open")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::registry::account::NewAccount;
    use crate::registry::manifest::Sent;
    use crate::registry::repository::Settings;
    use crate::store::file::Keep;

    async fn registry(root: &std::path::Path, clock: Clock) -> Registry {
        let store = Store::open(root, clock, Chance::system()).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        let new = NewAccount {
            name: "dev".into(),
            full_name: String::new(),
            is_org: true,
            is_admin: false,
            is_active: true,
            password_hash: None,
        };
        if registry.create_account(&Caller::System, new).await.is_ok() {
            let name = "dev/x".parse().expect("a name");
            registry.create_repository(&Caller::System, &name, Settings::default()).await.expect("is made");
        }
        registry
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sessions_that_a_crash_left_make_room_for_new_ones() {
        // Clients that lose their registry begin anew. If what they left
        // counted for a day, a box that restarts often would refuse pushes.
        let folder = tempfile::tempdir().expect("a folder");
        let name: RepoName = "dev/x".parse().expect("a name");
        let begin = async |registry: &Registry| registry.begin_upload(&Caller::System, &name, Algorithm::Sha256).await;
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        {
            let registry = registry(folder.path(), clock.clone()).await;
            for _ in 0..limits::UPLOADS_PER_ACCOUNT {
                begin(&registry).await.expect("has room");
            }
            assert!(matches!(begin(&registry).await, Err(RegistryError::TooManyUploads { .. })));
            registry.store().close();
        }
        let registry = registry(folder.path(), clock.clone()).await;
        assert_eq!(registry.open_uploads().len(), limits::UPLOADS_PER_ACCOUNT);
        for _ in 0..limits::UPLOADS_PER_ACCOUNT {
            begin(&registry).await.expect("an old one makes room");
        }
        assert!(matches!(begin(&registry).await, Err(RegistryError::TooManyUploads { .. })), "new ones were evicted");
        clock.advance(limits::UPLOAD_ABANDONED + std::time::Duration::from_secs(1));
        begin(&registry).await.expect("an abandoned one makes room");
        assert_eq!(registry.open_uploads().len(), limits::UPLOADS_PER_ACCOUNT);
    }

    /// Waits until nothing is on its way in, and no file is there that no row
    /// names.
    async fn nothing_is_left(registry: &Registry, root: &std::path::Path) {
        let is_left = || {
            let session = std::fs::read_dir(root.join("uploads")).expect("reads").next().is_some();
            let file = registry.store().files().walk().expect("walks").next().is_some();
            session || file || !registry.open_uploads().is_empty()
        };
        let gone = async {
            while is_left() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("something is left for good");
    }

    /// A client that reset its stream again and again left half a blob on the
    /// disk each time, until the next start.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_daemon_does_not_take_in_whole_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let name: RepoName = "dev/x".parse().expect("a name");
        let registry = registry(folder.path(), Clock::system()).await;
        let more = futures_util::stream::iter([Ok(Bytes::from(vec![7; 3 << 20]))]);
        let stuck = more.chain(futures_util::stream::pending::<Result<Bytes, BrokenBody>>());
        let digest = Digest::sha256_of(b"x");
        let storing = registry.store_blob(&Caller::System, &name, &digest, None, stuck);
        let timed = tokio::time::timeout(std::time::Duration::from_millis(200), storing).await;
        assert!(timed.is_err(), "it waits for a body that never comes");
        let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"half")), Err(BrokenBody)]);
        let broken = registry.store_blob(&Caller::System, &name, &Digest::sha256_of(b"x"), None, broken).await;
        assert!(matches!(broken, Err(RegistryError::BlobBroken)));
        let wrong = futures_util::stream::iter([Ok::<_, BrokenBody>(Bytes::from_static(b"y"))]);
        let wrong = registry.store_blob(&Caller::System, &name, &Digest::sha256_of(b"x"), None, wrong).await;
        assert!(matches!(wrong, Err(RegistryError::DigestMismatch { .. })));
        nothing_is_left(&registry, folder.path()).await;
    }

    /// A client that reset its stream while its upload was sealed left a file
    /// that no row names and no quota counts, and a session that answered 500.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_leaves_while_its_upload_is_sealed_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let name: RepoName = "dev/x".parse().expect("a name");
        let registry = registry(folder.path(), Clock::system()).await;
        let bytes = vec![7; 1 << 20];
        let digest = Digest::sha256_of(&bytes);
        for is_handed_in in [false, true] {
            let id =
                registry.begin_upload(&Caller::System, &name, Algorithm::Sha256).await.expect("begins").to_string();
            let body = futures_util::stream::iter([Ok(Bytes::from(bytes.clone()))]);
            registry.append_upload(&Caller::System, &name, &id, Said::default(), body).await.expect("appends");
            // The writer is busy, so that nothing is linked before the client goes.
            let (let_go, held) = std::sync::mpsc::channel();
            let holding = registry.store().submit(crate::store::Lane::Foreground, Hold(held));
            let leaving = async {
                while registry.store().writer().waiting() > 0 {
                    tokio::task::yield_now().await;
                }
                let mut ending = Box::pin(registry.finish_upload(&Caller::System, &name, &id, &digest));
                // It is being sealed: nobody else can hand it in but this future.
                assert!(futures_util::poll!(&mut ending).is_pending());
                while is_handed_in && registry.store().writer().waiting() == 0 {
                    assert!(futures_util::poll!(&mut ending).is_pending());
                    tokio::task::yield_now().await;
                }
                drop(ending);
                let_go.send(()).expect("the writer waits");
            };
            let (held, ()) = futures_util::future::join(holding, leaving).await;
            held.expect("runs").expect("is done");
            let (sender, behind) = std::sync::mpsc::channel();
            drop(sender);
            registry
                .store()
                .submit(crate::store::Lane::Foreground, Hold(behind))
                .await
                .expect("runs")
                .expect("is done");
            let again = registry.append_upload(&Caller::System, &name, &id, Said::default(), empty()).await;
            assert!(matches!(again, Err(RegistryError::UploadUnknown { .. })), "{again:?}");
            match is_handed_in {
                true => assert!(registry.blob_size(&Caller::System, &name, &digest).is_ok()),
                false => nothing_is_left(&registry, folder.path()).await,
            }
        }
    }

    fn empty() -> impl Body {
        futures_util::stream::empty()
    }

    /// The last request of a push that met a full disk took the upload with it,
    /// and its file stayed behind where there was no room.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_upload_that_finds_no_room_at_its_end_is_ended_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let name: RepoName = "dev/x".parse().expect("a name");
        let digest = Digest::sha256_of(b"whole");
        let id = {
            let registry = registry(folder.path(), Clock::system()).await;
            let id =
                registry.begin_upload(&Caller::System, &name, Algorithm::Sha256).await.expect("begins").to_string();
            let body = futures_util::stream::iter([Ok(Bytes::from_static(b"whole"))]);
            registry.append_upload(&Caller::System, &name, &id, Said::default(), body).await.expect("appends");
            registry.store().close();
            id
        };
        let end = async |keep| {
            let store = Store::open_keeping(folder.path(), keep, Clock::system(), Chance::system()).expect("opens");
            let registry = Registry::new(store).expect("sessions");
            let ended = registry.finish_upload(&Caller::System, &name, &id, &digest).await;
            let files = registry.store().files().walk().expect("walks").count();
            registry.store().close();
            (ended, files)
        };
        let (refused, files) = end(Keep::Bytes(u64::MAX)).await;
        assert!(matches!(refused, Err(RegistryError::Full)), "{refused:?}");
        assert_eq!(files, 0);
        let (ended, files) = end(Keep::Usual).await;
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(files, 1);
    }

    /// Somebody asks how far an upload is while it comes in. Told to come back
    /// later, tools gave the upload up.
    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_written_to_says_what_is_settled() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path(), Clock::system()).await;
        let name: RepoName = "dev/x".parse().expect("a name");
        let id = registry.begin_upload(&Caller::System, &name, Algorithm::Sha256).await.expect("begins").to_string();
        let append = |body| registry.append_upload(&Caller::System, &name, &id, Said::default(), body);
        let progress = || registry.upload_progress(&Caller::System, &name, &id);
        append(futures_util::stream::iter([Ok(Bytes::from_static(b"first"))]).boxed()).await.expect("appends");
        assert_eq!(progress().await.expect("stands").offset, 5);
        let stuck =
            futures_util::stream::iter([Ok(Bytes::from_static(b"more"))]).chain(futures_util::stream::pending());
        let mut writing = Box::pin(append(stuck.boxed()));
        assert!(futures_util::poll!(&mut writing).is_pending());
        assert_eq!(progress().await.expect("stands").offset, 5);
        let second = append(futures_util::stream::empty().boxed()).await;
        assert!(matches!(second, Err(RegistryError::UploadBusy { .. })), "writing is still one at a time");
        drop(writing);
        registry.cancel_upload(&Caller::System, &name, &id).await.expect("is free again");
    }

    /// Keeps the writer busy until it is let go.
    struct Hold(std::sync::mpsc::Receiver<()>);

    impl crate::store::Operation for Hold {
        type Plan = ();
        type Done = ();
        type Refusal = ();
        const NAME: &'static str = "hold";
        const AUDIT: crate::audit::Audit = crate::audit::Audit::Nothing("a test's");

        fn check(&self, _: &crate::store::Change<'_>) -> Result<Result<(), ()>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), _: &mut crate::store::Change<'_>) -> Result<(), StoreError> {
            // The sender lets go by sending or by going away.
            let _ = self.0.recv();
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_of_a_large_manifest_is_nobodys_orphan_before_it_is_named() {
        // The search for orphans that met such a file between its rename and
        // its commit removed it, and the manifest was acknowledged without its
        // bytes; so did one that met it after the client had hung up.
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path(), Clock::system()).await;
        let name: RepoName = "dev/x".parse().expect("a name");
        let padding = "x".repeat(limits::MANIFEST_INLINE_BYTES);
        let bytes = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"x":"{padding}"}}}}"#
        );
        let (let_go, held) = std::sync::mpsc::channel();
        let holding = registry.store().submit(crate::store::Lane::Foreground, Hold(held));
        let tag = crate::oci::Reference::Tag("1".parse().expect("a tag"));
        let sent = Sent { bytes: bytes.into(), ..Sent::default() };
        let putting = registry.put_manifest(&Caller::System, &name, &tag, sent);
        let file = async {
            loop {
                let found = registry.store().files().walk().expect("walks").next();
                match found {
                    Some(found) => break found.expect("reads"),
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let mut putting = Box::pin(putting);
        let release = async {
            let found = tokio::select! {
                put = &mut putting => panic!("the writer is held, and yet: {put:?}"),
                file = file => file,
            };
            let crate::store::file::Found::Blob { file, .. } = found else { panic!("a blob file") };
            assert_eq!(registry.open_uploads(), [file.upload]);
            // The operation is handed in; then the client hangs up.
            while registry.store().writer().waiting() == 0 {
                assert!(futures_util::poll!(&mut putting).is_pending());
                tokio::task::yield_now().await;
            }
            drop(putting);
            let live = registry.open_uploads();
            let_go.send(()).expect("the writer waits");
            (file, live)
        };
        let (held, (file, live)) = futures_util::future::join(holding, release).await;
        held.expect("runs").expect("is done");
        let named = async {
            while !crate::store::blob::names_file(&registry.store().snapshot().expect("reads"), &file).expect("reads") {
                tokio::task::yield_now().await;
            }
        };
        named.await;
        assert_eq!(live, [file.upload], "hung up, and not committed yet");
    }

    fn robot(registry: &Registry, number: u8) -> Caller {
        let (_, namespace) = registry.account("dev").map(|(name, account)| (name, account.id)).expect("is there");
        let scopes = crate::access::Scopes::read(&["dev/*:pull,push"]).expect("scopes");
        let id = crate::chance::Id::from_bytes([number; 16]);
        Caller::Robot { id, name: format!("dev+{number}"), namespace, scopes: Arc::new(scopes) }
    }

    /// Four robots of one namespace had 256 sessions each, and nobody else one.
    #[tokio::test(flavor = "multi_thread")]
    async fn robots_share_what_their_namespace_may_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path(), Clock::manual(Timestamp::from_micros(1_700_000_000_000_000))).await;
        let name: RepoName = "dev/x".parse().expect("a name");
        let robots = [robot(&registry, 1), robot(&registry, 2)];
        for number in 0..limits::UPLOADS_PER_ACCOUNT {
            registry.begin_upload(&robots[number % 2], &name, Algorithm::Sha256).await.expect("has room");
        }
        for robot in &robots {
            let refused = registry.begin_upload(robot, &name, Algorithm::Sha256).await;
            assert!(matches!(refused, Err(RegistryError::TooManyUploads { .. })), "{refused:?}");
        }
        let id = registry.begin_upload(&Caller::System, &name, Algorithm::Sha256).await.expect("somebody else");
        // They share a number: none goes on with a session of another.
        let other = registry.upload_progress(&robots[0], &name, &id.to_string()).await;
        assert!(matches!(other, Err(RegistryError::UploadUnknown { .. })));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_table_makes_room_at_the_cost_of_whoever_has_most() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path(), Clock::system()).await;
        let name: RepoName = "dev/x".parse().expect("a name");
        let id = registry.begin_upload(&Caller::System, &name, Algorithm::Sha256).await.expect("has room");
        let begun = registry.sessions().lock().get(&id).cloned().expect("is open");
        let slot = Slot { upload: begun.upload.try_lock().expect("is free").upload.take() };
        let (later, idle) = (Timestamp::from_micros(1_000_000_000), Timestamp::from_micros(0));
        let entry = |account: &str, touched| Entry {
            account: account.to_owned(),
            touched,
            upload: Arc::default(),
            ..begun.clone()
        };
        let (mut open, chance) = (HashMap::new(), Chance::system());
        for (account, count) in [("a", 200), ("b", 256), ("c", 255), ("d", 255), ("e", 58)] {
            open.extend((0..count).map(|_| (UploadId::new(&chance), entry(account, later))));
        }
        assert_eq!(open.len(), limits::UPLOADS);
        let forget_one_of = |open: &mut HashMap<UploadId, Entry>, account: &str| {
            let id = *open.iter().find(|(_, entry)| entry.account == account).expect("is there").0;
            open.remove(&id);
        };
        // None has its file yet: each is at its beginning.
        assert_eq!(Sessions::make_room(&mut open, "new", later).expect_err("all begin"), limits::UPLOADS);
        // One between two requests, of whoever has most.
        let between = UploadId::new(&chance);
        forget_one_of(&mut open, "b");
        open.insert(between, Entry { upload: Arc::new(tokio::sync::Mutex::new(slot)), ..entry("b", later) });
        assert_eq!(Sessions::make_room(&mut open, "new", later), Ok(Some(between)));
        // Idle ones before that, and of several those of whoever has more.
        let [few, many] = [UploadId::new(&chance), UploadId::new(&chance)];
        open.insert(few, entry("e", idle));
        forget_one_of(&mut open, "a");
        open.insert(many, entry("c", idle));
        assert_eq!(open.len(), limits::UPLOADS);
        assert_eq!(Sessions::make_room(&mut open, "new", later), Ok(Some(many)));
    }
}
