//! The course of a comparison: the servers, the runs in turns, what they gave.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::json;

use super::figures::Figures;
use super::goal::Case;
use super::ground::Ground;
use super::options::{Options, Sizes};
use super::row::Row;
use super::server::Server;
use super::software::{Role, Software};
use super::tool::Tool;
use super::transport::Transport;

/// A comparison that runs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) sizes: Sizes,
    pub(crate) ground: Ground,
    /// Tidegate first, then the peers, then the limits.
    pub(crate) servers: Vec<Server>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) rows: Vec<Row>,
    /// What went wrong, in words.
    pub(crate) failures: Vec<String>,
    /// Whether something that is ours went wrong.
    pub(crate) failed: bool,
    raw: File,
    next_address: u16,
}

/// One run's figures.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) case: Case,
    pub(crate) lane: String,
    pub(crate) role: Role,
    pub(crate) figures: Figures,
}

/// Which time something is measured: 0 warms up and does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) number: usize,
    /// How long a run at full speed lasts.
    pub(crate) seconds: u64,
}

/// One of those that take turns.
#[derive(Debug)]
pub(crate) struct Lane {
    name: String,
    role: Role,
    tool: Tool,
}

impl Bench {
    /// Starts all servers.
    pub(crate) fn start(options: &Options, ground: Ground, raw: File) -> Result<Self> {
        let mut bench = Self {
            sizes: options.sizes(),
            options: options.clone(),
            ground,
            servers: Vec::new(),
            samples: Vec::new(),
            rows: Vec::new(),
            failures: Vec::new(),
            failed: false,
            raw,
            next_address: 0,
        };
        let mut programs = vec![(Software::Tidegate, options.tidegate.clone())];
        for software in Software::PEERS {
            let named = options.peers.as_ref().map(|peers| peers.iter().any(|peer| peer == software.name()));
            if !named.unwrap_or(software.role() == Role::Peer) {
                continue;
            }
            match software.find() {
                Some(program) => programs.push((software, program)),
                None if named.is_some() => anyhow::bail!("{} is not in PATH", software.name()),
                None => bench.say(&format!("{} is not installed and left out", software.name())),
            }
        }
        match Software::Nginx.find() {
            Some(program) => programs.push((Software::Nginx, program)),
            None => bench.say("nginx is not installed: downloads have no limit to be held against"),
        }
        programs.push((Software::Empty, options.load.clone()));
        for (software, program) in programs {
            let mut server = Server::new(software, &program, &bench.ground, bench.next_address)?;
            bench.next_address += 1;
            if software == Software::Tidegate {
                server.found()?
            } else {
                server.start()?
            }
            let version = if software == Software::Empty { String::new() } else { software.version(&program) };
            bench.say(&format!("{} {version}", server.name));
            bench.write(&json!({ "server": server.name, "version": version, "program": program }))?;
            bench.servers.push(server);
        }
        Ok(bench)
    }

    /// A Tidegate beside the others, not started.
    pub(crate) fn another(&mut self, name: &str) -> Result<Server> {
        self.next_address += 1;
        Server::called(name, Software::Tidegate, &self.options.tidegate, &self.ground, self.next_address - 1)
    }

    /// Tidegate.
    pub(crate) fn ours(&self) -> &Server {
        &self.servers[0]
    }

