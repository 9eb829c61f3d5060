//! Bytes that came in and that no row names yet: they go when whoever brought
//! them does.
//!
//! A request may end anywhere: its client resets the stream, and what waited
//! for the disk is never woken. Each step from the first byte to the commit
//! therefore hands on who removes them, in the very work that makes them, so
//! that nothing is left on the disk that no quota counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lifecycle;
use crate::store::error_chain;
use crate::store::file::{BlobFile, Files, UploadId};

use super::upload::OwnUpload;

/// An upload of the daemon's own that is not sealed: its folder goes with this.
#[derive(Debug)]
pub(super) struct Unsealed {
    files: Files,
    id: UploadId,
    /// `None` once it is sealed.
    own: Option<OwnUpload>,
}

/// A file that was sealed: it goes with the last clone, unless a row has named
/// it by then.
#[derive(Clone, Debug)]
pub(super) struct Unnamed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    file: BlobFile,
    is_named: AtomicBool,
    /// Keeps the file from being taken for an orphan.
    own: Option<OwnUpload>,
}

impl Unsealed {
    pub(super) fn new(files: Files, id: UploadId, own: OwnUpload) -> Self {
        Self { files, id, own: Some(own) }
    }

    /// It is sealed as `file`.
    pub(super) fn sealed(mut self, file: BlobFile) -> Unnamed {
        Unnamed::of(self.files.clone(), file, self.own.take())
    }

    /// Removes it now. Blocks.
    pub(super) fn remove(mut self) {
        if let Some(own) = self.own.take() {
            remove(&self.files, self.id, own);
        }
    }
}

impl Drop for Unsealed {
    fn drop(&mut self) {
        let Some(own) = self.own.take() else { return };
        let (files, id) = (self.files.clone(), self.id);
        lifecycle::detached(move || remove(&files, id, own));
    }
}

fn remove(files: &Files, id: UploadId, own: OwnUpload) {
    if let Err(error) = files.drop_upload(id) {
        tracing::warn!(upload.id = %id, error = error_chain(&error), "an upload that ended early is left behind");
    }
    drop(own);
}

impl Unnamed {
    pub(super) fn new(files: Files, file: BlobFile, own: OwnUpload) -> Self {
        Self::of(files, file, Some(own))
    }

    fn of(files: Files, file: BlobFile, own: Option<OwnUpload>) -> Self {
        Self(Arc::new(Inner { files, file, is_named: AtomicBool::new(false), own }))
    }

    /// The file.
    pub(super) fn file(&self) -> BlobFile {
        self.0.file
    }

    /// Whether a row names it, by the transaction that runs: said anew each
    /// time that an operation is run. What such a transaction has come to is not
    /// always known, so then the file stays.
    pub(super) fn set_named(&self, is_named: bool) {
        self.0.is_named.store(is_named, Ordering::Release);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // After a failed sync nothing is decided any more; the next start is.
        if *self.is_named.get_mut() || self.files.is_stopped() {
            return;
        }
        let (files, file, own) = (self.files.clone(), self.file, self.own.take());
        lifecycle::detached(move || {
            if let Err(error) = files.unlink(&file) {
                tracing::warn!(blob = %file.digest, error = error_chain(&error), "a file that nothing names is left behind");
            }
            drop(own);
        });
    }
}
