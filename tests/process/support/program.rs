//! Programs of the system: found, or installed by the package they are in;
//! run with an end, and their words kept.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// Every program the tests run, and Debian's package of it.
const PACKAGES: &[(&str, &str)] = &[
    ("chroot", "coreutils"),
    ("curl", "curl"),
    ("debootstrap", "debootstrap"),
    ("docker", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("dockerd", "docker.io"),
    ("dpkg-deb", "dpkg"),
    ("gzip", "gzip"),
    ("htpasswd", "apache2-utils"),
    ("ip", "iproute2"),
    ("mknod", "coreutils"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("setpriv", "util-linux"),
    ("sh", "dash"),
    ("sha256sum", "coreutils"),
    ("skopeo", "skopeo"),
    ("systemd-analyze", "systemd"),
    ("tar", "tar"),
    ("timeout", "coreutils"),
    ("umount", "mount"),
    ("unshare", "util-linux"),
];

/// Debian's own folders go before `PATH`: the engine and its client are of one
/// version then.
const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The longest that a program runs that is waited for, in seconds: a release
/// build on a slow machine.
const LONGEST_SECONDS: u32 = 2400;

/// Where `name` lies. A program that is missing is installed; the test fails
/// when that cannot be done.
pub(crate) fn need(name: &str) -> PathBuf {
    static INSTALLING: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    if let Some(path) = find(name) {
        return path;
    }
    let package = PACKAGES.iter().find(|(program, _)| *program == name).map(|(_, package)| *package);
    let package = package.unwrap_or_else(|| panic!("{name} is missing, and no package is known that has it"));
    let mut tried = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if tried.insert(package) && find(name).is_none() {
        let install = Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends", package])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output();
        let said = install.map_or_else(|error| error.to_string(), |out| String::from_utf8_lossy(&out.stderr).into());
        assert!(find(name).is_some(), "{name} is missing and {package} could not be installed: {said}");
    }
    find(name).unwrap_or_else(|| panic!("{name} is missing: apt-get install {package}"))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = FOLDERS.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The program `name`, which ends in bounded time.
pub(crate) fn program(name: &str) -> Command {
    bounded(&need(name))
}

/// `path` as a program that ends in bounded time.
pub(crate) fn bounded(path: &Path) -> Command {
    let mut command = Command::new(need("timeout"));
    command.args(["--foreground", "--kill-after=10", &LONGEST_SECONDS.to_string()]).arg(path);
    command
}

/// What a program said, and how it ended.
pub(crate) struct Ran {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    words: String,
}

/// Runs a program to its end.
pub(crate) trait Run {
    /// Runs it with nothing on its standard input.
    fn run(&mut self) -> Ran;
    /// Runs it with `input` on its standard input.
    fn run_with(&mut self, input: &[u8]) -> Ran;
}

impl Run for Command {
    fn run(&mut self) -> Ran {
        self.run_with(b"")
    }

    fn run_with(&mut self, input: &[u8]) -> Ran {
        let Output { status, stdout, stderr } = output(self, input);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr), words: format!("{self:?}") }
    }
}

/// Runs `command` with `input` and gives what it wrote, byte for byte.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Output {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it was asked for");
    std::thread::scope(|scope| {
        // A program that does not read all of it says why in its own words.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    })
}

impl Ran {
    /// Its standard output; panics unless it went well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert!(self.code == 0, "{self:?}");
        self.out
    }

    /// All that it said; panics unless it failed.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(self.code != 0, "{self:?}");
        self.out + &self.err
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, out, err, words } = self;
        write!(f, "{words} ended with {code}\n{out}\n{err}")
    }
}

/// The SHA-256 of a file in hexadecimal, by a program that is not ours.
pub(crate) fn sha256(path: &Path) -> String {
    let line = program("sha256sum").arg(path).run().good();
    line.split_whitespace().next().unwrap_or_default().trim_start_matches('\\').to_owned()
}

/// A folder below `target/` for what is dear to make and kept between runs.
pub(crate) fn scratch() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
