//! Media types that mean something to a registry.
//!
//! A manifest's type decides how its links are read; everything else (layers,
//! configurations, artifact types) is opaque text that is kept as it came.

use std::fmt;

/// The kinds of manifest this registry stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerList,
}

/// Docker's first manifest format, which no client has needed since 2017.
pub const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// Layers that a registry is not asked to hold (image-spec,
/// "Non-Distributable Layers"; Docker's foreign layers).
pub fn is_non_distributable(layer: &str) -> bool {
    layer.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || layer.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

impl MediaType {
    /// All kinds, in the order an `Accept` header lists them.
    pub const ALL: [Self; 4] = [Self::OciIndex, Self::OciManifest, Self::DockerList, Self::DockerManifest];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// The kind a text names; parameters (`;charset=`) are passed over.
    pub fn of(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(essence))
    }

    /// Whether it lists manifests rather than layers.
    pub const fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }

    /// Whether it is one of Docker's.
    pub const fn is_docker(self) -> bool {
        matches!(self, Self::DockerManifest | Self::DockerList)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_names_with_and_without_parameters() {
        for kind in MediaType::ALL {
            assert_eq!(MediaType::of(kind.as_str()), Some(kind));
            assert_eq!(MediaType::of(&format!("{kind}; charset=utf-8")), Some(kind));
        }
        assert_eq!(MediaType::of("text/plain"), None);
    }
}
