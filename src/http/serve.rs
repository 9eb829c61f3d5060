//! One request from its head to its answer: named, routed, signed in,
//! dispatched, logged.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use tracing::Instrument as _;

use super::connection::Peer;
use super::framing;
use super::host;
use super::origin;
use super::query::Query;
use super::rate::TooMany;
use super::request_body::{RequestBody, lend};
use super::request_id::{self, RequestId};
use super::route::Route;
use super::sign_in::{CHALLENGE, SignInError, SignedIn, sign_in, sign_in_to_manage};
use super::token::challenge;
use super::{Body, State, api, health, metrics, token, v2};
use crate::identity::token::access;
use crate::registry::Caller;
use crate::store::error_chain;

/// What every answer carries, unless a handler knows better: this origin shows
/// what strangers pushed, and nothing of it is a page.
const SECURITY: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Answers one request.
pub async fn handle(state: State, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let store = state.registry().store();
    let id = RequestId::of(&parts.headers, store.chance());
    parts.extensions.insert(id.clone());
    let state = state.on_behalf_of(origin::of(&parts.headers, &id, peer));
    let query = Query::parse(parts.uri.query());
    let route = Route::parse(&parts.method, parts.uri.path(), &query);
    // Not the query: it may hold what must not be logged.
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        request.route = route.name(),
        http.method = %parts.method,
        http.path = &*access::hide(parts.uri.path()),
        peer.addr = peer.addr.map(tracing::field::display),
        caller.name = tracing::field::Empty,
    );
    let clock = store.clock().clone();
    async {
        let begun = clock.monotonic();
        let changes = matches!(&route, Route::V2(Ok(call)) if call.changes());
        let name = route.name();
        let mut response = dispatch(&state, route, &parts, &query, body, peer).await;
        seal(&mut response, &id);
        if parts.method == Method::HEAD {
            take_body(&mut response);
        }
        let (status, elapsed) = (response.status().as_u16(), clock.monotonic().duration_since(begun));
        state.metrics().answered(name, response.status(), elapsed);
        if changes && response.status().is_success() {
            tracing::info!(http.status = status, elapsed_ms = elapsed.as_millis(), "changed");
        } else {
            tracing::debug!(http.status = status, elapsed_ms = elapsed.as_millis(), "answered");
        }
        response
    }
    .instrument(span)
    .await
}

async fn dispatch(
    state: &State,
    route: Route,
    parts: &Parts,
    query: &Query,
    body: Incoming,
    peer: Peer,
) -> Response<Body> {
    if let Err(error) = framing::check(parts) {
        let mut response = no_request(&route, StatusCode::NOT_IMPLEMENTED, &error.to_string());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let (body, unread) = lend(body);
    let mut response = match host::check(parts) {
        Ok(()) => routed(state, route, parts, query, body, peer).await,
        Err(error) => no_request(&route, StatusCode::BAD_REQUEST, &error.to_string()),
    };
    unread.settle(parts, &mut response).await;
    response
}

/// Hands a request that is one to who answers it.
async fn routed(
    state: &State,
    route: Route,
    parts: &Parts,
    query: &Query,
    body: RequestBody,
    peer: Peer,
) -> Response<Body> {
    match route {
        Route::V2(call) => registry(state, call, parts, body, peer).await,
        Route::Api => {
            let signed_in = sign_in_to_manage(state, parts, query, peer).await;
            match (state.rate().admit(signed_in.as_ref().ok().map(|known| &known.caller), peer), signed_in) {
                (Err(refused), _) => too_many(&refused),
                (Ok(()), Ok(known)) => {
                    let caller = known.caller;
                    tracing::Span::current().record("caller.name", caller.label());
                    let state = &state.having_shown(&known.proof);
                    api::handle(state, caller, peer, parts, parts.uri.path(), query, body).await
                }
                (Ok(()), Err(error)) => unknown_caller(&error),
            }
        }
        // Who has the secret has no account yet.
        Route::Setup => match state.rate().admit(None, peer) {
            Ok(()) => api::set_up(state, parts, query, body, peer).await,
            Err(refused) => too_many(&refused),
        },
        Route::Auth(auth) => match state.rate().admit(None, peer) {
            Ok(()) => token::handle(state, auth, parts, query, body, peer).await,
            Err(refused) => too_many(&refused),
        },
        Route::Ca => health::ca(state),
        Route::Ping => health::ping(state),
        Route::Health => health::health(state),
        Route::Metrics => match sign_in(state, parts, peer).await {
            Ok(SignedIn { caller: Caller::Anonymous, .. }) => unknown_caller(&SignInError::Missing),
            Ok(known) => told(state, &known.caller, parts).await,
            Err(error) => unknown_caller(&error),
        },
        Route::ReadOnly => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "NOT_ALLOWED", "this path takes GET, HEAD");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        Route::Nothing => plain(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "there is nothing here; the registry is at /v2/, its management at /api/v0/",
        ),
    }
}

