//! What a call gives: a status, perhaps JSON, perhaps where the next page
//! begins; or bytes, for backups.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::http::Body;

/// The answer to a call that went well.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content: Content,
    headers: HeaderMap,
}

#[derive(Debug)]
enum Content {
    Nothing,
    Json(Vec<u8>),
    Bytes(Body),
}

/// DTR's header for the start of the next page.
const NEXT: HeaderName = HeaderName::from_static("x-next-page-start");
/// DTR's header for how many there are in all.
const COUNT: HeaderName = HeaderName::from_static("x-resource-count");

/// What DTR's fields for a moment hold when there was none: Go's zero time,
/// which its clients can parse.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A moment, or DTR's never.
pub(super) fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), Timestamp::rfc3339)
}

impl Answer {
    /// 200 with JSON.
    pub(super) fn ok(shape: &impl Serialize) -> Self {
        Self::with(StatusCode::OK, shape)
    }

    /// 201 with JSON.
    pub(super) fn created(shape: &impl Serialize) -> Self {
        Self::with(StatusCode::CREATED, shape)
    }

    /// 202 with JSON.
    pub(super) fn accepted(shape: &impl Serialize) -> Self {
        Self::with(StatusCode::ACCEPTED, shape)
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, content: Content::Nothing, headers: HeaderMap::new() }
    }

    /// 200 with bytes.
    pub(super) fn bytes(body: Body) -> Self {
        Self { status: StatusCode::OK, content: Content::Bytes(body), headers: HeaderMap::new() }
    }

    fn with(status: StatusCode, shape: &impl Serialize) -> Self {
        let json = serde_json::to_vec(shape).expect("the shapes have text keys and finite numbers");
        Self { status, content: Content::Json(json), headers: HeaderMap::new() }
    }

    /// Says where the next page begins, if there is one.
    #[must_use]
    pub(super) fn next(mut self, start: Option<impl std::fmt::Display>) -> Self {
        // Names, tags, digests and ids have no character that a header may not.
        if let Some(value) = start.and_then(|start| HeaderValue::try_from(start.to_string()).ok()) {
            self.headers.insert(NEXT, value);
        }
        self
    }

    /// Says how many there are in all, if that was asked.
    #[must_use]
    pub(super) fn count(mut self, count: Option<usize>) -> Self {
        if let Some(count) = count {
            self.headers.insert(COUNT, HeaderValue::from(count));
        }
        self
    }

    /// Warns (RFC 7234 §5.5, code 299).
    #[must_use]
    pub(super) fn warn(mut self, warnings: &[String]) -> Self {
        for warning in warnings {
            let text = warning.replace(['"', '\\'], "'");
            if let Ok(value) = HeaderValue::try_from(format!("299 - \"{text}\"")) {
                self.headers.append(header::WARNING, value);
            }
        }
        self
    }
}

impl From<Answer> for Response<Body> {
    fn from(answer: Answer) -> Self {
        let (body, kind) = match answer.content {
            Content::Nothing => (Body::empty(), None),
            Content::Json(json) => (Body::from(json), Some("application/json")),
            Content::Bytes(body) => (body, Some("application/octet-stream")),
        };
        let mut response = Self::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response
    }
}
