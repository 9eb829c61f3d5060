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
        demo.said().contains(" promotion list dev/website\n")
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
        " why dev/website:2.0-stable",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step:?} is not shown in its place:\n{said}"));
        rest = &rest[at + step.len()..];
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1, "its folder is there while it runs");
    assert_eq!(demo.stop(Signal::INT, STOPS).await, 0, "{}", demo.said());
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "its folder is gone");
    assert!(!demo.said().contains("panicked"), "{}", demo.said());
}

/// Ctrl-C while the two registries were starting left their folder behind, and
/// with an upload that had stalled it took half a minute.
#[tokio::test]
async fn a_signal_at_any_moment_leaves_nothing_behind() {
    let _turn = turn().await;
    for (signal, waits_for) in [(Signal::HUP, "Starting two registries"), (Signal::TERM, "Repositories: dev/website")] {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let mut command = Command::new(TIDEGATE);
        command.arg("demo").current_dir(&temporary).env("TMPDIR", &temporary);
        let mut demo = Running::start("tidegate demo", &command, folder.path().join("log"));
        until("the demonstration has begun", SHOWN, || {
            demo.assert_running();
            demo.said().contains(waits_for)
        })
        .await;
        assert_eq!(demo.stop(signal, STOPS).await, 0, "{signal:?}: {}", demo.said());
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "{signal:?} at {waits_for:?}");
        assert!(!demo.said().contains("panicked"), "{}", demo.said());
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_request() {
    use std::io::{Read as _, Write as _};
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(TIDEGATE);
    command.arg("demo").current_dir(&temporary).env("TMPDIR", &temporary);
    let mut demo = Running::start("tidegate demo", &command, folder.path().join("log"));
    until("the demonstration has been shown", SHOWN, || {
        demo.assert_running();
        demo.said().contains(" promotion list dev/website\n")
    })
    .await;
    let made = std::fs::read_dir(&temporary).unwrap().next().unwrap().unwrap().path();
    let mut stalled = std::os::unix::net::UnixStream::connect(made.join("here/admin.sock")).unwrap();
    let ask = "POST /v2/dev/website/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stalled.write_all(ask.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = stalled.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
    let place = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("an upload has a place");
    let path = place.find("/v2/").map_or(place, |at| &place[at..]).trim().to_owned();
    write!(stalled, "PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    demo.signal(Signal::INT);
    until("it says that it stops", STOPS, || demo.said().contains("Stopping")).await;
    // The request goes on meanwhile: only the second signal ends it so soon.
    assert_eq!(demo.stop(Signal::INT, Duration::from_secs(10)).await, 1, "{}", demo.said());
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "its folder is gone");
}
