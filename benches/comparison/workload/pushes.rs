//! Pushes: one long blob, many of middling length, thousands of small ones,
//! new images, new tags.

use anyhow::Result;

use super::{counted, sized};
use crate::bench::{Bench, Lane, Pass};
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::server::Server;
use crate::software::Role;
use crate::transport::Transport;

const REPOSITORY: &str = "bench/pushes";
const MIB: u64 = 1024 * 1024;
const SMALL_BYTES: u64 = 4096;

/// What the machine gives.
const HASH: &str = "sha-256";
const DISK: &str = "disk";
const FILES: &str = "synced files";
const DATABASE: &str = "bare redb";

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for at in 0..bench.registries().count() {
        bench.servers[at].make(REPOSITORY)?;
    }
    for transport in bench.options.speak(&[Transport::Plain, Transport::Tls]) {
        long(bench, transport)?;
    }
    // Peers never give the room of the long ones back.
    renew_peers(bench)?;
    for transport in bench.options.speak(&[Transport::Plain]) {
        large(bench, transport)?;
        renew_peers(bench)?;
        small(bench, transport)?;
    }
    for transport in bench.options.speak(&[Transport::Plain, Transport::Tls]) {
        images(bench, transport)?;
        for connections in [4, 64] {
            tags(bench, transport, connections)?;
        }
    }
    renew_peers(bench)
}

fn renew_peers(bench: &mut Bench) -> Result<()> {
    let peer = |server: &&mut Server| matches!(server.role(), Role::Peer | Role::UnsafePeer);
    bench.servers.iter_mut().filter(peer).try_for_each(Server::renew)
}

/// A lane for each registry: what the load generator is told.
fn lanes(bench: &Bench, transport: Transport, words: &[&str]) -> Vec<Lane> {
    bench.registries().map(|server| bench.lane(server, bench.load_at(server, transport, words))).collect()
}

fn long(bench: &mut Bench, transport: Transport) -> Result<()> {
    let bytes = bench.sizes.push_bytes;
    let case = Case { name: format!("push one blob of {}", sized(bytes)), transport };
    bench.measure(&case, |bench, _| {
        let (bytes, folder) = (bytes.to_string(), bench.ground.folder("limits")?);
        let mut all = lanes(bench, transport, &["push", "blob", "--repository", REPOSITORY, "--bytes", &bytes]);
        let folder = folder.display().to_string();
        all.push(bench.limit(HASH, bench.load(&["limit", "hash", "--bytes", &bytes])));
        all.push(bench.limit(DISK, bench.load(&["limit", "disk", "--bytes", &bytes, "--folder", &folder])));
        Ok(all)
    })?;
    let row = Row::new(&case, "bytesPerSecond", Unit::BytesPerSecond).limit(HASH).limit(DISK);
    let row = row.goal(Goal::TimesBestPeer(3.0));
    bench.rows([if transport == Transport::Plain { row.goal(Goal::AtLeast(0.45e9)) } else { row }]);
    Ok(())
}

fn large(bench: &mut Bench, transport: Transport) -> Result<()> {
    let count = bench.sizes.push_large;
    let case = Case { name: format!("push {count} blobs of 10 MiB, c4"), transport };
    bench.measure(&case, |bench, _| {
        let (count, bytes) = (count.to_string(), (10 * MIB).to_string());
        let words = ["push", "blobs", "--repository", REPOSITORY, "--count", &count, "--bytes", &bytes];
        let mut all = lanes(bench, transport, &[&words[..], &["--connections", "4"]].concat());
        let folder = bench.ground.folder("limits")?.display().to_string();
        all.push(bench.limit(DISK, bench.load(&["limit", "disk", "--folder", &folder])));
        all.push(bench.limit(HASH, bench.load(&["limit", "hash"])));
        Ok(all)
    })?;
    bench.rows([Row::new(&case, "bytesPerSecond", Unit::BytesPerSecond).limit(HASH).limit(DISK)]);
    Ok(())
}

fn small(bench: &mut Bench, transport: Transport) -> Result<()> {
    let count = bench.sizes.push_small;
    let case = Case { name: format!("push {} blobs of 4 KiB, c4", counted(count)), transport };
    bench.measure(&case, |bench, _| {
        let (count, bytes) = (count.to_string(), SMALL_BYTES.to_string());
        let words = ["push", "blobs", "--repository", REPOSITORY, "--count", &count, "--bytes", &bytes];
        let mut all = lanes(bench, transport, &[&words[..], &["--connections", "4"]].concat());
        let folder = bench.ground.folder("limits")?.display().to_string();
        let words = ["limit", "files", "--threads", "4", "--count", &count, "--bytes", &bytes, "--folder", &folder];
        all.push(bench.limit(FILES, bench.load(&words)));
        Ok(all)
    })?;
    bench.rows([Row::new(&case, "perSecond", Unit::PerSecond).limit(FILES)]);
    Ok(())
}

fn images(bench: &mut Bench, transport: Transport) -> Result<()> {
    let (ours, peers) = (bench.sizes.push_images, bench.sizes.peer_images);
    let case = Case { name: format!("push {} new images of two blobs, c8", counted(ours)), transport };
    bench.measure(&case, |bench, pass| {
        let prefix = prefix("i", transport, pass);
        let lane = |server: &Server| {
            let count = if server.role() == Role::Ours { ours } else { peers }.to_string();
            let words = ["push", "images", "--repository", REPOSITORY, "--count", &count, "--connections", "8"];
            bench.lane(server, bench.load_at(server, transport, &[&words[..], &["--prefix", &prefix]].concat()))
        };
        Ok(bench.registries().map(lane).collect())
    })?;
    let row = Row::new(&case, "perSecond", Unit::PerSecond);
    bench.rows([row.goal(Goal::TimesBestPeer(2.0)).goal(Goal::AtLeast(400.0))]);
    Ok(())
}

fn tags(bench: &mut Bench, transport: Transport, connections: u64) -> Result<()> {
    let count = bench.sizes.push_tags;
    let case = Case { name: format!("push {} tags, c{connections}", counted(count)), transport };
    bench.measure(&case, |bench, pass| {
        let (count, connections) = (count.to_string(), connections.to_string());
        let prefix = prefix(&format!("n{connections}"), transport, pass);
        let words = ["push", "tags", "--repository", REPOSITORY, "--count", &count, "--connections", &connections];
        let mut all = lanes(bench, transport, &[&words[..], &["--prefix", &prefix]].concat());
        let folder = bench.ground.folder("limits")?.display().to_string();
        let words = ["limit", "database", "--threads", &connections, "--count", &count, "--folder", &folder];
        all.push(bench.limit(DATABASE, bench.load(&words)));
        Ok(all)
    })?;
    let row = Row::new(&case, "perSecond", Unit::PerSecond).limit(DATABASE);
    bench.rows([row.goal(Goal::TimesBestPeer(5.0)).goal(Goal::OfLimit(0.7))]);
    bench.rows([Row::new(&case, "p99", Unit::Millis)]);
    Ok(())
}

/// What the tags of one run begin with: each run sets new ones.
fn prefix(kind: &str, transport: Transport, pass: Pass) -> String {
    format!("{kind}-{}-{}-", transport.name(), pass.number)
}
