//! Reading from a remote repository: manifests and blobs.

use bytes::Bytes;
use http::header::{ACCEPT, RANGE};
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::registry::{Prepared, Registry};
use super::{BlobStream, Breach, RemoteError};
use crate::limits;
use crate::oci::{Algorithm, Digest, MediaType, Reference};

/// What a registry says about a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteManifest {
    /// Its digest; computed here when the other side did not name it.
    pub digest: Digest,
    /// Its media type, as the other side has it.
    pub media_type: String,
    /// Its length in bytes, when it was named.
    pub size: Option<u64>,
}

/// A manifest that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The manifest's own bytes.
    pub bytes: Bytes,
    /// Its media type: the header's, or the manifest's own where the header
    /// is too general to be one.
    pub media_type: String,
    /// The digest that `bytes` hash to, under the algorithm that was asked for
    /// or that the other side uses.
    pub digest: Digest,
}

impl Registry {
    /// What `reference` is now; `None` when it is not there. One HEAD, so that
    /// finding out that nothing changed costs no transfer; where the other side
    /// names no digest, the manifest is read and hashed.
    pub async fn head_manifest(&self, reference: &Reference) -> Result<Option<RemoteManifest>, RemoteError> {
        let answer = self.send(&self.manifest_call(Method::HEAD, reference)?).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::METHOD_NOT_ALLOWED => return self.head_by_reading(reference).await,
            _ => return Err(self.session.error(answer).await),
        }
        let digest = match (reference, answer.digest()?) {
            (Reference::Digest(want), Some(got)) if got != *want && got.algorithm() == want.algorithm() => {
                return Err(answer.broke(Breach::Digest { want: *want, got }));
            }
            (Reference::Digest(want), _) => *want,
            (Reference::Tag(_), Some(got)) => got,
            (Reference::Tag(_), None) => return self.head_by_reading(reference).await,
        };
        let media_type = answer.clean(answer.media_type());
        Ok(Some(RemoteManifest { digest, media_type, size: answer.length() }))
    }

    /// The manifest that `reference` is now; `None` when it is not there.
    pub async fn get_manifest(&self, reference: &Reference) -> Result<Option<Fetched>, RemoteError> {
        let answer = self.send(&self.manifest_call(Method::GET, reference)?).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.session.error(answer).await),
        }
        let origin = answer.origin.clone();
        let promised = answer.digest()?;
        let header = answer.clean(answer.media_type());
        let bytes = answer.read(limits::MANIFEST_BYTES, "bytes of a manifest").await?;
        let wanted = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => None,
        };
        for want in [wanted, promised].into_iter().flatten() {
            let got = Digest::of(want.algorithm(), &bytes);
            if got != want {
                return Err(RemoteError::protocol(&origin, Breach::Digest { want, got }));
            }
        }
        let digest = wanted.or(promised).unwrap_or_else(|| Digest::of(Algorithm::Sha256, &bytes));
        let media_type = if MediaType::of(&header).is_some() { header } else { inner_type(&bytes).unwrap_or(header) };
        Ok(Some(Fetched { bytes, media_type, digest }))
    }

    /// Whether the repository holds a blob.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RemoteError> {
        let call = self.call(Method::HEAD, &format!("/blobs/{digest}"), &self.pull_scope())?;
        let answer = self.send(&call).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.session.error(answer).await),
        }
    }

    /// The bytes of a blob of `size` bytes, from `offset` on where the other
    /// side can do that; see [`BlobStream::offset`]. The caller hashes.
    pub async fn open_blob(&self, digest: &Digest, size: u64, offset: u64) -> Result<BlobStream, RemoteError> {
        if offset >= size && size > 0 {
            let timing = self.session.outbound.options().timing;
            return Ok(BlobStream::finished(self.origin().clone(), timing, size));
        }
        let mut answer = self.send(&self.blob_call(digest, offset)?).await?;
        if offset > 0 && answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            answer = self.send(&self.blob_call(digest, 0)?).await?;
        }
        match answer.status() {
            StatusCode::OK => BlobStream::of(answer, size, 0),
            StatusCode::PARTIAL_CONTENT if offset > 0 => BlobStream::of(answer, size, offset),
            _ => Err(self.session.error(answer).await),
        }
    }

    fn manifest_call(&self, method: Method, reference: &Reference) -> Result<Prepared, RemoteError> {
        const ALL: HeaderValue = HeaderValue::from_static(
            "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
             application/vnd.docker.distribution.manifest.list.v2+json, \
             application/vnd.docker.distribution.manifest.v2+json",
        );
        let call = self.call(method, &format!("/manifests/{reference}"), &self.pull_scope())?;
        Ok(call.header(ACCEPT, ALL))
    }

    fn blob_call(&self, digest: &Digest, offset: u64) -> Result<Prepared, RemoteError> {
        let call = self.call(Method::GET, &format!("/blobs/{digest}"), &self.pull_scope())?;
        Ok(match HeaderValue::from_str(&format!("bytes={offset}-")) {
            Ok(range) if offset > 0 => call.header(RANGE, range),
            _ => call,
        })
    }

    async fn head_by_reading(&self, reference: &Reference) -> Result<Option<RemoteManifest>, RemoteError> {
        let read = self.get_manifest(reference).await?;
        Ok(read.map(|Fetched { bytes, media_type, digest }| RemoteManifest {
            digest,
            media_type,
            size: Some(bytes.len() as u64),
        }))
    }
}

/// The manifest's own `mediaType`.
fn inner_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    let typed: Typed = serde_json::from_slice(bytes).ok()?;
    MediaType::of(&typed.media_type).map(|kind| kind.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_general_header_gives_way_to_the_manifests_own_type() {
        let oci = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
        assert_eq!(inner_type(oci.as_bytes()).as_deref(), Some(MediaType::OciManifest.as_str()));
        for other in ["{}", "[]", r#"{"mediaType":"text/html"}"#, r#"{"mediaType":7}"#, "<html>"] {
            assert_eq!(inner_type(other.as_bytes()), None, "{other}");
        }
    }
}
