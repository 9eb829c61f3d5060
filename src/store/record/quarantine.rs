//! What is damaged here, and the passes that look for it.

use super::Stored;
use crate::clock::Timestamp;
use crate::oci::{Digest, MediaType};
use crate::store::file::{Flaw, UploadId};

/// What names stored bytes. A digest may be a blob and a manifest, each with
/// bytes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Holder {
    /// A blob.
    Blob,
    /// A manifest.
    Manifest,
}

impl Holder {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Blob, Self::Manifest];

    /// The word in keys, in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
        }
    }
}

/// Bytes that are not what their digest says. The key says whose. While this
/// row stands there is none in `blobs` (or `manifests`), so nobody reads them;
/// the links stay.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quarantined {
    /// What is wrong with them.
    pub flaw: Flaw,
    /// How many there should be.
    pub size: u64,
    /// The kind of a manifest.
    pub kind: Option<MediaType>,
    /// The file that holds them as they are, kept; none where they lay in the
    /// database.
    pub upload: Option<UploadId>,
    /// When they were found.
    pub found_at: Timestamp,
    /// How often it was tried to get them back.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Why it failed last; empty before the first try.
    pub last_error: String,
}

/// A pass over everything that is stored: where it stands, what it has seen.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pass {
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended; none while it is under way.
    pub ended_at: Option<Timestamp>,
    /// Which half it is in: blobs go first.
    pub half: Holder,
    /// The last digest of that half that it has looked at.
    pub last: Option<Digest>,
    /// Blobs it has looked at.
    pub blobs: u64,
    /// Manifests it has looked at.
    pub manifests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that there were when it began.
    pub total_bytes: u64,
    /// What it found damaged.
    pub flawed: u64,
    /// Files that the system did not let it look at.
    pub unseen: u64,
}

impl Pass {
    /// A pass that begins at `now` over `total_bytes`.
    pub fn begun(now: Timestamp, total_bytes: u64) -> Self {
        Self {
            began_at: now,
            ended_at: None,
            half: Holder::Blob,
            last: None,
            blobs: 0,
            manifests: 0,
            bytes: 0,
            total_bytes,
            flawed: 0,
            unseen: 0,
        }
    }

    /// Counts one of its half, of `size` bytes, and stands behind it.
    pub fn passed(&mut self, digest: Digest, size: u64) {
        match self.half {
            Holder::Blob => self.blobs += 1,
            Holder::Manifest => self.manifests += 1,
        }
        self.bytes += size;
        self.last = Some(digest);
    }

    /// How far it is, in hundredths.
    pub fn percent(&self) -> u64 {
        if self.ended_at.is_some() {
            return 100;
        }
        // What came since it began may make it more than all.
        (self.bytes.saturating_mul(100) / self.total_bytes.max(1)).min(99)
    }
}

impl Stored for Quarantined {
    const VERSION: u8 = 1;
}

impl Stored for Pass {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flaw_comes_back() {
        let flaws = [
            Flaw::Missing,
            Flaw::Short { found: 3 },
            Flaw::Long { found: u64::MAX },
            Flaw::Altered { found: Digest::sha256_of(b"x") },
            Flaw::Unreadable { why: "Input/output error".to_owned() },
        ];
        for (flaw, upload) in flaws.into_iter().flat_map(|flaw| [(flaw.clone(), None), (flaw, Some([7; 16]))]) {
            let row = Quarantined {
                flaw,
                size: 5,
                kind: upload.is_none().then_some(MediaType::OciIndex),
                upload: upload.map(UploadId::from_bytes),
                found_at: Timestamp::from_micros(1),
                attempts: 2,
                next_at: Timestamp::from_micros(3),
                last_error: "no mirror has it".to_owned(),
            };
            assert_eq!(Quarantined::decode(&row.encode()), Ok(row));
        }
        let mut pass = Pass::begun(Timestamp::from_micros(9), 200);
        assert_eq!(Pass::decode(&pass.encode()), Ok(pass.clone()));
        (pass.bytes, pass.last) = (300, Some(Digest::sha256_of(b"y")));
        assert_eq!((Pass::decode(&pass.encode()), pass.percent()), (Ok(pass.clone()), 99));
        pass.ended_at = Some(Timestamp::from_micros(10));
        assert_eq!((Pass::decode(&pass.encode()), pass.percent()), (Ok(pass.clone()), 100));
        assert_eq!(Pass::begun(Timestamp::EPOCH, 0).percent(), 0);
    }
}
