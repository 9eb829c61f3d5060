//! How fast work in the background may read: so many bytes a second, and fewer
//! while somebody waits for the same disk.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use tokio::time::{Instant, sleep_until};

use crate::limits;
use crate::store::file::Traffic;

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Option<NonZeroU64>);

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate: write bytes a second such as 4MiB, or \"unlimited\"")]
pub struct NoRate(String);

/// What may still be read now.
#[derive(Debug)]
pub struct Budget {
    rate: Rate,
    traffic: Traffic,
    /// The traffic when it was looked at last.
    seen: u64,
    /// When all that was read is paid for.
    paid: Instant,
}

impl Rate {
    /// As fast as it goes.
    pub const UNLIMITED: Self = Self(None);

    /// Bytes a second; none without a bound.
    pub fn bytes(self) -> Option<u64> {
        self.0.map(NonZeroU64::get)
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self(NonZeroU64::new(limits::SCRUB_RATE))
    }
}

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        if text == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let bytes = text.strip_suffix("/s").unwrap_or(text).parse::<ByteSize>().ok();
        let bytes = bytes.and_then(|bytes| NonZeroU64::new(bytes.as_u64()));
        bytes.map(|bytes| Self(Some(bytes))).ok_or_else(|| NoRate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            Some(bytes) => write!(f, "{}/s", ByteSize(bytes)),
            None => f.write_str("unlimited"),
        }
    }
}

impl Budget {
    /// A budget of `rate` that steps back while `traffic` moves.
    pub fn new(rate: Rate, traffic: Traffic, now: Instant) -> Self {
        let seen = traffic.total();
        Self { rate, traffic, seen, paid: now }
    }

    /// Pays for `bytes` that were read: waits until as many may be read again.
    /// Time in which nothing was read is not saved up, so there is no burst.
    pub async fn spend(&mut self, bytes: u64) {
        let total = self.traffic.total();
        let is_busy = total != self.seen;
        self.seen = total;
        let Some(rate) = self.rate.bytes() else {
            // Others have their turn; it is for whoever asked for all there is.
            tokio::task::yield_now().await;
            return;
        };
        let mut cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        if is_busy {
            cost *= limits::SCRUB_STEP_BACK;
        }
        self.paid = (self.paid + cost).max(Instant::now());
        sleep_until(self.paid).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::store::file::{Files, UploadId};

    #[test]
    fn rates_are_written_as_people_write_them() {
        assert_eq!("4MiB".parse(), Ok(Rate::default()));
        assert_eq!("4 MiB/s".parse(), Ok(Rate::default()));
        assert_eq!("unlimited".parse(), Ok(Rate::UNLIMITED));
        assert_eq!("1000".parse::<Rate>().map(Rate::bytes), Ok(Some(1000)));
        for bad in ["", "0", "fast", "-1", "4MiB/m"] {
            assert_eq!(bad.parse::<Rate>(), Err(NoRate(bad.to_owned())), "{bad}");
        }
        assert_eq!(
            (Rate::default().to_string(), Rate::UNLIMITED.to_string()),
            ("4.0 MiB/s".into(), "unlimited".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_kept_and_not_saved_up() {
        let begun = Instant::now();
        let mut budget = Budget::new("1000".parse().expect("a rate"), Traffic::default(), begun);
        for _ in 0..10 {
            budget.spend(100).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 1000);
        tokio::time::advance(Duration::from_secs(60)).await;
        for _ in 0..10 {
            budget.spend(100).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(61_900), "{:?}", begun.elapsed());
        let mut all = Budget::new(Rate::UNLIMITED, Traffic::default(), begun);
        let before = begun.elapsed();
        all.spend(u64::MAX).await;
        assert_eq!(begun.elapsed(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn it_steps_back_while_others_read_or_write() {
        let root = tempfile::tempdir().expect("a folder");
        let files = Files::open(root.path()).expect("opened");
        let begun = Instant::now();
        let mut budget = Budget::new("1000".parse().expect("a rate"), files.traffic().clone(), begun);
        budget.spend(1000).await;
        assert_eq!(begun.elapsed().as_secs(), 1);
        let stored = files.write_small(&Digest::sha256_of(b"x"), b"x", UploadId::from_bytes([1; 16])).expect("written");
        budget.spend(1000).await;
        assert_eq!(begun.elapsed().as_secs(), 1 + u64::from(limits::SCRUB_STEP_BACK));
        let mut reader = files.open_blob(&stored.file, 1).expect("opened").expect("there");
        reader.next_chunk().await.expect("a chunk").expect("read");
        budget.spend(1000).await;
        budget.spend(1000).await;
        assert_eq!(begun.elapsed().as_secs(), 2 + 2 * u64::from(limits::SCRUB_STEP_BACK));
    }
}
