//! `crane`: images and indexes from layouts and tars, copies that mount, tags.

use super::{Home, assert_same_blobs, create_repositories, served, tags};
use crate::support::{Daemon, Image, Layout, turn};

#[tokio::test]
async fn crane_pushes_copies_tags_lists_and_deletes() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    create_repositories(&daemon);
    let home = Home::new(folder.path());
    let nobody = home.go("crane", &daemon);
    refuses_nobody(nobody, &daemon);
    home.sign_in(&daemon);
    let crane = |words: &[&str]| home.run("crane", &daemon, words).trim().to_owned();
    let at = |rest: &str| format!("{}/{rest}", daemon.address());
    let path = |name: &str| folder.path().join(name).display().to_string();

    let digest = Layout(&folder.path().join("image")).write_image(&Image::new("amd64", "pushed by crane"));
    crane(&["push", &path("image"), &at("dev/website:1.0")]);
    assert_eq!(crane(&["digest", &at("dev/website:1.0")]), digest);
    for (reference, to) in [("dev/website:1.0".to_owned(), "by-tag"), (format!("dev/website@{digest}"), "by-digest")] {
        crane(&["pull", "--format=oci", &at(&reference), &path(to)]);
        assert_same_blobs(&folder.path().join("image"), &folder.path().join(to));
    }

    let images = [Image::new("amd64", "one"), Image::new("arm64", "two")];
    let index = Layout(&folder.path().join("index")).write_index(&images);
    crane(&["push", &path("index"), &at("dev/website:multi")]);
    assert_eq!(served(&daemon, "dev/website", "multi").as_ref(), Some(&index));
    crane(&["validate", "--fast", "--remote", &at("dev/website:multi")]);
    assert_eq!(crane(&["digest", "--platform=linux/arm64", &at("dev/website:multi")]), images[1].digest());

    // Nothing is sent twice: what is here is mounted.
    crane(&["copy", &at("dev/website:multi"), &at("qa/website:multi")]);
    assert_eq!(served(&daemon, "qa/website", "multi").as_ref(), Some(&index));
    let log = daemon.said();
    let mounts =
        log.lines().filter(|line| line.contains("qa/website/blobs/uploads/") && line.contains("http.status=201"));
    assert_eq!(mounts.count(), 4, "two configurations and two layers are mounted");
    assert!(!log.contains("http.method=PATCH http.path=\"/v2/qa/website"), "{log}");
    crane(&["validate", "--fast", "--remote", &at("qa/website:multi")]);

    crane(&["tag", &at("dev/website:1.0"), "latest"]);
    crane(&["mutate", "--label", "made=here", &at("dev/website:1.0"), "--tag", &at("dev/website:labelled")]);
    assert_eq!(crane(&["ls", &at("dev/website")]).lines().collect::<Vec<_>>(), tags(&daemon, "dev/website"));
    assert_eq!(tags(&daemon, "dev/website"), ["1.0", "labelled", "latest", "multi"]);
    assert_eq!(
        crane(&["catalog", daemon.address()]).lines().collect::<Vec<_>>(),
        ["dev/other", "dev/website", "qa/website"]
    );
    crane(&["delete", &at("dev/website:latest")]);
    assert_eq!(served(&daemon, "dev/website", "latest"), None);
    crane(&["delete", &at(&format!("dev/website@{digest}"))]);
    assert_eq!(tags(&daemon, "dev/website"), ["labelled", "multi"]);
    daemon.stop().await;
}

fn refuses_nobody(mut crane: std::process::Command, daemon: &Daemon) {
    use crate::support::Run as _;
    let said = crane.args(["ls", &format!("{}/dev/website", daemon.address())]).run().refused();
    assert!(said.contains("UNAUTHORIZED"), "{said}");
}
