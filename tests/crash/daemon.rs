//! A daemon in a process of its own, to be killed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use hyper::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;

/// Longer than this nothing takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a process is looked at that cannot tell when it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A data folder, and the daemon that may run on it. It dies with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    data: PathBuf,
    /// Variables it is started with.
    pub(crate) variables: Vec<(&'static str, String)>,
    running: Option<Child>,
}

/// The daemon ended before it was ready.
#[derive(Debug)]
pub(crate) struct Died(pub(crate) ExitStatus);

impl Daemon {
    /// A daemon that does not run yet.
    pub(crate) fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), variables: Vec::new(), running: None }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.data.join("admin.sock"))
    }

    /// Starts it and waits until it is ready; how long that took.
    pub(crate) async fn start(&mut self) -> Result<Duration, Died> {
        assert!(self.running.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("serve")
            .args(["--listen", "http://127.0.0.1:0", "--data"])
            .arg(&self.data)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        let (begun, client) = (Instant::now(), self.client());
        self.running = Some(child);
        loop {
            if let Some(status) = self.running.as_mut().and_then(|child| child.try_wait().expect("a child")) {
                self.running = None;
                return Err(Died(status));
            }
            if client.get("/health").await.is_ok_and(|answer| answer.status == StatusCode::OK) {
                return Ok(begun.elapsed());
            }
            assert!(begun.elapsed() < PATIENCE, "the daemon is not ready:\n{}", self.last_words());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Starts it; it must become ready.
    pub(crate) async fn start_well(&mut self) -> Duration {
        match self.start().await {
            Ok(took) => took,
            Err(Died(status)) => panic!("the daemon ended ({status}):\n{}", self.last_words()),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.running.take().expect("it runs");
        child.kill().expect("killed");
        let status = child.wait().expect("a child");
        assert_eq!(status.signal(), Some(9), "it ended by itself ({status}):\n{}", self.last_words());
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let (begun, mut child) = (Instant::now(), self.running.take().expect("it runs"));
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("the daemon does not end:\n{}", self.last_words());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(|child| child.try_wait().expect("a child").is_some())
    }

    /// Stops it as a supervisor does.
    pub(crate) async fn stop(&mut self) {
        let child = self.running.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("told to stop");
        let status = self.ended().await;
        assert!(status.success(), "it stopped with {status}:\n{}", self.last_words());
    }

    /// The address of its plain listener.
    pub(crate) fn url(&self) -> String {
        let addresses = std::fs::read_to_string(self.data.join("addresses")).expect("addresses");
        addresses.lines().next().expect("a listener").to_owned()
    }

    /// `tidegate verify` on its folder: asks the daemon, or opens the folder
    /// when none runs.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let verify = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["verify", "--data"]).arg(&self.data).output();
        let verify = verify.expect("runs");
        if verify.status.code() == Some(0) {
            return Ok(());
        }
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("verify: {}\n{}{}", verify.status, told(&verify.stdout), told(&verify.stderr)))
    }

    /// Makes an organization and repositories in it.
    pub(crate) async fn make(&self, repositories: &[&str]) {
        let client = self.client();
        for repository in repositories {
            let (namespace, name) = repository.split_once('/').expect("a name in a namespace");
            let known = client.get(&format!("/enzi/v0/accounts/{namespace}")).await.expect("an answer");
            if known.status == StatusCode::NOT_FOUND {
                client.api("POST", "/enzi/v0/accounts", &json!({"name": namespace, "isOrg": true})).await;
            }
            client.api("POST", &format!("/api/v0/repositories/{namespace}"), &json!({"name": name})).await;
        }
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// How often a text stands in its log.
    pub(crate) fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(self.log()).unwrap_or_default().matches(words).count()
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
