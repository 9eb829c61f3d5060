//! The package, built and used as an administrator would: installed in a fresh
//! Debian, its service started as the unit starts it, an image pushed, removed
//! and purged.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    Client, Image, Layout, Namespace, Run as _, Running, bounded, debian_root, measured, need, program, scratch, turn,
    until,
};

/// What the package may weigh, and the binary in it, in bytes.
const PACKAGE_BYTES: u64 = 10_000_000;
const BINARY_BYTES: u64 = 25_000_000;
/// Of the unit's watchdog in the test; the unit's own minute is too long to watch.
const WATCHDOG_SECONDS: u64 = 3;

const PASSWORD: &str = "a long password for the package";

#[tokio::test]
async fn the_package_installs_serves_and_goes() {
    let _turn = turn().await;
    let package = build();
    let folder = tempfile::tempdir_in(scratch()).unwrap();
    let host = Host::new(folder.path().join("root"), &package);
    host.install();
    assert_eq!(host.run(&["stat", "-c", "%U %a", "/var/lib/tidegate"]), "tidegate 700\n");
    assert_eq!(host.run(&["stat", "-c", "%U", "/etc/tidegate/tidegate.toml"]), "root\n");
    assert!(host.run(&["tidegate", "--version"]).starts_with("tidegate "));

    let namespace = Namespace::new();
    let mut service = host.start(&namespace, folder.path()).await;
    let digest = push(&host, &namespace, folder.path());
    service.told("WATCHDOG=1").await;
    service.stop().await;

    // Started again, it serves what was pushed.
    let service = host.start(&namespace, folder.path()).await;
    let client = host.client(&namespace).signed_in("admin", PASSWORD);
    let found = client.send("HEAD", "/v2/dev/website/manifests/1.0", &[], b"").is(200);
    assert_eq!(found.header("docker-content-digest"), Some(&*digest));
    service.stop().await;
    assert!(host.run(&["tidegate", "verify", "--data", "/var/lib/tidegate"]).starts_with("clean"));

    let is_kept = || host.root.join("var/lib/tidegate/tidegate.redb").exists();
    host.run(&["dpkg", "--remove", "tidegate"]);
    assert!(!host.root.join("usr/bin/tidegate").exists() && host.root.join("etc/tidegate/tidegate.toml").exists());
    assert!(is_kept(), "removed: the images stay");
    let told = host.run(&["dpkg", "--purge", "tidegate"]);
    assert!(!host.root.join("etc/tidegate/tidegate.toml").exists());
    assert!(
        is_kept() && told.contains("/var/lib/tidegate are kept"),
        "purged: the images stay, and it says so\n{told}"
    );
    host.install();
    assert!(is_kept());
    host.run(&["env", "TIDEGATE_PURGE_DATA=yes", "dpkg", "--purge", "tidegate"]);
    assert!(!host.root.join("var/lib/tidegate").exists(), "purged as asked for: the images are gone");
}

/// Builds the package from a release build, and weighs both.
fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = Path::new(env!("CARGO"));
    bounded(cargo).args(["build", "--release", "--locked"]).current_dir(source).run().good();
    bounded(&source.join("packaging/build")).env("PATH", path_with_cargo_deb(cargo)).run().good();
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| source.join("target").into()));
    let named = format!("tidegate_{}-1_", env!("CARGO_PKG_VERSION"));
    let made = std::fs::read_dir(target.join("debian")).unwrap().map(|entry| entry.unwrap().path());
    let mut packages: Vec<PathBuf> =
        made.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&named)).collect();
    let package = packages.pop().expect("cargo-deb made a package");
    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len();
    let (weight, binary) = (bytes(&package), bytes(&target.join("release/tidegate")));
    measured(&format!("the package has {weight} bytes, the binary {binary}"));
    assert!(weight <= PACKAGE_BYTES && binary <= BINARY_BYTES);
    package
}

