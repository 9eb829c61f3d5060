//! An origin: scheme, host and port, the unit that credentials belong to
//! (RFC 6454 §4).
//!
//! The grammar is strict, because the text comes from policies, challenges and
//! redirects alike: no user, no path, no query, and no host that two resolvers
//! could read differently.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;

use crate::limits;

/// How a connection is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The text before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that goes without saying.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port. `Display` and `FromStr` round-trip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case; an IPv6 address without its brackets.
    host: String,
    port: u16,
}

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Nothing there.
    #[error("a host is needed, such as https://registry.example.com or registry.example.com:5000")]
    Empty,
    /// Neither http nor https.
    #[error("`{0}:` is no scheme for a registry; write https://, http://, or nothing, which means https")]
    Scheme(String),
    /// A user or password in front of the host.
    #[error("a host has no user name in it; give the user name and the password in their own fields")]
    UserInfo,
    /// Something behind the host.
    #[error("`{0}` behind the host is not allowed; only the scheme, the host and the port belong here")]
    Path(String),
    /// A port that is none.
    #[error("the port `{0}` must be a number from 1 to 65535")]
    Port(String),
    /// A host that is none.
    #[error(
        "`{0}` is no host; it must be a name (letters, digits, `-`, `_` and `.`), an IPv4 address such as 192.0.2.1, or an IPv6 address in brackets"
    )]
    Host(String),
}

impl Origin {
    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, always there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as an address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The origin of an absolute URI; `None` when it has none, another scheme,
    /// a user, or a host outside the grammar.
    pub fn of(uri: &Uri) -> Option<Self> {
        let scheme = scheme(uri.scheme_str()?).ok()?;
        let (host, port) = authority(uri.authority()?.as_str()).ok()?;
        Some(Self { scheme, host, port: port.unwrap_or(scheme.port()) })
    }

    /// An origin from checked parts.
    pub(super) fn new(scheme: Scheme, host: &str, port: u16) -> Self {
        Self { scheme, host: host.to_owned(), port }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        // Before anything of it is repeated: what stands there is a password.
        if text.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((before, rest)) => (scheme(before)?, rest),
            // `javascript:x`, `mailto:x`: what begins with a letter is no port.
            None => match text.split_once(':') {
                Some((before, after)) if is_word(before) && after.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    return Err(OriginError::Scheme(before.chars().take(32).collect()));
                }
                _ => (Scheme::Https, text),
            },
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (host, behind) = rest.split_at(end);
        if !matches!(behind, "" | "/") {
            // What stands in a query may be a token.
            let shown = behind.split_inclusive(['?', '#']).next().unwrap_or_default();
            return Err(OriginError::Path(shown.chars().take(64).collect()));
        }
        let (host, port) = authority(host)?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port()) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme.as_str())?;
        f.write_str("://")?;
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn scheme(text: &str) -> Result<Scheme, OriginError> {
    [Scheme::Https, Scheme::Http]
        .into_iter()
        .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| OriginError::Scheme(text.chars().take(32).collect()))
}

/// Splits `host[:port]` and checks both.
fn authority(text: &str) -> Result<(String, Option<u16>), OriginError> {
    let refuse = || OriginError::Host(text.chars().take(64).collect());
    if text.is_empty() {
        return Err(OriginError::Empty);
    }
    if text.contains('@') {
        return Err(OriginError::UserInfo);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, behind) = rest.split_once(']').ok_or_else(refuse)?;
        let address: Ipv6Addr = inside.parse().map_err(|_| refuse())?;
        let port = match behind.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if behind.is_empty() => None,
            None => return Err(refuse()),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(refuse()),
        Some((host, digits)) => (host, Some(port(digits)?)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(OriginError::Empty);
    }
    if !is_host(host) {
        return Err(refuse());
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn port(digits: &str) -> Result<u16, OriginError> {
    let refuse = || OriginError::Port(digits.chars().take(16).collect());
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse());
    }
    digits.parse().ok().filter(|&port| port != 0).ok_or_else(refuse)
}

