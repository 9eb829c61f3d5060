//! Pages of tags and of repositories: the first, one in the middle, and all of
//! them from the first to the last.

use anyhow::Result;

use super::manifests::{fill, has, repository};
use super::{counted, numbered};
use crate::bench::Bench;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::software::Role;
use crate::tool::{Get, Tool};
use crate::transport::Transport;

const CONNECTIONS: u64 = 16;

/// A listing of so many entries.
struct Listing {
    /// What is listed.
    of: &'static str,
    entries: u64,
    path: String,
    /// The last entry of the first half.
    middle: String,
    /// The list in a page.
    list: &'static str,
}

pub(super) fn tags(bench: &mut Bench) -> Result<()> {
    let sizes: Vec<u64> = bench.sizes.tags.iter().copied().filter(|tags| *tags > 1).collect();
    for &entries in &sizes {
        // `manifests` has made them already, if it ran.
        if !bench.options.wants(super::Workload::Manifests) {
            fill(bench, entries)?;
        }
        let path = format!("/v2/{}/tags/list", repository(entries));
        let middle = format!("t{}", numbered(entries / 2));
        measure(bench, &Listing { of: "tags", entries, path, middle, list: "tags" }, sizes[0])?;
    }
    Ok(())
}

pub(super) fn catalog(bench: &mut Bench) -> Result<()> {
    let sizes = bench.sizes.repositories.clone();
    let mut before = 0;
    for &entries in &sizes {
        bench.say(&format!("filling up to {} repositories", counted(entries)));
        repositories(bench, before, entries)?;
        before = entries;
        let middle = format!("bench/c{}", numbered(entries / 2));
        let path = "/v2/_catalog".to_owned();
        measure(bench, &Listing { of: "catalog", entries, path, middle, list: "repositories" }, sizes[0])?;
    }
    Ok(())
}

/// Makes the repositories from number `first` to `end`.
fn repositories(bench: &mut Bench, first: u64, end: u64) -> Result<()> {
    let most = bench.sizes.peer_entries;
    bench.fill("bench/c", |server| {
        let make = if server.role() == Role::Ours { " --make" } else { "" };
        let words = format!("repositories --repository bench/c --first {first} --count {}{make}", end - first);
        (end <= most || server.role() == Role::Ours).then(|| words.split(' ').map(str::to_owned).collect())
    })
}

fn measure(bench: &mut Bench, listing: &Listing, smallest: u64) -> Result<()> {
    for transport in bench.options.speak(&[Transport::Plain, Transport::Tls]) {
        let middle = format!("&last={}", listing.middle.replace('/', "%2F"));
        for (which, last) in [("first page", ""), ("middle page", middle.as_str())] {
            page(bench, listing, transport, which, last, smallest)?;
        }
    }
    for transport in bench.options.speak(&[Transport::Plain]) {
        all(bench, listing, transport)?;
    }
    Ok(())
}

fn page(
    bench: &mut Bench,
    listing: &Listing,
    transport: Transport,
    which: &str,
    last: &str,
    smallest: u64,
) -> Result<()> {
    let of = listing.of;
    let case_of = |entries| Case { name: format!("{of}?n=100, {which} of {}", counted(entries)), transport };
    let case = case_of(listing.entries);
    let path = format!("{}?n=100{last}", listing.path);
    bench.measure(&case, |bench, pass| {
        let get =
            Get { transport, path: &path, connections: CONNECTIONS, seconds: pass.seconds, headers: &[], script: None };
        let asked = bench.registries().filter(|server| has(bench, server, listing.entries));
        asked.map(|server| Ok(bench.lane(server, Tool::get(server, &get)?))).collect()
    })?;
    let row = Row::new(&case, "perSecond", Unit::PerSecond);
    let row = if transport == Transport::Plain { row.goal(Goal::AtLeast(20_000.0)) } else { row };
    let flat = listing.entries != smallest;
    bench.rows([if flat { row.goal(Goal::Of(case_of(smallest), 0.8)) } else { row }]);
    Ok(())
}

/// All of it, a thousand entries a page.
fn all(bench: &mut Bench, listing: &Listing, transport: Transport) -> Result<()> {
    let case = Case { name: format!("{} paged, {}", listing.of, counted(listing.entries)), transport };
    let path = format!("{}?n=1000", listing.path);
    bench.measure(&case, |bench, _| {
        let words = ["pages", "--path", &path, "--list", listing.list];
        let asked = bench.registries().filter(|server| has(bench, server, listing.entries));
        Ok(asked.map(|server| bench.lane(server, bench.load_at(server, transport, &words))).collect())
    })?;
    bench.rows([Row::new(&case, "seconds", Unit::Seconds)]);
    Ok(())
}
