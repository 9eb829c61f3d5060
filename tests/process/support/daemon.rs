//! A Tidegate under test: the built binary with a folder of its own and free
//! ports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::curl::Client;
use super::namespace::Namespace;
use super::program::{Ran, Run as _, bounded};
use super::running::Running;
use super::wait::until;

/// The binary.
pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
/// The system admin that [`Daemon::start`] makes.
pub(crate) const ADMIN: &str = "admin";
/// Their password.
pub(crate) const PASSWORD: &str = "a long password for tests";

/// How long a start may take; the first one makes keys.
const STARTS: Duration = Duration::from_secs(60);
/// How long a stop may take: the daemon's own patience and some.
const STOPS: Duration = Duration::from_secs(60);

/// A daemon that runs.
pub(crate) struct Daemon {
    running: Running,
    folder: PathBuf,
    address: String,
    client: Client,
}

impl Daemon {
    /// Starts one below `folder` with a system admin, on a free port: of
    /// 127.0.0.1, or of the namespace's first address.
    pub(crate) async fn start(folder: &Path, namespace: Option<&Namespace>) -> Self {
        let daemon = Self::start_on(folder, namespace).await;
        daemon.cli_with(&["account", "create", ADMIN, "--admin", "--password-stdin"], PASSWORD).good();
        daemon
    }

    /// The same on a data folder that is there, with the accounts in it.
    pub(crate) async fn start_on(folder: &Path, namespace: Option<&Namespace>) -> Self {
        Self::start_with(folder, namespace, "").await
    }

    /// One that asks for client certificates of the authorities in `ca`.
    pub(crate) async fn start_asking(folder: &Path, ca: &Path, namespace: Option<&Namespace>) -> Self {
        let daemon = Self::start_with(folder, namespace, &format!("client_ca = {ca:?}\n")).await;
        daemon.cli_with(&["account", "create", ADMIN, "--admin", "--password-stdin"], PASSWORD).good();
        daemon
    }

    async fn start_with(folder: &Path, namespace: Option<&Namespace>, listener: &str) -> Self {
        let host = if namespace.is_some() { Namespace::HERE } else { "127.0.0.1" };
        let folder = folder.join("tidegate");
        let data = folder.join("data");
        std::fs::create_dir_all(&folder).unwrap();
        let config =
            format!("data = {data:?}\nlog = \"info,tidegate=debug\"\n[[listener]]\naddress = \"{host}:0\"\n{listener}");
        std::fs::write(folder.join("tidegate.toml"), config).unwrap();
        let mut running = launch(&folder, namespace);
        let addresses = data.join("addresses");
        let mut address = String::new();
        until("the daemon writes its addresses", STARTS, || {
            running.assert_running();
            address = std::fs::read_to_string(&addresses).unwrap_or_default();
            address.contains("https://")
        })
        .await;
        let base = address.lines().find(|line| line.starts_with("https://")).expect("just seen").to_owned();
        let ca = data.join("tls").join("ca.crt");
        let mut client = Client::tls(&base, ca);
        if let Some(namespace) = namespace {
            client = client.inside(namespace);
        }
        until("the daemon is ready", STARTS, || {
            running.assert_running();
            running.said().contains("ready")
        })
        .await;
        let address = base.trim_start_matches("https://").to_owned();
        Self { running, folder, address, client }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.data().join("tls").join("ca.crt")
    }

    /// A folder with the authority's certificate alone: skopeo takes all that it
    /// finds in one.
    pub(crate) fn trust(&self) -> PathBuf {
        let folder = self.folder.join("trust");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(self.ca(), folder.join("ca.crt")).unwrap();
        folder
    }

    /// Asks it as the system admin.
    pub(crate) fn admin(&self) -> Client {
        self.client.signed_in(ADMIN, PASSWORD)
    }

    /// Asks it without signing in.
    pub(crate) fn stranger(&self) -> Client {
        self.client.clone()
    }

    /// The command line, over the local socket.
    pub(crate) fn cli(&self, words: &[&str]) -> Ran {
        self.command(words).run()
    }

    /// The same, with a password on standard input.
    pub(crate) fn cli_with(&self, words: &[&str], input: &str) -> Ran {
        self.command(words).run_with(input.as_bytes())
    }

    /// Its process.
    pub(crate) fn id(&self) -> Pid {
        self.running.id()
    }

    /// The bytes that it has in memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// What it logged.
    pub(crate) fn said(&self) -> String {
        self.running.said()
    }

    /// Stops it as a service manager does; it must end well and leave a folder
    /// that is whole.
    pub(crate) async fn stop(mut self) {
        let code = self.running.stop(Signal::TERM, STOPS).await;
        assert_eq!(code, 0, "the daemon ends well\n{}", self.said());
        assert!(!self.said().contains("panicked"), "{}", self.said());
        let verified = bounded(Path::new(TIDEGATE)).args(["verify", "--data"]).arg(self.data()).run().good();
        assert!(verified.starts_with("clean"), "{verified}");
    }

    /// Ends it as a power cut does, and forgets what it said of itself.
    pub(crate) async fn kill(mut self) {
        let code = self.running.stop(Signal::KILL, STOPS).await;
        assert_eq!(code, -9, "it ended by itself\n{}", self.said());
        std::fs::remove_file(self.data().join("addresses")).unwrap();
        std::fs::rename(self.folder.join("log"), self.folder.join("log.killed")).unwrap();
    }

    /// The command line over the local socket, not run yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = bounded(Path::new(TIDEGATE));
        command.args(words).env("TIDEGATE_SOCKET", self.data().join("admin.sock"));
        command
    }
}

fn launch(folder: &Path, namespace: Option<&Namespace>) -> Running {
    let mut command = match namespace {
        Some(namespace) => namespace.lasting(Path::new(TIDEGATE)),
        None => Command::new(TIDEGATE),
    };
    command.args(["serve", "--config"]).arg(folder.join("tidegate.toml")).current_dir(folder);
    Running::start("tidegate", &command, folder.join("log"))
}
