//! What many slow readers of one blob cost in memory.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::counted;
use crate::bench::Bench;
use crate::figures::Figures;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::server::Server;
use crate::tool::Tool;
use crate::transport::Transport;

/// Larger than what a slow reader takes while it is looked at, and than what
/// the kernel keeps for it.
const BLOB_BYTES: u64 = 32 * 1024 * 1024;
/// How often memory is looked at while they read.
const LOOKS: u32 = 10;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let path = super::blobs::publish(bench, BLOB_BYTES)?;
    let readers = bench.sizes.slow_readers;
    for transport in bench.options.speak(&[Transport::Plain, Transport::Tls]) {
        let case = Case { name: format!("{} slow readers", counted(readers)), transport };
        bench.say(&format!("{} over {}", case.name, transport.name()));
        bench.speak(transport)?;
        let words = ["slow-readers", "--path", &path, "--readers", &readers.to_string()];
        for run in 1..=bench.sizes.runs {
            for at in 0..bench.registries().count() {
                let server = &bench.servers[at];
                let tool = bench.load_at(server, transport, &words);
                let (lane, role, line) = (server.name.clone(), server.role(), tool.line());
                match hold(server, &tool, bench.sizes.seconds) {
                    Ok(figures) => bench.keep(&case, &lane, role, run, &line, figures)?,
                    Err(error) => bench.trouble(&case.name, &lane, role, &error)?,
                }
            }
        }
        bench.rows([Row::new(&case, "cost", Unit::Bytes).goal(Goal::AtMost(40e6))]);
    }
    Ok(())
}

/// Lets them read for `seconds`; by how much memory grew at most meanwhile.
fn hold(server: &Server, tool: &Tool, seconds: u64) -> Result<Figures> {
    let before = server.memory()?;
    let mut readers = tool.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut begun = String::new();
    BufReader::new(readers.stdout.take().context("it was asked for")?).read_line(&mut begun)?;
    let mut most = 0_f64;
    for _ in 0..LOOKS {
        std::thread::sleep(Duration::from_secs(seconds) / LOOKS);
        most = most.max(server.memory()?.resident);
    }
    drop(readers.stdin.take());
    ensure!(readers.wait()?.success() && !begun.is_empty(), "the readers were cut off");
    let cost = (most - before.resident).max(0.0);
    Ok(Figures::from([("cost".to_owned(), cost), ("before".to_owned(), before.resident)]))
}
