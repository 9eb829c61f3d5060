//! The programs that are measured, and how each is set up: durable, that is,
//! what it has acknowledged is on the disk, unless its name says otherwise;
//! its log as quiet as it goes; everything else as its makers ship it.

mod angos;
mod distribution;
mod empty;
mod nginx;
mod tidegate;
mod zot;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::ground::Ground;

pub(crate) use tidegate::{PASSWORD, USER};

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    Tidegate,
    /// Debian's, of the 2.8 series.
    DockerRegistry,
    /// Version 3.
    Distribution,
    Zot,
    /// As it is shipped: nothing is synced.
    ZotUnsafe,
    Angos,
    /// As it is shipped: nothing is synced.
    AngosUnsafe,
    /// Serves files: the limit of downloads.
    Nginx,
    /// Answers nothing, fast: the limit of small requests.
    Empty,
}

/// What a measured program is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Ours,
    /// A registry that keeps what it acknowledged.
    Peer,
    /// A registry that may lose it: shown, never the best peer.
    UnsafePeer,
    Limit,
}

/// Where one server stands.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// Whether a program that has one listener speaks TLS on it.
    pub(crate) over_tls: bool,
}

impl Software {
    pub(crate) const PEERS: [Self; 6] =
        [Self::DockerRegistry, Self::Distribution, Self::Zot, Self::ZotUnsafe, Self::Angos, Self::AngosUnsafe];

    /// Its name in the tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::DockerRegistry => "docker-registry",
            Self::Distribution => "distribution",
            Self::Zot => "zot",
            Self::ZotUnsafe => "zot-unsafe",
            Self::Angos => "angos",
            Self::AngosUnsafe => "angos-unsafe",
            Self::Nginx => "nginx",
            Self::Empty => "hyper-empty",
        }
    }

    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Tidegate => Role::Ours,
            Self::DockerRegistry | Self::Distribution | Self::Zot | Self::Angos => Role::Peer,
            Self::ZotUnsafe | Self::AngosUnsafe => Role::UnsafePeer,
            Self::Nginx | Self::Empty => Role::Limit,
        }
    }

    /// What it says its version is, where it says so.
    pub(crate) fn version(self, program: &Path) -> String {
        let flag = if self == Self::Nginx { "-v" } else { "--version" };
        let output = Command::new(program).arg(flag).output().ok().filter(|output| output.status.success());
        let Some(output) = output else { return "of unknown version".to_owned() };
        let said = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
        said.lines().next().unwrap_or_default().to_owned()
    }

    /// Where its program lies; `None` when it is not installed.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let name = match self {
            Self::DockerRegistry => "docker-registry",
            Self::Distribution => "registry",
            Self::Zot | Self::ZotUnsafe => "zot",
            Self::Angos | Self::AngosUnsafe => "angos",
            Self::Nginx => "nginx",
            Self::Tidegate | Self::Empty => return None,
        };
        find(name)
    }

    /// Whether it takes requests for anything below `/v2` without signing in,
    /// and makes repositories when something is pushed.
    pub(crate) fn is_open(self) -> bool {
        self != Self::Tidegate
    }

    /// Whether it lists what is attached to a manifest.
    pub(crate) fn has_referrers(self) -> bool {
        !matches!(self, Self::DockerRegistry | Self::Distribution | Self::Nginx | Self::Empty)
    }

    /// Whether both its listeners are there at once.
    pub(crate) fn speaks_both(self) -> bool {
        matches!(self, Self::Tidegate | Self::Nginx | Self::Empty)
    }

    /// Writes its configuration and gives the command that starts it.
    pub(crate) fn command(self, site: &Site<'_>) -> Result<Command> {
        match self {
            Self::Tidegate => tidegate::command(site),
            Self::DockerRegistry | Self::Distribution => distribution::command(site),
            Self::Zot => zot::command(site, true),
            Self::ZotUnsafe => zot::command(site, false),
            Self::Angos => angos::command(site, true),
            Self::AngosUnsafe => angos::command(site, false),
            Self::Nginx => nginx::command(site),
            Self::Empty => Ok(empty::command(site)),
        }
    }
}

impl Site<'_> {
    /// Where a program that has one listener listens.
    fn address(&self) -> SocketAddr {
        if self.over_tls { self.tls } else { self.plain }
    }

    /// Where it keeps its data.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// Looks for a program where shells do, and where Debian keeps servers.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
