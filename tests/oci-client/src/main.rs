//! The `oci-client` crate at what programs use it for. Ends with 0 when the
//! registry did what the crate was told it would.
//!
//! `tidegate-test-oci-client HOST CA NAME PASSWORD`

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::{
    IMAGE_LAYER_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciImageIndex, Platform,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

type Failure = Box<dyn std::error::Error>;

/// Above the size at which the crate sends in chunks.
const LARGE: usize = 9 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let [host, ca, name, password] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("four arguments are needed: HOST CA NAME PASSWORD".into());
    };
    let certificate = Certificate { encoding: CertificateEncoding::Pem, data: std::fs::read(ca)? };
    let client = |use_monolithic_push| {
        Client::new(ClientConfig {
            protocol: ClientProtocol::Https,
            tls_certs_only: vec![certificate.clone()],
            use_monolithic_push,
            ..ClientConfig::default()
        })
    };
    let auth = RegistryAuth::Basic(name.clone(), password.clone());
    let any = reference(host, "dev/website", "any");
    if client(false).list_tags(&any, &RegistryAuth::Anonymous, None, None).await.is_ok() {
        return Err("nobody was served".into());
    }
    let mut images = Vec::new();
    for (tag, is_monolithic) in [("chunks", false), ("whole", true)] {
        images.push(push_and_pull(&client(is_monolithic), &reference(host, "dev/website", tag), &auth).await?);
    }
    lists(&client(false), host, &auth, &images).await
}

fn reference(host: &str, repository: &str, tag: &str) -> Reference {
    Reference::with_tag(host.to_owned(), repository.to_owned(), tag.to_owned())
}

/// Pushes an image and gets the same back; its manifest's digest and size.
async fn push_and_pull(client: &Client, to: &Reference, auth: &RegistryAuth) -> Result<(String, i64), Failure> {
    let bytes: Vec<u8> = (0..LARGE).map(|n| (n * 31 >> 5) as u8).collect();
    let layers = [ImageLayer::oci_v1(bytes, None), ImageLayer::oci_v1(to.to_string().into_bytes(), None)];
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec();
    client.push(to, &layers, Config::oci_v1(config, None), auth, None).await?;
    let pulled = client.pull(to, auth, vec![IMAGE_LAYER_MEDIA_TYPE]).await?;
    for layer in &layers {
        same("a layer", pulled.layers.iter().any(|got| got.data == layer.data), true)?;
        same("a blob", client.blob_exists(to, &layer.sha256_digest()).await?, true)?;
    }
    let digest = client.fetch_manifest_digest(to, auth).await?;
    same("the digest", pulled.digest.as_deref(), Some(digest.as_str()))?;
    let (raw, raw_digest) = client.pull_manifest_raw(to, auth, &[OCI_IMAGE_MEDIA_TYPE]).await?;
    same("the digest of the bytes", raw_digest, digest.clone())?;
    Ok((digest, raw.len() as i64))
}

/// An index of what was pushed, tags in pages, a mount and what is attached.
async fn lists(client: &Client, host: &str, auth: &RegistryAuth, images: &[(String, i64)]) -> Result<(), Failure> {
    let to = reference(host, "dev/website", "multi");
    let entry = |((digest, size), architecture): (&(String, i64), &str)| ImageIndexEntry {
        media_type: OCI_IMAGE_MEDIA_TYPE.to_owned(),
        digest: digest.clone(),
        size: *size,
        platform: Some(Platform {
            architecture: architecture.into(),
            os: "linux".into(),
            os_version: None,
            os_features: None,
            variant: None,
            features: None,
        }),
        annotations: None,
        artifact_type: None,
    };
    let index = OciImageIndex {
        schema_version: 2,
        media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
        manifests: images.iter().zip(["amd64", "arm64"]).map(entry).collect(),
        artifact_type: None,
        annotations: None,
    };
    client.push_manifest_list(&to, auth, index).await?;
    let (_, digest) = client.pull_image_manifest(&to, auth).await?;
    same("the image for this platform", images.iter().any(|(known, _)| *known == digest), true)?;
    same(
        "the tags",
        client.list_tags(&to, auth, None, None).await?.tags,
        ["chunks", "multi", "whole"].map(String::from).to_vec(),
    )?;
    let page = client.list_tags(&to, auth, Some(1), Some("chunks")).await?;
    same("a page of tags", page.tags, vec!["multi".to_owned()])?;
    let layer = ImageLayer::oci_v1(reference(host, "dev/website", "chunks").to_string().into_bytes(), None);
    let other = reference(host, "dev/other", "x");
    client.mount_blob(&other, &to, &layer.sha256_digest()).await?;
    same("a mounted blob", client.blob_exists(&other, &layer.sha256_digest()).await?, true)?;
    let subject = Reference::with_digest(host.to_owned(), "dev/website".to_owned(), images[0].0.clone());
    same("what is attached", client.pull_referrers(&subject, None).await?.manifests.len(), 0)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), Failure> {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?} in place of {expected:?}").into()) }
}
