//! The files that a database names: those of blobs, and those of manifests
//! that are too large to stand in it.

use std::ops::ControlFlow;

use crate::limits;
use crate::oci::Digest;
use crate::store::file::BlobFile;
use crate::store::record::manifest::Bytes;
use crate::store::record::{Blob, ManifestBody};
use crate::store::{Key, Order, Read, Span, StoreError, Stored, Table};

/// A file that has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub file: BlobFile,
    /// Its length in bytes.
    pub size: u64,
}

/// A walk over them, a slice at a time.
#[derive(Debug, Default)]
pub struct NamedFiles {
    /// Whether those of blobs are through.
    manifests: bool,
    last: Option<Digest>,
    is_over: bool,
}

impl NamedFiles {
    /// From the first.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next of them; none when there are no more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next(&mut self, read: &impl Read) -> Result<Vec<Named>, StoreError> {
        let mut found = Vec::new();
        while !self.is_over && found.len() < limits::BACKUP_SLICE {
            let table = if self.manifests { Table::Manifests } else { Table::Blobs };
            let mut span = Span::all();
            if let Some(last) = self.last {
                span = span.after(&Key::new().digest(&last));
            }
            let mut last = None;
            read.walk(table, &span, Order::Forward, |key, value| {
                let Some((digest, _)) = Digest::from_key(key) else { return Ok(ControlFlow::Continue(())) };
                found.extend(in_row(table, digest, value)?);
                if found.len() < limits::BACKUP_SLICE {
                    return Ok(ControlFlow::Continue(()));
                }
                last = Some(digest);
                Ok(ControlFlow::Break(()))
            })?;
            self.last = last;
            if last.is_none() {
                (self.manifests, self.is_over) = (true, self.manifests);
            }
        }
        Ok(found)
    }
}

/// The file that a row of `table` names.
pub(super) fn in_row(table: Table, digest: Digest, value: &[u8]) -> Result<Option<Named>, StoreError> {
    let damaged = |why| StoreError::damaged(table, &digest.key(), why);
    let (size, upload) = match table {
        Table::Blobs => {
            let blob = Blob::decode(value).map_err(damaged)?;
            (blob.size, blob.upload)
        }
        Table::Manifests => match ManifestBody::decode(value).map_err(damaged)? {
            ManifestBody { bytes: Bytes::File(upload), size, .. } => (size, upload),
            ManifestBody { bytes: Bytes::Inline(_), .. } => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Named { file: BlobFile { digest, upload }, size }))
}
