//! A network and mounts of the test's own: two addresses on a loopback that
//! nothing else uses, no way out, and an `/etc/docker` that is gone with it.
//!
//! An engine trusts all of 127.0.0.0/8 without a certificate; on these
//! addresses it wants one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::program::{bounded, need};

/// Makes the namespace, says so, and holds it until standard input closes.
const HOLD: &str = "set -e
ip link set lo up
ip address add 10.77.0.1/32 dev lo
ip address add 10.77.0.2/32 dev lo
mkdir -p /etc/docker
mount -t tmpfs tmpfs /etc/docker
echo ready
exec cat";

/// A network namespace and a mount namespace.
pub(crate) struct Namespace {
    holder: Child,
    stdin: Option<ChildStdin>,
}

impl Namespace {
    /// Where the Tidegate under test is.
    pub(crate) const HERE: &str = "10.77.0.1";
    /// Where the other registry is.
    pub(crate) const THERE: &str = "10.77.0.2";

    /// Makes one. Needs root.
    pub(crate) fn new() -> Self {
        need("ip");
        let mut command = Command::new(need("unshare"));
        command.args(["--net", "--mount"]).arg(need("sh")).args(["-c", HOLD]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("it was asked for")).read_line(&mut line).unwrap();
        let stdin = holder.stdin.take();
        let namespace = Self { holder, stdin };
        assert_eq!(line, "ready\n", "a network namespace could not be made; the tests need root");
        namespace
    }

    /// The program at `path` in it, to start beside the test. It starts in `/`,
    /// whatever the command's folder is.
    pub(crate) fn lasting(&self, path: &Path) -> Command {
        let mut command = Command::new(need("nsenter"));
        command.args(self.enter()).arg(path);
        command
    }

    /// The program at `path` in it, which ends in bounded time.
    pub(crate) fn bounded(&self, path: &Path) -> Command {
        let mut command = bounded(&need("nsenter"));
        command.args(self.enter()).arg(path);
        command
    }

    /// The program `name` in it, which ends in bounded time.
    pub(crate) fn program(&self, name: &str) -> Command {
        self.bounded(&need(name))
    }

    fn enter(&self) -> Vec<String> {
        let pid = self.holder.id();
        vec![format!("--net=/proc/{pid}/ns/net"), format!("--mount=/proc/{pid}/ns/mnt"), "--".to_owned()]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.holder.wait();
    }
}
