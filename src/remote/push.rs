//! Writing to a remote repository: blobs, mounts, manifests.
//!
//! A blob goes out as one `POST` that opens an upload and one `PUT` that
//! carries all of it: two requests, spoken by every registry. The `Location` of
//! an upload may lead to another origin (an object store with a signed URL);
//! the bytes go there without credentials, and never from TLS to plain text.

use std::io;

use bytes::Bytes;
use futures_util::stream::Stream;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode, Uri};

use super::answer::Answer;
use super::body::Source;
use super::location::{resolve, with_query};
use super::registry::{Prepared, Registry};
use super::session::Payload;
use super::{Breach, Origin, RemoteError, RemoteRepository, Scheme};
use crate::oci::{Digest, Reference};

/// An upload that the other side has opened.
#[must_use = "an open upload takes room at the other side until it is used or cancelled"]
pub struct UploadSession {
    location: Uri,
}

/// What came of asking for a mount.
#[derive(Debug)]
pub enum MountOutcome {
    /// The blob is there; no byte was sent.
    Mounted,
    /// It is not; the other side opened an upload instead.
    Upload(UploadSession),
}

impl Registry {
    /// Opens an upload.
    pub async fn start_upload(&self) -> Result<UploadSession, RemoteError> {
        let call = self.call(Method::POST, "/blobs/uploads/", &self.push_scope())?;
        let answer = self.session.expect(&call.borrowed(), &[StatusCode::ACCEPTED]).await?;
        self.upload_session(&answer)
    }

    /// Gives an upload up. One that is gone already is as good.
    pub async fn cancel_upload(&self, upload: UploadSession) -> Result<(), RemoteError> {
        let call = self.upload_call(Method::DELETE, upload.location);
        let answer = self.send(&call).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(self.session.error(answer).await),
        }
    }

    /// Asks for a blob that another repository of the same registry has. A
    /// registry that cannot, or that does not let us see `from`, opens an
    /// upload; one that answers with an error is asked for a plain upload.
    pub async fn mount_blob(&self, digest: &Digest, from: &RemoteRepository) -> Result<MountOutcome, RemoteError> {
        let from = from.at(&self.host);
        let scope = format!("{} repository:{from}:pull", self.push_scope());
        let mut call = self.call(Method::POST, "/blobs/uploads/", &scope)?;
        let text = digest.to_string();
        call.uri = with_query(&call.uri, &[("mount", &text), ("from", &from)])
            .ok_or(RemoteError::Connect(super::ConnectError::Target))?;
        let answer = match self.session.send(&call.borrowed()).await {
            Ok(answer) => answer,
            Err(RemoteError::Unauthorized { .. } | RemoteError::Forbidden { .. }) => {
                return self.start_upload().await.map(MountOutcome::Upload);
            }
            Err(error) => return Err(error),
        };
        match answer.status() {
            StatusCode::CREATED => {
                self.same_digest(&answer, digest)?;
                Ok(MountOutcome::Mounted)
            }
            StatusCode::ACCEPTED => self.upload_session(&answer).map(MountOutcome::Upload),
            StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED => self.start_upload().await.map(MountOutcome::Upload),
            _ => Err(self.session.error(answer).await),
        }
    }

    /// Sends a blob: opens an upload and fills it.
    pub async fn push_blob<F, S>(&self, digest: &Digest, size: u64, source: F) -> Result<(), RemoteError>
    where
        F: Fn() -> S + Send + Sync,
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let upload = self.start_upload().await?;
        self.fill_upload(upload, digest, size, source).await
    }

    /// Sends a blob of `size` bytes into an open upload. `source` opens the
    /// blob; it is called again when the request has to be repeated with a new
    /// token. When it has more or fewer bytes than `size`, the upload fails.
    pub async fn fill_upload<F, S>(
        &self,
        upload: UploadSession,
        digest: &Digest,
        size: u64,
        source: F,
    ) -> Result<(), RemoteError>
    where
        F: Fn() -> S + Send + Sync,
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let location = with_query(&upload.location, &[("digest", &digest.to_string())])
            .ok_or_else(|| RemoteError::protocol(self.origin(), Breach::Header("Location")))?;
        let call = self
            .upload_call(Method::PUT, location)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let open = move || -> Source { Box::pin(source()) };
        let expected = [StatusCode::CREATED, StatusCode::NO_CONTENT, StatusCode::OK];
        let answer = self.session.expect(&call.with(Payload::Blob { size, open: &open }), &expected).await?;
        self.same_digest(&answer, digest)
    }

    /// Sends a manifest under a tag or its digest; the digest under which the
    /// other side has it now.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        bytes: Bytes,
        media_type: &str,
    ) -> Result<Digest, RemoteError> {
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(_) => Digest::sha256_of(&bytes),
        };
        let call = self.call(Method::PUT, &format!("/manifests/{reference}"), &self.push_scope())?;
        let kind = HeaderValue::from_str(media_type)
            .map_err(|error| RemoteError::Source(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let call = call.header(CONTENT_TYPE, kind);
        let expected = [StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::OK];
        let answer = self.session.expect(&call.with(Payload::Bytes(bytes)), &expected).await?;
        self.same_digest(&answer, &digest)?;
        Ok(digest)
    }

    fn upload_call(&self, method: Method, location: Uri) -> Prepared {
        Prepared { method, uri: location, scope: self.push_scope(), headers: Vec::new() }
    }

    fn upload_session(&self, answer: &Answer) -> Result<UploadSession, RemoteError> {
        let location = answer
            .header(LOCATION)
            .and_then(|location| resolve(&answer.uri, location))
            .ok_or_else(|| answer.broke(Breach::Header("Location")))?;
        match Origin::of(&location) {
            Some(to) if self.origin().scheme() == Scheme::Https && to.scheme() == Scheme::Http => {
                let reason = "which gives up TLS";
                Err(RemoteError::Redirect { origin: self.origin().clone(), to, reason })
            }
            _ => Ok(UploadSession { location }),
        }
    }

    /// Refuses an answer that names another digest than what was sent has.
    fn same_digest(&self, answer: &Answer, want: &Digest) -> Result<(), RemoteError> {
        match answer.digest()? {
            Some(got) if got.algorithm() == want.algorithm() && got != *want => {
                Err(answer.broke(Breach::Digest { want: *want, got }))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The query may be a signature.
        f.debug_struct("UploadSession").field("path", &self.location.path()).finish_non_exhaustive()
    }
}
