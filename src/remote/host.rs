//! The host and the repository of a mirror, as people write them.
//!
//! Docker Hub has several names; all of them mean the registry at
//! registry-1.docker.io, where an official image `NAME` is `library/NAME`.

use std::fmt;
use std::str::FromStr;

use super::origin::OriginError;
use super::{Origin, Scheme};
use crate::limits;
use crate::oci::name;

const HUB: &str = "registry-1.docker.io";
const HUB_NAMES: [&str; 4] = [HUB, "index.docker.io", "docker.io", "registry.docker.io"];

/// Where another registry is: `https://host[:port]`, `http://host[:port]`, or
/// a bare `host[:port]`, which means https. `Display` and `FromStr` round-trip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteHost(Origin);

impl RemoteHost {
    /// The origin that a person named.
    pub fn named(&self) -> &Origin {
        &self.0
    }

    /// The origin that answers the registry API, and to which credentials are
    /// bound: Docker Hub's names all lead to one.
    pub fn origin(&self) -> Origin {
        if self.is_docker_hub() { Origin::new(Scheme::Https, HUB, Scheme::Https.port()) } else { self.0.clone() }
    }

    /// Whether it is Docker Hub, under any of its names.
    pub fn is_docker_hub(&self) -> bool {
        self.0.scheme() == Scheme::Https && self.0.port() == 443 && HUB_NAMES.contains(&self.0.host())
    }
}

impl FromStr for RemoteHost {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        text.parse().map(Self)
    }
}

impl From<Origin> for RemoteHost {
    fn from(origin: Origin) -> Self {
        Self(origin)
    }
}

impl fmt::Display for RemoteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RemoteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl serde::Serialize for RemoteHost {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for RemoteHost {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Origin::deserialize(deserializer).map(Self)
    }
}

/// Why a text is no repository at another registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a remote repository is one or more parts of lower-case letters and digits, with `.`, `_`, `__` or `-` between them, joined by `/`, at most {} characters, without host, tag or digest",
    limits::REPOSITORY_NAME_BYTES
)]
pub struct RemoteRepositoryError;

/// A repository's name at another registry; unlike here, one part is enough.
/// `Display` and `FromStr` round-trip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteRepository(String);

impl RemoteRepository {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as `host` knows it: on Docker Hub one part alone is an
    /// official image, `library/NAME`.
    pub fn at(&self, host: &RemoteHost) -> String {
        if host.is_docker_hub() && !self.0.contains('/') { format!("library/{}", self.0) } else { self.0.clone() }
    }
}

impl FromStr for RemoteRepository {
    type Err = RemoteRepositoryError;

    fn from_str(text: &str) -> Result<Self, RemoteRepositoryError> {
        if name::is_path(text) { Ok(Self(text.to_owned())) } else { Err(RemoteRepositoryError) }
    }
}

impl fmt::Display for RemoteRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RemoteRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for RemoteRepository {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RemoteRepository {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> RemoteHost {
        text.parse().expect("a host")
    }

    #[test]
    fn docker_hub_has_several_names() {
        for text in ["docker.io", "https://index.docker.io", "registry-1.docker.io", "https://registry.docker.io:443/"]
        {
            assert_eq!(host(text).origin().to_string(), "https://registry-1.docker.io", "{text}");
        }
        // Shown as it was written, so that what was saved is what is read.
        assert_eq!(host("https://index.docker.io").to_string(), "https://index.docker.io");
        for text in ["http://docker.io", "docker.io:5000", "evildocker.io", "docker.io.evil.example"] {
            assert!(!host(text).is_docker_hub(), "{text}");
            assert_eq!(host(text).origin(), *host(text).named());
        }
    }

    #[test]
    fn one_part_on_docker_hub_is_an_official_image() {
        let alpine: RemoteRepository = "alpine".parse().expect("a name");
        assert_eq!(alpine.at(&host("docker.io")), "library/alpine");
        assert_eq!(alpine.at(&host("registry:5000")), "alpine");
        assert_eq!("a/b".parse::<RemoteRepository>().map(|name| name.at(&host("docker.io"))), Ok("a/b".into()));
    }

    #[test]
    fn refuses_what_is_no_repository() {
        for bad in ["", "/a", "a/", "A/b", "a:tag", "a@sha256:00", "host.example:5000/a", "a/../b", "a b", "a%2fb"] {
            assert_eq!(bad.parse::<RemoteRepository>(), Err(RemoteRepositoryError), "{bad}");
        }
    }
}
