//! The names that a made certificate answers to.
//!
//! Always `localhost`, both loopback addresses and the host's own name; beside
//! them what the configuration gives, as DNS names (a `*.` in front is taken)
//! or IP addresses.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use rustls_pki_types::DnsName;

use crate::limits;

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateName {
    /// A DNS name in lower case, perhaps with `*.` in front.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a certificate cannot have a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither a DNS name nor an address.
    #[error(
        "{0:?} is no name for a certificate: give a DNS name (`registry.example`, `*.example`) or an IP address, without port or scheme"
    )]
    Invalid(String),
    /// More names than allowed.
    #[error("a certificate has at most {} names", limits::CERTIFICATE_NAMES)]
    TooMany,
}

/// A set of names, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames(BTreeSet<CertificateName>);

impl FromStr for CertificateName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(address.to_canonical()));
        }
        let name = text.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let plain = name.strip_prefix("*.").unwrap_or(name);
        // A name that ends in a number is a mistyped address (WHATWG URL, "ends in a number").
        let numeric = plain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        match DnsName::try_from(plain) {
            Ok(_) if !numeric => Ok(Self::Dns(name.to_owned())),
            Ok(_) | Err(_) => Err(NameError::Invalid(text.to_owned())),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl CertificateNames {
    /// The names every made certificate has, and the `given` ones.
    pub fn of_this_host<S: AsRef<str>>(given: impl IntoIterator<Item = S>) -> Result<Self, NameError> {
        Self::new(rustix::system::uname().nodename().to_str().ok(), given)
    }

    /// As [`CertificateNames::of_this_host`], for a host named `host`; one
    /// whose name fits no certificate goes without.
    pub fn new<S: AsRef<str>>(host: Option<&str>, given: impl IntoIterator<Item = S>) -> Result<Self, NameError> {
        let mut names = BTreeSet::from([
            CertificateName::Dns("localhost".to_owned()),
            CertificateName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            CertificateName::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ]);
        names.extend(host.and_then(|host| host.parse().ok()));
        for name in given {
            names.insert(name.as_ref().parse()?);
            if names.len() > limits::CERTIFICATE_NAMES {
                return Err(NameError::TooMany);
            }
        }
        Ok(Self(names))
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &CertificateName> {
        self.0.iter()
    }

    /// Whether these are exactly the names in `other`.
    pub(super) fn are(&self, other: &BTreeSet<CertificateName>) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names_or_addresses() {
        for (text, shown) in [
            ("Registry.Example.", "registry.example"),
            ("*.example", "*.example"),
            ("edge-7", "edge-7"),
            ("10.0.0.7", "10.0.0.7"),
            ("::1", "::1"),
            ("[fe80::1]", "fe80::1"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
        ] {
            assert_eq!(text.parse::<CertificateName>().map(|name| name.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for bad in
            ["", "*", "*.", "a b", "https://x", "x:5000", "10.0.0.7:5000", "10.0.0.777", "a..b", "-a.example", "a.*.b"]
        {
            assert_eq!(bad.parse::<CertificateName>(), Err(NameError::Invalid(bad.to_owned())));
        }
    }

    #[test]
    fn a_host_whose_name_fits_no_certificate_goes_without() {
        let names = |host| {
            CertificateNames::new(host, ["10.0.0.7"]).unwrap().iter().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(Some("edge-7")), ["edge-7", "localhost", "10.0.0.7", "127.0.0.1", "::1"]);
        assert_eq!(names(Some("(none)")), names(None));
    }

    #[test]
    fn there_is_a_most() {
        let many: Vec<String> = (0..limits::CERTIFICATE_NAMES).map(|n| format!("n{n}.example")).collect();
        assert_eq!(CertificateNames::new(None, &many), Err(NameError::TooMany));
        assert!(CertificateNames::new(None, &many[..limits::CERTIFICATE_NAMES - 3]).is_ok());
    }
}
