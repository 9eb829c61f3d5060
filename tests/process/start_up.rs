//! Starts that must not succeed, and the ends of a daemon: one clear line,
//! the exit code that a supervisor acts on, and a data folder that is left as
//! it was.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Ran, Run as _, Running, TIDEGATE, bounded, need, program, sha256, turn, until};

/// How long a start may take; the first one makes keys.
const STARTS: Duration = Duration::from_secs(60);
/// How soon a daemon with nothing to do ends when it is told to.
const STOPS: Duration = Duration::from_secs(10);
/// How long one may run that must not start, in seconds.
const REFUSES: &str = "60";
/// Exit codes: a failure that may heal, a configuration that cannot, words
/// that mean nothing, and what `verify` found.
const FAILURE: i32 = 1;
const CONFIGURATION: i32 = 78;
const USAGE: i32 = 64;
const FINDINGS: i32 = 2;

/// A configuration and a data folder.
struct Home {
    folder: TempDir,
}

impl Home {
    /// One whose daemon takes any free port.
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        home.configure("[[listener]]\naddress = \"127.0.0.1:0\"\n");
        home
    }

    /// One whose daemon has run, keeps an account and a repository, and has
    /// been stopped.
    async fn used() -> Self {
        let home = Self::new();
        let (mut running, _) = home.start("log").await;
        home.fill();
        assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
        home
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn database(&self) -> PathBuf {
        self.data().join("tidegate.redb")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("tidegate.toml")
    }

    /// Writes the configuration: the data folder on the first line, then `rest`.
    fn configure(&self, rest: &str) {
        std::fs::write(self.config(), format!("data = {:?}\n{rest}", self.data())).unwrap();
    }

    /// Starts a daemon and waits until it is ready; gives the time it took.
    async fn start(&self, log: &str) -> (Running, Duration) {
        let mut command = Command::new(TIDEGATE);
        command.args(["serve", "--config"]).arg(self.config()).current_dir(self.folder.path());
        let mut running = Running::start("tidegate", &command, self.folder.path().join(log));
        let took = until("the daemon is ready", STARTS, || {
            running.assert_running();
            running.said().contains(" ready\n")
        })
        .await;
        (running, took)
    }

    /// Runs a daemon that must not start, under `wrapper`.
    fn try_under(&self, wrapper: &[&str]) -> Ran {
        let mut command = bounded(&need("timeout"));
        command.args(["--signal=KILL", REFUSES]).args(wrapper).arg(TIDEGATE).args(["serve", "--config"]);
        command.arg(self.config()).current_dir(self.folder.path()).run()
    }

    /// Runs a daemon that must not start; gives the one line it says.
    #[track_caller]
    fn refused(&self, code: i32) -> String {
        one_line(&self.try_under(&[]), code)
    }

    /// The same, and the data folder is the same before and after.
    #[track_caller]
    fn refused_leaving_all(&self, code: i32) -> String {
        let before = tree(&self.data());
        let line = self.refused(code);
        assert_eq!(tree(&self.data()), before, "{line}");
        line
    }

    fn cli(&self, words: &[&str], input: &str) -> Ran {
        let mut command = bounded(Path::new(TIDEGATE));
        command.args(words).env("TIDEGATE_SOCKET", self.data().join("admin.sock"));
        command.run_with(input.as_bytes())
    }

    fn fill(&self) {
        self.cli(&["account", "create", "anna", "--password-stdin"], "a password for anna").good();
        self.cli(&["repository", "create", "dev/website"], "").good();
    }

    /// What [`Home::fill`] made is there, and the store is whole.
    #[track_caller]
    fn assert_filled(&self) {
        assert!(self.cli(&["account", "list"], "").good().contains("anna"));
        assert!(self.cli(&["repository", "list"], "").good().contains("dev/website"));
        assert!(self.cli(&["verify"], "").good().starts_with("clean"));
    }
}

/// Panics unless `ran` ended with `code` and said one line that is an error.
#[track_caller]
fn one_line(ran: &Ran, code: i32) -> String {
    assert!(ran.err.starts_with("error: ") && ran.err.lines().count() == 1 && ran.out.is_empty(), "{ran:?}");
    assert!(ran.code == code && !ran.err.contains("panicked"), "{ran:?}");
    println!("{code}: {}", ran.err.trim());
    ran.err.clone()
}

/// Every path below `folder`, with what it holds.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let holds = if kind.is_file() { sha256(&path) } else { format!("{kind:?}") };
            if kind.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, holds);
        }
    }
    found
}

