//! `oras`: artifacts of any type, what is attached to an image, blobs; and with
//! it what other tools leave in a registry: Helm's charts, cosign's and
//! notation's signatures, BuildKit's cache, CNAB's bundles.

use serde_json::{Value, json};
use tidegate::oci::Digest;

use super::{Home, attached, create_repositories, served, tags};
use crate::support::{Daemon, Image, Layout, turn};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Who pushes, and where.
struct Stage<'a> {
    home: &'a Home,
    daemon: &'a Daemon,
    folder: &'a std::path::Path,
}

impl Stage<'_> {
    #[track_caller]
    fn oras(&self, words: &[&str]) -> String {
        self.home.run("oras", self.daemon, words)
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.daemon.address())
    }

    fn manifest(&self, repository: &str, reference: &str) -> Value {
        self.daemon.admin().get(&format!("/v2/{repository}/manifests/{reference}")).is(200).json()
    }

    /// Pushes a blob as oras does; the descriptor that names it as `kind`.
    fn blob(&self, repository: &str, name: &str, kind: &str, bytes: &[u8]) -> Value {
        self.home.write(name, bytes);
        self.oras(&["blob", "push", &self.at(repository), name]);
        json!({"mediaType": kind, "digest": Digest::sha256_of(bytes), "size": bytes.len()})
    }

    /// Pushes a manifest as it stands under a tag; its digest.
    fn put(&self, repository: &str, tag: &str, kind: &str, manifest: &Value) -> String {
        let text = manifest.to_string();
        self.home.write("manifest.json", &text);
        let to = self.at(&format!("{repository}:{tag}"));
        self.oras(&["manifest", "push", "--media-type", kind, &to, "manifest.json"]);
        let digest = Digest::sha256_of(text.as_bytes()).to_string();
        assert_eq!(served(self.daemon, repository, tag).as_ref(), Some(&digest), "byte for byte");
        digest
    }
}

#[tokio::test]
async fn oras_pushes_attaches_discovers_copies_and_deletes() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    create_repositories(&daemon);
    let home = Home::new(folder.path());
    home.sign_in(&daemon);
    let stage = Stage { home: &home, daemon: &daemon, folder: folder.path() };
    let image = stage.pushes_an_image();
    stage.pushes_an_artifact_and_pulls_it();
    stage.attaches_and_discovers(&image);
    stage.stores_a_chart();
    stage.stores_signatures(&image);
    stage.stores_a_build_cache();
    stage.stores_a_bundle();
    stage.copies_with_all_that_is_attached(&image);
    stage.deletes();
    assert!(daemon.cli(&["verify"]).good().starts_with("clean"));
    daemon.stop().await;
}

