//! What clients are told of bytes that are damaged here, and how a push heals
//! them.

use serde_json::json;

use crate::http::harness::{Ask, Site, image};
use crate::jobs::suspect;
use crate::lifecycle::Scope;
use crate::oci::Digest;
use crate::store::file::BlobFile;
use crate::store::quarantine::{self, Held};
use crate::store::{Read as _, Snapshot, Span, Table, blob, manifest};

impl Site {
    fn read(&self) -> Snapshot {
        self.state.registry().store().snapshot().unwrap()
    }

    /// Cuts the last byte off a file.
    fn cut(&self, digest: &Digest) {
        let upload = {
            let read = self.read();
            let upload = blob::get(&read, digest).unwrap().map(|blob| blob.upload);
            upload.or_else(|| manifest::file_of(&read, digest).unwrap()).unwrap()
        };
        let path = self.folder().join("blobs").join(BlobFile { digest: *digest, upload }.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.pop();
        std::fs::write(path, bytes).unwrap();
    }

    /// Waits until it is in quarantine.
    async fn known(&self, held: Held) {
        let mut commits = self.state.registry().store().writer().commits();
        let waiting = async {
            loop {
                commits.mark_unchanged();
                if quarantine::has(&self.read(), &held).unwrap() {
                    return;
                }
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.expect("it is looked at");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_blob_is_refused_in_words_and_a_push_heals_it() {
    let site = Site::open().await;
    let scope = Scope::new();
    scope.spawn(suspect::run(site.state.registry().clone(), scope.clone()));
    let image_digest = site.push_image("ann", "ann/app", "1.0", b"a layer that rots").await;
    let layer = Digest::sha256_of(b"a layer that rots");
    let path = format!("/v2/ann/app/blobs/{layer}");
    site.cut(&layer);
    // Noticed by whoever reads it first, and told apart from what never was here.
    for round in 0..2 {
        let refused = site.expect(503, Ask::get(&path).user("ann")).await;
        assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("BLOB_QUARANTINED", "60"));
        assert!(refused.message().contains("is damaged on the disk of the registry"), "{}", refused.message());
        if round == 0 {
            site.known(Held::blob(layer)).await;
        }
    }
    site.expect(503, Ask::get(&path).user("ann").header("range", "bytes=0-3")).await;
    let none = format!("/v2/ann/app/blobs/{}", Digest::sha256_of(b"never"));
    assert_eq!(site.expect(404, Ask::get(&none).user("ann")).await.code(), "BLOB_UNKNOWN");
    // Where it is not linked, nobody learns that it exists.
    let elsewhere = format!("/v2/bob/app/blobs/{layer}");
    assert_eq!(site.expect(404, Ask::get(&elsewhere).user("bob")).await.code(), "BLOB_UNKNOWN");

    // What a client does that pushes the image again: it asks, is told that the
    // layer is not there, mounts nothing, sends it.
    site.expect(404, Ask::head(&path).user("ann")).await;
    let mount = format!("/v2/ann/other/blobs/uploads/?mount={layer}&from=ann/app");
    site.expect(202, Ask::post(&mount).user("ann")).await;
    let put = image(&Digest::sha256_of(b"{}"), 2, &[(layer, 17)], None);
    let ask = Ask::put("/v2/ann/app/manifests/1.0").user("ann").body(put.to_string());
    let ask = ask.header("content-type", put["mediaType"].as_str().unwrap());
    assert_eq!(site.expect(404, ask.clone()).await.code(), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(site.push_image("ann", "ann/app", "1.0", b"a layer that rots").await, image_digest);
    assert_eq!(site.expect(200, Ask::get(&path).user("ann")).await.body, &b"a layer that rots"[..]);
    site.expect(200, Ask::head(&path).user("ann")).await;
    site.expect(201, ask).await;
    // The damaged file goes, like every file whose name is gone.
    assert!(blob::files_to_unlink(&site.read(), 9).unwrap().iter().any(|file| file.digest == layer));
    assert!(scope.drain(std::time::Duration::from_secs(10)).await);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_off_is_never_whole_and_what_follows_is_refused() {
    let site = Site::open().await;
    let scope = Scope::new();
    scope.spawn(suspect::run(site.state.registry().clone(), scope.clone()));
    let bytes = vec![7; 900_000];
    let digest = site.push_blob("ann", "ann/app", &bytes).await;
    let path = format!("/v2/ann/app/blobs/{digest}");
    let name = "ann/app".parse().unwrap();
    let registry = site.state.registry();
    let mut reader = registry.open_blob(&crate::registry::Caller::System, &name, &digest).unwrap();
    reader.next_chunk().await.unwrap().unwrap();
    site.cut(&digest);
    let mut failed = None;
    while let Some(chunk) = reader.next_chunk().await {
        failed = chunk.err().or(failed);
    }
    assert!(failed.is_some(), "a body that is short is broken off, not ended");
    site.expect(503, Ask::get(&path).user("ann")).await;
    site.known(Held::blob(digest)).await;
    assert_eq!(site.push_blob("ann", "ann/app", &bytes).await, digest);
    assert_eq!(site.expect(200, Ask::get(&path).user("ann")).await.body, bytes);
    assert!(scope.drain(std::time::Duration::from_secs(10)).await);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_refused_by_tag_and_digest_and_a_push_heals_it() {
    let site = Site::open().await;
    let scope = Scope::new();
    scope.spawn(suspect::run(site.state.registry().clone(), scope.clone()));
    let config = site.push_blob("ann", "ann/app", b"{}").await;
    let mut put = image(&config, 2, &[(config, 2)], None);
    put["annotations"] = json!({ "filler": "x".repeat(20_000) });
    let digest = site.push_manifest("ann", "ann/app", "large", &put).await;
    site.cut(&digest);
    let paths = [format!("/v2/ann/app/manifests/{digest}"), "/v2/ann/app/manifests/large".to_owned()];
    let refused = site.expect(503, Ask::get(&paths[0]).user("ann")).await;
    assert_eq!(refused.code(), "MANIFEST_QUARANTINED");
    site.known(Held::manifest(digest)).await;
    for path in &paths {
        assert_eq!(site.expect(503, Ask::get(path).user("ann")).await.code(), "MANIFEST_QUARANTINED");
        site.expect(404, Ask::head(path).user("ann")).await;
    }
    // An index that names it asks for it as well.
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": put["mediaType"], "digest": digest, "size": put.to_string().len() }],
    });
    let ask = Ask::put("/v2/ann/app/manifests/all").user("ann").body(index.to_string());
    let ask = ask.header("content-type", index["mediaType"].as_str().unwrap());
    assert_eq!(site.expect(404, ask.clone()).await.code(), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(site.push_manifest("ann", "ann/app", "large", &put).await, digest);
    for path in &paths {
        let served = site.expect(200, Ask::get(path).user("ann")).await;
        assert_eq!(Digest::sha256_of(&served.body), digest);
    }
    site.expect(201, ask).await;
    assert!(site.read().keys(Table::Quarantine, &Span::all(), 1).unwrap().is_empty());
    assert!(scope.drain(std::time::Duration::from_secs(10)).await);
    site.close().await;
}

/// A quota that is used up kept a push from bringing back what is damaged.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_comes_back_into_a_quota_that_is_used_up() {
    let site = Site::open().await;
    let scope = Scope::new();
    scope.spawn(suspect::run(site.state.registry().clone(), scope.clone()));
    let bytes = [7; 900];
    let digest = site.push_blob("ann", "ann/app", &bytes).await;
    let bound = Ask::patch("/api/v0/repositories/ann/app").user("ann").body(json!({ "quotaBytes": 900 }).to_string());
    site.expect(200, bound).await;
    let begin = || Ask::post("/v2/ann/app/blobs/uploads/").user("ann");
    assert_eq!(site.expect(403, begin()).await.code(), "DENIED");
    let path = format!("/v2/ann/app/blobs/{digest}");
    site.cut(&digest);
    site.expect(503, Ask::get(&path).user("ann")).await;
    site.known(Held::blob(digest)).await;
    let upload = site.expect(202, begin()).await.header("location").to_owned();
    site.expect(202, Ask::patch(&upload).user("ann").body(bytes)).await;
    site.expect(201, Ask::put(&format!("{upload}?digest={digest}")).user("ann")).await;
    assert_eq!(site.expect(200, Ask::get(&path).user("ann")).await.body[..], bytes);
    // Nothing else gets in with it.
    assert_eq!(site.expect(403, begin()).await.code(), "DENIED");
    scope.stop();
    site.close().await;
}
