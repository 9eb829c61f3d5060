//! `skopeo` both ways, by tag and by digest, single images and an index, with
//! the authority's certificate as the only one it trusts.

use std::path::Path;
use std::time::Duration;

use super::assert_same_blobs;
use crate::support::{ADMIN, Daemon, Image, Layout, PASSWORD, Run as _, program, turn, until};

/// What skopeo is told of the registry, on the side that is `src` or `dest`.
fn signed_in(daemon: &Daemon, side: &str) -> Vec<String> {
    vec![
        format!("--{side}-tls-verify=true"),
        format!("--{side}-cert-dir={}", daemon.trust().display()),
        format!("--{side}-creds={ADMIN}:{PASSWORD}"),
    ]
}

fn push(daemon: &Daemon, layout: &Path, to: &str) {
    let (from, to) = (format!("oci:{}", layout.display()), format!("docker://{}/{to}", daemon.address()));
    let flags = signed_in(daemon, "dest");
    program("skopeo").args(["copy", "--all", "--preserve-digests"]).args(flags).args([from, to]).run().good();
}

fn pull(daemon: &Daemon, from: &str, layout: &Path) {
    let (from, to) = (format!("docker://{}/{from}", daemon.address()), format!("oci:{}", layout.display()));
    let flags = signed_in(daemon, "src");
    program("skopeo").args(["copy", "--all", "--preserve-digests"]).args(flags).args([from, to]).run().good();
}

#[tokio::test]
async fn skopeo_copies_both_ways_by_tag_and_by_digest() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    daemon.cli(&["repository", "create", "dev/website"]).good();
    daemon.cli(&["repository", "create", "qa/website"]).good();
    daemon.cli(&["promotion", "create", "dev/website", "qa/website", "--rule", "tag ew -stable"]).good();
    let at = |name: &str| folder.path().join(name);

    let image = Image::new("amd64", "one image");
    let digest = Layout(&at("image")).write_image(&image);
    push(&daemon, &at("image"), "dev/website:1.0");
    pull(&daemon, "dev/website:1.0", &at("by-tag"));
    assert_same_blobs(&at("image"), &at("by-tag"));
    pull(&daemon, &format!("dev/website@{digest}"), &at("by-digest"));
    assert_same_blobs(&at("image"), &at("by-digest"));

    let other = Image::new("amd64", "pushed under its digest alone");
    let digest = Layout(&at("other")).write_image(&other);
    push(&daemon, &at("other"), &format!("dev/website@{digest}"));
    pull(&daemon, &format!("dev/website@{digest}"), &at("other-back"));
    assert_same_blobs(&at("other"), &at("other-back"));
    let tags = daemon.admin().get("/v2/dev/website/tags/list").is(200).json();
    assert_eq!(tags["tags"], serde_json::json!(["1.0"]));

    let both = [Image::new("amd64", "for one platform"), Image::new("arm64", "for another")];
    let index = Layout(&at("index")).write_index(&both);
    push(&daemon, &at("index"), "dev/website:2.0-stable");
    let promoted = || daemon.admin().send("HEAD", "/v2/qa/website/manifests/2.0-stable", &[], b"");
    until("the index is promoted", Duration::from_secs(1), || promoted().status == 200).await;
    assert_eq!(promoted().header("docker-content-digest"), Some(&*index));
    pull(&daemon, "qa/website:2.0-stable", &at("index-by-tag"));
    assert_same_blobs(&at("index"), &at("index-by-tag"));
    pull(&daemon, &format!("qa/website@{index}"), &at("index-by-digest"));
    assert_same_blobs(&at("index"), &at("index-by-digest"));

    refuses_wrong_trust_and_nobody(&daemon, &at("refused"));
    assert!(daemon.cli(&["verify"]).good().starts_with("clean"));
    daemon.stop().await;
}

/// Without the authority's certificate, and without an account, nothing is
/// served.
fn refuses_wrong_trust_and_nobody(daemon: &Daemon, to: &Path) {
    let (from, to) = (format!("docker://{}/dev/website:1.0", daemon.address()), format!("oci:{}", to.display()));
    let [verify, trust, _] = &signed_in(daemon, "src")[..] else { unreachable!("three flags") };
    let untrusted = program("skopeo").args(["copy", verify, &from, &to]).run().refused();
    assert!(untrusted.contains("x509"), "{untrusted}");
    let nobody = program("skopeo").args(["copy", verify, trust, "--src-no-creds", &from, &to]).run().refused();
    assert!(nobody.contains("unauthorized: sign in"), "{nobody}");
}
