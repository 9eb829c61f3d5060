//! What h2load prints, read.

use super::figures::Figures;

/// The rate of a run; an error for one in which something was not answered
/// well. h2load tells no shares of its latencies.
pub(crate) fn read(said: &str) -> Result<Figures, String> {
    let line = |mark: &str| said.lines().find(|line| line.starts_with(mark)).ok_or_else(|| format!("no `{mark}`"));
    let codes = line("status codes:")?;
    let count = |mark: &str| {
        let before = codes.split(mark).next().unwrap_or_default();
        before.rsplit([' ', ',']).find(|word| !word.is_empty()).and_then(|word| word.parse::<u64>().ok())
    };
    if count(" 2xx") == Some(0) || count(" 4xx") != Some(0) || count(" 5xx") != Some(0) {
        return Err(codes.to_owned());
    }
    let finished = line("finished in")?;
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s")?.parse::<f64>().ok());
    let rate = rate.ok_or_else(|| format!("no rate in {finished:?}"))?;
    Ok(Figures::from([("perSecond".to_owned(), rate)]))
}
