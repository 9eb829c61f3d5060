//! Schedules: when a pull mirror runs.
//!
//! A schedule is a text (a cron expression of five or six fields, `@hourly`
//! and its kin, or `@every 30m`) and a time zone. It answers one question,
//! [`Schedule::next_after`], whose answers strictly increase, and a second one
//! made from it, [`Schedule::due`], that a driver asks with the persisted time
//! of the last run.
//!
//! A cron expression names what the wall clock shows (`cron_text` has the
//! grammar). Each nominal time runs once: one that the clocks jump over runs
//! right after the jump, one that they show twice runs the first time. Several
//! that fall on one moment are one run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike as _};
use chrono_tz::Tz;

pub use super::cron_text::CronError;
use super::cron_text::{self, Slots};
use super::wall;
use crate::clock::Timestamp;
use crate::limits;

/// A checked schedule. `Display` gives the text back; `FromStr` means UTC.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    zone: Tz,
    times: Times,
}

#[derive(Clone)]
enum Times {
    /// So long after the last run, whatever the clocks show.
    Every(Duration),
    /// At these times on the zone's wall.
    Wall(Slots),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// No text.
    #[error("the schedule is empty; examples are \"*/30 * * * *\", \"@hourly\" and \"@every 30m\"")]
    Empty,
    /// Too long a text.
    #[error("the schedule has {0} bytes; it may have at most {max}", max = limits::SCHEDULE_BYTES)]
    TooLong(usize),
    /// `@` and a word that is no shorthand.
    #[error(
        "{0:?} is no shorthand; use @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 30m"
    )]
    Shorthand(String),
    /// `@every` and something that is no interval.
    #[error("{0:?} is no interval; write hours, minutes and seconds, such as @every 1h30m, from 1s to 8784h")]
    Interval(String),
    /// A wrong expression; `cron_text` says what.
    #[error("the schedule has {0}")]
    Cron(CronError),
    /// A right expression that no date ever fits.
    #[error("the schedule never fires: no month that it names has such a day")]
    Never,
}

impl Schedule {
    /// Parses a schedule whose nominal times are `zone`'s. White space around
    /// it is ignored.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, ScheduleError> {
        if text.len() > limits::SCHEDULE_BYTES {
            return Err(ScheduleError::TooLong(text.len()));
        }
        let text = text.trim_ascii();
        let times = match text.split_ascii_whitespace().next() {
            None => return Err(ScheduleError::Empty),
            Some("@every") => Times::Every(interval(text["@every".len()..].trim_ascii())?),
            Some(word) if word.starts_with('@') => Times::Wall(cron(shorthand(text)?)?),
            Some(_) => Times::Wall(cron(text)?),
        };
        Ok(Self { text: text.to_owned(), zone, times })
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The zone whose wall clock the nominal times are on.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first run after `after`: strictly later, on a whole second. `None`
    /// when there is none up to the year 2100, where the search ends.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.times {
            Times::Every(interval) => {
                let micros = after.after(*interval).micros();
                // Still later: the interval is a second or more.
                Some(Timestamp::from_micros(micros - micros.rem_euclid(SECOND))).filter(|next| *next > after)
            }
            Times::Wall(slots) => {
                // The crate's years begin in 1970; nothing was due before.
                let after = after.max(Timestamp::EPOCH);
                let at = DateTime::from_timestamp_micros(after.micros()).filter(|at| at.year() <= LAST_YEAR)?;
                // A time that the wall has shown by `at` is past, so the search may begin there. While the clocks
                // show a stretch again, the times in it are past too, and are walked over.
                slots
                    .after(wall::shown(at, self.zone))
                    .take(limits::SCHEDULE_SEARCH_SLOTS)
                    .filter_map(|slot| wall::first_showing(slot, self.zone))
                    .find(|run| *run > at)
                    .map(Timestamp::from_utc)
            }
        }
    }

    /// Whether a run is due at `now`, when the last one (or the schedule's
    /// creation) was at `last`: the moment for which it is due, which becomes
    /// the next `last`.
    ///
    /// However many runs were missed, one is due: the latest. When `last` lies
    /// in the future the clock was set back. By no more than one gap of the
    /// schedule, the next run is waited for, so that a small correction runs
    /// nothing twice; by more, waiting for the clock to come round again could
    /// take years, so a run is due now.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if last > now {
            let gap = self.next_after(last).map(|next| next.since(last));
            return if gap.is_some_and(|gap| last.since(now) <= gap) { None } else { Some(now) };
        }
        let first = self.next_after(last).filter(|first| *first <= now)?;
        match &self.times {
            Times::Every(interval) => {
                let missed = now.since(first).as_micros() / interval.as_micros();
                let missed = u32::try_from(missed).unwrap_or(u32::MAX);
                Some(first.after(interval.saturating_mul(missed)))
            }
            Times::Wall(_) => Some(self.latest(last, now)),
        }
    }

    /// The latest run in `(last, now]`, which holds at least one. A run is due
    /// between `t` and `now` exactly while `t` is before the latest, so `t` is
    /// halved in on; runs are a second apart or more.
    fn latest(&self, last: Timestamp, now: Timestamp) -> Timestamp {
        let (mut low, mut high) = (last.micros(), now.micros());
        while high.saturating_sub(low) > SECOND {
            let middle = low.midpoint(high);
            if self.next_after(Timestamp::from_micros(middle)).is_some_and(|run| run <= now) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.next_after(Timestamp::from_micros(low)).unwrap_or(now)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone) == (&other.text, other.zone)
    }
}

