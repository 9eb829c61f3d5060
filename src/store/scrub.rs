//! What a pass over everything has to look at, a slice at a time, and where it
//! stands.

use std::ops::ControlFlow;

use super::file::{BlobFile, Flaw};
use super::quarantine::Held;
use super::record::manifest::Bytes;
use super::record::{Blob, Holder, ManifestBody, Pass};
use super::{Change, Key, Order, Read, Span, StoreError, Stored as _, Table};
use crate::limits;
use crate::oci::Digest;

/// A pass that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that is under way.
    Current,
    /// The last one that came to its end.
    Last,
}

impl Which {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Last => "last",
        }
    }
}

/// Bytes that a pass has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// They are in a file.
    File {
        /// Which.
        file: BlobFile,
        /// How many there should be.
        size: u64,
    },
    /// They are in the database and were looked at when they were read.
    Inline {
        /// Their digest.
        digest: Digest,
        /// How many there are.
        size: u64,
        /// What is wrong with them.
        flaw: Option<Flaw>,
    },
}

/// A pass.
pub fn pass(read: &impl Read, which: Which) -> Result<Option<Pass>, StoreError> {
    read.record(Table::Scrub, &Key::new().text(which.as_str()))
}

/// Writes down where a pass stands.
pub fn set_pass(change: &mut Change<'_>, which: Which, pass: &Pass) -> Result<(), StoreError> {
    change.put(Table::Scrub, &Key::new().text(which.as_str()), pass)
}

/// Forgets the pass that was under way.
pub fn end_pass(change: &mut Change<'_>) -> Result<bool, StoreError> {
    change.remove(Table::Scrub, &Key::new().text(Which::Current.as_str()))
}

impl Item {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        match self {
            Self::File { file, .. } => file.digest,
            Self::Inline { digest, .. } => *digest,
        }
    }

    /// How many bytes it should have.
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } | Self::Inline { size, .. } => *size,
        }
    }
}

/// The next of one half after `last`; none when there are no more. A row that
/// does not decode is passed over: `verify` tells of it.
pub fn slice(read: &impl Read, half: Holder, last: Option<&Digest>) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    each(read, half, last, limits::SCRUB_ROWS, |digest, value| items.extend(item(half, digest, value)))?;
    Ok(items)
}

/// What there is to look at of one blob or manifest; none when it is not named,
/// or known to be damaged.
pub fn item_of(read: &impl Read, held: &Held) -> Result<Option<Item>, StoreError> {
    let key = Key::new().digest(&held.digest);
    Ok(read.with(table(held.holder), &key, |value| item(held.holder, held.digest, value))?.flatten())
}

/// The bytes of the next of one half, many at once, and the last of them; none
/// when there are no more.
pub fn sizes(read: &impl Read, half: Holder, last: Option<&Digest>) -> Result<Option<(u64, Digest)>, StoreError> {
    const ROWS: usize = 4_096;
    let (mut bytes, mut end) = (0, None);
    each(read, half, last, ROWS, |digest, value| {
        bytes += match half {
            Holder::Blob => Blob::decode(value).map_or(0, |blob| blob.size),
            Holder::Manifest => ManifestBody::decode(value).map_or(0, |body| body.size),
        };
        end = Some(digest);
    })?;
    Ok(end.map(|end| (bytes, end)))
}

fn each(
    read: &impl Read,
    half: Holder,
    last: Option<&Digest>,
    rows: usize,
    mut take: impl FnMut(Digest, &[u8]),
) -> Result<(), StoreError> {
    let mut span = Span::all();
    if let Some(last) = last {
        span = span.after(&Key::new().digest(last));
    }
    let mut seen = 0;
    read.walk(table(half), &span, Order::Forward, |key, value| {
        if let Some((digest, _)) = Digest::from_key(key) {
            take(digest, value);
        }
        seen += 1;
        Ok(if seen < rows { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })
}

fn table(half: Holder) -> Table {
    match half {
        Holder::Blob => Table::Blobs,
        Holder::Manifest => Table::Manifests,
    }
}

fn item(half: Holder, digest: Digest, value: &[u8]) -> Option<Item> {
    match half {
        Holder::Blob => {
            let Blob { size, upload } = Blob::decode(value).ok()?;
            Some(Item::File { file: BlobFile { digest, upload }, size })
        }
        Holder::Manifest => {
            let ManifestBody { size, bytes, .. } = ManifestBody::decode(value).ok()?;
            Some(match bytes {
                Bytes::File(upload) => Item::File { file: BlobFile { digest, upload }, size },
                Bytes::Inline(bytes) => Item::Inline { digest, size, flaw: flaw(&digest, &bytes) },
            })
        }
    }
}

/// What is wrong with bytes that should hash to `digest`.
pub fn flaw(digest: &Digest, bytes: &[u8]) -> Option<Flaw> {
    let found = Digest::of(digest.algorithm(), bytes);
    (found != *digest).then_some(Flaw::Altered { found })
}