#[tokio::test]
async fn a_wrong_configuration_is_one_line_with_file_line_and_key() {
    let _turn = turn().await;
    let home = Home::new();
    let file = home.config().display().to_string();
    for (rest, place, words) in [
        ("colour = \"red\"\n", ":2:1: colour: ", "expected one of `data`, `log`"),
        ("[[listener]]\nadress = \"127.0.0.1:0\"\n", ":3:1: listener.adress: ", "expected one of `address`, `tls`"),
        ("[[listener]]\naddress = \"localhost\"\n", ":3:11: listener.address: ", "such as 127.0.0.1:5000"),
        ("[[listener]]\naddress = \"0.0.0.0:0\"\ntls = false\n", ":4:7: listener.tls: ", "set force_plain = true"),
        ("log_format = \"xml\"\n", ":2:14: log_format: ", "give `text` or `json`"),
        ("log = 7\n", ":2:7: log: ", "expected a string"),
        ("log = \n", ":2:7: log: ", "string"),
        ("log = \"loud\"\n", ":2:7: log: ", "loud"),
        (
            "[tls]\ncertificate = \"none.crt\"\nkey = \"none.key\"\n",
            ":3:15: tls.certificate: ",
            "none.crt is not there",
        ),
        ("[tls]\nnames = [\"bad name!\"]\n", ":3:10: tls.names: ", "is no host name or IP address"),
        ("[remote]\nallow_private = [\"10.0.0.1/8\"]\n", ":3:18: remote.allow_private: ", "10.0.0.0/8"),
    ] {
        home.configure(rest);
        let line = home.refused(CONFIGURATION);
        assert!(line.contains(&format!("{file}{place}")) && line.contains(words), "{rest}: {line}");
    }
    std::fs::write(home.folder.path().join("junk"), "no certificate").unwrap();
    home.configure("[tls]\ncertificate = \"junk\"\nkey = \"junk\"\n");
    assert!(home.refused(CONFIGURATION).contains("junk holds no certificate"));
    std::fs::remove_file(home.config()).unwrap();
    assert!(home.refused(CONFIGURATION).contains(&format!("cannot read {file}")));
    assert!(!home.data().exists(), "nothing is made for a configuration that is none");
    let ran = bounded(Path::new(TIDEGATE)).args(["serve", "--confg", "x"]).run();
    assert_eq!((ran.code, ran.err.contains("--confg")), (USAGE, true), "{ran:?}");
}

#[tokio::test]
async fn a_port_in_use_and_a_folder_that_cannot_be_used_are_failures_that_may_heal() {
    let _turn = turn().await;
    let home = Home::used().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    home.configure(&format!("[[listener]]\naddress = \"{address}\"\n"));
    let line = home.refused(FAILURE);
    assert!(line.contains(&format!("listen on {address}: another program has that address")), "{line}");
    // A first start that fails leaves no folder behind that looks like a
    // registry's.
    let first = Home::new();
    first.configure(&format!("[[listener]]\naddress = \"{address}\"\n"));
    first.refused(FAILURE);
    assert!(!first.data().exists(), "{:?}", tree(&first.data()));
    drop(taken);
    let (mut running, _) = home.start("log-healed").await;
    home.assert_filled();
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());

    let home = Home::new();
    std::fs::write(home.data(), "somebody's notes").unwrap();
    let line = home.refused(FAILURE);
    assert!(line.contains(&format!("{} is a file, not a folder", home.data().display())), "{line}");
    assert_eq!(std::fs::read(home.data()).unwrap(), b"somebody's notes");

    // Root may write anywhere: the daemon is started without root's rights.
    let home = Home::new();
    let folder = home.folder.path();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    let setpriv = need("setpriv");
    let without = [setpriv.to_str().unwrap(), "--bounding-set=-all", "--inh-caps=-all"];
    let line = one_line(&home.try_under(&without), FAILURE);
    assert!(line.contains("cannot use the data folder") && line.contains("Permission denied"), "{line}");
    assert!(!home.data().exists());

    // Root writes wherever the mode says no, but not where the mount does.
    let home = Home::new();
    std::fs::create_dir(home.data()).unwrap();
    let (script, data) = ("mount -t tmpfs -o ro tmpfs \"$1\" && shift && exec \"$@\"", home.data());
    let unshare = program("unshare");
    let unshare = unshare.get_args().last().unwrap().to_str().unwrap().to_owned();
    let beneath = [unshare.as_str(), "--mount", "sh", "-c", script, "read-only", data.to_str().unwrap()];
    let line = one_line(&home.try_under(&beneath), FAILURE);
    assert!(line.contains(data.to_str().unwrap()) && line.contains("Read-only file system"), "{line}");
    assert_eq!(tree(&data), BTreeMap::new());
}

