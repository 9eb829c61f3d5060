//! The clients that people use, each at what it is used for: over TLS with the
//! made authority as the only one that is trusted, and signed in. What they say
//! they did is held against what curl is served.

mod crane;
mod oci_client;
mod oras;
mod podman;
mod regctl;
mod skopeo;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ADMIN, Daemon, PASSWORD, Run as _, bounded, go_program, sha256};

/// The repositories that the clients work in.
const REPOSITORIES: [&str; 3] = ["dev/website", "dev/other", "qa/website"];

fn create_repositories(daemon: &Daemon) {
    for name in REPOSITORIES {
        daemon.cli(&["repository", "create", name]).good();
    }
}

/// A home of a client's own, with who it is and whom it trusts.
struct Home(PathBuf);

impl Home {
    fn new(folder: &Path) -> Self {
        let home = folder.join("home");
        std::fs::create_dir_all(&home).unwrap();
        Self(home)
    }

    /// A program of Go's, which trusts the made authority alone.
    fn go(&self, name: &str, daemon: &Daemon) -> Command {
        let mut command = bounded(&go_program(name));
        command.current_dir(&self.0).env("HOME", &self.0).env("DOCKER_CONFIG", self.0.join("docker"));
        command.env("REGCTL_CONFIG", self.0.join("regctl.json"));
        command.env("SSL_CERT_FILE", daemon.ca()).env("SSL_CERT_DIR", self.0.join("nothing"));
        command
    }

    /// Runs it with these words; what it printed.
    #[track_caller]
    fn run(&self, name: &str, daemon: &Daemon, words: &[&str]) -> String {
        self.go(name, daemon).args(words).run().good()
    }

    /// A file here.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Signs crane and oras in, which read one file.
    fn sign_in(&self, daemon: &Daemon) {
        let words = ["auth", "login", daemon.address(), "-u", ADMIN, "--password-stdin"];
        self.go("crane", daemon).args(words).run_with(PASSWORD.as_bytes()).good();
    }
}

/// The digest that a tag or digest is served under; `None` when it is not there.
fn served(daemon: &Daemon, repository: &str, reference: &str) -> Option<String> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let answer = daemon.admin().send("HEAD", &path, &[], b"");
    match answer.status {
        200 => answer.header("docker-content-digest").map(str::to_owned),
        404 => None,
        status => panic!("{path}: {status}"),
    }
}

fn tags(daemon: &Daemon, repository: &str) -> Vec<String> {
    let list = daemon.admin().get(&format!("/v2/{repository}/tags/list")).is(200).json();
    serde_json::from_value(list["tags"].clone()).unwrap()
}

/// The artifact types of what is attached.
fn attached(daemon: &Daemon, repository: &str, digest: &str) -> Vec<String> {
    let list = daemon.admin().get(&format!("/v2/{repository}/referrers/{digest}")).is(200).json();
    let entries = list["manifests"].as_array().unwrap().iter();
    let mut kinds: Vec<String> =
        entries.map(|entry| entry["artifactType"].as_str().unwrap_or_default().into()).collect();
    kinds.sort();
    kinds
}

/// Every blob of `sent` is in `got`, under the same name and hashing to it.
pub(crate) fn assert_same_blobs(sent: &Path, got: &Path) {
    let names = |layout: &Path| {
        let entries = std::fs::read_dir(layout.join("blobs/sha256")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(got), names(sent));
    for name in names(got) {
        assert_eq!(sha256(&got.join("blobs/sha256").join(&name)), name);
    }
}
