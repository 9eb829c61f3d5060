//! `/health`, `/_ping` and `/ca`: what anyone may ask.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{Body, State};

/// For load balancers and people: 200 while requests are welcome, with what
/// does not work beside that; else 503 and why.
pub(super) fn health(state: &State) -> Response<Body> {
    match state.trouble() {
        None => {
            let wrong = state.degraded();
            let shape = match wrong.is_empty() {
                true => json!({ "status": "ok" }),
                // It serves all the same: no reason to send clients elsewhere.
                false => json!({ "status": "degraded", "degraded": wrong }),
            };
            answer(StatusCode::OK, &shape)
        }
        Some(trouble) => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": trouble.to_string() })),
    }
}

/// The same in DTR's shape.
pub(super) fn ping(state: &State) -> Response<Body> {
    match state.trouble() {
        None => answer(StatusCode::OK, &json!({ "Healthy": true, "Error": "" })),
        Some(trouble) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "Healthy": false, "Error": trouble.to_string() }))
        }
    }
}

/// The certificate of the authority that clients are to trust.
pub(super) fn ca(state: &State) -> Response<Body> {
    let Some(pem) = state.ca_pem() else {
        let words = "this registry shows a certificate of its operator's own, and does not have the authority's: \
                     clients trust whoever made it";
        let error = json!({ "errors": [{ "code": "NOT_FOUND", "message": words, "detail": null }] });
        return answer(StatusCode::NOT_FOUND, &error);
    };
    let mut response = Response::new(Body::from(pem.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"tidegate-ca.crt\""));
    response
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
