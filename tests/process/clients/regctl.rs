//! `regctl`: copies with referrers and with what is attached by tags, uploads in
//! chunks, deletes of tags.

use super::{Home, attached, create_repositories, served, tags};
use crate::support::{ADMIN, Daemon, Image, Layout, PASSWORD, Run as _, turn};

#[tokio::test]
async fn regctl_copies_with_all_that_is_attached_and_deletes_tags() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    create_repositories(&daemon);
    let home = Home::new(folder.path());
    let regctl = |words: &[&str]| home.run("regctl", &daemon, words).trim().to_owned();
    let at = |rest: &str| format!("{}/{rest}", daemon.address());
    sign_in(&home, &daemon);

    let images = [Image::new("amd64", "first"), Image::new("arm64", "second")];
    let layout = folder.path().join("index");
    let index = Layout(&layout).write_index(&images);
    regctl(&["image", "copy", &format!("ocidir://{}@{index}", layout.display()), &at("dev/website:1.0")]);
    assert_eq!(served(&daemon, "dev/website", "1.0").as_ref(), Some(&index));
    assert_eq!(regctl(&["image", "digest", &at("dev/website:1.0")]), index);
    let signature = format!("{}.sig", index.replace(':', "-"));
    regctl(&[
        "artifact",
        "put",
        "--config-type",
        "application/vnd.oci.image.config.v1+json",
        "--file",
        &words(&home),
        &at(&format!("dev/website:{signature}")),
    ]);
    regctl(&[
        "artifact",
        "put",
        "--artifact-type",
        "application/x.sbom",
        "--file",
        &words(&home),
        "--subject",
        &at("dev/website:1.0"),
    ]);
    assert_eq!(attached(&daemon, "dev/website", &index), ["application/x.sbom"]);

    // To another repository, with everything; then again, which sends nothing.
    for _ in 0..2 {
        regctl(&["image", "copy", "--referrers", "--digest-tags", &at("dev/website:1.0"), &at("qa/website:1.0")]);
        assert_eq!(tags(&daemon, "qa/website"), ["1.0", signature.as_str()]);
        assert_eq!(attached(&daemon, "qa/website", &index), ["application/x.sbom"]);
    }
    let listed = regctl(&[
        "artifact",
        "list",
        &at("qa/website:1.0"),
        "--format",
        "{{range .Descriptors}}{{println .ArtifactType}}{{end}}",
    ]);
    assert_eq!(listed.trim(), "application/x.sbom");

    // A new index of one platform of the old one.
    regctl(&["index", "create", &at("dev/other:small"), "--ref", &at("dev/website:1.0"), "--platform", "linux/arm64"]);
    let small = daemon.admin().get("/v2/dev/other/manifests/small").is(200).json();
    assert_eq!(small["manifests"][0]["digest"], images[1].digest());
    assert_eq!(small["manifests"].as_array().map(Vec::len), Some(1));

    regctl(&["tag", "delete", &at("qa/website:1.0")]);
    assert_eq!(tags(&daemon, "qa/website"), [signature.as_str()]);
    assert!(served(&daemon, "qa/website", &index).is_some(), "only the tag is gone");
    regctl(&["manifest", "delete", "--referrers", &at(&format!("qa/website@{index}"))]);
    assert_eq!(served(&daemon, "qa/website", &index), None);
    daemon.stop().await;
}

/// Uploads in chunks with `Content-Range`, which few clients send.
#[tokio::test]
async fn regctl_uploads_in_chunks() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    create_repositories(&daemon);
    let home = Home::new(folder.path());
    sign_in(&home, &daemon);
    home.run(
        "regctl",
        &daemon,
        &["registry", "set", daemon.address(), "--skip-check", "--blob-chunk", "50000", "--blob-max", "1"],
    );
    let bytes: Vec<u8> = (0..220_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let to = format!("{}/dev/website", daemon.address());
    let digest = home.go("regctl", &daemon).args(["blob", "put", &to]).run_with(&bytes).good();
    assert_eq!(digest.trim(), tidegate::oci::Digest::sha256_of(&bytes).to_string());
    let back = daemon.admin().get(&format!("/v2/dev/website/blobs/{}", digest.trim())).is(200);
    assert!(back.body == bytes);
    let log = daemon.said();
    let chunks = log.lines().filter(|line| line.contains("http.method=PATCH") && line.contains("http.status=202"));
    assert!(chunks.count() >= 4, "{log}");
    daemon.stop().await;
}

fn sign_in(home: &Home, daemon: &Daemon) {
    let ca = std::fs::read_to_string(daemon.ca()).unwrap();
    home.run("regctl", daemon, &["registry", "set", daemon.address(), "--skip-check", "--cacert", &ca]);
    let words = ["registry", "login", daemon.address(), "--user", ADMIN, "--pass-stdin"];
    home.go("regctl", daemon).args(words).run_with(PASSWORD.as_bytes()).good();
}

fn words(home: &Home) -> String {
    home.write("words.json", "{}").display().to_string()
}
