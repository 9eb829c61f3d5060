//! From what a wall clock shows to the moment at which it shows it.
//!
//! Where clocks go forward some times are never shown, where they go back some
//! are shown twice. [`first_showing`] gives every nominal time one moment, and
//! never a later time an earlier moment.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// The longest stretch that a zone's clocks ever left out is the day that
/// Samoa skipped; two days find an end to every one.
const GAP_LONGEST_HOURS: i64 = 48;

/// The first moment at which a clock in `zone` shows `nominal` or later: the
/// earlier one of a time that repeats, the end of the gap for one inside it.
/// `None` only beyond the years that chrono knows.
pub(super) fn first_showing(nominal: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&nominal) {
        LocalResult::Single(at) => Some(at.to_utc()),
        LocalResult::Ambiguous(one, other) => Some(one.min(other).to_utc()),
        LocalResult::None => gap_end(nominal, zone),
    }
}

/// What a clock in `zone` shows at `at`.
pub(super) fn shown(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

/// The moment at which the clocks jumped over `nominal`.
fn gap_end(nominal: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let (hours, before) = (1..=GAP_LONGEST_HOURS).find_map(|hours| {
        let earlier = nominal.checked_sub_signed(TimeDelta::hours(hours))?;
        Some((hours, zone.from_local_datetime(&earlier).latest()?.to_utc()))
    })?;
    // At `low` the clock shows less than `nominal`, at `high` more: it jumps between.
    let (mut low, mut high) = (before.timestamp(), before.timestamp() + hours * 60 * 60);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if shown(DateTime::from_timestamp(middle, 0)?, zone) < nominal {
            low = middle;
        } else {
            high = middle;
        }
    }
    DateTime::from_timestamp(high, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_end_and_repeats_begin_where_the_zone_says() {
        #[rustfmt::skip]
        let table = [
            (Tz::UTC,                  "2024-03-31T02:30:00", "2024-03-31T02:30:00Z"),
            (Tz::Europe__Berlin,       "2024-03-31T01:59:59", "2024-03-31T00:59:59Z"),
            (Tz::Europe__Berlin,       "2024-03-31T02:00:00", "2024-03-31T01:00:00Z"),
            (Tz::Europe__Berlin,       "2024-03-31T02:30:00", "2024-03-31T01:00:00Z"),
            (Tz::Europe__Berlin,       "2024-03-31T03:00:00", "2024-03-31T01:00:00Z"),
            (Tz::Europe__Berlin,       "2024-10-27T02:30:00", "2024-10-27T00:30:00Z"),
            (Tz::Europe__Berlin,       "2024-10-27T03:00:00", "2024-10-27T02:00:00Z"),
            (Tz::Australia__Lord_Howe, "2024-10-06T02:10:00", "2024-10-05T15:30:00Z"),
            (Tz::Australia__Lord_Howe, "2024-04-07T01:45:00", "2024-04-06T14:45:00Z"),
            // A gap at midnight, and the day that Samoa skipped.
            (Tz::America__Havana,      "2024-03-10T00:30:00", "2024-03-10T05:00:00Z"),
            (Tz::Pacific__Apia,        "2011-12-30T12:00:00", "2011-12-30T10:00:00Z"),
        ];
        for (zone, nominal, want) in table {
            let want: DateTime<Utc> = want.parse().expect("a moment");
            assert_eq!(first_showing(nominal.parse().expect("a time"), zone), Some(want), "{nominal} {zone}");
        }
    }
}
