//! One run of a program that measures: its command line, and how its words are
//! read. Anyone can repeat the line by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::figures::Figures;
use super::server::Server;
use super::software::find;
use super::transport::Transport;
use super::{h2load, wrk};

/// A command whose output holds figures.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    words: Vec<String>,
    output: Output,
}

#[derive(Clone, Copy, Debug)]
enum Output {
    Wrk,
    H2load,
    /// One line of JSON.
    Load,
}

/// The same GET over and over.
#[derive(Clone, Debug)]
pub(crate) struct Get<'a> {
    pub(crate) transport: Transport,
    pub(crate) path: &'a str,
    pub(crate) connections: u64,
    pub(crate) seconds: u64,
    /// Header lines beside `Authorization`.
    pub(crate) headers: &'a [&'a str],
    /// A Lua script for wrk.
    pub(crate) script: Option<&'a Path>,
}

impl Tool {
    /// wrk for HTTP/1.1, h2load for HTTP/2.
    pub(crate) fn get(server: &Server, get: &Get<'_>) -> Result<Self> {
        let (connections, seconds) = (get.connections.to_string(), get.seconds.to_string());
        let mut words = Vec::new();
        let output = match get.transport {
            Transport::H2 => {
                words.extend(["-t1", "-m1", "-c", &connections, "-D", &seconds].map(str::to_owned));
                Output::H2load
            }
            Transport::Plain | Transport::Tls => {
                let (connections, seconds) = (format!("-c{connections}"), format!("-d{seconds}s"));
                words.extend(["-t1", &connections, &seconds, "--timeout", "60s", "--latency"].map(str::to_owned));
                if let Some(script) = get.script {
                    words.extend(["-s".to_owned(), script.display().to_string()]);
                }
                Output::Wrk
            }
        };
        let authorization = server.authorization().map(|value| format!("Authorization: {value}"));
        for line in get.headers.iter().map(ToString::to_string).chain(authorization) {
            words.extend(["-H".to_owned(), line]);
        }
        words.push(server.url(get.transport, get.path));
        let name = if get.transport == Transport::H2 { "h2load" } else { "wrk" };
        let package = if get.transport == Transport::H2 { "nghttp2-client" } else { "wrk" };
        let program = find(name).with_context(|| format!("{name} is missing: apt-get install {package}"))?;
        Ok(Self { program, words, output })
    }

    /// The load generator.
    pub(crate) fn load(load: &Path, words: impl IntoIterator<Item = impl ToString>) -> Self {
        let words = words.into_iter().map(|word| word.to_string()).collect();
        Self { program: load.to_owned(), words, output: Output::Load }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Result<Figures> {
        let output = Command::new(&self.program).args(&self.words).output().context(self.line())?;
        let said = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", self.line(), err.trim());
        let figures = match self.output {
            Output::Wrk => wrk::read(&said),
            Output::H2load => h2load::read(&said),
            Output::Load => serde_json::from_str(said.trim()).map_err(|error| error.to_string()),
        };
        figures.map_err(|why| anyhow!("{}: {why}\n{}", self.line(), said.trim()))
    }

    /// Its command line.
    pub(crate) fn line(&self) -> String {
        let quoted = |word: &String| if word.contains([' ', '&', '?']) { format!("'{word}'") } else { word.clone() };
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let name = if matches!(self.output, Output::Load) { "load" } else { &name };
        [name.to_owned()].into_iter().chain(self.words.iter().map(quoted)).collect::<Vec<_>>().join(" ")
    }

    /// The command, for those who talk to it while it runs.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words);
        command
    }
}
