//! Manifests and blobs, and what links them to repositories.

use super::Stored;
use crate::clock::Timestamp;
use crate::oci::{Descriptor, Digest, Links, MediaType};
use crate::store::file::UploadId;

/// A manifest's kind and bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ManifestBody {
    /// Its kind.
    pub kind: MediaType,
    /// Its length in bytes.
    pub size: u64,
    /// Where the bytes are.
    pub bytes: Bytes,
}

/// Where a manifest's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Bytes {
    /// Here.
    Inline(#[serde(with = "inline")] Vec<u8>),
    /// In the file that this upload left.
    File(UploadId),
}

mod inline {
    //! Bytes as one run rather than a sequence of numbers.

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// What a manifest names, beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ManifestLinks {
    /// The links.
    pub links: Links,
    /// Its artifact type; may be empty.
    pub artifact_type: String,
}

/// A referrer, as the referrers listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Referrer {
    /// Its kind.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its artifact type; may be empty.
    pub artifact_type: String,
    /// Its annotations.
    pub annotations: Vec<(String, String)>,
}

impl Referrer {
    /// From the descriptor that lists it.
    pub fn from_descriptor(descriptor: &Descriptor) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            artifact_type: descriptor.artifact_type.clone().unwrap_or_default(),
            annotations: descriptor.annotations.clone().into_iter().collect(),
        }
    }

    /// The descriptor that lists it.
    pub fn descriptor(self, digest: Digest) -> Descriptor {
        Descriptor {
            media_type: self.media_type,
            digest,
            size: self.size,
            artifact_type: Some(self.artifact_type).filter(|kind| !kind.is_empty()),
            annotations: self.annotations.into_iter().collect(),
            platform: None,
        }
    }
}

/// A blob: how long it is and which upload left its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Blob {
    /// Its length in bytes.
    pub size: u64,
    /// The upload whose file holds it.
    pub upload: UploadId,
}

/// Since when something is readable in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Linked {
    /// When it was linked last.
    pub at: Timestamp,
}

impl Stored for ManifestBody {
    const VERSION: u8 = 1;
}
impl Stored for ManifestLinks {
    const VERSION: u8 = 1;
}
impl Stored for Referrer {
    const VERSION: u8 = 1;
}
impl Stored for Blob {
    const VERSION: u8 = 1;
}
impl Stored for Linked {
    const VERSION: u8 = 1;
}