fn is_host(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    // `127.1`, `0x7f.1` and `2130706433` are addresses to some resolvers and
    // names to others; only the dotted quad is an address here.
    if last.starts_with(|c: char| c.is_ascii_digit()) {
        return host.parse::<Ipv4Addr>().is_ok() || (!looks_like_a_number(last) && is_name(host));
    }
    is_name(host)
}

fn looks_like_a_number(label: &str) -> bool {
    label.bytes().all(|b| b.is_ascii_digit()) || label.to_ascii_lowercase().starts_with("0x")
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-')
}

fn is_name(host: &str) -> bool {
    host.len() <= limits::REMOTE_HOST_BYTES
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_origins() {
        for (text, shown) in [
            ("registry.example.com", "https://registry.example.com"),
            ("https://Registry.Example.com/", "https://registry.example.com"),
            ("http://registry:5000", "http://registry:5000"),
            ("registry:443", "https://registry"),
            ("http://registry:80", "http://registry"),
            ("https://[2001:DB8::1]:5000", "https://[2001:db8::1]:5000"),
            ("[::1]", "https://[::1]"),
            ("http://192.0.2.7:1", "http://192.0.2.7:1"),
            ("HTTPS://a_b.example", "https://a_b.example"),
            ("3com.example.0n", "https://3com.example.0n"),
        ] {
            let origin: Origin = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(origin.to_string(), shown);
            assert_eq!(shown.parse(), Ok(origin), "{shown}");
        }
    }

    #[test]
    fn what_is_no_origin_says_why() {
        let kind = |text: &str| match text.parse::<Origin>() {
            Ok(origin) => panic!("{text} became {origin}"),
            Err(OriginError::Empty) => "empty",
            Err(OriginError::Scheme(_)) => "scheme",
            Err(OriginError::UserInfo) => "user",
            Err(OriginError::Path(_)) => "path",
            Err(OriginError::Port(_)) => "port",
            Err(OriginError::Host(_)) => "host",
        };
        for (text, why) in [
            ("", "empty"),
            ("https://", "empty"),
            ("https:///x", "path"),
            (":5000", "empty"),
            ("ftp://x", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("javascript:x", "scheme"),
            ("mailto:ann@example.com", "user"),
            ("host:5ooo", "port"),
            ("https://user@host", "user"),
            ("https://user:pass@host", "user"),
            ("https://user:pa/ss@host", "user"),
            ("user:pass@host", "user"),
            ("host/path", "path"),
            ("https://host/v2/", "path"),
            ("https://host?x=1", "path"),
            ("https://host#x", "path"),
            ("https://host\\evil", "path"),
            ("host:0", "port"),
            ("host:65536", "port"),
            ("host:", "port"),
            ("host:+80", "port"),
            ("::1", "host"),
            ("[::1", "host"),
            ("[::1]x", "host"),
            ("[fe80::1%eth0]", "host"),
            ("127.1", "host"),
            ("2130706433", "host"),
            ("0x7f000001", "host"),
            ("0x7f.0.0.0x1", "host"),
            ("017700000001", "host"),
            ("1.2.3.4.5", "host"),
            ("256.1.1.1", "host"),
            ("a..b", "host"),
            ("host.", "host"),
            ("-a", "host"),
            ("ho st", "host"),
            ("ho\nst", "host"),
            ("müller.example", "host"),
            ("%31%32", "host"),
        ] {
            assert_eq!(kind(text), why, "{text}");
        }
    }

    #[test]
    fn the_origin_of_a_uri() {
        let of = |text: &str| Origin::of(&text.parse().expect("a URI")).map(|origin| origin.to_string());
        assert_eq!(of("https://H.example:443/x?y"), Some("https://h.example".into()));
        assert_eq!(of("http://[::1]:5000/"), Some("http://[::1]:5000".into()));
        assert_eq!(of("https://u:p@h.example/"), None);
        assert_eq!(of("/v2/"), None);
        assert_eq!(of("ftp://h/"), None);
    }
}
