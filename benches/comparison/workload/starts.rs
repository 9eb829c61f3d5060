//! How soon a daemon with many tags answers: after a clean stop, after a kill
//! while it rested, after a kill under load. On a data folder of its own. The
//! files are in the page cache, as after a crash of the process.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::{counted, numbered};
use crate::bench::Bench;
use crate::figures::Figures;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::server::Server;
use crate::software::Role;
use crate::tool::Tool;
use crate::transport::Transport;

/// Tags of one repository.
const TAGS: u64 = 100_000;
/// How long it rests before it is killed: longer than a commit waits for the
/// one that makes the next start quick.
const REST: Duration = Duration::from_secs(2);
/// How long it is pushed to before it is killed.
const LOAD: Duration = Duration::from_secs(2);

/// How it ended before.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    KilledAtRest,
    KilledUnderLoad,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let tags = bench.sizes.started;
    bench.say(&format!("filling a daemon with {} tags", counted(tags)));
    let mut server = bench.another("tidegate-starts")?;
    server.found()?;
    let each = TAGS.min(tags);
    for number in 0..tags.div_ceil(each) {
        let repository = format!("bench/starts{number}");
        server.make(&repository)?;
        let count = each.to_string();
        let words = ["fill", "tags", "--repository", &repository, "--count", &count, "--together", "32"];
        bench.load_at(&server, Transport::Plain, &words).run()?;
    }
    let ends = [
        (End::Stopped, "a clean stop"),
        (End::KilledAtRest, "a kill at rest"),
        (End::KilledUnderLoad, "a kill under load"),
    ];
    let case_of = |words: &str| Case {
        name: format!("ready with {} tags after {words}", counted(tags)),
        transport: Transport::Plain,
    };
    for run in 1..=bench.sizes.runs {
        for (end, words) in ends {
            let figures = once(bench, &mut server, end, &format!("k{run}-"))?;
            let case = case_of(words);
            bench.say(&format!("{}: {:.3} s", case.name, figures["seconds"]));
            bench.keep(&case, "tidegate", Role::Ours, run, "tidegate serve", figures)?;
        }
    }
    server.stop(Signal::TERM)?;
    for (end, words) in ends {
        let row = Row::new(&case_of(words), "seconds", Unit::Seconds);
        bench.rows(match end {
            End::Stopped | End::KilledAtRest => vec![row.goal(Goal::AtMost(1.0))],
            End::KilledUnderLoad => {
                let per = Row::new(&case_of(words), "secondsPerGB", Unit::Seconds).goal(Goal::AtMost(1.5));
                vec![row, per]
            }
        });
    }
    bench.rows([Row::new(&case_of(ends[1].1), "resident", Unit::Bytes)]);
    Ok(())
}

/// Ends the daemon and times its next start, to the first manifest it serves.
fn once(bench: &Bench, server: &mut Server, end: End, prefix: &str) -> Result<Figures> {
    match end {
        End::Stopped => server.stop(Signal::TERM)?,
        End::KilledAtRest => {
            std::thread::sleep(REST);
            server.stop(Signal::KILL)?;
        }
        End::KilledUnderLoad => {
            let words = ["push", "tags", "--repository", "bench/starts0", "--count", "10000000", "--connections", "16"];
            let tool: Tool = bench.load_at(server, Transport::Plain, &[&words[..], &["--prefix", prefix]].concat());
            let mut load = tool.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            std::thread::sleep(LOAD);
            server.stop(Signal::KILL)?;
            // It ends by itself: its server is gone.
            load.wait()?;
        }
    }
    let database = std::fs::metadata(server.data().join("tidegate.redb")).context("its database")?.len() as f64;
    let path = format!("/v2/bench/starts0/manifests/t{}", numbered(1));
    let begun: Instant = server.spawn()?;
    let seconds = server.until_answers(begun, &path)?.as_secs_f64();
    Ok(Figures::from([
        ("seconds".to_owned(), seconds),
        ("secondsPerGB".to_owned(), seconds / (database / 1e9)),
        ("databaseBytes".to_owned(), database),
        ("resident".to_owned(), server.memory()?.resident),
    ]))
}
