//! Manifests by tag, from repositories of one tag to a hundred thousand: GET
//! of one tag at full speed, GET of all tags at random, HEAD.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{MANIFEST, counted, numbered};
use crate::bench::Bench;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::server::Server;
use crate::software::{Role, Software};
use crate::tool::{Get, Tool};
use crate::transport::Transport;

const CONNECTIONS: u64 = 16;
/// Tags that one request to Tidegate sets while it is filled.
const TOGETHER: u64 = 32;

/// The repository with `tags` tags.
pub(super) fn repository(tags: u64) -> String {
    format!("bench/tags{tags}")
}

/// Makes that repository where a server is to have it.
pub(super) fn fill(bench: &mut Bench, tags: u64) -> Result<()> {
    bench.say(&format!("filling a repository with {} tags", counted(tags)));
    let repository = repository(tags);
    let most = bench.sizes.peer_entries;
    bench.fill(&repository, |server| {
        let together = if server.software == Software::Tidegate { TOGETHER } else { 1 };
        let words = format!("tags --repository {repository} --count {tags} --together {together}");
        (tags <= most || server.role() == Role::Ours).then(|| words.split(' ').map(str::to_owned).collect())
    })
}

/// Whether a server was filled with `entries`.
pub(super) fn has(bench: &Bench, server: &Server, entries: u64) -> bool {
    server.role() == Role::Ours || entries <= bench.sizes.peer_entries
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let sizes = bench.sizes.tags.clone();
    let smallest = sizes[0];
    for tags in sizes.iter().copied() {
        fill(bench, tags)?;
        let path = format!("/v2/{}/manifests/t{}", repository(tags), numbered(tags / 2));
        serve_from_nginx(bench, &path)?;
        for transport in bench.options.speak(&[Transport::Plain, Transport::Tls, Transport::H2]) {
            get(bench, tags, transport, &path, smallest)?;
        }
        for transport in bench.options.speak(&[Transport::Plain]) {
            head(bench, tags, transport, &path)?;
        }
    }
    let largest = sizes[sizes.len() - 1];
    for transport in bench.options.speak(&[Transport::Plain]) {
        any(bench, largest, transport)?;
    }
    Ok(())
}

fn case(what: &str, tags: u64, transport: Transport) -> Case {
    Case { name: format!("manifest {what}, {} tags", counted(tags)), transport }
}

fn get(bench: &mut Bench, tags: u64, transport: Transport, path: &str, smallest: u64) -> Result<()> {
    let case_of = |tags| case("GET", tags, transport);
    let case = case_of(tags);
    bench.measure(&case, |bench, pass| {
        let accept = format!("Accept: {MANIFEST}");
        let get =
            Get { transport, path, connections: CONNECTIONS, seconds: pass.seconds, headers: &[&accept], script: None };
        let asked = bench.servers.iter().filter(|server| match server.software {
            // It speaks HTTP/1.1 alone.
            Software::Empty => transport != Transport::H2,
            _ => has(bench, server, tags),
        });
        asked.map(|server| Ok(bench.lane(server, Tool::get(server, &get)?))).collect()
    })?;
    let rate = Row::new(&case, "perSecond", Unit::PerSecond).limit(Software::Nginx.name());
    let rate = match transport {
        Transport::Plain => rate.goal(Goal::TimesBestPeer(2.5)).goal(Goal::AtLeast(40_000.0)),
        Transport::Tls => rate.goal(Goal::TimesBestPeer(2.5)).goal(Goal::OfLimit(0.6)),
        Transport::H2 => rate,
    };
    let rate = if tags == smallest { rate } else { rate.goal(Goal::Of(case_of(smallest), 0.9)) };
    bench.rows([rate]);
    if transport != Transport::H2 {
        bench.rows([Row::new(&case, "p99", Unit::Millis).goal(Goal::AtMost(5.0))]);
    }
    if transport == Transport::Plain && tags == smallest {
        // Beside nginx, which serves the same bytes, hyper, which serves none.
        bench.rows([Row::new(&case, "perSecond", Unit::PerSecond).limit(Software::Empty.name())]);
    }
    Ok(())
}

fn head(bench: &mut Bench, tags: u64, transport: Transport, path: &str) -> Result<()> {
    let case = case("HEAD", tags, transport);
    bench.measure(&case, |bench, pass| {
        let (connections, seconds) = (CONNECTIONS.to_string(), pass.seconds.to_string());
        let words = ["requests", "--path", path, "--connections", &connections, "--seconds", &seconds];
        let words = [&words[..], &["--accept", MANIFEST]].concat();
        let asked = bench.servers.iter().filter(|server| has(bench, server, tags) || server.role() == Role::Limit);
        Ok(asked.map(|server| bench.lane(server, bench.load_at(server, transport, &words))).collect())
    })?;
    bench.rows([Row::new(&case, "perSecond", Unit::PerSecond).limit(Software::Nginx.name())]);
    Ok(())
}

/// All tags at random, so that nothing is served from the last answer.
fn any(bench: &mut Bench, tags: u64, transport: Transport) -> Result<()> {
    let script = script(&bench.ground.folder("scripts")?, tags)?;
    let case = case("GET at random", tags, transport);
    bench.measure(&case, |bench, pass| {
        let accept = format!("Accept: {MANIFEST}");
        let get = Get {
            transport,
            path: "/",
            connections: CONNECTIONS,
            seconds: pass.seconds,
            headers: &[&accept],
            script: Some(&script),
        };
        let asked = bench.registries().filter(|server| has(bench, server, tags));
        asked.map(|server| Ok(bench.lane(server, Tool::get(server, &get)?))).collect()
    })?;
    bench.rows([Row::new(&case, "perSecond", Unit::PerSecond)]);
    Ok(())
}

fn script(folder: &Path, tags: u64) -> Result<PathBuf> {
    let path = folder.join(format!("tags{tags}.lua"));
    let repository = repository(tags);
    let text = format!(
        "request = function()\n  \
         return wrk.format(nil, string.format(\"/v2/{repository}/manifests/t%07d\", math.random(0, {})))\nend\n",
        tags - 1
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Puts what Tidegate answers at `path` where nginx serves it.
fn serve_from_nginx(bench: &Bench, path: &str) -> Result<()> {
    let Some(nginx) = bench.server(Software::Nginx) else { return Ok(()) };
    let body = bench.ours().body(path)?;
    let file = nginx.data().join(path.trim_start_matches('/'));
    std::fs::create_dir_all(file.parent().context("it lies in a folder")?)?;
    Ok(std::fs::write(file, body)?)
}