impl Stage<'_> {
    fn pushes_an_image(&self) -> String {
        let layout = self.folder.join("image");
        let digest = Layout(&layout).write_image(&Image::new("amd64", "to be signed"));
        let from = format!("{}@{digest}", layout.display());
        self.oras(&["cp", "--from-oci-layout", &from, &self.at("dev/website:1.0")]);
        assert_eq!(served(self.daemon, "dev/website", "1.0").as_ref(), Some(&digest));
        digest
    }

    fn pushes_an_artifact_and_pulls_it(&self) {
        self.home.write("model.bin", [7; 100_000]);
        let kind = "application/vnd.example.model";
        let to = self.at("dev/other:model");
        self.oras(&[
            "push",
            &to,
            "--artifact-type",
            kind,
            "--annotation",
            "made=here",
            "model.bin:application/x.model",
        ]);
        let manifest = self.manifest("dev/other", "model");
        assert_eq!((&manifest["artifactType"], &manifest["annotations"]["made"]), (&json!(kind), &json!("here")));
        self.oras(&["pull", &to, "--output", "pulled"]);
        assert_eq!(std::fs::read(self.home.0.join("pulled/model.bin")).unwrap(), [7; 100_000]);
        let blob = self.blob("dev/other", "alone", "application/octet-stream", b"a blob alone");
        let name = self.at(&format!("dev/other@{}", blob["digest"].as_str().unwrap()));
        self.oras(&["blob", "fetch", "--output", "alone.back", &name]);
        assert_eq!(std::fs::read(self.home.0.join("alone.back")).unwrap(), b"a blob alone");
    }

    /// By the listing of referrers, and by the tag that clients of old
    /// registries make: one list.
    fn attaches_and_discovers(&self, image: &str) {
        self.home.write("sbom.json", "{}");
        let subject = self.at(&format!("dev/website@{image}"));
        for (kind, way) in
            [("application/spdx+json", "v1.1-referrers-api"), ("application/x.scan", "v1.1-referrers-tag")]
        {
            let words = ["attach", &subject, "--artifact-type", kind, "--distribution-spec", way];
            self.oras(&[&words[..], &["sbom.json:application/json"]].concat());
        }
        assert_eq!(attached(self.daemon, "dev/website", image), ["application/spdx+json", "application/x.scan"]);
        let told: Value = serde_json::from_str(&self.oras(&["discover", "--format", "json", &subject])).unwrap();
        assert_eq!(told["referrers"].as_array().map(Vec::len), Some(2), "{told}");
        let one = self.oras(&["discover", "--format", "json", "--artifact-type", "application/x.scan", &subject]);
        assert_eq!(
            serde_json::from_str::<Value>(&one).unwrap()["referrers"].as_array().map(Vec::len),
            Some(1),
            "{one}"
        );
    }

    fn stores_a_chart(&self) {
        self.home.write("config.json", r#"{"name":"web","version":"1.2.0","apiVersion":"v2"}"#);
        self.home.write("web-1.2.0.tgz", b"a chart");
        let config = "config.json:application/vnd.cncf.helm.config.v1+json";
        let chart = "web-1.2.0.tgz:application/vnd.cncf.helm.chart.content.v1.tar+gzip";
        self.oras(&["push", &self.at("dev/other:1.2.0"), "--config", config, chart]);
        let manifest = self.manifest("dev/other", "1.2.0");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.cncf.helm.config.v1+json");
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
    }

    /// cosign of today and of yesterday, and notation.
    fn stores_signatures(&self, image: &str) {
        self.home.write("payload.json", "{\"critical\":{}}");
        let tag = format!("{}.sig", image.replace(':', "-"));
        let layer = "payload.json:application/vnd.dev.cosign.simplesigning.v1+json";
        let config = "sbom.json:application/vnd.oci.image.config.v1+json";
        self.oras(&["push", &self.at(&format!("dev/website:{tag}")), "--config", config, layer]);
        let subject = self.at(&format!("dev/website@{image}"));
        for (kind, layer) in [
            (
                "application/vnd.dev.sigstore.bundle.v0.3+json",
                "payload.json:application/vnd.dev.sigstore.bundle.v0.3+json",
            ),
            ("application/vnd.cncf.notary.signature", "payload.json:application/jose+json"),
        ] {
            self.oras(&["attach", &subject, "--artifact-type", kind, layer]);
            assert!(attached(self.daemon, "dev/website", image).contains(&kind.to_owned()), "{kind}");
        }
        assert!(tags(self.daemon, "dev/website").contains(&tag));
    }

    /// An index whose entries are blobs and no manifests.
    fn stores_a_build_cache(&self) {
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let layers = [
            self.blob("dev/other", "cached", layer, &[1; 50_000]),
            self.blob("dev/other", "config", "application/vnd.buildkit.cacheconfig.v0", b"{\"layers\":[]}"),
        ];
        let cache = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": layers});
        self.put("dev/other", "buildcache", INDEX, &cache);
        for entry in &layers {
            let digest = entry["digest"].as_str().unwrap();
            self.daemon.admin().send("HEAD", &format!("/v2/dev/other/blobs/{digest}"), &[], b"").is(200);
            // What the cache needs stays.
            self.daemon.admin().send("DELETE", &format!("/v2/dev/other/blobs/{digest}"), &[], b"").is(409);
        }
    }

    /// An index of a configuration and of images, marked by annotations.
    fn stores_a_bundle(&self) {
        let config = self.blob("dev/other", "bundle", "application/vnd.cnab.config.v1+json", b"{\"name\":\"hello\"}");
        let part = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
        let digest = self.put("dev/other", "bundle-config", MANIFEST, &part);
        let entry = |kind: &str| {
            json!({"mediaType": MANIFEST, "digest": digest, "size": part.to_string().len(),
                "annotations": {"io.cnab.manifest.type": kind}})
        };
        let bundle = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry("config"), entry("invocation")],
            "annotations": {"io.cnab.runtime_version": "v1.0.0", "org.opencontainers.artifactType": "application/vnd.cnab.manifest.v1"}});
        self.put("dev/other", "bundle", INDEX, &bundle);
    }

    fn copies_with_all_that_is_attached(&self, image: &str) {
        self.oras(&["cp", "--recursive", &self.at("dev/website:1.0"), &self.at("qa/website:1.0")]);
        assert_eq!(served(self.daemon, "qa/website", "1.0").as_deref(), Some(image));
        assert_eq!(attached(self.daemon, "qa/website", image), attached(self.daemon, "dev/website", image));
    }

    fn deletes(&self) {
        self.oras(&["manifest", "delete", "--force", &self.at("dev/other:model")]);
        assert_eq!(served(self.daemon, "dev/other", "model"), None);
        let blob = Digest::sha256_of(b"a blob alone");
        self.oras(&["blob", "delete", "--force", &self.at(&format!("dev/other@{blob}"))]);
        self.daemon.admin().send("HEAD", &format!("/v2/dev/other/blobs/{blob}"), &[], b"").is(404);
        assert_eq!(
            self.oras(&["repo", "tags", &self.at("dev/other")]).lines().collect::<Vec<_>>(),
            tags(self.daemon, "dev/other")
        );
        assert!(self.oras(&["repo", "ls", self.daemon.address()]).contains("dev/website"));
    }
}
