//! What is measured and what it has to reach: cases, units, goals, verdicts.

use super::transport::Transport;

/// What was measured: a workload in one form, over one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) transport: Transport,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Things a second.
    PerSecond,
    /// Bytes a second.
    BytesPerSecond,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Things.
    Count,
}

/// What a figure has to reach.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// This many times the best durable peer's.
    TimesBestPeer(f64),
    /// This share of the limit.
    OfLimit(f64),
    /// This share of the same figure of another case, at least (of a rate) or
    /// at most (of a time).
    Of(Case, f64),
}

/// Whether it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// What it is held against was not measured.
    Unknown,
}

impl Unit {
    /// Whether more is better.
    pub(crate) const fn more_is_better(self) -> bool {
        match self {
            Self::PerSecond | Self::BytesPerSecond => true,
            Self::Millis | Self::Seconds | Self::Bytes | Self::Count => false,
        }
    }

    /// A value as people read it.
    pub(crate) fn shown(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", rounded(value)),
            Self::BytesPerSecond if value >= 1e9 => format!("{:.2} GB/s", value / 1e9),
            Self::BytesPerSecond => format!("{} MB/s", rounded(value / 1e6)),
            Self::Millis => format!("{} ms", rounded(value)),
            Self::Seconds if value < 1.0 => format!("{} ms", rounded(value * 1e3)),
            Self::Seconds => format!("{value:.2} s"),
            Self::Bytes => format!("{:.1} MiB", value / (1024.0 * 1024.0)),
            Self::Count => rounded(value),
        }
    }
}

impl Goal {
    /// Holds `ours` against it. `best`, `limit` and `other` are what was
    /// measured of those.
    pub(crate) fn judge(
        &self,
        unit: Unit,
        ours: f64,
        best: Option<f64>,
        limit: Option<f64>,
        other: impl Fn(&Case) -> Option<f64>,
    ) -> Verdict {
        // Twice as good: twice the rate, or half the time.
        let ratio = |to: f64| if unit.more_is_better() { ours / to } else { to / ours };
        let reached = match self {
            Self::AtLeast(wanted) => Some(ours >= *wanted),
            Self::AtMost(wanted) => Some(ours <= *wanted),
            Self::TimesBestPeer(times) => best.map(|best| ratio(best) >= *times),
            Self::OfLimit(share) => limit.map(|limit| ratio(limit) >= *share),
            Self::Of(case, share) => other(case)
                .map(|other| if unit.more_is_better() { ours >= other * share } else { ours <= other * share }),
        };
        match reached {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::Unknown,
        }
    }

    /// In words.
    pub(crate) fn shown(&self, unit: Unit) -> String {
        match self {
            Self::AtLeast(wanted) => format!("≥ {}", unit.shown(*wanted)),
            Self::AtMost(wanted) => format!("≤ {}", unit.shown(*wanted)),
            Self::TimesBestPeer(times) => format!("≥ {times} × best peer"),
            Self::OfLimit(share) => format!("≥ {share} of limit"),
            Self::Of(case, share) if unit.more_is_better() => format!("≥ {share} of {}", case.name),
            Self::Of(case, share) => format!("≤ {share} × {}", case.name),
        }
    }
}

impl Verdict {
    /// In words.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "not met",
            Self::Unknown => "not measured",
        }
    }
}

/// Three significant digits, and thousands set apart.
fn rounded(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
