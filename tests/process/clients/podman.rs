//! `podman` and `buildah`: images that are built from nothing, and lists of
//! them. Both keep what they have in one folder, which is the test's.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{create_repositories, served, tags};
use crate::support::{ADMIN, Daemon, PASSWORD, Run as _, need, program, turn};

/// Where both keep images and settings.
struct Store {
    folder: PathBuf,
    trust: PathBuf,
}

impl Store {
    fn new(folder: &Path, daemon: &Daemon) -> Self {
        let folder = folder.join("containers");
        std::fs::create_dir_all(folder.join("context")).unwrap();
        let at = |name: &str| folder.join(name);
        let storage =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n", at("graph"), at("run"));
        std::fs::write(at("storage.conf"), storage).unwrap();
        std::fs::write(at("containers.conf"), "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n")
            .unwrap();
        std::fs::write(at("registries.conf"), "unqualified-search-registries = []\n").unwrap();
        std::fs::write(at("context/words"), "built here").unwrap();
        std::fs::write(at("context/Containerfile"), "FROM scratch\nCOPY words /words\nLABEL made=here\n").unwrap();
        Self { folder, trust: daemon.trust() }
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = program(name);
        let at = |name: &str| self.folder.join(name);
        command.args(words).current_dir(&self.folder).env("HOME", &self.folder).env("XDG_RUNTIME_DIR", at("runtime"));
        command.env("CONTAINERS_STORAGE_CONF", at("storage.conf")).env("CONTAINERS_CONF", at("containers.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", at("registries.conf")).env("REGISTRY_AUTH_FILE", at("auth.json"));
        command
    }

    #[track_caller]
    fn run(&self, name: &str, words: &[&str]) -> String {
        self.command(name, words).run().good().trim().to_owned()
    }
}

#[tokio::test]
async fn podman_and_buildah_build_push_pull_and_make_lists() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    create_repositories(&daemon);
    need("podman");
    let store = Store::new(folder.path(), &daemon);
    let trust = ["--tls-verify=true", "--cert-dir", store.trust.to_str().unwrap()];
    let with = |words: &[&str]| [words, &trust].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let run = |name: &str, words: &[String]| store.run(name, &words.iter().map(String::as_str).collect::<Vec<_>>());

    let refused = store
        .command("podman", &["pull", "--quiet", trust[0], trust[1], trust[2], &at(&daemon, "dev/website:1.0")])
        .run();
    assert!(refused.refused().contains("auth"), "nobody is served");
    for (number, name) in ["podman", "buildah"].into_iter().enumerate() {
        let mut login = with(&["login", "--username", ADMIN, "--password-stdin"]);
        login.push(daemon.address().to_owned());
        let words: Vec<&str> = login.iter().map(String::as_str).collect();
        store.command(name, &words).run_with(PASSWORD.as_bytes()).good();
        let image = at(&daemon, &format!("dev/website:{name}"));
        store.run(
            name,
            &[
                "build",
                "--isolation",
                "chroot",
                "--quiet",
                "--timestamp",
                &number.to_string(),
                "--tag",
                &image,
                "context",
            ],
        );
        run(name, &[with(&["push", "--quiet", "--digestfile", "digest"]), vec![image.clone()]].concat());
        let digest = std::fs::read_to_string(store.folder.join("digest")).unwrap();
        assert_eq!(served(&daemon, "dev/website", name).as_deref(), Some(digest.trim()));

        // Fetched anew, under its digest.
        store.run("podman", &["rmi", "--force", "--all"]);
        let by_digest = at(&daemon, &format!("dev/website@{}", digest.trim()));
        let id = run(name, &[with(&["pull", "--quiet"]), vec![by_digest]].concat());
        let config = daemon.admin().get(&format!("/v2/dev/website/manifests/{}", digest.trim())).is(200).json();
        assert_eq!(config["config"]["digest"], format!("sha256:{id}"));

        // A list of it and of one for another platform.
        let (list, to) = (format!("list-{name}"), at(&daemon, &format!("qa/website:{name}")));
        let other = at(&daemon, &format!("dev/other:{name}"));
        store.run(name, &["build", "--arch", "arm64", "--isolation", "chroot", "--quiet", "--tag", &other, "context"]);
        run(name, &[with(&["push", "--quiet"]), vec![other.clone()]].concat());
        store.run(name, &["manifest", "create", &list]);
        for image in [&image, &other] {
            run(name, &[with(&["manifest", "add"]), vec![list.clone(), format!("docker://{image}")]].concat());
        }
        run(name, &[with(&["manifest", "push", "--all"]), vec![list, format!("docker://{to}")]].concat());
        let index = daemon.admin().get(&format!("/v2/qa/website/manifests/{name}")).is(200).json();
        assert_eq!(index["manifests"][0]["digest"], digest.trim(), "{index}");
        let platforms = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]["architecture"]);
        assert!(platforms.clone().any(|arch| arch == "arm64"), "{index}");
        run(name, &[with(&["pull", "--quiet"]), vec![to]].concat());
    }
    assert_eq!(tags(&daemon, "dev/website"), ["buildah", "podman"]);
    store.run("podman", &["rmi", "--force", "--all"]);
    assert!(daemon.cli(&["verify"]).good().starts_with("clean"));
    daemon.stop().await;
}

fn at(daemon: &Daemon, rest: &str) -> String {
    format!("{}/{rest}", daemon.address())
}
