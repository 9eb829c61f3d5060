//! Reading and pushing at fixed rates while half of all blobs are collected,
//! held against the same load without it.
//!
//! Collection has two parts: names go while it runs, files a minute later. The
//! load is measured before, during each of the two, and the worse of them
//! counts: the quiet minute between them would only hide it. The peers do not
//! take part: distribution has to be stopped for its collection.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::counted;
use crate::bench::Bench;
use crate::figures::Figures;
use crate::goal::{Case, Goal, Unit};
use crate::row::Row;
use crate::software::Role;
use crate::transport::Transport;

const REPOSITORY: &str = "bench/collection";
/// What an image that is pulled at the fixed rate is called.
const TAG: &str = "t0000000";
/// Blobs that one manifest names.
const NAMED: u64 = 50;
/// How long files stay when their names are gone, and some.
const GRACE: Duration = Duration::from_secs(180);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let half = bench.sizes.collected / 2;
    let transport = Transport::Plain;
    let case_of =
        |what: &str| Case { name: format!("5,000 GET/s and 20 pushes/s, {what} {} blobs", counted(half)), transport };
    let (before, during) = (case_of("before collecting"), case_of("collecting"));
    bench.ours().make(REPOSITORY)?;
    for run in 1..=bench.sizes.runs.min(3) {
        // What other workloads left behind is none of this one's.
        collect(bench)?;
        unlinked(bench, 0)?;
        bench.say(&format!("filling a repository with {} blobs", counted(2 * half)));
        for words in [
            format!("blobs --repository {REPOSITORY} --count {half} --named-by {NAMED} --connections 16"),
            format!("blobs --repository {REPOSITORY} --count {half} --connections 16"),
        ] {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            bench.fill(REPOSITORY, |server| (server.role() == Role::Ours).then(|| words.clone()))?;
        }
        bench.ground.settle()?;
        bench.say(&before.name);
        let quiet = Load::start(bench, &format!("q{run}-"), Some(bench.sizes.seconds))?.finish()?;
        bench.keep(&before, "tidegate", Role::Ours, run, "load paced", quiet)?;
        bench.say(&during.name);
        let load = Load::start(bench, &format!("n{run}-"), None)?;
        let begun = Instant::now();
        let there = files(bench)?;
        collect(bench)?;
        let (names, seconds) = (load.finish()?, begun.elapsed().as_secs_f64());
        let load = Load::start(bench, &format!("f{run}-"), None)?;
        unlinked(bench, there / 3)?;
        let gone = load.finish()?;
        let worse = if names["p99"] > gone["p99"] { names.clone() } else { gone.clone() };
        let mut figures = worse;
        figures.insert("collectionSeconds".to_owned(), seconds);
        figures.insert("p99Names".to_owned(), names["p99"]);
        figures.insert("p99Files".to_owned(), gone["p99"]);
        figures.insert("pushP99".to_owned(), names["pushP99"].max(gone["pushP99"]));
        bench.keep(&during, "tidegate", Role::Ours, run, "load paced; tidegate gc run", figures)?;
    }
    bench.rows([
        Row::new(&before, "p99", Unit::Millis),
        Row::new(&before, "pushP99", Unit::Millis),
        Row::new(&during, "p99", Unit::Millis).goal(Goal::Of(before.clone(), 1.2)),
        Row::new(&during, "pushP99", Unit::Millis).goal(Goal::Of(before, 1.2)),
        Row::new(&during, "collectionSeconds", Unit::Seconds),
    ]);
    Ok(())
}

/// The load at fixed rates, running.
struct Load(Child);

impl Load {
    /// For so many seconds, or until it is finished.
    fn start(bench: &Bench, prefix: &str, seconds: Option<u64>) -> Result<Self> {
        let path = format!("/v2/{REPOSITORY}/manifests/{TAG}");
        let (until, seconds) = match seconds {
            Some(seconds) => (&[][..], seconds),
            None => (&["--until-closed"][..], 3600),
        };
        let seconds = seconds.to_string();
        let words = ["paced", "--repository", REPOSITORY, "--path", &path, "--prefix", prefix, "--seconds", &seconds];
        let tool = bench.load_at(bench.ours(), Transport::Plain, &[&words[..], until].concat());
        Ok(Self(tool.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?))
    }

    /// Its figures.
    fn finish(self) -> Result<Figures> {
        let output = self.0.wait_with_output()?;
        ensure!(output.status.success(), "the load ended badly");
        serde_json::from_slice(&output.stdout).context("the load's figures")
    }
}

/// Collects all that no manifest names.
fn collect(bench: &Bench) -> Result<()> {
    bench.ours().command_line(&["gc", "run", "--grace", "0s", "--yes"], "").map(drop)
}

/// Waits until no more than `left` files are in the folders that are looked
/// at, or, for 0, until their number stays the same.
fn unlinked(bench: &Bench, left: usize) -> Result<()> {
    let begun = Instant::now();
    let mut last = files(bench)?;
    while begun.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(500));
        let now = files(bench)?;
        if (left > 0 && now <= left) || (left == 0 && now == last) {
            return Ok(());
        }
        last = now;
    }
    ensure!(left == 0, "files of collected blobs are still there after {} s", GRACE.as_secs());
    Ok(())
}

/// How many blob files there are in a few of the folders.
fn files(bench: &Bench) -> Result<usize> {
    let folder = bench.ours().data().join("blobs").join("sha256");
    let mut count = 0;
    for front in 0..8 {
        let folder = folder.join(format!("{front:02x}"));
        count += if folder.exists() { std::fs::read_dir(folder)?.count() } else { 0 };
    }
    Ok(count)
}
