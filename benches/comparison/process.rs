//! A process of ours: started with its words in a file, ended by its id, gone
//! when this program is.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(2);

/// A running process.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) resident: f64,
    /// Of that, what is no file's.
    pub(crate) anonymous: f64,
    /// The most that was resident.
    pub(crate) peak: f64,
}

impl Running {
    /// Starts `command`; what it says is added to `log`.
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        // The kernel ends it when we are gone; nginx needs time for its workers.
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                tied.env(key, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            tied.current_dir(folder);
        }
        let child = tied.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn().context("setpriv")?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready`, or fails with what it said last.
    pub(crate) fn until(&mut self, what: &str, mut is_ready: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status}) before {what}:\n{}", self.said_last());
            }
            if begun.elapsed() > PATIENCE {
                bail!("not {what} within {} s:\n{}", PATIENCE.as_secs(), self.said_last());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until something takes connections on `address`.
    pub(crate) fn until_listening(&mut self, address: SocketAddr) -> Result<()> {
        self.until(&format!("listening on {address}"), || TcpStream::connect(address).is_ok())
    }

    /// Ends it with `signal` and waits for that.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<()> {
        self.end(signal)
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let id = Pid::from_raw(self.child.id().cast_signed()).context("a process has an id")?;
        kill_process(id, signal)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
                bail!("it did not end within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The memory it holds.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).context(path)?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes =
                line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<f64>().ok());
            kilobytes.map(|kilobytes| kilobytes * 1024.0).with_context(|| format!("{name} in its status"))
        };
        Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")?, peak: field("VmHWM:")? })
    }

    fn said_last(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end(Signal::TERM);
    }
}
