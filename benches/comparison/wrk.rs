//! What wrk prints, read.

use super::figures::Figures;

/// The figures of a run with `--latency`; an error for a run in which
/// something was not answered well.
pub(crate) fn read(said: &str) -> Result<Figures, String> {
    let after = |mark: &str| said.lines().find_map(|line| line.trim().strip_prefix(mark)).map(str::trim);
    if let Some(refused) = after("Non-2xx or 3xx responses:") {
        return Err(format!("{refused} answers were no success"));
    }
    if let Some(errors) = after("Socket errors:") {
        return Err(format!("socket errors: {errors}"));
    }
    let rate = after("Requests/sec:").and_then(|text| text.parse().ok()).ok_or("no `Requests/sec`")?;
    let bytes = after("Transfer/sec:").and_then(bytes).ok_or("no `Transfer/sec`")?;
    let mut figures = Figures::from([("perSecond".to_owned(), rate), ("bytesPerSecond".to_owned(), bytes)]);
    for (mark, name) in [("50%", "p50"), ("90%", "p90"), ("99%", "p99")] {
        let share = after(mark).and_then(millis).ok_or_else(|| format!("no latency at {mark}"))?;
        figures.insert(name.to_owned(), share);
    }
    Ok(figures)
}

fn bytes(text: &str) -> Option<f64> {
    let units = [("TB", 4), ("GB", 3), ("MB", 2), ("KB", 1), ("B", 0)];
    units.into_iter().find_map(|(unit, power)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * 1024_f64.powi(power))
    })
}

fn millis(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)];
    units.into_iter().find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<f64>().ok().map(|time| time * factor))
}
