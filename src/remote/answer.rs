//! An answer of another registry: its head believed only where it is checked,
//! its body read within bounds.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::Instant;

use super::censor::Censor;
use super::pace::Pace;
use super::{Breach, Origin, RemoteError, Timing, retry_after};
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::Digest;
use crate::oci::digest::DigestError;

/// An answer whose body is not read yet.
pub(super) struct Answer {
    response: Response<Incoming>,
    /// What was asked, after all redirects.
    pub(super) uri: Uri,
    /// Who answered.
    pub(super) origin: Origin,
    timing: Timing,
    /// What of its words must not be repeated.
    censor: Arc<Censor>,
}

impl Answer {
    pub(super) fn new(
        response: Response<Incoming>,
        uri: Uri,
        origin: Origin,
        timing: Timing,
        censor: Arc<Censor>,
    ) -> Self {
        Self { response, uri, origin, timing, censor }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header's text; `None` when it is absent or not ASCII.
    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.response.headers().get(name.into())?.to_str().ok()
    }

    /// All values of a header that are texts.
    pub(super) fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// `Content-Length`, when it is a number.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH)?.parse().ok()
    }

    /// The media type, without parameters; empty when there is none.
    pub(super) fn media_type(&self) -> &str {
        self.header(CONTENT_TYPE).and_then(|text| text.split(';').next()).unwrap_or_default().trim()
    }

    /// `Docker-Content-Digest`; one under an algorithm that is not known here
    /// counts as absent.
    pub(super) fn digest(&self) -> Result<Option<Digest>, RemoteError> {
        const NAME: HeaderName = HeaderName::from_static("docker-content-digest");
        match self.header(NAME).map(|text| text.trim().parse()) {
            None | Some(Err(DigestError::Algorithm)) => Ok(None),
            Some(Ok(digest)) => Ok(Some(digest)),
            Some(Err(DigestError::Shape | DigestError::Hex)) => Err(self.broke(Breach::DigestHeader)),
        }
    }

    /// The error for a breach of the protocol by whoever answered.
    pub(super) fn broke(&self, breach: Breach) -> RemoteError {
        RemoteError::protocol(&self.origin, breach)
    }

    /// A text of the answer, fit to be repeated.
    pub(super) fn clean(&self, text: &str) -> String {
        self.censor.clean(text)
    }

    /// The same, for what is read when the answer is used up.
    pub(super) fn censor(&self) -> Arc<Censor> {
        Arc::clone(&self.censor)
    }

    /// Refuses content that was encoded: digests are over the plain bytes.
    pub(super) fn refuse_encoding(&self) -> Result<(), RemoteError> {
        match self.header(http::header::CONTENT_ENCODING).map(str::trim) {
            None | Some("" | "identity") => Ok(()),
            Some(other) => Err(self.broke(Breach::Encoding(self.clean(other)))),
        }
    }

    /// How long the body may take.
    pub(super) fn timing(&self) -> Timing {
        self.timing
    }

    /// The body as it comes.
    pub(super) fn into_body(self) -> Incoming {
        self.response.into_body()
    }

    /// The whole body, of at most `limit` bytes (`unit` names them).
    pub(super) async fn read(self, limit: usize, unit: &'static str) -> Result<Bytes, RemoteError> {
        self.refuse_encoding()?;
        let too_large = RemoteError::TooLarge { origin: self.origin.clone(), limit, unit };
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(too_large);
        }
        let (origin, timing) = (self.origin.clone(), self.timing);
        let mut body = self.into_body();
        let mut pace = Pace::new(timing);
        let reading = async {
            let mut read = BytesMut::new();
            while let Some(chunk) = next_chunk(&mut body, &origin, &mut pace).await? {
                if read.len() + chunk.len() > limit {
                    return Err(too_large);
                }
                read.extend_from_slice(&chunk);
            }
            Ok(read.freeze())
        };
        match tokio::time::timeout(timing.read, reading).await {
            Ok(read) => read,
            Err(_) => Err(RemoteError::Timeout { origin, after: timing.read }),
        }
    }

    /// The whole body as JSON.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(self, what: &'static str) -> Result<T, RemoteError> {
        let origin = self.origin.clone();
        let body = self.read(limits::REMOTE_BODY_BYTES, "bytes of JSON").await?;
        serde_json::from_slice(&body).map_err(|error| RemoteError::protocol(&origin, Breach::json(what, &error)))
    }

    /// The error that an answer without success is.
    pub(super) async fn into_error(self, now: Timestamp, anonymous: bool) -> RemoteError {
        let (origin, status) = (self.origin.clone(), self.status());
        let retry_after = self.header(RETRY_AFTER).and_then(|text| retry_after::parse(text, now));
        let censor = self.censor();
        let message = censor.clean(&self.message().await);
        match status {
            StatusCode::UNAUTHORIZED => RemoteError::Unauthorized { origin, anonymous, message },
            StatusCode::FORBIDDEN => RemoteError::Forbidden { origin, message },
            StatusCode::NOT_FOUND => RemoteError::NotFound { origin, message },
            StatusCode::TOO_MANY_REQUESTS => RemoteError::TooManyRequests { origin, retry_after, message },
            status if status.is_success() || status.is_redirection() => {
                RemoteError::protocol(&origin, Breach::Status(status.as_u16()))
            }
            status => RemoteError::Server { origin, status: status.as_u16(), retry_after, message },
        }
    }

    /// What the body says went wrong: the first of the specification's errors,
    /// else the start of the text. A body that fails says nothing.
    async fn message(self) -> String {
        let (origin, patience) = (self.origin.clone(), self.timing.stall);
        let mut pace = Pace::new(self.timing);
        let mut body = self.into_body();
        let mut read = Vec::new();
        let reading = async {
            while let Ok(Some(chunk)) = next_chunk(&mut body, &origin, &mut pace).await {
                let room = limits::REMOTE_ERROR_BYTES.saturating_sub(read.len());
                read.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if read.len() >= limits::REMOTE_ERROR_BYTES {
                    break;
                }
            }
        };
        // What came in time is said, the rest is not worth waiting for.
        let _in_time = tokio::time::timeout(patience, reading).await;
        match serde_json::from_slice::<Errors>(&read) {
            Ok(Errors { errors }) if !errors.is_empty() => {
                let Said { code, message } = &errors[0];
                if message.is_empty() { code.clone() } else { format!("{code}: {message}") }
            }
            _ => String::from_utf8_lossy(&read).into_owned(),
        }
    }
}

/// The next bytes of a body, at the pace that is asked for; `None` at its end.
pub(super) async fn next_chunk(
    body: &mut Incoming,
    origin: &Origin,
    pace: &mut Pace,
) -> Result<Option<Bytes>, RemoteError> {
    let stall = pace.stall();
    loop {
        let began = Instant::now();
        let frame = tokio::time::timeout(stall, body.frame())
            .await
            .map_err(|_| RemoteError::Stalled { origin: origin.clone(), after: stall })?;
        let waited = began.elapsed();
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(RemoteError::of_body(origin, error)),
            Some(Ok(frame)) => {
                // Trailers mean nothing here, and empty frames are no progress.
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    pace.moved(data.len() as u64, waited, origin)?;
                    return Ok(Some(data));
                }
                pace.moved(0, waited, origin)?;
            }
        }
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}
