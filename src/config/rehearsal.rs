//! What a test asks of a daemon that it is going to kill: where to die, and
//! how soon to do what is otherwise done from time to time.
//!
//! Two variables that no operator needs, read by builds with debug assertions
//! alone. Every other build refuses to start with them, so that nobody relies
//! on what is not there.
//!
//! ```text
//! TIDEGATE_CRASH_AT=blob-renamed:3       abort at the third hit of the point
//! TIDEGATE_PACE=sweep=200,upkeep=200,grace=0,orphans=0    milliseconds
//! ```

use std::time::Duration;

use super::error::ConfigError;
use crate::jobs::upkeep;
use crate::limits;
use crate::reactor::sweep;

/// The variable that says where to die.
pub const CRASH_AT: &str = "TIDEGATE_CRASH_AT";
/// The variable that says how soon.
pub const PACE: &str = "TIDEGATE_PACE";

/// Where to die.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashAt {
    /// The name of the point.
    pub point: String,
    /// At which hit, counted from 1.
    pub nth: u32,
}

/// How soon things are done that are done from time to time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The sweep for missing verdicts.
    pub sweep: sweep::Options,
    /// Files, idle uploads, histories.
    pub upkeep: upkeep::Options,
    /// How long the set-up secret is good.
    pub setup: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (sweep, upkeep) = (sweep::Options::default(), upkeep::Options::default());
        Self { sweep, upkeep, setup: limits::SETUP_LASTS }
    }
}

impl CrashAt {
    /// Reads `POINT` or `POINT:HIT`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        allowed(CRASH_AT)?;
        let (point, nth) = text.split_once(':').unwrap_or((text, "1"));
        let nth = nth.parse().map_err(|_| refuse(CRASH_AT, format!("{nth:?} is no count of hits")))?;
        Ok(Self { point: point.to_owned(), nth })
    }

    /// Makes it so, for this process.
    ///
    /// # Errors
    /// [`ConfigError::Rehearsal`] when there is no such point.
    pub fn arm(&self) -> Result<(), ConfigError> {
        crate::store::crash::arm(&self.point, self.nth).map_err(|error| refuse(CRASH_AT, error.to_string()))
    }
}

impl Pace {
    /// Reads a list of `WHAT=MILLISECONDS`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        allowed(PACE)?;
        let mut pace = Self::default();
        for part in text.split(',') {
            let (what, wait) = part.split_once('=').unwrap_or((part, ""));
            let wait = wait.parse().map_err(|_| refuse(PACE, format!("{part:?} is no WHAT=MILLISECONDS")))?;
            let place = match what {
                "sweep" => &mut pace.sweep.every,
                "upkeep" => &mut pace.upkeep.every,
                "grace" => &mut pace.upkeep.unlink_grace,
                "orphans" => &mut pace.upkeep.orphans_every,
                "setup" => &mut pace.setup,
                _ => return Err(refuse(PACE, format!("{what:?} is none of sweep, upkeep, grace, orphans, setup"))),
            };
            *place = Duration::from_millis(wait);
        }
        Ok(pace)
    }
}

fn allowed(variable: &'static str) -> Result<(), ConfigError> {
    if cfg!(debug_assertions) {
        Ok(())
    } else {
        Err(refuse(variable, "it is for tests, and this build has no debug assertions".to_owned()))
    }
}

fn refuse(variable: &'static str, reason: String) -> ConfigError {
    ConfigError::Rehearsal { variable, reason }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_has_a_count_that_may_be_left_out() {
        let read = |text| CrashAt::parse(text).map(|at| (at.point, at.nth)).map_err(|error| error.to_string());
        assert_eq!(read("blob-renamed"), Ok(("blob-renamed".to_owned(), 1)));
        assert_eq!(read("blob-renamed:3"), Ok(("blob-renamed".to_owned(), 3)));
        assert_eq!(read("blob-renamed:x"), Err("TIDEGATE_CRASH_AT: \"x\" is no count of hits".to_owned()));
        let unknown = CrashAt::parse("nonsense").expect("reads").arm().expect_err("is refused").to_string();
        assert!(unknown.starts_with("TIDEGATE_CRASH_AT: no crash point is called nonsense"), "{unknown}");
    }

    #[test]
    fn a_pace_changes_what_it_names() {
        let pace = Pace::parse("sweep=200,grace=0").expect("reads");
        assert_eq!(pace.sweep.every, Duration::from_millis(200));
        assert_eq!(pace.upkeep, upkeep::Options { unlink_grace: Duration::ZERO, ..upkeep::Options::default() });
        for bad in ["", "sweep", "sweep=", "sweep=1s", "haste=1"] {
            assert!(Pace::parse(bad).is_err(), "{bad}");
        }
    }
}
