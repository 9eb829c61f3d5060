//! Where a blob file lies, and the strict reading of its path.
//!
//! `blobs/<algorithm>/<2 hex>/<hex>.<upload id>`: the two digits are the first
//! of the hash, so that no directory grows past what file systems like.

use std::fmt;
use std::path::PathBuf;

use crate::oci::Digest;

use super::UploadId;

/// One blob file: the bytes of `digest` as `upload` brought them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobFile {
    /// What the bytes hash to.
    pub digest: Digest,
    /// The upload that brought them.
    pub upload: UploadId,
}

impl BlobFile {
    /// The path below the `blobs` folder.
    pub fn path(&self) -> PathBuf {
        [self.digest.algorithm().as_str(), &self.shard(), &self.file_name()].iter().collect()
    }

    /// The directory's name: the first byte of the hash.
    pub(super) fn shard(&self) -> String {
        shard_name(self.digest.hash()[0])
    }

    /// The file's name.
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}", self.digest.hex(), self.upload)
    }

    /// Reads the three parts of a path below `blobs`; `None` for every other
    /// spelling than the one that [`BlobFile::path`] writes.
    pub(super) fn parse(algorithm: &str, shard: &str, file_name: &str) -> Option<Self> {
        let (hex, upload) = file_name.split_once('.')?;
        let file = Self { digest: format!("{algorithm}:{hex}").parse().ok()?, upload: upload.parse().ok()? };
        (file.shard() == shard).then_some(file)
    }
}

impl fmt::Display for BlobFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.path().display(), f)
    }
}

impl fmt::Debug for BlobFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of the directory for hashes that begin with `first`.
pub(super) fn shard_name(first: u8) -> String {
    format!("{first:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::oci::Algorithm;

    #[test]
    fn paths_round_trip() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let file = BlobFile { digest: Digest::of(algorithm, b"x"), upload: UploadId::new(&Chance::seeded(1)) };
            let path = file.path();
            let parts: Vec<&str> = path.iter().map(|part| part.to_str().expect("ascii")).collect();
            assert_eq!(parts.len(), 3);
            assert_eq!(BlobFile::parse(parts[0], parts[1], parts[2]), Some(file));
        }
    }

    #[test]
    fn strangers_are_no_blob_files() {
        let file = BlobFile { digest: Digest::sha256_of(b""), upload: UploadId::from_bytes([7; 16]) };
        let (shard, name) = (file.shard(), file.file_name());
        assert_eq!((shard.as_str(), BlobFile::parse("sha256", &shard, &name)), ("e3", Some(file)));
        for (algorithm, shard, name) in [
            ("md5", "e3", name.as_str()),
            ("sha512", "e3", &name),
            ("sha256", "e4", &name),
            ("sha256", "E3", &name),
            ("sha256", "e3", &name.to_uppercase()),
            ("sha256", "e3", &format!("{name}.tmp")),
            ("sha256", "e3", &file.digest.hex()),
            ("sha256", "e3", ".nfs0001"),
            ("sha256", "e3", ""),
        ] {
            assert_eq!(BlobFile::parse(algorithm, shard, name), None, "{algorithm}/{shard}/{name}");
        }
    }
}