impl Eq for Schedule {}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::parse(text, Tz::UTC)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.zone)
    }
}

/// Microseconds.
const SECOND: i64 = 1_000_000;
/// The last year that the crate searches.
const LAST_YEAR: i32 = 2100;

fn cron(text: &str) -> Result<Slots, ScheduleError> {
    cron_text::parse(text).map_err(|error| match error {
        CronError::Never => ScheduleError::Never,
        error @ (CronError::FieldCount(_) | CronError::Item { .. }) => ScheduleError::Cron(error),
    })
}

fn shorthand(text: &str) -> Result<&'static str, ScheduleError> {
    match text {
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err(ScheduleError::Shorthand(text.chars().take(32).collect())),
    }
}

/// `1h30m10s`: each unit at most once, the larger first.
fn interval(text: &str) -> Result<Duration, ScheduleError> {
    let error = || ScheduleError::Interval(text.chars().take(32).collect());
    let mut rest = text;
    let mut seconds = 0_u64;
    for (unit, length) in [('h', 3_600), ('m', 60), ('s', 1)] {
        if let Some((count, after)) = rest.split_once(unit) {
            let digits = (1..=9).contains(&count.len()) && count.bytes().all(|b| b.is_ascii_digit());
            let count: u64 = count.parse().ok().filter(|_| digits).ok_or_else(error)?;
            seconds += count * length;
            rest = after;
        }
    }
    let interval = Duration::from_secs(seconds);
    let bounds = limits::SCHEDULE_EVERY_SHORTEST..=limits::SCHEDULE_EVERY_LONGEST;
    if rest.is_empty() && bounds.contains(&interval) { Ok(interval) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_utc(text.parse().expect("a moment"))
    }

    fn schedule(text: &str) -> Schedule {
        text.parse().expect("a schedule")
    }

    #[test]
    fn every_form_gives_its_next_run() {
        #[rustfmt::skip]
        let table = [
            ("*/30 * * * *",       "2026-11-23T10:00:00Z",    "2026-11-23T10:30:00Z"),
            ("*/30 * * * *",       "2026-11-23T10:29:59.5Z",  "2026-11-23T10:30:00Z"),
            ("57 54 3 * * *",      "2026-11-23T03:54:57Z",    "2026-11-24T03:54:57Z"),
            ("0 0 * * 0",          "2026-11-23T00:00:00Z",    "2026-11-29T00:00:00Z"),
            ("0 0 * * 7",          "2026-11-23T00:00:00Z",    "2026-11-29T00:00:00Z"),
            ("0 0 * * 1",          "2026-11-23T00:00:00Z",    "2026-11-30T00:00:00Z"),
            ("0 0 * * mon-fri",    "2026-11-27T00:00:00Z",    "2026-11-30T00:00:00Z"),
            // Both day fields restricted: either fits. 13 December is a Sunday.
            ("0 0 13 * 5",         "2026-12-05T00:00:00Z",    "2026-12-11T00:00:00Z"),
            ("0 0 13 * 5",         "2026-12-11T00:00:00Z",    "2026-12-13T00:00:00Z"),
            // A star with a step restricts nothing by itself: both fit.
            ("0 0 */2 * 5",        "2026-12-04T00:00:00Z",    "2026-12-11T00:00:00Z"),
            ("0 0 29 2 *",         "2026-11-23T00:00:00Z",    "2028-02-29T00:00:00Z"),
            ("@hourly",            "2026-11-23T10:20:00Z",    "2026-11-23T11:00:00Z"),
            ("@daily",             "2026-11-23T10:20:00Z",    "2026-11-24T00:00:00Z"),
            ("@midnight",          "2026-11-23T10:20:00Z",    "2026-11-24T00:00:00Z"),
            ("@weekly",            "2026-11-23T10:20:00Z",    "2026-11-29T00:00:00Z"),
            ("@monthly",           "2026-11-23T10:20:00Z",    "2026-12-01T00:00:00Z"),
            ("@yearly",            "2026-11-23T10:20:00Z",    "2027-01-01T00:00:00Z"),
            ("@annually",          "2026-11-23T10:20:00Z",    "2027-01-01T00:00:00Z"),
            ("@every 90s",         "2026-11-23T10:20:07.25Z", "2026-11-23T10:21:37Z"),
            ("@every 1h30m0s",     "2026-11-23T10:20:07Z",    "2026-11-23T11:50:07Z"),
        ];
        for (text, after, want) in table {
            assert_eq!(schedule(text).next_after(at(after)), Some(at(want)), "{text} after {after}");
            assert_eq!(schedule(text).to_string(), text);
        }
    }

    #[test]
    fn a_zone_moves_the_wall() {
        let daily = Schedule::parse(" 30 2 * * * ", Tz::Europe__Berlin).expect("a schedule");
        assert_eq!(daily.as_str(), "30 2 * * *");
        let mut run = at("2024-03-29T12:00:00Z");
        // The last Sunday of March has no 02:30; the last of October has two.
        for want in ["2024-03-30T01:30:00Z", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"] {
            run = daily.next_after(run).expect("a run");
            assert_eq!(run, at(want));
        }
        let mut run = at("2024-10-26T12:00:00Z");
        for want in ["2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"] {
            run = daily.next_after(run).expect("a run");
            assert_eq!(run, at(want));
        }
    }

    #[test]
    fn a_missed_run_is_caught_up_once() {
        let half_hourly = schedule("*/30 * * * *");
        let last = at("2026-11-23T10:00:00Z");
        assert_eq!(half_hourly.due(last, at("2026-11-23T10:29:59Z")), None);
        assert_eq!(half_hourly.due(last, at("2026-11-23T10:30:00Z")), Some(at("2026-11-23T10:30:00Z")));
        // Ten years off: one run, and then the next in its turn.
        let now = at("2036-11-23T10:12:13.5Z");
        let due = half_hourly.due(last, now).expect("due");
        assert_eq!(due, at("2036-11-23T10:00:00Z"));
        assert_eq!(half_hourly.due(due, now), None);
        let every = schedule("@every 30m");
        let due = every.due(at("2026-11-23T10:00:07Z"), now).expect("due");
        assert_eq!(due, at("2036-11-23T10:00:07Z"));
        assert_eq!(every.due(due, now), None);
        assert_eq!(schedule("@every 1s").due(Timestamp::EPOCH, now), Some(at("2036-11-23T10:12:13Z")));
        assert_eq!(schedule("* * * * * *").due(Timestamp::EPOCH, now), Some(at("2036-11-23T10:12:13Z")));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_run_for_long() {
        for text in ["*/30 * * * *", "@every 30m"] {
            let half_hourly = schedule(text);
            let last = at("2026-11-23T10:00:00Z");
            assert_eq!(half_hourly.due(last, at("2026-11-23T09:59:50Z")), None, "a correction of seconds");
            assert_eq!(half_hourly.due(last, at("2026-11-23T09:30:00Z")), None, "one gap");
            let now = at("2026-11-23T09:29:59Z");
            assert_eq!(half_hourly.due(last, now), Some(now), "more than one gap");
            let now = at("2016-11-23T10:00:00Z");
            assert_eq!(half_hourly.due(last, now), Some(now), "ten years");
            assert_eq!(half_hourly.due(Timestamp::MAX, now), Some(now), "from beyond all time");
        }
    }

    #[test]
    fn the_ends_of_time_have_answers() {
        for text in ["* * * * * *", "@yearly", "@every 1s"] {
            let schedule = schedule(text);
            assert_eq!(schedule.next_after(Timestamp::MAX), None);
            assert!(schedule.next_after(Timestamp::from_micros(i64::MIN)).is_some());
            assert_eq!(schedule.due(Timestamp::MAX, Timestamp::MAX), None);
        }
        assert_eq!(schedule("@yearly").next_after(at("2100-06-01T00:00:00Z")), None);
        assert!(schedule("@yearly").due(Timestamp::from_micros(i64::MIN), at("2026-01-01T00:00:00Z")).is_some());
    }

    #[test]
    fn a_wrong_schedule_is_one_clear_error() {
        for (text, words) in [
            ("", "is empty"),
            (" \t", "is empty"),
            ("* * * *", "has 4 fields"),
            ("@reboot", "\"@reboot\" is no shorthand; use @hourly"),
            ("@hourly x", "is no shorthand"),
            ("@every", "\"\" is no interval"),
            ("@every 0s", "is no interval"),
            ("@every 30", "is no interval"),
            ("@every 5m1h", "is no interval"),
            ("@every -5m", "is no interval"),
            ("@every 1.5h", "is no interval"),
            ("@every 9000h", "from 1s to 8784h"),
            ("@every 99999999999999999999h", "is no interval"),
            ("0 0 30 2 *", "never fires"),
            ("TZ=UTC 0 0 * * *", "\"TZ=UTC\" in the second field"),
        ] {
            let error = text.parse::<Schedule>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let long = "0 ".repeat(300);
        assert_eq!(long.parse::<Schedule>(), Err(ScheduleError::TooLong(600)));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "(@every |@)?([0-9*/?,a-z -]{0,8} ?){0,7}|.{0,20}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                proptest::prop_assert_eq!(schedule.as_str(), text.trim_ascii());
                let next = schedule.next_after(Timestamp::EPOCH).expect("what parses fires");
                proptest::prop_assert!(next > Timestamp::EPOCH);
            }
        }
    }
}