/// The registry API. Who asks comes first: a stranger is not even told whether
/// the request makes sense.
async fn registry(
    state: &State,
    call: Result<v2::Call, v2::CallError>,
    parts: &Parts,
    body: RequestBody,
    peer: Peer,
) -> Response<Body> {
    let refuse = |error: v2::Error| {
        let id = parts.extensions.get::<RequestId>().expect("`handle` puts it there");
        error.into_response(id)
    };
    let mut response = match admit(state, &call, parts, peer).await {
        Ok(known) => {
            let state = &state.having_shown(&known.proof);
            let answered = async { v2::handle(state, &known.caller, call?, parts, body).await };
            answered.await.unwrap_or_else(refuse)
        }
        Err(error) => {
            let challenge = match &error {
                v2::Error::SignIn(error) => challenge::to(parts, peer, call.as_ref().ok(), error),
                _ => CHALLENGE,
            };
            let mut response = refuse(error);
            if response.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    response.headers_mut().insert(v2::API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

/// Who calls the registry API, if it may be called so.
async fn admit(
    state: &State,
    call: &Result<v2::Call, v2::CallError>,
    parts: &Parts,
    peer: Peer,
) -> Result<SignedIn, v2::Error> {
    let signed_in = sign_in(state, parts, peer).await;
    state.rate().admit(signed_in.as_ref().ok().map(|known| &known.caller), peer)?;
    let known = signed_in?;
    tracing::Span::current().record("caller.name", known.caller.label());
    v2::admit(state, &known.caller, call)?;
    Ok(known)
}

/// The metrics, for those who may see everything.
async fn told(state: &State, caller: &Caller, parts: &Parts) -> Response<Body> {
    let answered = async {
        state.registry().require_admin(caller, "see the metrics")?;
        metrics::tell(state).await
    };
    answered.await.unwrap_or_else(|error| {
        let id = parts.extensions.get::<RequestId>().expect("`handle` puts it there");
        api::refused(error, id)
    })
}

/// The management API's words for a caller without a name, in DTR's shape.
fn unknown_caller(error: &SignInError) -> Response<Body> {
    let mut response = match error {
        SignInError::Missing
        | SignInError::Malformed
        | SignInError::Repeated
        | SignInError::Wrong
        | SignInError::Token => plain(StatusCode::UNAUTHORIZED, "NOT_AUTHENTICATED", &error.to_string()),
        SignInError::TooMany { .. } | SignInError::Busy => {
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", &error.to_string());
            response.headers_mut().extend(error.retry_after().map(|wait| (header::RETRY_AFTER, wait)));
            return response;
        }
        SignInError::Store(_) => {
            tracing::error!(error = error_chain(error), "a request failed");
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "internal error; the log of the registry says more under this request's id",
            );
        }
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    response
}

/// The management API's words for one request too many.
fn too_many(refused: &TooMany) -> Response<Body> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", &refused.to_string());
    response.headers_mut().insert(header::RETRY_AFTER, refused.retry_after());
    response
}

/// The refusal of a request that is no HTTP, in the shape of what it asked for.
fn no_request(route: &Route, status: StatusCode, words: &str) -> Response<Body> {
    let mut response = plain(status, "UNSUPPORTED", words);
    if matches!(route, Route::V2(_)) {
        response.headers_mut().insert(v2::API_VERSION, HeaderValue::from_static("registry/2.0"));
    }
    response
}

fn plain(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = json!({ "errors": [{ "code": code, "message": message }] });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer to HEAD is the one to GET without its body. hyper leaves it out in
/// HTTP/1.1 alone; in HTTP/2 the client resets a stream that brings one.
fn take_body(response: &mut Response<Body>) {
    let body = std::mem::replace(response.body_mut(), Body::empty());
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
}

/// What every answer carries.
fn seal(response: &mut Response<Body>, id: &RequestId) {
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
    headers.insert(request_id::HEADER, id.header());
}

#[cfg(test)]
mod tests;
