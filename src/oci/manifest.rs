//! Image manifests and indexes, checked and reduced to their links.
//!
//! The bytes of a manifest are kept and served exactly as they came; what this
//! file makes of them is what a registry needs beside the bytes: the kind, and
//! the digests it names. A manifest that could be read as two kinds at once is
//! refused (CVE-2021-41190), and so is one whose own `mediaType` disagrees
//! with the type it was sent under: the kind is a function of the bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::descriptor::Platform;
use super::media_type::{SCHEMA_1, is_non_distributable};
use super::{Descriptor, Digest, MediaType};
use crate::limits;

/// A manifest, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Which kind it is.
    pub kind: MediaType,
    /// What it names.
    pub links: Links,
    /// `artifactType`, else the configuration's media type (distribution
    /// specification, "Listing Referrers"); empty for an index without one.
    pub artifact_type: String,
    /// Its own annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Links {
    /// The configuration, for an image manifest.
    pub config: Option<Link>,
    /// The layers that a registry holds, in order.
    pub layers: Vec<Link>,
    /// The layers that it need not hold (non-distributable).
    pub foreign: Vec<Link>,
    /// The entries of an index, in order. Almost always manifests; build
    /// caches list blobs here.
    pub children: Vec<Child>,
    /// The manifest that this one is attached to.
    pub subject: Option<Digest>,
}

/// One link to content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    /// The content's digest.
    pub digest: Digest,
    /// Its length in bytes, as the manifest has it.
    pub size: u64,
}

/// One entry of an index.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Child {
    /// The entry's digest.
    pub digest: Digest,
    /// Its length in bytes, as the index has it.
    pub size: u64,
    /// Whether its media type is a manifest's; otherwise it is a blob.
    pub is_manifest: bool,
    /// Which platform it is for.
    pub platform: Option<Platform>,
}

impl Links {
    /// The blobs that have to be there: configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = Link> + '_ {
        self.config.iter().copied().chain(self.layers.iter().copied())
    }
}

/// Why some bytes are no manifest that this registry takes.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Over the limit.
    #[error("the manifest has {bytes} bytes; at most {} are accepted", limits::MANIFEST_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Docker schema 1.
    #[error("Docker image manifest schema 1 is not supported; push with Docker 1.10 or newer, which sends schema 2")]
    Schema1,
    /// A type that is no manifest's.
    #[error(
        "`{0}` is no manifest media type; accepted are {oci}, {index}, {docker} and {list}",
        oci = MediaType::OciManifest,
        index = MediaType::OciIndex,
        docker = MediaType::DockerManifest,
        list = MediaType::DockerList
    )]
    Type(String),
    /// `mediaType` and `Content-Type` disagree.
    #[error("the manifest's mediaType is `{inside}` but it was sent as `{sent}`")]
    TypeMismatch {
        /// The field's value.
        inside: String,
        /// The header's value.
        sent: String,
    },
    /// JSON, perhaps, and no object.
    #[error("a manifest is a JSON object, from `{{` to `}}`; this is none")]
    NotAnObject,
    /// Not JSON, or not of the shape.
    #[error("the manifest is not valid: {0}")]
    Json(serde_json::Error),
    /// `schemaVersion` is not 2.
    #[error("the manifest's schemaVersion must be 2")]
    SchemaVersion,
    /// Both `layers`/`config` and `manifests`.
    #[error("a manifest has either `config` and `layers` or `manifests`, never both")]
    Ambiguous,
    /// A field the kind needs is absent.
    #[error("a manifest of type {kind} needs the field `{field}`")]
    Missing {
        /// The kind it was taken for.
        kind: MediaType,
        /// The absent field.
        field: &'static str,
    },
    /// Over the limit.
    #[error("the manifest has {entries} entries; at most {} are accepted", limits::MANIFEST_ENTRIES)]
    TooManyEntries {
        /// How many it has.
        entries: usize,
    },
    /// What it names has another length than it says. Found by who has it.
    #[error("the manifest says that {digest} has {stated} bytes; it has {found}")]
    Size {
        /// What it names: a blob, or an entry of an index.
        digest: Digest,
        /// The length that the manifest states.
        stated: u64,
        /// The real one.
        found: u64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a manifest")]
struct Raw {
    schema_version: Option<serde_json::Value>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Object<Descriptor>>,
    layers: Option<Vec<Object<Descriptor>>>,
    manifests: Option<Vec<Object<Descriptor>>>,
    subject: Option<Object<Descriptor>>,
    annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// A `T` from a JSON object alone: serde's own reading of a structure takes an
/// array of its fields as well, which no client means.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl Manifest {
    /// Checks `bytes` that were sent under `content_type` (absent or empty:
    /// the bytes alone decide).
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes: bytes.len() });
        }
        let content_type = content_type.map(str::trim).filter(|text| !text.is_empty());
        if content_type.is_some_and(|text| SCHEMA_1.iter().any(|old| text.starts_with(old))) {
            return Err(ManifestError::Schema1);
        }
        let sent = content_type
            .map(|text| MediaType::of(text).ok_or_else(|| ManifestError::Type(text.to_owned())))
            .transpose()?;
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(ManifestError::NotAnObject);
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if raw.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        if raw.schema_version.as_ref().and_then(serde_json::Value::as_u64) != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let kind = kind_of(&raw, sent)?;
        raw.reduce(kind)
    }

    /// The descriptor under which this manifest is listed as a referrer.
    pub fn descriptor(&self, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: self.kind.as_str().to_owned(),
            digest,
            size,
            artifact_type: Some(self.artifact_type.clone()).filter(|kind| !kind.is_empty()),
            annotations: self.annotations.clone(),
            platform: None,
        }
    }
}

