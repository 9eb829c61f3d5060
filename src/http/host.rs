//! The host that a request is for (RFC 9112 §3.2, RFC 9110 §7.2).
//!
//! Which one it is does not matter here, every name leads to the same registry.
//! A request that has none, two, or one that is no host is refused all the same:
//! a proxy in front may have read another one than we would.

use http::request::Parts;
use http::uri::Authority;
use http::{Version, header};

/// Why a request is for no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostError {
    /// HTTP/1.1 without one.
    #[error("a request of HTTP/1.1 needs a Host header")]
    Missing,
    /// More than one.
    #[error("there is more than one Host header; send one")]
    Repeated,
    /// It is none.
    #[error("the Host header is no `host` or `host:port`")]
    Malformed,
}

/// Holds a request's `Host` against the rules of its version.
pub(super) fn check(parts: &Parts) -> Result<(), HostError> {
    let mut sent = parts.headers.get_all(header::HOST).iter();
    let Some(host) = sent.next() else {
        return if parts.version == Version::HTTP_11 { Err(HostError::Missing) } else { Ok(()) };
    };
    if sent.next().is_some() {
        return Err(HostError::Repeated);
    }
    // Empty where the target has no authority, as over a unix socket.
    let is_host = |text: &str| {
        let port = |authority: &Authority| match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.is_empty() || authority.port_u16().is_some(),
            _ => true,
        };
        text.is_empty() || text.parse::<Authority>().is_ok_and(|authority| !text.contains('@') && port(&authority))
    };
    if host.to_str().is_ok_and(is_host) { Ok(()) } else { Err(HostError::Malformed) }
}

/// The host and port that a client used, in small letters; `None` where it
/// named none. Of a request that [`check`] let pass.
pub(super) fn named(parts: &Parts) -> Option<String> {
    let sent = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = sent.filter(|host| !host.is_empty()).or_else(|| parts.uri.authority().map(Authority::as_str))?;
    Some(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn one_host_that_is_one() {
        let check = |version, hosts: &[&'static str]| {
            let mut request = Request::builder().version(version);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            super::check(&request.body(()).expect("a request").into_parts().0)
        };
        for host in ["a", "a:5000", "a:", "[::1]:5000", "[::1]", "192.0.2.1", "a.example.", "", "a_b"] {
            assert_eq!(check(Version::HTTP_11, &[host]), Ok(()), "{host}");
        }
        for host in ["a b", "a/b", "user@a", "a:b", "a:99999", "http://a", "a\u{e9}", "a:1:2"] {
            assert_eq!(check(Version::HTTP_11, &[host]), Err(HostError::Malformed), "{host}");
        }
        assert_eq!(check(Version::HTTP_11, &[]), Err(HostError::Missing));
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check(Version::HTTP_2, &[]), Ok(()));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(check(version, &["a", "a"]), Err(HostError::Repeated));
        }
    }
}
