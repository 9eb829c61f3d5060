//! Small images made here, byte for byte known, and OCI layouts of them that
//! `skopeo` reads.

use std::path::Path;

use serde_json::{Value, json};
use tidegate::oci::Digest;

use super::program::{Run as _, program};

/// An image of one layer that holds one file.
pub(crate) struct Image {
    /// The manifest.
    pub(crate) manifest: Vec<u8>,
    /// Configuration and layer.
    pub(crate) blobs: Vec<Vec<u8>>,
    architecture: String,
}

/// A folder that `skopeo` knows as `oci:`.
pub(crate) struct Layout<'a>(pub(crate) &'a Path);

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Image {
    /// An image for `architecture` whose one file holds `words`.
    pub(crate) fn new(architecture: &str, words: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("words"), words).unwrap();
        let tar = folder.path().join("layer.tar");
        let same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
        program("tar").args(same).arg("-C").arg(folder.path()).arg("-cf").arg(&tar).arg("words").run().good();
        let layer = std::fs::read(&tar).unwrap();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/words"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        Self { manifest, blobs: vec![config, layer], architecture: architecture.to_owned() }
    }

    /// The manifest's digest.
    pub(crate) fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// The configuration's digest, which an engine calls the image's id.
    pub(crate) fn config_digest(&self) -> String {
        digest(&self.blobs[0])
    }
}

impl Layout<'_> {
    /// Writes one image; gives the manifest's digest.
    pub(crate) fn write_image(&self, image: &Image) -> String {
        self.begin();
        self.keep(image);
        self.name(&descriptor(MANIFEST, &image.manifest));
        image.digest()
    }

    /// Writes an index of images; gives the index's digest.
    pub(crate) fn write_index(&self, images: &[Image]) -> String {
        self.begin();
        let entry = |image: &Image| {
            self.keep(image);
            let mut entry = descriptor(MANIFEST, &image.manifest);
            entry["platform"] = json!({"os": "linux", "architecture": image.architecture});
            entry
        };
        let manifests: Vec<Value> = images.iter().map(entry).collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let index = index.to_string().into_bytes();
        self.blob(&index);
        self.name(&descriptor(INDEX, &index));
        digest(&index)
    }

    fn begin(&self) {
        std::fs::create_dir_all(self.0.join("blobs/sha256")).unwrap();
        std::fs::write(self.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    fn name(&self, descriptor: &Value) {
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        std::fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }

    fn keep(&self, image: &Image) {
        self.blob(&image.manifest);
        image.blobs.iter().for_each(|blob| self.blob(blob));
    }

    fn blob(&self, bytes: &[u8]) {
        let digest = digest(bytes);
        std::fs::write(self.0.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    Digest::sha256_of(bytes).to_string()
}
