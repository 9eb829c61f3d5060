//! Two sets of times held against each other.
//!
//! Three ways, because each is blind somewhere: Welch's t looks at means, which
//! a few long times move; cropped, it leaves out the longest twentieth of both,
//! as dudect does; and the AUC is how often a time of the one set is longer than
//! one of the other (a half: nothing to be told), whatever the shape.

use std::fmt;

/// The times of one kind of request, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(pub(crate) Vec<f64>);

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Times {
    fn sorted(&self) -> Vec<f64> {
        let mut times = self.0.clone();
        times.sort_by(f64::total_cmp);
        times
    }

    fn at(&self, part: f64) -> f64 {
        let sorted = self.sorted();
        sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or_default()
    }

    fn moments(&self, crop: f64) -> Moments {
        let kept: Vec<f64> = self.0.iter().copied().filter(|time| *time <= crop).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count.max(1.0);
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        Moments { count, mean, variance }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.moments(f64::INFINITY);
        let quartiles = self.at(0.75) - self.at(0.25);
        write!(f, "{:>9.4} {:>9.4} ", of.mean, of.variance.sqrt())?;
        write!(f, "{:>9.4} {:>9.4} {:>9.4}", self.at(0.5), quartiles, self.at(0.99))
    }
}

/// Prints how two sets differ.
pub(crate) fn compare(title: &str, (one, times): (&str, &Times), (other, others): (&str, &Times)) {
    println!("{title}, {} and {} samples", times.0.len(), others.0.len());
    println!("{:>12} {:>9} {:>9} {:>9} {:>9} {:>9}", "ms", "mean", "sd", "median", "quartiles", "p99");
    println!("{one:>12} {times}");
    println!("{other:>12} {others}");
    let all = Times(times.0.iter().chain(&others.0).copied().collect());
    let difference = times.at(0.5) - others.at(0.5);
    let spread = all.at(0.75) - all.at(0.25);
    println!(
        "medians differ by {:.2} us, {:.3} of the quartiles' distance; Welch's t {:.2}, cropped {:.2} (below 4.5: \
         nothing to be told); AUC {:.4}\n",
        difference * 1_000.0,
        difference / spread,
        t(times, others, f64::INFINITY),
        t(times, others, all.at(0.95)),
        auc(times, others),
    );
}

fn t(times: &Times, others: &Times, crop: f64) -> f64 {
    let (a, b) = (times.moments(crop), others.moments(crop));
    (a.mean - b.mean) / (a.variance / a.count + b.variance / b.count).sqrt()
}

/// How often a time is longer than one of the others; one that is as long counts
/// half.
fn auc(times: &Times, others: &Times) -> f64 {
    let others = others.sorted();
    let shorter = |time: f64| {
        let below = others.partition_point(|other| *other < time);
        let same = others.partition_point(|other| *other <= time) - below;
        below as f64 + same as f64 / 2.0
    };
    let pairs = times.0.len() as f64 * others.len() as f64;
    times.0.iter().map(|time| shorter(*time)).sum::<f64>() / pairs
}
