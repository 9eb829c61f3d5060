//! Small images, pushed in all the ways that clients push.

use bytes::Bytes;
use hyper::StatusCode;
use tidegate::oci::Digest;

use crate::client::{Broken, Client};

/// An image of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) layer: Bytes,
    pub(crate) config: Bytes,
    pub(crate) manifest: Bytes,
    pub(crate) digest: String,
}

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In one request.
    Whole,
    /// Opened, and closed with all of it.
    Closing,
    /// Opened, in two pieces, closed.
    Pieces,
}

impl Image {
    /// The image with this layer, told apart by its name, with a manifest of
    /// at least `bytes` bytes.
    pub(crate) fn new(name: &str, layer: Bytes, bytes: usize) -> Self {
        let diff = Digest::sha256_of(&layer);
        let config = Bytes::from(format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{"name":"{name}"}}}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#
        ));
        let descriptor = |kind: &str, bytes: &Bytes| {
            let digest = Digest::sha256_of(bytes);
            format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
        };
        let manifest = Bytes::from(format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}],"annotations":{{"padding":"{}"}}}}"#,
            descriptor("config.v1+json", &config),
            descriptor("layer.v1.tar", &layer),
            "x".repeat(bytes),
        ));
        let digest = Digest::sha256_of(&manifest).to_string();
        Self { layer, config, manifest, digest }
    }

    /// The blobs, in the order in which they are sent.
    pub(crate) fn blobs(&self) -> [&Bytes; 2] {
        [&self.layer, &self.config]
    }

    /// Pushes all of it. An error means that nothing is known about the tag.
    pub(crate) async fn push(&self, client: &Client, repository: &str, tag: &str, way: Way) -> Result<(), Broken> {
        for blob in self.blobs() {
            send_blob(client, repository, blob, way).await?;
        }
        self.put(client, repository, tag).await
    }

    /// Sends the manifest; its blobs are there.
    pub(crate) async fn put(&self, client: &Client, repository: &str, tag: &str) -> Result<(), Broken> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let answer = client.send("PUT", &path, kind, self.manifest.clone()).await?;
        taken(answer.status, StatusCode::CREATED, &path, &answer.body)
    }

    /// Fetches what a tag names and all that belongs to it, and hashes it;
    /// words when it is not this image.
    pub(crate) async fn check(&self, client: &Client, repository: &str, reference: &str) -> Result<(), String> {
        let digests = self.blobs().map(|blob| Digest::sha256_of(blob).to_string());
        let paths = digests.iter().map(|digest| (format!("/v2/{repository}/blobs/{digest}"), digest.clone()));
        let manifest = (format!("/v2/{repository}/manifests/{reference}"), self.digest.clone());
        for (path, digest) in paths.chain([manifest]) {
            let answer = client.get(&path).await.map_err(|Broken| format!("{path}: no answer"))?;
            if answer.status != StatusCode::OK {
                return Err(format!("{path}: {}", answer.status));
            }
            let found = Digest::sha256_of(&answer.body).to_string();
            if found != digest {
                return Err(format!("{path}: hashes to {found}, not {digest}"));
            }
        }
        Ok(())
    }
}

/// Sends a blob, whether it is there or not.
pub(crate) async fn send_blob(client: &Client, repository: &str, bytes: &Bytes, way: Way) -> Result<(), Broken> {
    let digest = Digest::sha256_of(bytes);
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let octets = "application/octet-stream";
    if way == Way::Whole {
        let path = format!("{uploads}?digest={digest}");
        let answer = client.send("POST", &path, octets, bytes.clone()).await?;
        return taken(answer.status, StatusCode::CREATED, &path, &answer.body);
    }
    let answer = client.send("POST", &uploads, octets, Bytes::new()).await?;
    taken(answer.status, StatusCode::ACCEPTED, &uploads, &answer.body)?;
    let mut location = path_of(&answer.location);
    let mut rest = bytes.clone();
    if way == Way::Pieces {
        for piece in [rest.split_to(bytes.len() / 2), rest.split_off(0)] {
            let answer = client.send("PATCH", &location, octets, piece).await?;
            taken(answer.status, StatusCode::ACCEPTED, &location, &answer.body)?;
            location = path_of(&answer.location);
        }
    }
    let joint = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{joint}digest={digest}");
    let answer = client.send("PUT", &path, octets, rest).await?;
    taken(answer.status, StatusCode::CREATED, &path, &answer.body)
}

/// The path of an absolute or relative URL.
fn path_of(location: &str) -> String {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => location.to_owned(),
    }
}

/// A daemon that is dying may still say that it cannot; everything else must
/// be what was expected.
fn taken(status: StatusCode, expected: StatusCode, path: &str, body: &Bytes) -> Result<(), Broken> {
    if status == expected {
        return Ok(());
    }
    assert!(status.is_server_error(), "{path}: {status} {}", String::from_utf8_lossy(body));
    Err(Broken)
}
