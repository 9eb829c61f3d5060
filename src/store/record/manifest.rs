//! Manifests and blobs, and what links them to repositories.

use super::Stored;
use crate::clock::Timestamp;
use crate::oci::descriptor::Platform;
use crate::oci::manifest::{Child, Link};
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
#[serde(from = "StoredLinks", into = "StoredLinks")]
pub struct ManifestLinks {
    /// The links.
    pub links: Links,
    /// Its artifact type; may be empty.
    pub artifact_type: String,
}

/// [`ManifestLinks`] as they are stored. The vocabulary's own types are made
/// for JSON and leave absent fields out, which a record without field names
/// cannot be read back from.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct StoredLinks {
    config: Option<StoredLink>,
    layers: Vec<StoredLink>,
    foreign: Vec<StoredLink>,
    children: Vec<StoredChild>,
    subject: Option<Digest>,
    artifact_type: String,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct StoredLink {
    digest: Digest,
    size: u64,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct StoredChild {
    digest: Digest,
    size: u64,
    is_manifest: bool,
    platform: Option<StoredPlatform>,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct StoredPlatform {
    architecture: String,
    os: String,
    variant: Option<String>,
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

impl From<ManifestLinks> for StoredLinks {
    fn from(ManifestLinks { links, artifact_type }: ManifestLinks) -> Self {
        let store = |link: Link| StoredLink { digest: link.digest, size: link.size };
        let platform = |Platform { architecture, os, variant }| StoredPlatform { architecture, os, variant };
        let child = |Child { digest, size, is_manifest, platform: on }| StoredChild {
            digest,
            size,
            is_manifest,
            platform: on.map(platform),
        };
        Self {
            config: links.config.map(store),
            layers: links.layers.into_iter().map(store).collect(),
            foreign: links.foreign.into_iter().map(store).collect(),
            children: links.children.into_iter().map(child).collect(),
            subject: links.subject,
            artifact_type,
        }
    }
}

impl From<StoredLinks> for ManifestLinks {
    fn from(stored: StoredLinks) -> Self {
        let read = |link: StoredLink| Link { digest: link.digest, size: link.size };
        let platform = |StoredPlatform { architecture, os, variant }| Platform { architecture, os, variant };
        let child = |StoredChild { digest, size, is_manifest, platform: on }| Child {
            digest,
            size,
            is_manifest,
            platform: on.map(platform),
        };
        let links = Links {
            config: stored.config.map(read),
            layers: stored.layers.into_iter().map(read).collect(),
            foreign: stored.foreign.into_iter().map(read).collect(),
            children: stored.children.into_iter().map(child).collect(),
            subject: stored.subject,
        };
        Self { links, artifact_type: stored.artifact_type }
    }
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
    /// When it was linked last, on the store's own time line.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A platform without a variant was written without the field and could
    /// not be read back: the first index with platforms made its manifest
    /// undeletable and stopped the writer.
    #[test]
    fn links_read_back_whatever_is_absent() {
        let digest = Digest::sha256_of(b"x");
        let link = Link { digest, size: 1 };
        let on = |variant: Option<&str>| Platform {
            architecture: "arm64".to_owned(),
            os: "linux".to_owned(),
            variant: variant.map(str::to_owned),
        };
        let child = |platform| Child { digest, size: 2, is_manifest: true, platform };
        let full = Links {
            config: Some(link),
            layers: vec![link, link],
            foreign: vec![link],
            children: vec![child(None), child(Some(on(None))), child(Some(on(Some("v8"))))],
            subject: Some(digest),
        };
        for links in [full, Links::default()] {
            let record = ManifestLinks { links, artifact_type: "a/b".to_owned() };
            assert_eq!(ManifestLinks::decode(&record.encode()), Ok(record));
        }
    }
}
