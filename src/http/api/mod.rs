//! The management API: `/api/v0` and `/enzi/v0`.

use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{Body, Query, State};
use crate::registry::Caller;

/// Answers a request below `/api/v0` or `/enzi/v0`; `path` is the whole path.
pub(super) async fn handle(
    _state: &State,
    _caller: Caller,
    _peer_local: bool,
    _parts: &http::request::Parts,
    path: &str,
    _query: &Query,
    _body: Incoming,
) -> Response<Body> {
    let message = format!("there is nothing at {path}");
    let body = serde_json::json!({ "errors": [{ "code": "NOT_FOUND", "message": message }] });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
