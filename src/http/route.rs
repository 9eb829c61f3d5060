//! One pure, total function from method, path and query to what is asked for,
//! for the whole daemon. Nothing is normalised: a path that is not written as
//! it should be names nothing.

use http::Method;

use super::query::Query;
use super::v2::{Call, CallError};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The registry API, or why it is no request of it.
    V2(Result<Call, CallError>),
    /// The management API, `/api/v0` and `/enzi/v0`, which reads its own paths.
    Api,
    /// The authority's certificate.
    Ca,
    /// DTR's health check.
    Ping,
    /// The health check.
    Health,
    /// One of the three above by a method other than GET and HEAD.
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
        if below(path, "/api/v0").or_else(|| below(path, "/enzi/v0")).is_some() {
            return Self::Api;
        }
        let open = match path {
            "/ca" => Self::Ca,
            "/_ping" => Self::Ping,
            "/health" => Self::Health,
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
            Self::Ca => "ca",
            Self::Ping => "ping",
            Self::Health => "health",
            Self::ReadOnly | Self::Nothing => "none",
        }
    }
}

/// What follows `prefix`, which ends at a `/` or at the end.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
