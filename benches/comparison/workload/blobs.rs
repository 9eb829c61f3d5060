//! Blobs, from those of a configuration to those of a large layer: whole ones
//! over one connection and over eight, and a piece out of the middle.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use super::sized;
use crate::bench::{Bench, sha256};
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::software::Software;
use crate::tool::{Get, Tool};
use crate::transport::Transport;

const REPOSITORY: &str = "bench/blobs";
const PART_BYTES: u64 = 1024 * 1024;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let sizes = bench.sizes.blobs.clone();
    for &bytes in &sizes {
        let path = publish(bench, bytes)?;
        for transport in bench.options.speak(&[Transport::Plain, Transport::Tls]) {
            for connections in [1, 8] {
                whole(bench, bytes, &path, transport, connections)?;
            }
        }
        if bytes >= 2 * PART_BYTES && Some(&bytes) == sizes.last() {
            for transport in bench.options.speak(&[Transport::Plain]) {
                part(bench, bytes, &path, transport)?;
            }
        }
    }
    Ok(())
}

/// Pushes the same blob everywhere and puts it where nginx serves it; its path.
pub(super) fn publish(bench: &mut Bench, bytes: u64) -> Result<String> {
    bench.say(&format!("pushing a blob of {}", sized(bytes)));
    let (file, digest) = content(bench, bytes)?;
    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
    bench.fill(REPOSITORY, |_| {
        let words = format!("file --repository {REPOSITORY} --path");
        Some(words.split(' ').map(str::to_owned).chain([file.display().to_string()]).collect())
    })?;
    if let Some(nginx) = bench.server(Software::Nginx) {
        let place = nginx.data().join(path.trim_start_matches('/'));
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::rename(&file, &place)?;
    } else {
        std::fs::remove_file(&file)?;
    }
    Ok(path)
}

/// A file of random bytes, and their digest.
fn content(bench: &Bench, bytes: u64) -> Result<(PathBuf, String)> {
    let path = bench.ground.folder("content")?.join(bytes.to_string());
    let mut content = vec![0; usize::try_from(bytes)?];
    content.chunks_mut(1024 * 1024).try_for_each(getrandom::fill).map_err(std::io::Error::other)?;
    File::create(&path)?.write_all(&content)?;
    Ok((path, sha256(&content)))
}

fn whole(bench: &mut Bench, bytes: u64, path: &str, transport: Transport, connections: u64) -> Result<()> {
    let case = Case { name: format!("blob GET {}, c{connections}", sized(bytes)), transport };
    get(bench, &case, path, connections, &[])?;
    let row = Row::new(&case, "bytesPerSecond", Unit::BytesPerSecond).limit(Software::Nginx.name());
    let share = if transport == Transport::Plain { 1.0 } else { 0.95 };
    bench.rows([row.goal(Goal::OfLimit(share))]);
    Ok(())
}

fn part(bench: &mut Bench, bytes: u64, path: &str, transport: Transport) -> Result<()> {
    let case = Case { name: format!("range of {} in {}, c8", sized(PART_BYTES), sized(bytes)), transport };
    let range = format!("Range: bytes={}-{}", bytes / 2, bytes / 2 + PART_BYTES - 1);
    get(bench, &case, path, 8, &[&range])?;
    bench.rows([Row::new(&case, "bytesPerSecond", Unit::BytesPerSecond).limit(Software::Nginx.name())]);
    Ok(())
}

fn get(bench: &mut Bench, case: &Case, path: &str, connections: u64, headers: &[&str]) -> Result<()> {
    bench.measure(case, |bench, pass| {
        let get = Get { transport: case.transport, path, connections, seconds: pass.seconds, headers, script: None };
        let asked = bench.servers.iter().filter(|server| server.software != Software::Empty);
        asked.map(|server| Ok(bench.lane(server, Tool::get(server, &get)?))).collect()
    })
}
