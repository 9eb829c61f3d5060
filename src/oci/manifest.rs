//! Image manifests and indexes, checked and reduced to their links.
//!
//! The bytes of a manifest are kept and served exactly as they came; what this
//! file makes of them is what a registry needs beside the bytes: the kind, and
//! the digests it names. A manifest that could be read as two kinds at once is
//! refused (CVE-2021-41190), and so is one that two clients could read two ways
//! ([`crate::json`]) or whose own `mediaType` disagrees with the type it was
//! sent under: the kind is a function of the bytes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::descriptor::Platform;
use super::fields::MANIFEST;
use super::media_type::{SCHEMA_1, is_non_distributable};
use super::{Descriptor, Digest, MediaType};
use crate::json::{self, Object};
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
    /// Not UTF-8, which JSON is (RFC 8259 §8.1).
    #[error("the manifest is not valid: it is no UTF-8 from byte {at} on")]
    Utf8 {
        /// Where the first byte is that is none.
        at: usize,
    },
    /// Not JSON, not of the shape, or with more than one reading.
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
    /// Indexes in indexes. Found by who has them.
    #[error("indexes lie in each other more than {0} deep with this one; at most {0} are taken", limits::INDEX_DEPTH)]
    TooDeep,
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
        let text = std::str::from_utf8(bytes).map_err(|error| ManifestError::Utf8 { at: error.valid_up_to() })?;
        json::check(text, MANIFEST).map_err(ManifestError::Json)?;
        let raw: Raw = serde_json::from_str(text).map_err(ManifestError::Json)?;
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

    /// A client in Go takes `LAYERS` for `layers` and the last one wins: it
    /// would pull what the registry never checked, under a digest that a policy
    /// or a signature let pass.
    #[test]
    fn refuses_keys_that_some_clients_take_for_others() {
        let good = image();
        let open = &good[..good.len() - 1];
        let entry = descriptor(MediaType::OciManifest.as_str());
        for key in ["LAYERS", "Layers", "layer\u{17f}", "layer\\u017f", "MediaType", "MANIFESTS", "Config", "Subject"]
            .into_iter()
            .chain(["SchemaVersion", "ArtifactType", "Annotations", "FSLayers", "manife\u{17f}ts"])
        {
            let error = Manifest::parse(format!(r#"{open},"{key}":null}}"#).as_bytes(), None).expect_err(key);
            assert!(matches!(error, ManifestError::Json(_)), "{key}: {error}");
            assert!(error.to_string().contains("some clients take the key"), "{key}: {error}");
        }
        for key in ["Digest", "Size", "MediaType", "URLs", "Data", "Platform", "Annotations", "\u{17f}ize", "urlS"] {
            let entry = format!(r#"{},"{key}":null}}"#, &entry[..entry.len() - 1]);
            let layers = format!(r#"{{"schemaVersion":2,"config":{entry},"layers":[]}}"#);
            let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
            for text in [layers, index, format!(r#"{open},"subject":{entry}}}"#)] {
                let error = Manifest::parse(text.as_bytes(), None).expect_err(key).to_string();
                assert!(error.contains("some clients take the key"), "{key}: {error}");
            }
        }
    }

    #[test]
    fn refuses_what_a_typed_client_cannot_read() {
        let (good, entry) = (image(), descriptor(MediaType::OciManifest.as_str()));
        for (member, words) in [
            (r#""annotations":{"a":"1","a":"2"}"#, "comes twice"),
            (r#""annotations":{"a":1}"#, "`annotations.a` must be a text"),
            (r#""annotations":[]"#, "`annotations` must be an object"),
            (r#""x":{"y":1,"y":1}"#, "comes twice"),
            (r#""artifactType":7"#, "`artifactType` must be a text"),
        ] {
            let text = format!("{},{member}}}", &good[..good.len() - 1]);
            let error = Manifest::parse(text.as_bytes(), None).expect_err(member).to_string();
            assert!(error.contains(words), "{member}: {error}");
        }
        for (member, words) in [
            (r#""urls":"http://a""#, "`manifests[0].urls` must be a list"),
            (r#""urls":[1]"#, "`manifests[0].urls[0]` must be a text"),
            (r#""platform":[]"#, "`manifests[0].platform` must be an object"),
            (r#""platform":{"os.features":"x"}"#, "os.features` must be a list"),
            (r#""platform":{"Architecture":"x"}"#, "some clients take the key"),
            (r#""data":"?""#, "base64"),
        ] {
            let entry = format!("{},{member}}}", &entry[..entry.len() - 1]);
            let text = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
            let error = Manifest::parse(text.as_bytes(), None).expect_err(member).to_string();
            assert!(error.contains(words), "{member}: {error}");
        }
        let mut bytes = format!(r#"{},"x":"?"}}"#, &good[..good.len() - 1]).into_bytes();
        let at = bytes.iter().position(|byte| *byte == b'?').expect("there");
        bytes[at] = 0xff;
        assert!(matches!(Manifest::parse(&bytes, None), Err(ManifestError::Utf8 { at: found }) if found == at));
    }

    /// What strictness must never cost: shapes that real tools push.
    #[test]
    fn takes_what_real_clients_push() {
        let (oci, index) = (MediaType::OciManifest, MediaType::OciIndex);
        let entry = |kind: &str, more: &str| format!(r#"{{"mediaType":"{kind}","digest":"{DIGEST}","size":2{more}}}"#);
        let config = |kind: &str| entry(kind, "");
        for (name, text) in [
            (
                "docker",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
                    MediaType::DockerManifest,
                    config("application/vnd.docker.container.image.v1+json"),
                    entry(
                        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                        r#","urls":["https://mcr.example/x"]"#
                    ),
                ),
            ),
            (
                "docker list",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
                    MediaType::DockerList,
                    entry(
                        MediaType::DockerManifest.as_str(),
                        r#","platform":{"architecture":"amd64","os":"windows","os.version":"10.0.1","os.features":["win32k"],"features":["sse4"],"variant":""}"#
                    ),
                ),
            ),
            (
                "helm",
                format!(
                    r#"{{"schemaVersion":2,"config":{},"layers":[{}],"annotations":{{"org.opencontainers.image.title":"mychart","Version":"1"}}}}"#,
                    config("application/vnd.cncf.helm.config.v1+json"),
                    config("application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
                ),
            ),
            (
                "oras",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{oci}","artifactType":"application/vnd.x","config":{},"layers":[{}],"annotations":{{"org.opencontainers.image.created":"2024-01-01T00:00:00Z"}}}}"#,
                    entry("application/vnd.oci.empty.v1+json", r#","data":"e30=""#),
                    entry("text/plain", r#","annotations":{"org.opencontainers.image.title":"a.txt"}"#),
                ),
            ),
            (
                "cosign",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{oci}","config":{},"layers":[{}]}}"#,
                    config("application/vnd.oci.image.config.v1+json"),
                    entry(
                        "application/vnd.dev.cosign.simplesigning.v1+json",
                        r#","annotations":{"dev.cosignproject.cosign/signature":"MEU="}"#
                    ),
                ),
            ),
            (
                "notation",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{oci}","artifactType":"application/vnd.cncf.notary.signature","config":{},"layers":[{}],"subject":{},"annotations":{{"io.cncf.notary.x509chain.thumbprint#S256":"[\"ab\"]"}}}}"#,
                    config("application/vnd.oci.empty.v1+json"),
                    config("application/jose+json"),
                    config(oci.as_str()),
                ),
            ),
            (
                "buildkit cache",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{},{}]}}"#,
                    entry(
                        "application/vnd.oci.image.layer.v1.tar+gzip",
                        r#","annotations":{"buildkit/createdat":"2024-01-01T00:00:00Z","containerd.io/uncompressed":"sha256:00"}"#
                    ),
                    config("application/vnd.buildkit.cacheconfig.v0"),
                ),
            ),
            (
                "buildkit attestation",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{}]}}"#,
                    entry(
                        oci.as_str(),
                        r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"architecture":"unknown","os":"unknown"}"#
                    ),
                ),
            ),
            (
                "cnab",
                format!(
                    r#"{{"schemaVersion":2,"manifests":[{}],"annotations":{{"io.cnab.runtime_version":"v1.0.0","org.opencontainers.artifactType":"application/vnd.cnab.manifest.v1"}}}}"#,
                    entry(oci.as_str(), r#","annotations":{"io.cnab.manifest.type":"config"}"#),
                ),
            ),
            (
                "nulls of a typed client",
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{}],"annotations":null,"subject":null}}"#,
                    entry(oci.as_str(), r#","platform":null,"urls":null"#),
                ),
            ),
        ] {
            if let Err(error) = Manifest::parse(text.as_bytes(), None) {
                panic!("{name}: {error}");
            }
        }
    }

    #[test]
    fn refuses_with_a_reason() {
        for (text, kind, words) in [
            ("{", None, "not valid"),
            ("", None, "a manifest is a JSON object"),
            ("[]", None, "a manifest is a JSON object"),
            (" null", None, "a manifest is a JSON object"),
            (r#""x""#, None, "a manifest is a JSON object"),
            (r#"{"schemaVersion":2,"config":["x","sha256:1",1]}"#, None, "`config` must be an object"),
            (r#"{"schemaVersion":2,"layers":[null]}"#, None, "expected an object"),
            (r#"{"schemaVersion":2,"layers":{}}"#, None, "`layers` must be a list"),
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
