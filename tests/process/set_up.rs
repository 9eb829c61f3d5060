//! The first system admin, by the secret that the daemon writes when nobody can
//! sign in: by curl, by the command line, once, within its time, and never
//! where it is not needed.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Run as _, Running, TIDEGATE, bounded, turn, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon, run by run on one folder.
struct Home {
    folder: PathBuf,
    runs: usize,
}

struct Run {
    running: Running,
    client: Client,
}

impl Home {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), runs: 0 }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn file(&self) -> PathBuf {
        self.data().join("setup-secret")
    }

    /// The secret that its file holds.
    fn secret(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap().trim().to_owned()
    }

    async fn start(&mut self, pace: Option<&str>) -> Run {
        self.runs += 1;
        let mut command = Command::new(TIDEGATE);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(self.data()).current_dir(&self.folder);
        if let Some(pace) = pace {
            command.env("TIDEGATE_PACE", pace);
        }
        let mut running = Running::start("tidegate", &command, self.folder.join(format!("log-{}", self.runs)));
        until("the daemon is ready", PATIENCE, || {
            running.assert_running();
            running.said().contains(" ready\n")
        })
        .await;
        let base = std::fs::read_to_string(self.data().join("addresses")).unwrap();
        let base = base.lines().find(|line| line.starts_with("https://")).unwrap().to_owned();
        Run { running, client: Client::tls(&base, self.data().join("tls").join("ca.crt")) }
    }

    fn cli(&self, words: &[&str]) -> Command {
        let mut command = bounded(Path::new(TIDEGATE));
        command.args(words).env("TIDEGATE_SOCKET", self.data().join("admin.sock")).current_dir(&self.folder);
        command
    }
}

impl Run {
    fn set_up(&self, secret: &str, name: &str, password: &str) -> (u16, Value) {
        let body = json!({ "secret": secret, "name": name, "password": password }).to_string();
        let answer = self.client.send("POST", "/api/v0/setup", &["Content-Type: application/json"], body.as_bytes());
        (answer.status, answer.json())
    }

    fn said(&self) -> String {
        self.running.said()
    }

    async fn stop(mut self) {
        assert_eq!(self.running.stop(Signal::TERM, PATIENCE).await, 0, "{}", self.running.said());
    }
}

#[tokio::test]
async fn a_secret_makes_the_first_admin_once() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path());
    let run = home.start(None).await;
    let (file, owner) = (std::fs::metadata(home.file()).unwrap(), std::fs::metadata(home.data()).unwrap().uid());
    assert_eq!((file.permissions().mode() & 0o7777, file.uid()), (0o600, owner));
    let first = home.secret();
    let told = run.said();
    assert!(told.contains(&first) && told.contains("setup-secret") && told.contains("1h"), "{told}");
    // Wrong ones, and what is wrong with the rest, use nothing up.
    let (status, refused) = run.set_up("wrong", "boss", "a long password");
    assert_eq!((status, &refused["errors"][0]["code"]), (403, &json!("NOT_AUTHORIZED")));
    assert_eq!(run.client.send("GET", "/api/v0/setup", &[], b"").status, 405);
    assert_eq!(run.set_up(&first, "boss", "short").0, 400);
    assert_eq!(run.set_up(&first, "No Name", "a long password").0, 400);
    run.stop().await;
    assert!(!home.file().exists(), "it is gone with the daemon");

    // A restart makes another, and the first is nothing any more.
    let run = home.start(None).await;
    let second = home.secret();
    assert_ne!(first, second);
    assert_eq!(run.set_up(&first, "boss", "a long password").0, 403);
    let mut words = home.cli(&["setup", "boss", "--password-stdin", "--secret-file", "data/setup-secret"]);
    let said = words.run_with(b"a long password\n").good();
    assert_eq!(said, "boss is system admin; the set-up secret is gone\n");
    assert!(!home.file().exists());
    let (status, _) = run.set_up(&second, "other", "a long password");
    assert_eq!(status, 403, "once");
    let boss = run.client.signed_in("boss", "a long password");
    let log = boss.get("/api/v0/audit?object=boss").is(200).json();
    assert_eq!((&log[0]["action"], &log[0]["actor"]["name"]), (&json!("account.create"), &json!("system")));
    assert_eq!(log[0]["cause"]["reason"], "the set-up secret was shown");
    run.stop().await;

    // Where there is an admin there is no secret.
    let run = home.start(None).await;
    assert!(!home.file().exists() && !run.said().contains("nobody can sign in"), "{}", run.said());
    run.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_not_used_is_over() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path());
    let run = home.start(Some("setup=60000")).await;
    let secret = home.secret();
    // One that dies leaves it; the next start makes another.
    let mut running = run.running;
    assert_eq!(running.stop(Signal::KILL, PATIENCE).await, -9);
    assert_eq!(home.secret(), secret);
    let run = home.start(Some("setup=200")).await;
    until("it is over", PATIENCE, || run.said().contains("it was not used in time")).await;
    assert!(!home.file().exists());
    assert_eq!(run.set_up(&secret, "boss", "a long password").0, 403);
    run.stop().await;
    // Once somebody made an admin over the local socket, none is needed.
    let run = home.start(None).await;
    let secret = home.secret();
    home.cli(&["account", "create", "root", "--admin", "--password-stdin"]).run_with(b"a long password\n").good();
    assert_eq!(run.set_up(&secret, "boss", "a long password").0, 403, "at once");
    until("it is gone", PATIENCE, || !home.file().exists()).await;
    run.stop().await;
}