    /// Tidegate and the peers.
    pub(crate) fn registries(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.role() != Role::Limit)
    }

    /// One of the others.
    pub(crate) fn server(&self, software: Software) -> Option<&Server> {
        self.servers.iter().find(|server| server.software == software)
    }

    /// The load generator with these words.
    pub(crate) fn load(&self, words: &[&str]) -> Tool {
        Tool::load(&self.options.load, words)
    }

    /// The load generator with these words, for one server.
    pub(crate) fn load_at(&self, server: &Server, transport: Transport, words: &[&str]) -> Tool {
        Tool::load(&self.options.load, words.iter().map(ToString::to_string).chain(server.place(transport)))
    }

    /// A lane of a server's.
    pub(crate) fn lane(&self, server: &Server, tool: Tool) -> Lane {
        Lane { name: server.name.clone(), role: server.role(), tool }
    }

    /// A lane of the machine's.
    pub(crate) fn limit(&self, name: &str, tool: Tool) -> Lane {
        Lane { name: name.to_owned(), role: Role::Limit, tool }
    }

    /// Puts something into every registry for which `words` gives how; those
    /// that fail are told of.
    pub(crate) fn fill(&mut self, repository: &str, words: impl Fn(&Server) -> Option<Vec<String>>) -> Result<()> {
        self.speak(Transport::Plain)?;
        let mut troubles = Vec::new();
        for server in self.registries() {
            let Some(words) = words(server) else { continue };
            server.make(repository)?;
            let words: Vec<&str> = ["fill"].into_iter().chain(words.iter().map(String::as_str)).collect();
            let tool = self.load_at(server, Transport::Plain, &words);
            if let Err(error) = tool.run() {
                troubles.push((server.name.clone(), server.role(), error));
            }
        }
        for (lane, role, error) in troubles {
            self.trouble("fill", &lane, role, &error)?;
        }
        Ok(())
    }

    /// Has every server speak `transport`.
    pub(crate) fn speak(&mut self, transport: Transport) -> Result<()> {
        self.servers.iter_mut().try_for_each(|server| server.speak(transport))
    }

    /// Measures a case: all lanes in turns, as often as there are runs, so
    /// that noise meets them alike. A lane that fails is told of and left out.
    pub(crate) fn measure(&mut self, case: &Case, lanes: impl Fn(&Self, Pass) -> Result<Vec<Lane>>) -> Result<()> {
        self.speak(case.transport)?;
        self.say(&format!("{} over {}", case.name, case.transport.name()));
        let mut out: Vec<String> = Vec::new();
        let first = usize::from(self.sizes.warm_up == 0);
        for number in first..=self.sizes.runs {
            let seconds = if number == 0 { self.sizes.warm_up } else { self.sizes.seconds };
            for lane in lanes(self, Pass { number, seconds })? {
                if out.contains(&lane.name) {
                    continue;
                }
                self.ground.settle()?;
                match lane.tool.run() {
                    Ok(_) if number == 0 => {}
                    Ok(figures) => self.keep(case, &lane.name, lane.role, number, &lane.tool.line(), figures)?,
                    Err(error) => {
                        self.trouble(&case.name, &lane.name, lane.role, &error)?;
                        out.push(lane.name);
                    }
                }
            }
        }
        self.keep_memory(&case.name)
    }

    /// Keeps the figures of a run.
    pub(crate) fn keep(
        &mut self,
        case: &Case,
        lane: &str,
        role: Role,
        run: usize,
        line: &str,
        figures: Figures,
    ) -> Result<()> {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        self.write(&json!({
            "at": chrono::Utc::now().to_rfc3339(), "case": case.name, "transport": case.transport.name(), "lane": lane,
            "run": run, "figures": figures, "command": line, "loadAverage": load.split(' ').next(),
        }))?;
        self.samples.push(Sample { case: case.clone(), lane: lane.to_owned(), role, figures });
        Ok(())
    }

    /// Something went wrong, in words.
    pub(crate) fn trouble(&mut self, what: &str, lane: &str, role: Role, error: &anyhow::Error) -> Result<()> {
        let words = format!("{what}, {lane}: {error:#}");
        self.say(&words);
        self.write(&json!({ "case": what, "lane": lane, "error": format!("{error:#}") }))?;
        self.failed = self.failed || matches!(role, Role::Ours | Role::Limit);
        self.failures.push(words);
        Ok(())
    }

    /// Adds lines to the table.
    pub(crate) fn rows(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Says what is being done.
    pub(crate) fn say(&self, words: &str) {
        eprintln!("{} {words}", chrono::Local::now().format("%H:%M:%S"));
    }

    /// Ends all servers.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.servers.iter_mut().try_for_each(|server| server.stop(Signal::TERM))
    }

    /// Writes down what Tidegate holds after a case: nothing waits for the end
    /// to be seen.
    fn keep_memory(&mut self, after: &str) -> Result<()> {
        let memory = self.ours().memory()?;
        self.write(&json!({
            "after": after, "resident": memory.resident, "anonymous": memory.anonymous, "peak": memory.peak,
        }))
    }

    fn write(&mut self, line: &serde_json::Value) -> Result<()> {
        writeln!(self.raw, "{line}").context("raw.jsonl")
    }
}

/// The digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
