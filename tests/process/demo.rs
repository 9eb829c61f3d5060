//! `tidegate demo`: what it shows, and that it leaves nothing behind.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Running, TIDEGATE, turn, until};

/// How long the whole show may take; the pull mirror alone waits five seconds.
const SHOWN: Duration = Duration::from_secs(90);
const STOPS: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_demonstration_shows_every_step_and_leaves_nothing_behind() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(TIDEGATE);
    command.arg("demo").current_dir(&temporary).env("TMPDIR", &temporary);
    let mut demo = Running::start("tidegate demo", &command, folder.path().join("log"));
    until("the demonstration has been shown", SHOWN, || {
        demo.assert_running();
        demo.said().contains("tidegate promotion list dev/website")
    })
    .await;
    let said = demo.said();
    println!("{said}");
    let mut rest = said.as_str();
    for step in [
        "Pushed dev/website:1.4-stable, sha256:",
        "Pushed dev/website:1.5-beta",
        "Promoted: qa/website:1.4-stable-20",
        "why 1.4-stable: ",
        "why 1.5-beta: ",
        "Mirrored out: edge/website:1.4-stable-20",
        "Pulled back on schedule: back/website:1.4-stable-20",
        "Both registries run until Ctrl-C",
        "docker login -u demo -p ",
        "docker push 127.0.0.1:",
        "tidegate why dev/website:2.0-stable",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step:?} is not shown in its place:\n{said}"));
        rest = &rest[at + step.len()..];
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1, "its folder is there while it runs");
    assert_eq!(demo.stop(Signal::INT, STOPS).await, 0, "{}", demo.said());
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "its folder is gone");
    assert!(!demo.said().contains("panicked"), "{}", demo.said());
}
