//! What is damaged here. Its row stands in `quarantine` *instead of* in `blobs`
//! or `manifests`: whoever looks up bytes by those finds nothing, so nothing
//! can forget to ask whether they are good. Links, what a manifest names, and
//! the file as it is stay; with the right bytes the row goes back.
//!
//! The damaged file is kept where it lies until then: a cable or a memory bar
//! may have been at fault and the bytes be right again, and a second copy of it
//! would need room. It goes, like every file whose name is gone, once the right
//! bytes are here or nothing needs the digest any more.

use std::ops::ControlFlow;

use super::file::{BlobFile, Flaw, UploadId};
use super::record::manifest::Bytes;
use super::record::{Holder, ManifestBody, Quarantined};
use super::{Change, Key, Order, Parts, Read, StoreError, Table, blob, manifest, usage};
use crate::oci::Digest;

/// Stored bytes, by what names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The digest.
    pub digest: Digest,
    /// What it is the digest of.
    pub holder: Holder,
}

impl Held {
    /// A blob.
    pub const fn blob(digest: Digest) -> Self {
        Self { digest, holder: Holder::Blob }
    }

    /// A manifest.
    pub const fn manifest(digest: Digest) -> Self {
        Self { digest, holder: Holder::Manifest }
    }

    fn key(&self) -> Key {
        Key::new().digest(&self.digest).text(self.holder.as_str())
    }

    /// Reads a stored key.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let mut parts = Parts::of(key);
        let digest = parts.digest()?;
        let word = parts.text()?;
        let holder = Holder::ALL.into_iter().find(|holder| holder.as_str() == word)?;
        Some(Self { digest, holder })
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.holder.as_str(), self.digest)
    }
}

/// The row of damaged bytes.
pub fn get(read: &impl Read, held: &Held) -> Result<Option<Quarantined>, StoreError> {
    read.record(Table::Quarantine, &held.key())
}

/// Whether bytes are damaged.
pub fn has(read: &impl Read, held: &Held) -> Result<bool, StoreError> {
    read.has(Table::Quarantine, &held.key())
}

/// Hands what is damaged, after `last`, to `each`, in the order of digests.
pub fn walk(
    read: &impl Read,
    last: Option<&Held>,
    mut each: impl FnMut(Held, Quarantined) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut span = super::Span::all();
    if let Some(last) = last {
        span = span.after(&last.key());
    }
    read.walk(Table::Quarantine, &span, Order::Forward, |key, value| {
        let Some(held) = Held::of_key(key) else { return Ok(ControlFlow::Continue(())) };
        let row = <Quarantined as super::Stored>::decode(value);
        each(held, row.map_err(|why| StoreError::damaged(Table::Quarantine, key, why))?)
    })
}

/// How much is damaged.
pub fn count(read: &impl Read) -> Result<u64, StoreError> {
    let mut count = 0;
    read.walk(Table::Quarantine, &super::Span::all(), Order::Forward, |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Whether a file is kept for a row of the quarantine.
pub fn keeps_file(read: &impl Read, file: &BlobFile) -> Result<bool, StoreError> {
    for holder in Holder::ALL {
        let row = get(read, &Held { digest: file.digest, holder })?;
        if row.is_some_and(|row| row.upload == Some(file.upload)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes damaged bytes off the table that is read. `upload` is the file in
/// which they were found (none: in the database); where it is another one by
/// now, nothing is done, for it was not looked at. Whether it was done.
pub fn condemn(
    change: &mut Change<'_>,
    held: &Held,
    upload: Option<UploadId>,
    flaw: &Flaw,
) -> Result<bool, StoreError> {
    let (size, kind) = match held.holder {
        Holder::Blob => match blob::get(change, &held.digest)? {
            Some(blob) if Some(blob.upload) == upload => (blob.size, None),
            Some(_) | None => return Ok(false),
        },
        Holder::Manifest => match manifest::body(change, &held.digest)? {
            Some(body) => {
                let stands = match body.bytes {
                    Bytes::Inline(_) => None,
                    Bytes::File(upload) => Some(upload),
                };
                if stands != upload {
                    return Ok(false);
                }
                (body.size, Some(body.kind))
            }
            None => return Ok(false),
        },
    };
    let table = match held.holder {
        Holder::Blob => Table::Blobs,
        Holder::Manifest => Table::Manifests,
    };
    let key = Key::new().digest(&held.digest);
    change.remove(table, &key)?;
    usage::gone(change, table, &key, size)?;
    let (found_at, last_error) = (change.now(), String::new());
    let row =
        Quarantined { flaw: flaw.clone(), size, kind, upload, found_at, attempts: 0, next_at: found_at, last_error };
    put(change, held, &row)?;
    usage::stored(change, Table::Quarantine, &held.key(), size)?;
    Ok(true)
}

/// Writes a row anew.
pub fn put(change: &mut Change<'_>, held: &Held, row: &Quarantined) -> Result<(), StoreError> {
    change.put(Table::Quarantine, &held.key(), row)
}

/// Puts the right bytes in the place of damaged ones; `bytes` says where they
/// are. Whether there were damaged ones: if not, whoever brought the bytes is
/// too late.
pub fn mend(change: &mut Change<'_>, held: &Held, bytes: Bytes) -> Result<bool, StoreError> {
    let Some(row) = get(change, held)? else { return Ok(false) };
    match (held.holder, row.kind, bytes) {
        (Holder::Blob, _, Bytes::File(upload)) => blob::name(change, &held.digest, row.size, upload),
        (Holder::Manifest, Some(kind), bytes) => {
            let file = match bytes {
                Bytes::File(upload) => Some(upload),
                Bytes::Inline(_) => None,
            };
            let body = ManifestBody { kind, size: row.size, bytes };
            let key = Key::new().digest(&held.digest);
            change.put(Table::Manifests, &key, &body)?;
            usage::stored(change, Table::Manifests, &key, row.size)?;
            Ok(lift(change, held, file)?.is_some())
        }
        // A blob has a file, and a manifest a kind.
        (Holder::Blob, _, Bytes::Inline(_)) | (Holder::Manifest, None, _) => Ok(false),
    }
}

/// Takes a row away, because the right bytes are here (in `by`, where they are
/// in a file) or nothing needs them any more. The damaged file has to go, unless
/// it is the one with the right bytes after all. The row that stood.
pub fn lift(change: &mut Change<'_>, held: &Held, by: Option<UploadId>) -> Result<Option<Quarantined>, StoreError> {
    let Some(row) = get(change, held)? else { return Ok(None) };
    change.remove(Table::Quarantine, &held.key())?;
    usage::gone(change, Table::Quarantine, &held.key(), row.size)?;
    if let Some(upload) = row.upload.filter(|upload| Some(*upload) != by) {
        blob::drop_file(change, &held.digest, upload)?;
    }
    Ok(Some(row))
}
