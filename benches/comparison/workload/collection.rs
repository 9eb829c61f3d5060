//! Reading and pushing at fixed rates while half of all blobs are collected,
//! held against the same load without it.
//!
//! Collection has two parts: names go while it runs, files a minute later. The
//! load is measured before, during each of the two, and the worse of them
//! counts: the quiet minute between them would only hide it. The peers do not
//! take part: distribution has to be stopped for its collection.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

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
const PATIENCE: Duration = Duration::from_secs(240);
/// How often files are looked for, and in how many of the 256 folders.
const LOOK: Duration = Duration::from_millis(500);
const FOLDERS: u64 = 16;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let half = bench.sizes.collected / 2;
    let transport = Transport::Plain;
    let case_of =
        |what: &str| Case { name: format!("5,000 GET/s and 20 pushes/s, {what} {} blobs", counted(half)), transport };
    let (before, during) = (case_of("before collecting"), case_of("collecting"));
    bench.ours().make(REPOSITORY)?;
    for run in 1..=bench.sizes.runs.min(3) {
        // What other workloads left behind is none of this one's.
        let there = files(bench)?;
        let collected = collect(bench, &["--untagged", "0s"])?;
        until_gone(bench, &there, collected)?;
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
        let (begun, there) = (Instant::now(), files(bench)?);
        let collected = collect(bench, &["--untagged", "keep"])?;
        ensure!(collected >= half, "only {collected} blobs were collected");
        let (names, seconds) = (load.finish()?, begun.elapsed().as_secs_f64());
        let load = Load::start(bench, &format!("f{run}-"), None)?;
        let share = until_gone(bench, &there, collected)?;
        let gone = load.finish()?;
        let worse = if names["p99"] > gone["p99"] { names.clone() } else { gone.clone() };
        let mut figures = worse;
        figures.insert("collectionSeconds".to_owned(), seconds);
        figures.insert("filesGonePercent".to_owned(), share * 100.0);
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
        Row::new(&during, "filesGonePercent", Unit::Count).goal(Goal::AtLeast(90.0)),
    ]);
    Ok(())
}

/// The load at fixed rates, running.
struct Load(Option<Child>);

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
        Ok(Self(Some(tool.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)))
    }

    /// Its figures.
    fn finish(mut self) -> Result<Figures> {
        let output = self.0.take().context("it runs")?.wait_with_output()?;
        ensure!(output.status.success(), "the load ended badly");
        serde_json::from_slice(&output.stdout).context("the load's figures")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Collects all that no manifest names; how many blobs went.
fn collect(bench: &Bench, flags: &[&str]) -> Result<u64> {
    let words = [&["gc", "run", "--grace", "0s", "--yes", "--json"], flags].concat();
    let job: Value = serde_json::from_str(&bench.ours().command_line(&words, "")?)?;
    let blobs = job.pointer("/parameters/collectedBlobs").and_then(Value::as_str).context("a count in the job")?;
    Ok(blobs.parse()?)
}

/// Waits until the files of `collected` blobs are gone, judged by a part of
/// the folders; the share that is.
fn until_gone(bench: &Bench, there: &HashSet<PathBuf>, collected: u64) -> Result<f64> {
    let expected = (collected * FOLDERS / 256) as f64;
    let begun = Instant::now();
    loop {
        let share = there.difference(&files(bench)?).count() as f64 / expected.max(1.0);
        // Digests do not fall evenly into the folders.
        if share >= 0.9 || expected < 1.0 || begun.elapsed() > PATIENCE {
            return Ok(share.min(1.0));
        }
        std::thread::sleep(LOOK);
    }
}

/// The blob files in a few of the folders.
fn files(bench: &Bench) -> Result<HashSet<PathBuf>> {
    let folder = bench.ours().data().join("blobs").join("sha256");
    let mut files = HashSet::new();
    for front in 0..FOLDERS {
        let folder = folder.join(format!("{front:02x}"));
        if folder.exists() {
            let listed = std::fs::read_dir(folder)?.map(|file| file.map(|file| file.path()));
            files.extend(listed.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(files)
}
