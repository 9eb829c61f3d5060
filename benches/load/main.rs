//! The load generator: fills registries and measures what no public tool can.
//!
//! Each command is one run: it prints its figures as one line of JSON and ends
//! with 1 and words when an answer was not the expected one. `benches/compare`
//! calls it beside wrk and h2load; every command can be repeated by hand.

#![expect(clippy::disallowed_methods, reason = "it measures real time, on threads and tasks of its own")]

/// Connections and requests.
mod client;
/// What a run found out.
mod figures;
/// Filling, before something is measured.
mod fill;
/// Whole pushes and pulls.
mod flows;
/// Made-up images.
mod image;
/// What the machine gives at best.
mod limit;
/// Fixed rates.
mod paced;
/// Listings from end to end.
mod pages;
/// Request bodies.
mod payload;
/// The requests of a push.
mod push;
/// Pushes, measured.
mod pushes;
/// One request over and over.
mod requests;
/// A thousand slow readers.
mod slow;
/// Closed loops.
mod workers;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use figures::Figures;

/// Loads a registry and prints what it measured.
#[derive(Debug, Parser)]
#[command(name = "load")]
enum Arguments {
    /// Put something in before it is measured
    #[command(subcommand)]
    Fill(fill::Fill),
    /// Push
    #[command(subcommand)]
    Push(pushes::Push),
    /// Ask one thing over and over
    Requests(requests::Requests),
    /// Walk a listing from its first page to its last
    Pages(pages::Pages),
    /// Read and push at fixed rates
    Paced(paced::Paced),
    /// Read one blob slowly, many times at once
    SlowReaders(slow::SlowReaders),
    /// Push and pull whole images
    Flows(flows::Flows),
    /// What the machine gives at best
    #[command(subcommand)]
    Limit(limit::Limit),
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--bench") {
        println!("benches/compare runs this; see benches/README.md");
        return ExitCode::SUCCESS;
    }
    match run(&Arguments::parse()) {
        Ok(figures) => {
            figures.iter().for_each(Figures::print);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Option<Figures>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(Some(match arguments {
        Arguments::Fill(fill) => runtime.block_on(fill.run())?,
        Arguments::Push(push) => runtime.block_on(push.run())?,
        Arguments::Requests(requests) => runtime.block_on(requests.run())?,
        Arguments::Pages(pages) => runtime.block_on(pages.run())?,
        Arguments::Flows(flows) => runtime.block_on(flows.run())?,
        Arguments::Paced(paced) => paced.run()?,
        Arguments::Limit(limit) => limit.run()?,
        Arguments::SlowReaders(readers) => {
            runtime.block_on(readers.run())?;
            return Ok(None);
        }
    }))
}
