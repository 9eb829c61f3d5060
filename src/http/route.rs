//! One pure, total function from method, path and query to what is asked for,
//! for the whole daemon. Nothing is normalised: a path that is not written as
//! it should be names nothing.

use http::Method;

use super::query::Query;
use super::token::Auth;
use super::v2::{Call, CallError};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The registry API, or why it is no request of it.
    V2(Result<Call, CallError>),
    /// The management API, `/api/v0` and `/enzi/v0`, which reads its own paths.
    Api,
    /// The first system admin, by whoever has the set-up secret.
    Setup,
    /// The token service, and how tools sign in.
    Auth(Auth),
    /// The authority's certificate.
    Ca,
    /// DTR's health check.
    Ping,
    /// The health check.
    Health,
    /// What is counted.
    Metrics,
    /// One of the four above by a method other than GET and HEAD.
    ReadOnly,
    /// Nothing.
    Nothing,
}

impl Route {
    /// Reads a request.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        if let Some(rest) = below(path, "/v2") {
            return Self::V2(Call::parse(method, rest, query));
        }
        if matches!(path, "/api/v0/setup" | "/api/v0/setup/") {
            return Self::Setup;
        }
        if let Some(auth) = Auth::parse(method, path) {
            return Self::Auth(auth);
        }
        if matches!(path, "/id" | "/id/") {
            return Self::Api;
        }
        if below(path, "/api/v0").or_else(|| below(path, "/enzi/v0")).is_some() {
            return Self::Api;
        }
        let open = match path {
            "/ca" => Self::Ca,
            "/_ping" => Self::Ping,
            "/health" => Self::Health,
            "/metrics" => Self::Metrics,
            _ => return Self::Nothing,
        };
        if matches!(*method, Method::GET | Method::HEAD) { open } else { Self::ReadOnly }
    }

    /// Its name in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::V2(Ok(call)) => call.name(),
            Self::V2(Err(_)) => "v2",
            Self::Api => "api",
            Self::Setup => "api.setup",
            Self::Auth(auth) => auth.name(),
            Self::Ca => "ca",
            Self::Ping => "ping",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::ReadOnly | Self::Nothing => "none",
        }
    }
}

/// What follows `prefix`, which ends at a `/` or at the end.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::path::V2PathError;

    #[test]
    fn every_path_is_one_thing_or_nothing() {
        let get = |path: &str| Route::parse(&Method::GET, path, &Query::default());
        assert_eq!(get("/v2/"), Route::V2(Ok(Call::Base)));
        assert_eq!(get("/v2"), Route::V2(Ok(Call::Base)));
        assert_eq!(get("/v2//"), Route::V2(Err(CallError::Path(V2PathError::Shape))));
        for path in ["/api/v0", "/api/v0/", "/api/v0/repositories/dev%2Fx", "/enzi/v0/accounts", "/id/", "/enzi/v0/id"]
        {
            assert_eq!(get(path), Route::Api, "{path}");
        }
        let post = |path: &str| Route::parse(&Method::POST, path, &Query::default());
        assert_eq!((get("/auth/token"), post("/auth/token/")), (Route::Auth(Auth::Token), Route::Auth(Auth::Grant)));
        assert_eq!(
            (post("/auth/login"), get("/auth/login")),
            (Route::Auth(Auth::Login), Route::Auth(Auth::Method("POST")))
        );
        for base in ["/id", "/enzi/v0/id"] {
            assert_eq!(post(&format!("{base}/login")), Route::Auth(Auth::IdLogin));
            assert_eq!(post(&format!("{base}/logout/")), Route::Auth(Auth::Logout));
        }
        assert_eq!((get("/ca"), get("/_ping"), get("/health")), (Route::Ca, Route::Ping, Route::Health));
        assert_eq!(get("/metrics"), Route::Metrics);
        for path in [
            "",
            "/",
            "*",
            "/v2x",
            "/V2/",
            "/api",
            "/api/v1/",
            "/api/v00",
            "/ca/",
            "/auth",
            "/auth/token/x",
            "/auth//token",
            "/id/x",
            "//v2/",
            "/x/../v2/",
            "/%76%32/",
        ] {
            assert_eq!(get(path), Route::Nothing, "{path}");
        }
        for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
            assert_eq!(Route::parse(&method, "/ca", &Query::default()), Route::ReadOnly);
            assert_eq!(Route::parse(&method, "/api/v0/x", &Query::default()), Route::Api);
        }
    }
}
