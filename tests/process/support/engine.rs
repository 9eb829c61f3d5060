//! A Docker engine of the test's own: its data, its sockets, its idea of
//! `/etc/docker` and its network are the test's, so that an engine of the
//! system is never met.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::measured::measured;
use super::namespace::Namespace;
use super::program::{Ran, Run as _, need, program};
use super::running::Running;
use super::wait::until;

/// How long an engine may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(90);

/// An engine that runs.
pub(crate) struct Engine<'a> {
    running: Running,
    namespace: &'a Namespace,
    folder: PathBuf,
}

impl<'a> Engine<'a> {
    /// Starts one below `folder`.
    pub(crate) async fn start(folder: &Path, namespace: &'a Namespace) -> Self {
        let folder = folder.join("engine");
        std::fs::create_dir_all(folder.join("client")).unwrap();
        // A file of its own: the system's settings would contradict the flags.
        std::fs::write(folder.join("daemon.json"), "{}").unwrap();
        let mut command = namespace.lasting(&need("dockerd"));
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        for (flag, name) in
            [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid"), ("--config-file", "daemon.json")]
        {
            command.arg(flag).arg(folder.join(name));
        }
        command.arg("--host").arg(format!("unix://{}", folder.join("socket").display()));
        let mut engine = Self { running: Running::start("dockerd", &command, folder.join("log")), namespace, folder };
        until("the engine answers", PATIENCE, || {
            engine.running.assert_running();
            engine.folder.join("socket").exists() && engine.run(&["version"]).code == 0
        })
        .await;
        measured(&format!("the engine stores with {}", engine.run(&["info", "--format", "{{.Driver}}"]).good().trim()));
        engine
    }

    /// Has it trust the certificates in `ca` at `host`, and no others.
    pub(crate) fn trust(&self, host: &str, ca: &Path) {
        let folder = format!("/etc/docker/certs.d/{host}");
        let script = "mkdir -p \"$1\" && cp \"$2\" \"$1/ca.crt\"";
        self.namespace.program("sh").args(["-c", script, "trust", &folder]).arg(ca).run().good();
    }

    /// Shows the registry at `host` a client certificate.
    pub(crate) fn shows(&self, host: &str, certificate: &Path, key: &Path) {
        let folder = format!("/etc/docker/certs.d/{host}");
        let script = "cp \"$2\" \"$1/client.cert\" && cp \"$3\" \"$1/client.key\"";
        self.namespace.program("sh").args(["-c", script, "shows", &folder]).args([certificate, key]).run().good();
    }

    /// `docker` with these words.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.command(words).run()
    }

    /// The same with something on its standard input.
    pub(crate) fn run_with(&self, words: &[&str], input: &str) -> Ran {
        self.command(words).run_with(input.as_bytes())
    }

    /// Signs in; the password goes by standard input.
    pub(crate) fn login(&self, host: &str, name: &str, password: &str) -> Ran {
        self.run_with(&["login", "--username", name, "--password-stdin", host], password)
    }

    /// Where its client keeps what it signed in with.
    pub(crate) fn client_config(&self) -> PathBuf {
        self.folder.join("client/config.json")
    }

    /// Makes a small image called `name`.
    pub(crate) fn import(&self, name: &str, content: &[u8]) {
        let (file, tar) = (self.folder.join("content"), self.folder.join("content.tar"));
        std::fs::write(&file, content).unwrap();
        program("tar").arg("-C").arg(&self.folder).arg("-cf").arg(&tar).arg("content").run().good();
        self.run(&["import", tar.to_str().unwrap(), name]).good();
    }

    /// The id of the image that `name` is: the digest of its configuration.
    pub(crate) fn image_id(&self, name: &str) -> String {
        self.run(&["image", "inspect", "--format", "{{.Id}}", name]).good().trim().to_owned()
    }

    /// Removes every image, so that a pull fetches.
    pub(crate) fn forget_images(&self) {
        // An image that another was made of goes after it, and the listing is in
        // no order that says which: each round removes those that can go.
        for _ in 0..8 {
            let ids = self.run(&["image", "ls", "--quiet", "--no-trunc"]).good();
            let mut ids: Vec<&str> = ids.lines().collect();
            ids.dedup();
            if ids.is_empty() {
                return;
            }
            let words: Vec<&str> = ["image", "rm", "--force"].into_iter().chain(ids).collect();
            let _ = self.run(&words);
        }
        assert_eq!(self.run(&["image", "ls", "--quiet"]).good(), "");
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(mut self) {
        assert_eq!(self.running.stop(Signal::TERM, PATIENCE).await, 0, "the engine ends well");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.namespace.program("docker");
        command.args(words);
        self.is_met_by(&mut command);
        command
    }

    /// Has the `docker` that `command` runs speak to this engine.
    pub(crate) fn is_met_by(&self, command: &mut Command) {
        command.env("DOCKER_HOST", format!("unix://{}", self.folder.join("socket").display()));
        command.env("DOCKER_CONFIG", self.folder.join("client")).env("DOCKER_BUILDKIT", "0");
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY");
    }
}
