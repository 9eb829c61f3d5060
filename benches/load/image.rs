//! Images that are made up: small random blobs and the manifests that name
//! them. No two that are made are the same.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::payload::fill;

/// The kind of an image's manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Some bytes with their digest.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

/// An image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<Blob>,
    pub(crate) manifest: Blob,
}

impl Blob {
    /// These bytes.
    pub(crate) fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))), bytes }
    }

    /// New ones.
    pub(crate) fn random(length: usize) -> Self {
        let mut bytes = vec![0; length];
        fill(&mut bytes);
        Self::of(bytes)
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({ "mediaType": kind, "digest": self.digest, "size": self.bytes.len() })
    }
}

impl Image {
    /// A new one.
    pub(crate) fn new(layers: usize, layer_bytes: usize) -> Self {
        let mut nonce = [0; 16];
        fill(&mut nonce);
        let config = json!({
            "architecture": "amd64", "os": "linux", "author": hex::encode(nonce),
            "config": {}, "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let layers = (0..layers).map(|_| Blob::random(layer_bytes)).collect();
        Self::of(Blob::of(config.to_string()), layers)
    }

    /// One that has these.
    pub(crate) fn of(config: Blob, layers: Vec<Blob>) -> Self {
        let named: Vec<Value> = layers.iter().map(|layer| layer.descriptor(LAYER)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(CONFIG), "layers": named,
        });
        Self { config, layers, manifest: Blob::of(manifest.to_string()) }
    }

    /// All its blobs, layers first.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain([&self.config])
    }
}

/// The content of every empty configuration.
pub(crate) fn empty() -> Blob {
    Blob::of("{}")
}

/// A manifest that is attached to `subject`, the `number`th.
pub(crate) fn referrer(subject: &Blob, number: u64) -> Blob {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.note",
        "config": empty().descriptor(EMPTY), "layers": [empty().descriptor(EMPTY)],
        "subject": subject.descriptor(MANIFEST), "annotations": { "org.example.number": number.to_string() },
    });
    Blob::of(manifest.to_string())
}