/// `PATH` with `cargo-deb` in it, which is installed below `target/` where the
/// machine has none.
fn path_with_cargo_deb(cargo: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("cargo-deb").is_file()) {
        return path;
    }
    let tools = scratch().join("cargo-deb");
    if !tools.join("bin/cargo-deb").is_file() {
        let words = ["install", "cargo-deb", "--version", "^3.8", "--locked", "--root"];
        bounded(cargo).args(words).arg(&tools).run().good();
    }
    let folders = std::iter::once(tools.join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

/// A Debian of the test's own.
struct Host {
    root: PathBuf,
}

impl Host {
    fn new(root: PathBuf, package: &Path) -> Self {
        debian_root(&root);
        std::fs::copy(package, root.join("tidegate.deb")).unwrap();
        // The bootstrapped tar has no devices; maintainer scripts write here.
        program("mknod").args(["-m", "666"]).arg(root.join("dev/null")).args(["c", "1", "3"]).run().good();
        Self { root }
    }

    /// Runs a program in it to a good end; gives all it said.
    fn run(&self, words: &[&str]) -> String {
        let ran = self.chroot(program("chroot")).args(words).run();
        assert!(ran.code == 0, "{ran:?}");
        ran.out + &ran.err
    }

    fn install(&self) {
        self.run(&["dpkg", "--install", "/tidegate.deb"]);
    }

    /// `chroot` as far as the program's own words.
    fn chroot(&self, mut command: Command) -> Command {
        command.arg(&self.root).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Asks its service.
    fn client(&self, namespace: &Namespace) -> Client {
        Client::tls("https://127.0.0.1:5000", self.root.join("var/lib/tidegate/tls/ca.crt")).inside(namespace)
    }

    /// Starts the service as the unit says: its command, its user, its folders,
    /// and a socket that is told how it goes.
    async fn start<'a>(&'a self, namespace: &Namespace, folder: &Path) -> Service<'a> {
        let unit = std::fs::read_to_string(self.root.join("usr/lib/systemd/system/tidegate.service")).unwrap();
        let setting = |key: &str| {
            let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("the unit has {key}")).to_owned()
        };
        let (user, group) = (setting("User"), setting("Group"));
        assert_eq!((&*setting("RuntimeDirectory"), &*setting("StateDirectory")), ("tidegate", "tidegate"));
        let owner = format!("{user}:{group}");
        self.run(&[
            "install",
            "-d",
            "-o",
            &user,
            "-g",
            &group,
            "-m",
            &setting("RuntimeDirectoryMode"),
            "/run/tidegate",
        ]);
        let socket = self.root.join("run/notify");
        let _ = std::fs::remove_file(&socket);
        let notes = UnixDatagram::bind(&socket).unwrap();
        notes.set_nonblocking(true).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();

        // The shell becomes the daemon, so `$$` is the daemon's id.
        let script = format!("umask {}; export WATCHDOG_PID=$$; exec {}", setting("UMask"), setting("ExecStart"));
        let mut command = namespace.lasting(&need("chroot"));
        command.arg(format!("--userspec={owner}"));
        command = self.chroot(command);
        command.args(["/bin/sh", "-c", &script]);
        command.env("NOTIFY_SOCKET", "/run/notify").env("WATCHDOG_USEC", (WATCHDOG_SECONDS * 1_000_000).to_string());
        command.env("RUNTIME_DIRECTORY", "/run/tidegate").env("STATE_DIRECTORY", "/var/lib/tidegate");
        let running = Running::start("the service", &command, folder.join("log"));
        let mut service = Service { running, notes, heard: String::new(), host: self };
        service.told("READY=1").await;
        service
    }
}

/// The service, run as the unit says.
struct Service<'a> {
    running: Running,
    notes: UnixDatagram,
    heard: String,
    host: &'a Host,
}

impl Service<'_> {
    /// Waits until it has told the service manager `note`.
    async fn told(&mut self, note: &str) {
        until(note, Duration::from_secs(60), || {
            self.running.assert_running();
            self.hears(note)
        })
        .await;
    }

    fn hears(&mut self, note: &str) -> bool {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.notes.recv(&mut buffer) {
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
            self.heard.push('\n');
        }
        self.heard.lines().any(|line| line == note)
    }

    async fn stop(mut self) {
        let code = self.running.stop(Signal::TERM, Duration::from_secs(90)).await;
        assert_eq!(code, 0, "{}", self.running.said());
        assert!(self.hears("STOPPING=1"), "{}", self.heard);
        assert!(!self.running.said().contains("panicked"), "{}", self.running.said());
        let mode =
            std::fs::metadata(self.host.root.join("var/lib/tidegate/tidegate.redb")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else reads the database");
    }
}

/// Makes an account and a repository over the local socket, and pushes with
/// `skopeo`; gives the image's digest.
fn push(host: &Host, namespace: &Namespace, folder: &Path) -> String {
    let make = host
        .chroot(program("chroot"))
        .args(["tidegate", "account", "create", "admin", "--admin", "--password-stdin"])
        .run_with(PASSWORD.as_bytes());
    make.good();
    host.run(&["tidegate", "repository", "create", "dev/website"]);
    let trust = folder.join("trust");
    std::fs::create_dir(&trust).unwrap();
    let ca = host.client(namespace).get("/ca").is(200);
    std::fs::write(trust.join("ca.crt"), ca.body).unwrap();
    let layout = folder.join("layout");
    let digest = Layout(&layout).write_image(&Image::new("amd64", "pushed to the packaged service"));
    let mut skopeo = namespace.program("skopeo");
    skopeo.args(["copy", "--preserve-digests", "--dest-tls-verify=true", "--dest-cert-dir"]).arg(&trust);
    skopeo.arg(format!("--dest-creds=admin:{PASSWORD}")).arg(format!("oci:{}", layout.display()));
    skopeo.arg("docker://127.0.0.1:5000/dev/website:1.0").run().good();
    digest
}
