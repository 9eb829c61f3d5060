//! The tables: what was measured, held against the best peer, the limit and
//! the goals.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::bench::{Bench, Sample};
use super::goal::{Case, Unit, Verdict};
use super::row::Row;
use super::software::Role;
use super::statistics::Spread;

/// A line of the first table.
struct Line {
    cells: Vec<String>,
}

const HEAD: [&str; 8] = ["case", "figure", "Tidegate", "best peer", "×", "limit", "of limit", "goals"];

/// All of it in Markdown.
pub(crate) fn markdown(bench: &Bench) -> String {
    let mut text = format!("# Comparison\n\n{}\n\n", preface(bench));
    text.push_str(&table(&HEAD, &lines(bench)));
    let _ = write!(text, "\n## All lanes\n\nMedian, and in brackets the least and the most.\n\n{}", lanes(bench));
    if !bench.failures.is_empty() {
        text.push_str("\n## Failures\n\n");
        for failure in &bench.failures {
            let _ = writeln!(text, "- {}", failure.replace('\n', " "));
        }
    }
    text
}

fn preface(bench: &Bench) -> String {
    let sizes = &bench.sizes;
    let kind = match (bench.options.smoke, bench.options.quick) {
        (true, _) => "Smoke test: the figures mean nothing.",
        (false, true) => "Quick run: small sizes, not to be quoted.",
        (false, false) => "Full run.",
    };
    let names: Vec<&str> = bench.registries().map(|server| server.name.as_str()).collect();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{kind} {} runs of {} s in turns, median shown; {cores} cores, client on the same cores, loopback. Measured: {}. \
         Tidegate checks a password with every request, peers check nothing.",
        sizes.runs,
        sizes.seconds,
        names.join(", ")
    )
}

fn lines(bench: &Bench) -> Vec<Line> {
    bench.rows.iter().filter_map(|row| line(bench, row)).collect()
}

fn line(bench: &Bench, row: &Row) -> Option<Line> {
    let spread_of = |case: &Case, wanted: &dyn Fn(&Sample) -> bool| {
        let values: Vec<f64> = bench
            .samples
            .iter()
            .filter(|sample| sample.case == *case && wanted(sample))
            .filter_map(|sample| sample.figures.get(row.figure).copied())
            .collect();
        Spread::of(&values)
    };
    let ours = spread_of(&row.case, &|sample| sample.role == Role::Ours);
    let best = best_peer(bench, row);
    let limit = row
        .limits
        .iter()
        .filter_map(|lane| Some((lane, spread_of(&row.case, &|sample| sample.lane == *lane)?.median)))
        .reduce(|one, other| if (other.1 < one.1) == row.unit.more_is_better() { other } else { one });
    if ours.is_none() && best.is_none() {
        return None;
    }
    let ratio = |to: Option<f64>| match (ours, to) {
        (Some(ours), Some(to)) => {
            let ratio = if row.unit.more_is_better() { ours.median / to } else { to / ours.median };
            format!("{ratio:.2}")
        }
        _ => "–".to_owned(),
    };
    let named = |found: Option<(&String, f64)>| {
        found.map_or_else(|| "–".to_owned(), |(name, value)| format!("{} {name}", row.unit.shown(value)))
    };
    let best_value = best.as_ref().map(|(_, value)| *value);
    let limit_value = limit.map(|(_, value)| value);
    let goals = row.goals.iter().map(|goal| {
        let verdict = ours.map(|ours| {
            let other = |case: &Case| Some(spread_of(case, &|sample| sample.role == Role::Ours)?.median);
            goal.judge(row.unit, ours.median, best_value, limit_value, other)
        });
        format!("{}: {}", goal.shown(row.unit), verdict.unwrap_or(Verdict::Unknown).shown())
    });
    Some(Line {
        cells: vec![
            format!("{}, {}", row.case.name, row.case.transport.name()),
            row.figure.to_owned(),
            ours.map_or_else(|| "failed".to_owned(), |spread| shown(row.unit, spread)),
            named(best.as_ref().map(|(name, value)| (name, *value))),
            ratio(best_value),
            named(limit),
            ratio(limit_value),
            goals.collect::<Vec<_>>().join("; "),
        ],
    })
}

/// The durable peer with the best median.
fn best_peer(bench: &Bench, row: &Row) -> Option<(String, f64)> {
    let here = bench.samples.iter().filter(|sample| sample.case == row.case && sample.role == Role::Peer);
    let names: BTreeSet<&String> = here.map(|sample| &sample.lane).collect();
    let medians = names.into_iter().filter_map(|name| Some((name.clone(), median(bench, row, name)?.median)));
    medians.reduce(|one, other| if (other.1 > one.1) == row.unit.more_is_better() { other } else { one })
}

fn median(bench: &Bench, row: &Row, lane: &str) -> Option<Spread> {
    let here = bench.samples.iter().filter(|sample| sample.case == row.case && sample.lane == lane);
    let values: Vec<f64> = here.filter_map(|sample| sample.figures.get(row.figure).copied()).collect();
    Spread::of(&values)
}

/// Every lane of every line.
fn lanes(bench: &Bench) -> String {
    let mut names: Vec<&String> = Vec::new();
    for sample in &bench.samples {
        if !names.contains(&&sample.lane) {
            names.push(&sample.lane);
        }
    }
    let head: Vec<&str> = ["case", "figure"].into_iter().chain(names.iter().map(|name| name.as_str())).collect();
    let line = |row: &Row| {
        let cell = |name: &&String| median(bench, row, name).map_or_else(String::new, |spread| shown(row.unit, spread));
        let case = format!("{}, {}", row.case.name, row.case.transport.name());
        Line { cells: [case, row.figure.to_owned()].into_iter().chain(names.iter().map(cell)).collect() }
    };
    let is_first = |at: usize, row: &Row| {
        !bench.rows[..at].iter().any(|before| before.case == row.case && before.figure == row.figure)
    };
    let rows = bench.rows.iter().enumerate().filter(|(at, row)| is_first(*at, row));
    let lines = rows.map(|(_, row)| line(row)).filter(|line| line.cells[2..].iter().any(|cell| !cell.is_empty()));
    let lines: Vec<Line> = lines.collect();
    table(&head, &lines)
}

fn shown(unit: Unit, spread: Spread) -> String {
    format!("{} ({}–{})", unit.shown(spread.median), bare(unit, spread.least), bare(unit, spread.most))
}

/// Without what the median says already.
fn bare(unit: Unit, value: f64) -> String {
    let shown = unit.shown(value);
    if unit == Unit::PerSecond { shown.trim_end_matches("/s").to_owned() } else { shown }
}

/// A Markdown table that can be read as it is.
fn table(head: &[&str], lines: &[Line]) -> String {
    let width = |at: usize| {
        let cells = lines.iter().map(|line| line.cells[at].chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    let mut text = row(&mut head.iter().copied());
    text.push_str(&row(&mut rule.iter().map(String::as_str)));
    for line in lines {
        text.push_str(&row(&mut line.cells.iter().map(String::as_str)));
    }
    text
}
