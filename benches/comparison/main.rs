//! The comparison: Tidegate and the registries that are installed, side by
//! side on one disk, under the same load in turns.
//!
//! `benches/compare` builds and calls it; `benches/README.md` says how to read
//! what it prints. It leaves `raw.jsonl` (every run, with the command that can
//! repeat it) and `summary.md`.

#![expect(clippy::disallowed_methods, reason = "it measures real time, and waits for programs of others")]

/// The course of it.
mod bench;
/// Named numbers.
mod figures;
/// Cases, units, goals.
mod goal;
/// Folder, certificates, ports.
mod ground;
/// What h2load says.
mod h2load;
/// The command line.
mod options;
/// Processes.
mod process;
/// Lines of the table.
mod row;
/// Servers.
mod server;
/// The programs that are measured.
mod software;
/// Medians.
mod statistics;
/// The tables.
mod summary;
/// Programs that measure.
mod tool;
/// Plain, TLS, HTTP/2.
mod transport;
/// What is measured.
mod workload;
/// What wrk says.
mod wrk;

use std::fs::File;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use self::bench::Bench;
use self::ground::Ground;
use self::options::Options;
use self::workload::Workload;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--bench") {
        println!("benches/compare runs this; see benches/README.md");
        return ExitCode::SUCCESS;
    }
    match compare(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("benches/compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all that is wanted; whether nothing of ours failed.
fn compare(options: &Options) -> Result<bool> {
    let results = options.folder.join(chrono::Local::now().format("%Y-%m-%d-%H%M%S").to_string());
    std::fs::create_dir_all(&results).with_context(|| results.display().to_string())?;
    let results = results.canonicalize()?;
    let ground = tempfile::Builder::new().prefix("ground-").disable_cleanup(options.keep).tempdir_in(&results)?;
    let (raw, summary) = (results.join("raw.jsonl"), results.join("summary.md"));
    let mut bench = Bench::start(options, Ground::new(ground.path(), options.port)?, File::create(&raw)?)?;
    if options.wants(Workload::Memory) {
        workload::idle(&mut bench)?;
    }
    for workload in Workload::ALL {
        if options.wants(workload) {
            workload.run(&mut bench).with_context(|| workload.name())?;
            // What was measured is there, whatever comes after.
            std::fs::write(&summary, summary::markdown(&bench))?;
        }
    }
    bench.stop()?;
    println!("{}\n{}\n{}", summary::markdown(&bench), summary.display(), raw.display());
    if options.keep {
        println!("{}", ground.path().display());
    }
    Ok(!bench.failed)
}
