//! One server: its folder, its addresses, its process, and how it is asked.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;

use super::ground::Ground;
use super::process::{Memory, Running};
use super::software::{PASSWORD, Role, Site, Software, USER};
use super::transport::Transport;

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) software: Software,
    pub(crate) name: String,
    ground: Ground,
    program: PathBuf,
    folder: PathBuf,
    plain: SocketAddr,
    tls: SocketAddr,
    over_tls: bool,
    running: Option<Running>,
}

/// How long an answer may take while a server begins.
const ANSWER: Duration = Duration::from_secs(60);

impl Server {
    /// The `number`th server on `ground`, which is not started.
    pub(crate) fn new(software: Software, program: &Path, ground: &Ground, number: u16) -> Result<Self> {
        Self::called(software.name(), software, program, ground, number)
    }

    /// The same under a name of its own.
    pub(crate) fn called(name: &str, software: Software, program: &Path, ground: &Ground, number: u16) -> Result<Self> {
        let [plain, tls] = ground.addresses(number);
        Ok(Self {
            software,
            name: name.to_owned(),
            ground: ground.clone(),
            program: program.to_owned(),
            folder: ground.folder(name)?,
            plain,
            tls,
            over_tls: false,
            running: None,
        })
    }

    /// Starts it, on what it has.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.spawn()?;
        let address = if self.over_tls { self.tls } else { self.plain };
        let running = self.running.as_mut().context("it was just started")?;
        running.until_listening(address).with_context(|| self.name.clone())
    }

    /// Starts it and does not wait; the moment is given.
    pub(crate) fn spawn(&mut self) -> Result<Instant> {
        let site = Site {
            ground: &self.ground,
            program: &self.program,
            folder: &self.folder,
            plain: self.plain,
            tls: self.tls,
            over_tls: self.over_tls,
        };
        let command = self.software.command(&site)?;
        let begun = Instant::now();
        self.running = Some(Running::start(&command, &self.folder.join("log"))?);
        Ok(begun)
    }

    /// Starts Tidegate for the first time: with an account that may do all.
    pub(crate) fn found(&mut self) -> Result<()> {
        self.start()?;
        self.command_line(&["account", "create", USER, "--admin", "--password-stdin"], PASSWORD).map(drop)
    }

    /// Ends it.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<()> {
        self.running.take().map_or(Ok(()), |running| running.stop(signal)).with_context(|| self.name.clone())
    }

    /// Forgets all it has and starts it anew; not for Tidegate.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.stop(Signal::TERM)?;
        let data = self.folder.join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        self.start()
    }

    /// Makes sure that it speaks `transport`.
    pub(crate) fn speak(&mut self, transport: Transport) -> Result<()> {
        let over_tls = transport != Transport::Plain;
        if self.software.speaks_both() || over_tls == self.over_tls {
            return Ok(());
        }
        self.stop(Signal::TERM)?;
        self.over_tls = over_tls;
        self.start()
    }

    pub(crate) fn role(&self) -> Role {
        self.software.role()
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        self.running.as_ref().with_context(|| format!("{} does not run", self.name))?.memory()
    }

    /// Its process.
    pub(crate) fn id(&self) -> Result<u32> {
        Ok(self.running.as_ref().with_context(|| format!("{} does not run", self.name))?.id())
    }

    /// `http://…` or `https://…` of `path`.
    pub(crate) fn url(&self, transport: Transport, path: &str) -> String {
        match transport {
            Transport::Plain => format!("http://{}{path}", self.plain),
            Transport::Tls | Transport::H2 => format!("https://{}{path}", self.tls),
        }
    }

    /// The value of `Authorization`, where there is to be one.
    pub(crate) fn authorization(&self) -> Option<String> {
        (!self.software.is_open()).then(|| format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}"))))
    }

    /// Where the load generator finds it and how it signs in.
    pub(crate) fn place(&self, transport: Transport) -> Vec<String> {
        let mut words = vec!["--url".to_owned(), self.url(transport, "")];
        if transport != Transport::Plain {
            words.extend(["--ca".to_owned(), self.ground.authority().display().to_string()]);
        }
        if !self.software.is_open() {
            words.extend(["--user".to_owned(), format!("{USER}:{PASSWORD}")]);
        }
        words
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Runs Tidegate's command line with `input`; what it printed.
    pub(crate) fn command_line(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(self.data().join("admin.sock")).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("it was asked for")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "tidegate {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes a repository, where that is needed and was not done.
    pub(crate) fn make(&self, repository: &str) -> Result<()> {
        if self.software.is_open() {
            return Ok(());
        }
        match self.command_line(&["repository", "create", repository], "") {
            Err(error) if error.to_string().contains("exists") => Ok(()),
            made => made.map(drop),
        }
    }

    /// Asks for `path` in plain HTTP; the status and the whole answer.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.plain)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let authorization =
            self.authorization().map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
        let host = self.plain;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Accept: {}\r\nConnection: close\r\n\r\n",
            super::workload::MANIFEST
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok((status.context("no status")?, answer))
    }

    /// The body of the answer at `path`, which must be 200.
    pub(crate) fn body(&self, path: &str) -> Result<Vec<u8>> {
        let (status, mut answer) = self.get(path)?;
        ensure!(status == 200, "{path}: {status}");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer without a head")?;
        Ok(answer.split_off(end + 4))
    }

    /// Asks for `path` again and again from `begun` on until the answer is
    /// 200; how long that took.
    pub(crate) fn until_answers(&mut self, begun: Instant, path: &str) -> Result<Duration> {
        let plain = self.plain;
        let running = self.running.as_mut().context("it was started")?;
        running.until("answering", || TcpStream::connect(plain).is_ok())?;
        loop {
            if self.get(path).is_ok_and(|(status, _)| status == 200) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > ANSWER {
                bail!("{} did not answer {path} with 200 within {} s", self.name, ANSWER.as_secs());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
