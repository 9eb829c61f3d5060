//! A daemon that cannot start: one clear line, an exit code that a service
//! manager can use, never a panic.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Daemon, Ran, Run as _, TIDEGATE, bounded, program, turn};

/// Wrong configuration: trying again changes nothing.
const CONFIGURATION: i32 = 78;
/// The machine: a service manager tries again, and it may have changed.
const FAILURE: i32 = 1;

/// A folder with a configuration in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("tidegate.toml")
    }

    /// Starts a daemon on `text` as its configuration; it must not get far.
    fn serve(&self, text: &str) -> Ran {
        std::fs::write(self.config(), text).unwrap();
        self.serve_by(&mut bounded(Path::new(TIDEGATE)))
    }

    fn serve_by(&self, command: &mut Command) -> Ran {
        command.args(["serve", "--config"]).arg(self.config()).current_dir(self.0.path()).run()
    }

    /// A configuration with the folder and a listener.
    fn usual(&self) -> String {
        format!("data = {:?}\n[[listener]]\naddress = \"127.0.0.1:0\"\n", self.data())
    }
}

/// One line on standard error, with the code and the words.
#[track_caller]
fn assert_told(ran: &Ran, code: i32, words: &[&str]) {
    println!("{}", ran.err.trim_end());
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert!(ran.err.starts_with("error: "), "{ran:?}");
    for words in words {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    assert!(!ran.out.contains("panicked") && !ran.err.contains("panicked"), "{ran:?}");
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_named_with_its_place() {
    let _turn = turn().await;
    let place = Place::new();
    let file = place.config().display().to_string();
    for (text, at, words) in [
        ("data = \"d\"\nlogs = \"info\"\n", ":2:1: logs: ", "unknown field `logs`"),
        ("data = \"d\"\nlog = \"loud\"\n", ":2:7: log: ", "loud"),
        ("[[listener]]\naddress = \"0.0.0.0:5000\"\ntls = false\n", "listener", "force_plain"),
        ("[[listener]]\naddress = \"somewhere\"\n", ":2:11: listener.address: ", "an IP address and a port"),
        ("data = \n", ":1:", ""),
    ] {
        assert_told(&place.serve(text), CONFIGURATION, &[&file, at, words]);
    }
    std::fs::remove_file(place.config()).unwrap();
    assert_told(&place.serve_by(&mut bounded(Path::new(TIDEGATE))), CONFIGURATION, &[&file, "No such file"]);
    let ran = bounded(Path::new(TIDEGATE)).args(["serve", "--confg", "x"]).run();
    assert_eq!((ran.code, ran.err.contains("--confg")), (64, true), "{ran:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let _turn = turn().await;
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = place.serve(&format!("data = {:?}\n[[listener]]\naddress = \"{address}\"\n", place.data()));
    assert_told(&ran, FAILURE, &[&address, "another program has that address"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let _turn = turn().await;
    let place = Place::new();
    let data = place.data().display().to_string();
    // A file where the folder should be.
    std::fs::write(place.data(), "no folder").unwrap();
    assert_told(&place.serve(&place.usual()), FAILURE, &[&data, "File exists"]);
    // Root writes wherever the mode says no, but not where the mount does.
    std::fs::remove_file(place.data()).unwrap();
    std::fs::create_dir(place.data()).unwrap();
    let script = "mount -t tmpfs -o ro tmpfs \"$1\" && shift && exec \"$@\"";
    let mut command = program("unshare");
    command.args(["--mount", "sh", "-c", script, "read-only", &data, TIDEGATE]);
    assert_told(&place.serve_by(&mut command), FAILURE, &[&data, "Read-only file system"]);
    assert_eq!(std::fs::read_dir(place.data()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_is_turned_away() {
    let _turn = turn().await;
    let (folder, place) = (tempfile::tempdir().unwrap(), Place::new());
    let first = Daemon::start(folder.path(), None).await;
    let data = first.data().display().to_string();
    let ran = place.serve(&format!("data = {data:?}\n[[listener]]\naddress = \"127.0.0.1:0\"\n"));
    assert_told(&ran, FAILURE, &[&data]);
    // The first goes on.
    assert!(first.cli(&["verify"]).good().starts_with("clean"));
    first.admin().get("/v2/").is(200);
    first.stop().await;
}

#[tokio::test]
async fn a_database_that_is_damaged_is_told_and_left_alone() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), None).await;
    let data = daemon.data();
    daemon.stop().await;
    let database = data.join("tidegate.redb");
    let whole = std::fs::read(&database).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let mut torn = whole.clone();
    torn[..4096].fill(0xa5);
    let noise: Vec<u8> = (0..whole.len()).map(|at| (at * 31 % 251) as u8).collect();
    for damaged in [torn, noise, half, Vec::new()] {
        std::fs::write(&database, &damaged).unwrap();
        let place = Place::new();
        let ran = place.serve(&format!("data = {data:?}\n[[listener]]\naddress = \"127.0.0.1:0\"\n"));
        assert_told(&ran, FAILURE, &[&database.display().to_string()]);
        assert_eq!(std::fs::read(&database).unwrap(), damaged, "what is left of it is not written over");
    }
    std::fs::write(&database, whole).unwrap();
    assert!(bounded(Path::new(TIDEGATE)).args(["verify", "--data"]).arg(&data).run().good().starts_with("clean"));
}