/// The kind that `mediaType`, the sender's type and the shape agree on.
fn kind_of(raw: &Raw, sent: Option<MediaType>) -> Result<MediaType, ManifestError> {
    if raw.manifests.is_some() && (raw.layers.is_some() || raw.config.is_some()) {
        return Err(ManifestError::Ambiguous);
    }
    let inside = match raw.media_type.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(MediaType::of(text).ok_or_else(|| ManifestError::Type(text.to_owned()))?),
        None => None,
    };
    let shape = if raw.manifests.is_some() { MediaType::OciIndex } else { MediaType::OciManifest };
    // Docker's kinds always carry the field; OCI's may leave it out.
    let kind = inside.unwrap_or(shape);
    match sent {
        Some(sent) if sent != kind => Err(ManifestError::TypeMismatch {
            inside: raw.media_type.clone().unwrap_or_else(|| format!("absent, so {kind}")),
            sent: sent.as_str().to_owned(),
        }),
        _ => Ok(kind),
    }
}

impl Raw {
    fn reduce(self, kind: MediaType) -> Result<Manifest, ManifestError> {
        let missing = |field| ManifestError::Missing { kind, field };
        let mut links = Links { subject: self.subject.map(|Object(subject)| subject.digest), ..Links::default() };
        let mut artifact_type = self.artifact_type.unwrap_or_default();
        if kind.is_index() {
            let manifests = self.manifests.ok_or_else(|| missing("manifests"))?;
            if manifests.len() > limits::MANIFEST_ENTRIES {
                return Err(ManifestError::TooManyEntries { entries: manifests.len() });
            }
            links.children = manifests
                .into_iter()
                .map(|Object(entry)| Child {
                    digest: entry.digest,
                    size: entry.size,
                    is_manifest: MediaType::of(&entry.media_type).is_some(),
                    platform: entry.platform,
                })
                .collect();
        } else {
            let Object(config) = self.config.ok_or_else(|| missing("config"))?;
            let layers = match self.layers {
                Some(layers) => layers,
                // Artifacts may come without layers; Docker images never do.
                None if !kind.is_docker() => Vec::new(),
                None => return Err(missing("layers")),
            };
            if layers.len() > limits::MANIFEST_ENTRIES {
                return Err(ManifestError::TooManyEntries { entries: layers.len() });
            }
            if artifact_type.is_empty() {
                artifact_type.clone_from(&config.media_type);
            }
            links.config = Some(Link { digest: config.digest, size: config.size });
            for Object(layer) in layers {
                let link = Link { digest: layer.digest, size: layer.size };
                if is_non_distributable(&layer.media_type) { links.foreign.push(link) } else { links.layers.push(link) }
            }
        }
        Ok(Manifest { kind, links, artifact_type, annotations: self.annotations.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{DIGEST}","size":2}}"#)
    }

    fn image() -> String {
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#)
    }

    #[test]
    fn an_image_without_media_type_is_oci() {
        let manifest = Manifest::parse(image().as_bytes(), Some(MediaType::OciManifest.as_str())).expect("valid");
        assert_eq!(manifest.kind, MediaType::OciManifest);
        assert_eq!(manifest.links.blobs().count(), 2);
        assert_eq!(manifest.artifact_type, "application/vnd.oci.image.config.v1+json");
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        // CVE-2021-41190: one document, an image to one client and an index to another.
        let entry = descriptor(MediaType::OciManifest.as_str());
        let both = format!(r#"{},"manifests":[{entry}]}}"#, &image()[..image().len() - 1]);
        assert!(matches!(Manifest::parse(both.as_bytes(), None), Err(ManifestError::Ambiguous)));
        let wrong = Manifest::parse(image().as_bytes(), Some(MediaType::OciIndex.as_str()));
        assert!(matches!(wrong, Err(ManifestError::TypeMismatch { .. })));
        let twice = format!(r#"{},"layers":[]}}"#, &image()[..image().len() - 1]);
        assert!(matches!(Manifest::parse(twice.as_bytes(), None), Err(ManifestError::Json(_))));
    }

    #[test]
    fn refuses_with_a_reason() {
        for (text, kind, words) in [
            ("{", None, "not valid"),
            ("", None, "a manifest is a JSON object"),
            ("[]", None, "a manifest is a JSON object"),
            (" null", None, "a manifest is a JSON object"),
            (r#""x""#, None, "a manifest is a JSON object"),
            (r#"{"schemaVersion":2,"config":["x","sha256:1",1]}"#, None, "expected an object"),
            (r#"{"schemaVersion":2,"layers":[null]}"#, None, "expected an object"),
            (r#"{"schemaVersion":2,"layers":{}}"#, None, "expected a sequence"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema 1"),
            (r#"{"schemaVersion":3}"#, None, "schemaVersion must be 2"),
            (r#"{"schemaVersion":2}"#, None, "`config`"),
            (r#"{"schemaVersion":2}"#, Some("text/html"), "`text/html` is no manifest media type"),
            (r#"{"schemaVersion":2}"#, Some(SCHEMA_1[1]), "schema 1"),
            (r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#, None, "`manifests`"),
            (r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:1","size":1}}"#, None, "64"),
            (r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:1","size":-1}}"#, None, "not valid"),
        ] {
            let error = Manifest::parse(text.as_bytes(), kind).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains("struct") && !error.contains("Raw"), "{text}: {error}");
        }
    }

    #[test]
    fn an_index_may_list_blobs_as_build_caches_do() {
        let cache = descriptor("application/vnd.buildkit.cacheconfig.v0");
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{layer},{cache}]}}"#);
        let manifest = Manifest::parse(text.as_bytes(), None).expect("valid");
        assert!(manifest.links.children.iter().all(|child| !child.is_manifest));
    }

    #[test]
    fn foreign_layers_are_set_apart() {
        let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let config = descriptor("application/vnd.docker.container.image.v1+json");
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{foreign}]}}"#,
            MediaType::DockerManifest
        );
        let manifest = Manifest::parse(text.as_bytes(), None).expect("valid");
        assert_eq!((manifest.links.layers.len(), manifest.links.foreign.len()), (0, 1));
    }
}