#[tokio::test]
async fn a_second_daemon_leaves_the_first_alone() {
    let _turn = turn().await;
    let home = Home::new();
    let (mut running, _) = home.start("log").await;
    home.fill();
    // The first one's database is written by the first one when it likes.
    let others = || {
        let mut found = tree(&home.data());
        found.retain(|path, _| !path.ends_with("tidegate.redb") && !path.ends_with("generation"));
        found
    };
    let before = others();
    let line = home.refused(FAILURE);
    assert_eq!(others(), before, "{line}");
    assert!(line.contains("another tidegate is running on the data folder"), "{line}");
    home.assert_filled();

    // Another folder, and the same socket.
    let other = Home::new();
    let socket = home.data().join("admin.sock");
    other.configure(&format!("[admin]\nsocket = {socket:?}\n[[listener]]\naddress = \"127.0.0.1:0\"\n"));
    let line = other.refused(FAILURE);
    assert!(line.contains("another daemon answers there"), "{line}");
    assert!(!other.data().exists(), "{:?}", tree(&other.data()));
    home.assert_filled();
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
}

#[tokio::test]
async fn a_database_that_is_none_or_is_cut_is_refused_and_left_alone() {
    let _turn = turn().await;
    let home = Home::used().await;
    let whole = std::fs::read(home.database()).unwrap();
    let without_head = [vec![0; 4096], whole[4096..].to_vec()].concat();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("a text", b"these are notes".to_vec()),
        ("a large text", vec![b'x'; whole.len()]),
        ("its first page", whole[..4096].to_vec()),
        ("its first half", whole[..whole.len() / 2].to_vec()),
        ("all but the last byte", whole[..whole.len() - 1].to_vec()),
        ("all but the head", without_head),
    ] {
        std::fs::write(home.database(), bytes).unwrap();
        let line = home.refused_leaving_all(FAILURE);
        let path = home.database().display().to_string();
        assert!(line.contains(&path) && line.contains("restore it from a backup"), "{what}: {line}");
    }
    std::fs::write(home.database(), whole).unwrap();
    let (mut running, _) = home.start("log-restored").await;
    home.assert_filled();
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
}

/// Pages that a disk gave back as something else: length and head are right.
#[tokio::test]
async fn a_database_with_damaged_pages_is_refused_and_left_alone() {
    let _turn = turn().await;
    let home = Home::used().await;
    let whole = std::fs::read(home.database()).unwrap();
    let verify = || bounded(Path::new(TIDEGATE)).args(["verify", "--data"]).arg(home.data()).run();
    let noise: Vec<u8> = (0..whole.len()).map(|at| (at * 31 % 251) as u8).collect();
    for tail in [vec![0; whole.len() - 4096], noise[4096..].to_vec()] {
        std::fs::write(home.database(), [&whole[..4096], &tail].concat()).unwrap();
        let line = home.refused_leaving_all(FAILURE);
        assert!(line.contains("restore it from a backup"), "{line}");
        let line = one_line(&verify(), FAILURE);
        assert!(line.contains("restore it from a backup"), "{line}");
    }

    // One page that makes sense still: only its checksum tells.
    let name = b"dev/website";
    let at = whole.windows(name.len()).position(|bytes| bytes == name).expect("the repository stands somewhere");
    let mut bytes = whole.clone();
    bytes[at] ^= 1;
    std::fs::write(home.database(), bytes).unwrap();
    let ran = verify();
    assert!(ran.code == FINDINGS && ran.out.contains("damaged database") && ran.err.is_empty(), "{ran:?}");
    std::fs::write(home.database(), whole).unwrap();
}

