//! The `oci-client` crate, in a program of its own (`tests/oci-client`).

use std::path::{Path, PathBuf};

use super::create_repositories;
use crate::support::{ADMIN, Daemon, PASSWORD, Run as _, bounded, scratch, turn};

/// The program, built as it is now.
fn program() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oci-client/Cargo.toml");
    let target = scratch().parent().expect("it is a folder below").to_owned();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = bounded(Path::new(&cargo));
    build.args(["build", "--locked", "--quiet", "--manifest-path"]).arg(manifest).env("CARGO_TARGET_DIR", &target);
    build.run().good();
    target.join("debug/tidegate-test-oci-client")
}

#[tokio::test]
async fn the_oci_client_crate_pushes_pulls_mounts_and_lists() {
    let _turn = turn().await;
    let program = program();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    create_repositories(&daemon);
    bounded(&program).arg(daemon.address()).arg(daemon.ca()).args([ADMIN, PASSWORD]).run().good();
    let log = daemon.said();
    let chunks = log.lines().filter(|line| line.contains("http.method=PATCH") && line.contains("http.status=202"));
    assert!(chunks.count() >= 3, "it sends in chunks\n{log}");
    assert!(log.contains("http.status=201") && daemon.cli(&["verify"]).good().starts_with("clean"));
    daemon.stop().await;
}
