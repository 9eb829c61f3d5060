//! What a 401 of the registry API says: where to get a token, for which
//! service, for what (RFC 6750 §3, and the token specification).
//!
//! It offers the token service alone, although a name and password sent at once
//! are taken as well: docker answers every challenge that it is given, the last
//! one prevails, and with an identity token in place of a password it fails at
//! a challenge for Basic.

use http::HeaderValue;
use http::request::Parts;

use crate::http::connection::Peer;
use crate::http::host;
use crate::http::sign_in::{CHALLENGE, SignInError};
use crate::http::v2::Call;
use crate::http::v2::call::MountSource;

/// The challenge to a request that was refused with `error`.
pub(in crate::http) fn to(parts: &Parts, peer: Peer, call: Option<&Call>, error: &SignInError) -> HeaderValue {
    let Some(host) = host::named(parts).filter(|host| !host.contains(['"', '\\'])) else { return CHALLENGE };
    let scheme = if is_https(parts, peer, &host) { "https" } else { "http" };
    let mut text = format!(r#"Bearer realm="{scheme}://{host}/auth/token",service="{host}""#);
    if let Some(scope) = call.and_then(scope) {
        text.push_str(&format!(r#",scope="{scope}""#));
    }
    if matches!(error, SignInError::Token) {
        text.push_str(r#",error="invalid_token""#);
    }
    HeaderValue::try_from(text).unwrap_or(CHALLENGE)
}

/// Whether the client speaks TLS, to us or to a proxy in front. A name that is
/// not this host's own, on a plain listener, from this host, came through one;
/// and what says that it did may only ever raise what is said here.
fn is_https(parts: &Parts, peer: Peer, host: &str) -> bool {
    let said = parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    let is_own = name == "localhost"
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    let from_own = peer.addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback());
    peer.tls || said || (from_own && !is_own)
}

/// What is asked for, in the words of the token specification.
fn scope(call: &Call) -> Option<String> {
    let (repository, actions) = match call {
        Call::Base => return None,
        Call::Catalog { .. } => return Some("registry:catalog:*".to_owned()),
        Call::Tags { repository, .. }
        | Call::Referrers { repository, .. }
        | Call::GetManifest { repository, .. }
        | Call::GetBlob { repository, .. } => (repository, "pull"),
        Call::PutManifest { repository, .. }
        | Call::BeginUpload { repository, .. }
        | Call::PutBlob { repository, .. } => (repository, "pull,push"),
        Call::Mount { repository, source, .. } => {
            if let MountSource::Repository(from) = source {
                return Some(format!("repository:{repository}:pull,push repository:{from}:pull"));
            }
            (repository, "pull,push")
        }
        Call::DeleteManifest { repository, .. } | Call::DeleteBlob { repository, .. } => (repository, "delete"),
        Call::UploadProgress(session)
        | Call::AppendUpload(session)
        | Call::FinishUpload(session, _)
        | Call::CancelUpload(session) => (&session.repository, "pull,push"),
    };
    Some(format!("repository:{repository}:{actions}"))
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;
    use crate::http::Query;

    fn told(host: &str, peer: Peer, headers: &[(&'static str, &str)], method: Method, path: &str) -> String {
        let mut request = Request::builder().method(method.clone()).uri("/v2/");
        for (name, value) in [("host", host)].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let call = Call::parse(&method, path, &Query::parse(Some(query))).unwrap();
        to(&parts, peer, Some(&call), &SignInError::Missing).to_str().unwrap().to_owned()
    }

    fn peer(addr: &str, tls: bool) -> Peer {
        Peer { addr: Some(addr.parse().unwrap()), local: false, uid: None, tls, listener: 1 }
    }

    #[test]
    fn the_realm_is_where_the_client_came_to() {
        let realm = |host: &str, addr: &str, tls: bool, headers: &[(&'static str, &str)]| {
            let told = told(host, peer(addr, tls), headers, Method::GET, "/");
            let realm = told.split('"').nth(1).unwrap().to_owned();
            assert_eq!(told, format!(r#"Bearer realm="{realm}",service="{}""#, host.to_ascii_lowercase()));
            realm
        };
        assert_eq!(realm("Edge-7:5000", "10.0.0.9:4000", true, &[]), "https://edge-7:5000/auth/token");
        assert_eq!(realm("localhost:5000", "127.0.0.1:4000", false, &[]), "http://localhost:5000/auth/token");
        assert_eq!(realm("127.0.0.1:5000", "127.0.0.1:4000", false, &[]), "http://127.0.0.1:5000/auth/token");
        assert_eq!(realm("[::1]:5000", "[::1]:4000", false, &[]), "http://[::1]:5000/auth/token");
        // A proxy on this host stands before us, and speaks TLS.
        assert_eq!(realm("edge-7", "127.0.0.1:4000", false, &[]), "https://edge-7/auth/token");
        let forwarded = [("x-forwarded-proto", "https")];
        assert_eq!(realm("edge-7", "10.0.0.2:4000", false, &forwarded), "https://edge-7/auth/token");
        assert_eq!(
            realm("edge-7", "10.0.0.2:4000", true, &[("x-forwarded-proto", "http")]),
            "https://edge-7/auth/token"
        );
        // Plain HTTP that an operator forced.
        assert_eq!(realm("10.0.0.1:5000", "10.0.0.2:4000", false, &[]), "http://10.0.0.1:5000/auth/token");
    }

    #[test]
    fn the_scope_is_what_the_request_does() {
        let digest = crate::oci::Digest::sha256_of(b"x");
        for (method, path, scope) in [
            (Method::GET, "/_catalog".to_owned(), "registry:catalog:*"),
            (Method::GET, "/dev/web/manifests/1".to_owned(), "repository:dev/web:pull"),
            (Method::HEAD, format!("/dev/web/blobs/{digest}"), "repository:dev/web:pull"),
            (Method::PUT, "/dev/web/manifests/1".to_owned(), "repository:dev/web:pull,push"),
            (Method::POST, "/dev/web/blobs/uploads/".to_owned(), "repository:dev/web:pull,push"),
            (
                Method::POST,
                format!("/dev/web/blobs/uploads/?mount={digest}&from=qa/web"),
                "repository:dev/web:pull,push repository:qa/web:pull",
            ),
            (Method::DELETE, "/dev/web/manifests/1".to_owned(), "repository:dev/web:delete"),
        ] {
            let told = told("h", peer("10.0.0.1:1", true), &[], method, &path);
            assert!(told.ends_with(&format!(r#",scope="{scope}""#)), "{told}");
        }
    }
}