/// Without this, a registry that starts empty over blobs that it does not know
/// would have them collected.
#[tokio::test]
async fn blobs_without_their_database_are_never_started_over() {
    let _turn = turn().await;
    let home = Home::used().await;
    let blobs = home.data().join("blobs").join("sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("kept"), "an image's layer").unwrap();
    let old = std::fs::read(home.database()).unwrap();
    let (mut running, _) = home.start("log-again").await;
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
    let other = std::fs::read(Home::used().await.database()).unwrap();
    let current = std::fs::read(home.database()).unwrap();

    for (what, bytes) in [("is missing", None), ("is older than", Some(old)), ("is another one", Some(other))] {
        match bytes {
            Some(bytes) => std::fs::write(home.database(), bytes).unwrap(),
            None => std::fs::remove_file(home.database()).unwrap(),
        }
        let line = home.refused_leaving_all(FAILURE);
        assert!(line.contains(what), "{what}: {line}");
        assert!(line.contains("Restore the database that goes with the blobs"), "{line}");
    }
    // Nothing but the blobs is left: their database is not there all the same.
    std::fs::remove_file(home.database()).unwrap();
    let marker = std::fs::read(home.data().join("generation")).unwrap();
    std::fs::remove_file(home.data().join("generation")).unwrap();
    assert!(home.refused_leaving_all(FAILURE).contains("is missing"));
    std::fs::write(home.data().join("generation"), marker).unwrap();
    assert_eq!(std::fs::read(blobs.join("kept")).unwrap(), b"an image's layer");
    std::fs::write(home.database(), current).unwrap();
    let (mut running, _) = home.start("log-restored").await;
    home.assert_filled();
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
}

#[tokio::test]
async fn a_daemon_ends_soon_and_one_that_was_killed_starts_again() {
    let _turn = turn().await;
    let home = Home::new();
    let (mut running, first) = home.start("log").await;
    home.fill();
    assert_eq!(running.stop(Signal::KILL, STOPS).await, -Signal::KILL.as_raw(), "{}", running.said());
    let socket = home.data().join("admin.sock");
    let is_socket = || std::fs::symlink_metadata(&socket).is_ok_and(|found| found.file_type().is_socket());
    assert!(is_socket(), "a killed daemon leaves its socket");

    let (mut running, again) = home.start("log-again").await;
    home.assert_filled();
    let stopped = tokio::time::Instant::now();
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
    let stopped = stopped.elapsed();
    assert!(!running.said().contains("panicked"), "{}", running.said());
    assert!(!is_socket(), "a daemon that ends takes its socket with it");
    println!("ready after {first:?} the first time, {again:?} after kill -9; ended {stopped:?} after SIGTERM");

    // A file that is no socket is somebody's.
    std::fs::write(&socket, "somebody's notes").unwrap();
    let line = home.refused(FAILURE);
    assert!(line.contains("a file that is no socket lies there"), "{line}");
    assert_eq!(std::fs::read(&socket).unwrap(), b"somebody's notes");
}

/// With nobody to read its welcome the daemon ended in a panic, a hangup
/// killed it without a drain, and its addresses lay there when it was gone.
#[tokio::test]
async fn a_terminal_that_is_full_or_gone_does_not_end_it() {
    let _turn = turn().await;
    let home = Home::new();
    let mut command = Command::new(need("sh"));
    command.args(["-c", "exec \"$0\" serve --config \"$1\" > /dev/full", TIDEGATE]).arg(home.config());
    command.current_dir(home.folder.path());
    let mut running = Running::start("tidegate", &command, home.folder.path().join("log"));
    until("the daemon is ready", STARTS, || {
        running.assert_running();
        running.said().contains(" ready\n")
    })
    .await;
    running.signal(Signal::HUP);
    until("the hangup is told", STOPS, || running.said().contains("nothing to read again")).await;
    home.fill();
    home.assert_filled();
    let addresses = home.data().join("addresses");
    assert_eq!(std::fs::metadata(&addresses).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(running.stop(Signal::TERM, STOPS).await, 0, "{}", running.said());
    assert!(!addresses.exists() && !running.said().contains("panicked"), "{}", running.said());

    let few = bounded(&need("sh")).args(["-c", "ulimit -n 7 && exec \"$0\" --help", TIDEGATE]).run();
    assert!(few.code == FAILURE && few.err.starts_with("error: only 7 files may be open"), "{few:?}");
    let gone = home.folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let script = "rmdir \"$1\" && exec \"$0\" --help";
    let lost = bounded(&need("sh")).args(["-c", script, TIDEGATE]).arg(&gone).current_dir(&gone).run();
    assert!(lost.code == 0 && lost.out.contains("Usage: tidegate"), "{lost:?}");
}

/// Run by root, `verify --data` left a marker behind that the service could not
/// replace; on a disk that is mounted for reading it did not work at all.
#[tokio::test]
async fn a_folder_that_is_verified_stays_as_it_is_and_need_not_be_writable() {
    let _turn = turn().await;
    let home = Home::used().await;
    let before = tree(&home.data());
    let verified = bounded(Path::new(TIDEGATE)).args(["verify", "--data"]).arg(home.data()).run().good();
    assert!(verified.contains("every byte of the files was hashed"), "{verified}");
    assert_eq!(tree(&home.data()), before);
    let (script, data) = (
        "mount --bind -o ro \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec \"$2\" verify --data \"$1\"",
        home.data(),
    );
    let unshare = program("unshare");
    let mut command = bounded(Path::new(unshare.get_args().last().unwrap()));
    command.args(["--mount", "sh", "-c", script, "read-only"]).arg(&data).arg(TIDEGATE);
    assert!(command.run().good().starts_with("clean"));
    assert_eq!(tree(&home.data()), before);
    let inside = home.data().join("backup");
    let refused = bounded(Path::new(TIDEGATE)).arg("backup").arg(&inside).arg("--data").arg(home.data()).run();
    assert!(refused.code == FAILURE && refused.err.contains("data folder"), "{refused:?}");
    assert_eq!(tree(&home.data()), before, "nothing is made in it");
}
