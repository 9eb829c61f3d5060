//! The README's five minutes, run as they stand there: what a newcomer copies
//! works. Only what cannot be known there is put in: an image, and the other
//! registry.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Engine, Image, Namespace, Run as _, Running, SecondRegistry, TIDEGATE, debian_tar, turn, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// The blocks of commands between two headings.
fn blocks(text: &str, from: &str, to: &str) -> Vec<String> {
    let part = text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect("the headings are there").0;
    part.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn the_five_minutes_go_as_they_are_written() {
    let _turn = turn().await;
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let [serve, tour, mirrors, rights] =
        blocks(&readme, "## Five minutes", "## As a service").try_into().expect("four blocks");
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new();
    let second = SecondRegistry::start(folder.path(), &namespace).await;
    let engine = Engine::start(folder.path(), &namespace).await;
    engine.run(&["import", debian_tar().to_str().unwrap(), "debian:base"]).good();
    second.receive(&namespace, &Image::new("amd64", "the base"), "library/base:12");

    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(TIDEGATE, bin.join("tidegate")).unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let surround = |command: &mut Command| {
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()));
        command.env("REMOTE_PASSWORD", SecondRegistry::PASSWORD).env_remove("TIDEGATE_SOCKET");
        engine.is_met_by(command);
    };
    let mut command = namespace.lasting(Path::new("/bin/sh"));
    command.args(["-c", &format!("cd {work:?} && exec {serve}")]);
    surround(&mut command);
    let mut daemon = Running::start("tidegate serve", &command, folder.path().join("serve.log"));
    until("the daemon is ready", PATIENCE, || {
        daemon.assert_running();
        daemon.said().contains("ready")
    })
    .await;

    let sh = |script: &str| {
        let mut command = namespace.bounded(Path::new("/bin/sh"));
        command.args(["-euc", &format!("cd {work:?}\n{script}")]);
        surround(&mut command);
        command.run().good()
    };
    let told = sh(&tour.replace("IMAGE", "debian:base"));
    assert!(told.contains("created system admin admin") && told.contains("dev/website:1.4-stable  sha256:"), "{told}");
    // The last command may come before the decision; soon after, it does not.
    let decided = || sh("tidegate why dev/website:1.4-stable").contains("qa/website:1.4-stable-20");
    until("the decision is there", Duration::from_secs(1), decided).await;
    let there = format!("https://{} --ca {}", SecondRegistry::address(), second.trust().join("ca.crt").display());
    let told = sh(&mirrors
        .replace("https://registry.example.org", &there)
        .replace("--username robot", &format!("--username {}", SecondRegistry::USER)));
    assert!(told.contains("poll_mirror") && told.contains("clean"), "{told}");
    assert!(sh("tidegate why edge/base:12").contains("pulled from "));
    let told = sh(&rights);
    assert!(told.contains("jane has read-write access to dev/website") && told.contains("10.0 GiB"), "{told}");
    engine.stop().await;
    assert!(work.join("tidegate-data/tidegate.redb").exists(), "the data lies in the current folder");
    assert_eq!(daemon.stop(Signal::TERM, PATIENCE).await, 0, "{}", daemon.said());
}
