//! What is attached to a manifest, in a repository with many other manifests.

use anyhow::Result;

use super::counted;
use super::manifests::has;
use crate::bench::{Bench, sha256};
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::software::Role;
use crate::tool::{Get, Tool};
use crate::transport::Transport;

const CONNECTIONS: u64 = 16;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let (manifests, most) = (bench.sizes.manifests, bench.sizes.peer_entries);
    for referrers in bench.sizes.referrers.clone() {
        let repository = format!("bench/referrers{referrers}");
        bench.say(&format!("filling a repository with {} manifests and {referrers} referrers", counted(manifests)));
        for (kind, count) in [("manifests", manifests), ("referrers", referrers)] {
            bench.fill(&repository, |server| {
                let wanted = server.software.has_referrers() && (manifests <= most || server.role() == Role::Ours);
                let words = format!("{kind} --repository {repository} --count {count}");
                wanted.then(|| words.split(' ').map(str::to_owned).collect())
            })?;
        }
        // The load generator pushes the same subject everywhere.
        let subject = sha256(&bench.ours().body(&format!("/v2/{repository}/manifests/latest"))?);
        let path = format!("/v2/{repository}/referrers/{subject}");
        for transport in bench.options.speak(&[Transport::Plain, Transport::Tls]) {
            first_page(bench, referrers, transport, &path)?;
        }
        for transport in bench.options.speak(&[Transport::Plain]) {
            all(bench, referrers, transport, &path)?;
        }
    }
    Ok(())
}

fn first_page(bench: &mut Bench, referrers: u64, transport: Transport, path: &str) -> Result<()> {
    let case = Case { name: format!("referrers?n=100 of {}", counted(referrers)), transport };
    let path = format!("{path}?n=100");
    bench.measure(&case, |bench, pass| {
        let get =
            Get { transport, path: &path, connections: CONNECTIONS, seconds: pass.seconds, headers: &[], script: None };
        let asked = bench.registries().filter(|server| server.software.has_referrers());
        let asked = asked.filter(|server| has(bench, server, bench.sizes.manifests));
        asked.map(|server| Ok(bench.lane(server, Tool::get(server, &get)?))).collect()
    })?;
    bench.rows([Row::new(&case, "perSecond", Unit::PerSecond)]);
    Ok(())
}

fn all(bench: &mut Bench, referrers: u64, transport: Transport, path: &str) -> Result<()> {
    let case = Case { name: format!("referrers paged, {}", counted(referrers)), transport };
    bench.measure(&case, |bench, _| {
        let words = ["pages", "--path", path, "--list", "manifests"];
        let asked = bench.registries().filter(|server| server.software.has_referrers());
        let asked = asked.filter(|server| has(bench, server, bench.sizes.manifests));
        Ok(asked.map(|server| bench.lane(server, bench.load_at(server, transport, &words))).collect())
    })?;
    bench.rows([Row::new(&case, "seconds", Unit::Seconds).goal(Goal::AtMost(0.010))]);
    Ok(())
}
