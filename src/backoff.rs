//! Retry arithmetic: how long to wait after a failure, and whose fault it was.
//!
//! Pure: the attempt count, a random number and the other side's wish go in, a
//! duration comes out. The rows that wait are the jobs' business.

use std::time::Duration;

use crate::limits;

/// What an error that meets a retry loop says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The cause is passing; the usual back-off applies.
    Soon,
    /// The other side named a wait (`Retry-After`).
    After(Duration),
    /// Trying again changes nothing until somebody changes something: the
    /// longest back-off applies, so that it heals once they have.
    Slowly,
}

/// Whose fault a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The other registry or receiver, or the network between.
    Theirs,
    /// This daemon, its disk or its configuration.
    Ours,
    /// A limit that was reached: theirs (429) or ours (quota, window).
    Limit,
}

/// The wait before try number `attempts + 1`, given that `attempts` failed.
///
/// Doubles from [`limits::RETRY_FIRST`] to [`limits::RETRY_LONGEST`]; `random`
/// (any 64 bits) takes up to half of it away, so that many rows that failed
/// together do not come back together. A named wait is honoured where it is
/// the longer one, up to [`limits::REMOTE_WAIT_LONGEST`]: whoever asks for no
/// wait at all, or names a moment that is past, gets the usual one.
pub fn wait(retry: Retry, attempts: u32, random: u64) -> Duration {
    let full = match retry {
        Retry::After(named) => return named.max(wait(Retry::Soon, attempts, random)).min(limits::REMOTE_WAIT_LONGEST),
        Retry::Slowly => limits::RETRY_LONGEST,
        Retry::Soon => {
            let doublings = attempts.saturating_sub(1).min(20);
            limits::RETRY_FIRST.saturating_mul(1 << doublings).min(limits::RETRY_LONGEST)
        }
    };
    let half = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX);
    full - Duration::from_millis(random % half.max(1))
}

/// Whether the other side named a wait as long as this: back-off alone never
/// is. Such a wait is cut short by people only.
pub fn is_named(wait: Duration) -> bool {
    wait > limits::RETRY_LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let waits: Vec<u64> = (1..=12).map(|n| wait(Retry::Soon, n, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        for random in [0, 1, 499, 500, u64::MAX] {
            let wait = wait(Retry::Soon, 1, random);
            assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(499), "{wait:?}");
        }
    }

    #[test]
    fn a_named_wait_is_honoured_within_a_day() {
        assert_eq!(wait(Retry::After(Duration::from_secs(120)), 3, 7), Duration::from_secs(120));
        assert_eq!(wait(Retry::After(Duration::from_secs(u64::MAX)), 9, 7), limits::REMOTE_WAIT_LONGEST);
        assert!(is_named(limits::REMOTE_WAIT_LONGEST) && !is_named(wait(Retry::Slowly, 99, 0)));
    }

    #[test]
    fn no_wait_at_all_is_the_usual_one() {
        // `Retry-After: 0` once made a transfer hammer at a remote every second.
        for attempts in 1..=12 {
            assert_eq!(wait(Retry::After(Duration::ZERO), attempts, 5), wait(Retry::Soon, attempts, 5));
        }
        assert_eq!(wait(Retry::After(Duration::from_secs(120)), 12, 0), Duration::from_secs(900));
    }
}
