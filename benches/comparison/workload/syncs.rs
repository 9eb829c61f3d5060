//! How often the disk is told to sync while one image of five layers is
//! pushed: the layers side by side, as docker does, and one after the other.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;
use crate::figures::Figures;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::server::Server;
use crate::software::find;
use crate::tool::Tool;
use crate::transport::Transport;

const REPOSITORY: &str = "bench/syncs";
/// Longer than anyone waits to write what a commit left for later.
const SILENCE: Duration = Duration::from_secs(1);
/// How long strace may take to attach.
const ATTACHES: Duration = Duration::from_secs(10);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    if find("strace").is_none() {
        bench.say("strace is not installed: syncs are not counted");
        return Ok(());
    }
    for at in 0..bench.registries().count() {
        bench.servers[at].make(REPOSITORY)?;
    }
    let transport = Transport::Plain;
    bench.speak(transport)?;
    for (how, flags, most) in [("side by side", &[][..], 18.0), ("one by one", &["--serial"][..], 26.0)] {
        let case = Case { name: format!("syncs of a five-layer image, {how}"), transport };
        bench.say(&case.name);
        for run in 1..=bench.sizes.runs {
            for at in 0..bench.registries().count() {
                let server = &bench.servers[at];
                let words = [&["push", "docker", "--repository", REPOSITORY], flags].concat();
                let tool = bench.load_at(server, transport, &words);
                let (lane, role, line) = (server.name.clone(), server.role(), tool.line());
                match count(bench, server, &tool) {
                    Ok(figures) => bench.keep(&case, &lane, role, run, &line, figures)?,
                    Err(error) => bench.trouble(&case.name, &lane, role, &error)?,
                }
            }
        }
        bench.rows([Row::new(&case, "syncs", Unit::Count).goal(Goal::AtMost(most))]);
    }
    Ok(())
}

/// Pushes one image while the server's calls are written down.
fn count(bench: &Bench, server: &Server, tool: &Tool) -> Result<Figures> {
    std::thread::sleep(SILENCE);
    let (id, trace) = (server.id()?, bench.ground.folder("traces")?.join(&server.name));
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,syncfs,sync", "-p", &id.to_string(), "-o"])
        .arg(&trace)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begun = Instant::now();
    while !is_traced(id)? {
        if strace.try_wait()?.is_some() || begun.elapsed() > ATTACHES {
            bail!("strace cannot attach to {}", server.name);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let pushed = tool.run();
    let strace_id = Pid::from_raw(strace.id().cast_signed()).context("a process has an id")?;
    kill_process(strace_id, Signal::INT)?;
    strace.wait()?;
    pushed?;
    let text = std::fs::read_to_string(&trace)?;
    let calls =
        |name: &str| text.lines().filter(|line| line.contains(name) && !line.contains("resumed")).count() as f64;
    let (whole, data, disk) = (calls(" fsync("), calls(" fdatasync("), calls(" sync"));
    ensure!(whole + data + disk > 0.0 || !server.software.is_open(), "an image was acknowledged and nothing synced");
    Ok(Figures::from([
        ("syncs".to_owned(), whole + data + disk),
        ("fsync".to_owned(), whole),
        ("fdatasync".to_owned(), data),
    ]))
}

/// Whether every thread of a process is traced.
fn is_traced(id: u32) -> Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else { continue };
        if status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() == "0")) {
            return Ok(false);
        }
    }
    Ok(true)
}
