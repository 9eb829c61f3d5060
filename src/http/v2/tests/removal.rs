//! What is removed, and what stays because something needs it.

use serde_json::{Value, json};

use crate::http::harness::{Ask, Site, image};
use crate::oci::{Digest, MediaType};

/// Manifests of `ann/app`.
const PATH: &str = "/v2/ann/app/manifests/";

fn delete(reference: impl std::fmt::Display) -> Ask {
    Ask::delete(&format!("{PATH}{reference}")).user("ann")
}

/// An index of manifests of so many bytes.
fn index(kind: MediaType, entries: &[(Digest, usize)]) -> Value {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(digest, size)| json!({ "mediaType": kind.as_str(), "digest": digest, "size": size }))
        .collect();
    json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": entries })
}

/// Pushes an image without a tag.
async fn platform(site: &Site, layer: &[u8]) -> (Digest, usize) {
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let digest = site.push_blob("ann", "ann/app", layer).await;
    let manifest = image(&config, 2, &[(digest, layer.len())], None);
    let digest = Digest::sha256_of(manifest.to_string().as_bytes());
    site.push_manifest("ann", "ann/app", &digest.to_string(), &manifest).await;
    (digest, manifest.to_string().len())
}

async fn is_immutable(site: &Site, yes: bool) {
    let body = json!({ "immutableTags": yes }).to_string();
    site.expect(200, Ask::patch("/api/v0/repositories/ann/app").user("ann").body(body)).await;
}

/// The images of an immutable tag could be removed by digest, and then their
/// layers: the tag stood there, and nobody could pull it.
#[tokio::test]
async fn what_a_tag_leads_to_stays() {
    let site = Site::open().await;
    let (amd, arm) = (platform(&site, b"amd64").await, platform(&site, b"arm64").await);
    let both = index(MediaType::OciManifest, &[amd, arm]);
    let inner = site.push_manifest("ann", "ann/app", "inner", &both).await;
    let outer = index(MediaType::OciIndex, &[(inner, both.to_string().len())]);
    let outer = site.push_manifest("ann", "ann/app", "v1", &outer).await;
    // By its name, so what is left leads there through two indexes.
    site.expect(202, delete("inner")).await;
    for immutable in [true, false] {
        is_immutable(&site, immutable).await;
        for digest in [amd.0, arm.0, inner] {
            let refused = site.expect(409, delete(digest)).await;
            assert_eq!(refused.code(), "DENIED");
            let words = refused.message();
            assert!(words.contains("\"v1\"") && words.contains("immutable") == immutable, "{words}");
            let ask = Ask::delete(&format!("/api/v0/repositories/ann/app/manifests/{digest}")).user("ann");
            assert_eq!(site.expect(409, ask).await.code(), "STILL_REFERENCED");
        }
        site.expect(409, Ask::delete(&format!("/v2/ann/app/blobs/{}", Digest::sha256_of(b"amd64"))).user("ann")).await;
        let freely = if immutable { 409 } else { 202 };
        site.expect(freely, delete(outer)).await;
    }
    // Without a tag an index keeps nothing: scripts remove in any order.
    site.expect(202, delete(amd.0)).await;
    site.expect(202, delete(inner)).await;
    site.expect(202, delete(arm.0)).await;
    site.close().await;
}

/// What is attached to an image is no part of it.
#[tokio::test]
async fn what_is_attached_to_a_tagged_image_can_be_taken_off() {
    let site = Site::open().await;
    let subject = site.push_image("ann", "ann/app", "v1", b"layer").await;
    let (config, layer) = (Digest::sha256_of(b"{}"), Digest::sha256_of(b"layer"));
    let signature = image(&config, 2, &[(layer, 5)], Some(&subject));
    let digest = Digest::sha256_of(signature.to_string().as_bytes());
    site.push_manifest("ann", "ann/app", &digest.to_string(), &signature).await;
    is_immutable(&site, true).await;
    site.expect(202, delete(digest)).await;
    site.expect(200, Ask::get(&format!("{PATH}v1")).user("ann")).await;
    site.close().await;
}

/// A tag that was named twice was set twice, and was what it had been before.
#[tokio::test]
async fn a_tag_that_is_named_twice_is_set_once() {
    let site = Site::open().await;
    let digest = site.push_image("ann", "ann/app", "v0", b"layer").await;
    let manifest = site.expect(200, Ask::get(&format!("{PATH}{digest}")).user("ann")).await;
    let ask = Ask::put(&format!("{PATH}v1?tag=v1&tag=v2&tag=v2")).user("ann").body(&manifest.body);
    let answer = site.expect(201, ask.header("content-type", MediaType::OciManifest.as_str())).await;
    let told: Vec<_> = answer.headers.get_all("oci-tag").iter().collect();
    assert_eq!(told, ["v1", "v2"]);
    for tag in ["v1", "v2"] {
        let path = format!("/api/v0/repositories/ann/app/tags/{tag}/history");
        let history = site.expect(200, Ask::get(&path).user("ann")).await.json();
        assert_eq!(history.as_array().unwrap().len(), 1, "{history}");
    }
    site.close().await;
}
