//! Bytes that are not what their digest says: who met them says so here, and
//! who has the right ones puts them in their place.
//!
//! A reader that meets a flaw only *suspects*: it has an answer to give and no
//! time to hash. What is suspected waits here, in memory, until it is looked at
//! (`jobs::suspect`); after a restart it is met again, or scrub comes by.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::audit::Audit;
use crate::limits;
use crate::oci::{Digest, RepoName};
use crate::store::file::{BlobFile, FileError, Flaw, UploadId};
use crate::store::quarantine::{self, Held};
use crate::store::record::Holder;
use crate::store::record::manifest::Bytes;
use crate::store::{Change, Lane, Operation, Read, RepoId, StoreError, blob, error_chain, manifest};

use super::unnamed::Unnamed;
use super::upload::{Body, own_session};
use super::{Registry, RegistryError};

/// What waits to be looked at. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<VecDeque<Held>>,
    more: Notify,
}

impl Suspects {
    fn add(&self, held: Held) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < limits::SUSPECTS && !waiting.contains(&held) {
            waiting.push_back(held);
            self.0.more.notify_one();
        }
    }

    async fn next(&self) -> Held {
        loop {
            let more = self.0.more.notified();
            let first = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match first {
                Some(held) => return held,
                None => more.await,
            }
        }
    }
}

/// The right bytes of something damaged, on the disk and without a name.
#[derive(Debug)]
pub struct Found {
    bytes: Bytes,
    /// The file that came for this; none for the damaged file itself, which was
    /// right after all, and where there is no file.
    file: Option<Unnamed>,
    is_new: bool,
}

impl Found {
    /// The kept file, whose bytes are right now.
    pub fn kept(upload: UploadId) -> Self {
        Self { bytes: Bytes::File(upload), file: None, is_new: false }
    }
}

/// Puts the right bytes in the place of damaged ones.
struct Mend {
    held: Held,
    bytes: Bytes,
    /// Whether the bytes came for this, in a file of their own.
    is_new: bool,
    file: Option<Unnamed>,
}

impl Operation for Mend {
    type Plan = ();
    /// Whether there was something to mend.
    type Done = bool;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "mend";
    const AUDIT: Audit = Audit::Nothing("what is damaged stands in the quarantine");
    // The bytes are here already; a row goes for the one that comes.
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<bool, StoreError> {
        // In its place, or as one that has to go.
        self.file.iter().for_each(|file| file.set_named(true));
        if quarantine::mend(tables, &self.held, self.bytes.clone())? {
            return Ok(true);
        }
        // Somebody else brought them, or nothing needs them any more.
        if let (true, Bytes::File(upload)) = (self.is_new, &self.bytes) {
            blob::drop_file(tables, &self.held.digest, *upload)?;
        }
        Ok(false)
    }
}

impl Registry {
    /// Says that stored bytes may be damaged; they are looked at soon.
    pub fn suspect(&self, held: Held) {
        self.suspects().add(held);
    }

    /// The next that is suspected, when there is one.
    pub async fn suspected(&self) -> Held {
        self.suspects().next().await
    }

    /// The refusal to serve what was read and is damaged; what is not the
    /// bytes' fault is a failure of the store.
    pub(super) fn flawed(&self, held: Held, error: FileError) -> RegistryError {
        if Flaw::of(&error).is_none() {
            return error.into();
        }
        tracing::warn!(held = %held, error = error_chain(&error), "what was to be read is damaged");
        self.suspect(held);
        RegistryError::Quarantined { held }
    }

    /// The refusal to serve bytes that were hashed and are not the right ones.
    pub(super) fn altered(&self, held: Held, flaw: &Flaw) -> RegistryError {
        tracing::warn!(held = %held, flaw = %flaw, "what was read is damaged");
        self.suspect(held);
        RegistryError::Quarantined { held }
    }

    /// Brings the right bytes of a damaged blob: written and hashed like an
    /// upload. `place`: a repository that has it.
    pub async fn bring_blob(&self, place: &RepoName, digest: &Digest, body: impl Body) -> Result<Found, RegistryError> {
        let session = own_session(place, digest, self.store().clock().now());
        let (sealed, file) = self.receive(session, digest, body).await?;
        Ok(Found { bytes: Bytes::File(sealed.file.upload), file: Some(file), is_new: true })
    }

    /// Brings the right bytes of a damaged manifest, which hash to `digest`.
    pub async fn bring_manifest(&self, digest: &Digest, bytes: Vec<u8>) -> Result<Found, RegistryError> {
        let bytes = bytes::Bytes::from(bytes);
        let file = self.write_large(digest, &bytes).await?;
        let bytes = match &file {
            Some(file) => Bytes::File(file.file().upload),
            None => Bytes::Inline(bytes.into()),
        };
        Ok(Found { bytes, file, is_new: true })
    }

    /// Puts the right bytes in the place of damaged ones; false when that was
    /// not needed any more.
    pub async fn mend(&self, held: Held, found: Found) -> Result<bool, RegistryError> {
        let Found { bytes, file, is_new } = found;
        let mend = Mend { held, bytes, is_new, file };
        Ok(self.store().submit(Lane::Background, mend).await?.unwrap_or_else(|never| match never {}))
    }

    /// Whatever files there are of a digest, beside `kept`: one that waits to be
    /// removed may hold the bytes that are looked for.
    pub async fn copies(&self, digest: &Digest, kept: Option<UploadId>) -> Result<Vec<BlobFile>, RegistryError> {
        let (files, digest) = (self.store().files().clone(), *digest);
        let found = crate::lifecycle::blocking(move || files.copies(&digest)).await?;
        Ok(found.into_iter().filter(|file| Some(file.upload) != kept).collect())
    }

    pub(super) fn tell_healed(&self, held: Held, healed: bool, by: &'static str) {
        if healed {
            tracing::info!(held = %held, by, "damaged bytes were brought back; they are served again");
        }
    }
}

/// Whether bytes are linked in a repository and damaged.
pub(super) fn damaged_in(read: &impl Read, repo: RepoId, held: &Held) -> Result<bool, StoreError> {
    let is_linked = match held.holder {
        Holder::Blob => blob::is_linked(read, repo, &held.digest)?,
        Holder::Manifest => manifest::is_linked(read, repo, &held.digest)?,
    };
    Ok(is_linked && quarantine::has(read, held)?)
}
