//! Schedules held to oracles that share nothing with them: a clock on the wall
//! that is watched minute by minute through every change of eight zones from
//! 2020 to 2040, and a calendar that is walked day by day.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _};
use chrono_tz::Tz;

use super::schedule::Schedule;
use super::wall;
use crate::clock::Timestamp;

/// Microseconds.
const SECOND: i64 = 1_000_000;

const ZONES: [Tz; 8] = [
    Tz::America__New_York,
    Tz::Europe__Berlin,
    Tz::Australia__Lord_Howe,
    Tz::Africa__Casablanca,
    Tz::America__Havana,
    Tz::Pacific__Chatham,
    Tz::America__Santiago,
    Tz::Antarctica__Troll,
];

/// All changes of a zone's offset from 2020 to 2040, to the minute.
fn changes(zone: Tz) -> Vec<DateTime<chrono::Utc>> {
    let offset = |at: DateTime<chrono::Utc>| wall::shown(at, zone) - at.naive_utc();
    let mut day: DateTime<chrono::Utc> = "2020-01-01T00:00:00Z".parse().expect("a moment");
    let mut found = Vec::new();
    while day.year() <= 2040 {
        let next = day + TimeDelta::days(1);
        if offset(day) != offset(next) {
            let minute = (1..=1_440).map(|minute| day + TimeDelta::minutes(minute));
            found.extend(minute.into_iter().find(|&at| offset(at) != offset(day)));
        }
        day = next;
    }
    found
}

/// The oracle: a clock on the wall that is watched minute by minute. A
/// time fires when the clock shows it, or has jumped over it, for the
/// first time.
#[test]
fn each_nominal_time_runs_once_at_every_change_of_eight_zones() {
    type Fits = fn(NaiveDateTime) -> bool;
    let table: [(&str, Fits); 6] = [
        ("*/7 * * * *", |t| t.minute() % 7 == 0),
        ("0 * * * *", |t| t.minute() == 0),
        ("30 2 * * *", |t| (t.hour(), t.minute()) == (2, 30)),
        ("15,45 0-3 * * *", |t| t.hour() <= 3 && (t.minute() == 15 || t.minute() == 45)),
        ("0 0 * * 0", |t| t.weekday() == chrono::Weekday::Sun && (t.hour(), t.minute()) == (0, 0)),
        ("* * * * *", |_| true),
    ];
    for zone in ZONES {
        let changes = changes(zone);
        assert!(changes.len() >= 38, "{zone} changes {} times", changes.len());
        for change in changes {
            let (from, to) = (change - TimeDelta::hours(5), change + TimeDelta::hours(5));
            for (text, fits) in table {
                let schedule = Schedule::parse(text, zone).expect("a schedule");
                let mut want = Vec::new();
                let (mut seen, mut watch) = (wall::shown(from, zone), from);
                while watch < to {
                    watch += TimeDelta::minutes(1);
                    let mut fires = false;
                    while seen < wall::shown(watch, zone) {
                        seen += TimeDelta::minutes(1);
                        fires |= fits(seen);
                    }
                    want.extend(fires.then(|| Timestamp::from_utc(watch)));
                }
                let runs = std::iter::successors(schedule.next_after(Timestamp::from_utc(from)), |&run| {
                    schedule.next_after(run)
                });
                let runs: Vec<_> = runs.take_while(|run| *run <= Timestamp::from_utc(to)).collect();
                assert_eq!(runs, want, "{text} around {change} in {zone}");
            }
        }
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_utc(text.parse().expect("a moment"))
}

#[test]
fn each_second_of_a_repeated_hour_runs_once() {
    let secondly = Schedule::parse("* * * * * *", Tz::Antarctica__Troll).expect("a schedule");
    // Two hours repeat from 01:00 UTC on.
    let last = secondly.next_after(at("2024-10-27T00:59:58.5Z"));
    assert_eq!(last, Some(at("2024-10-27T00:59:59Z")));
    for within in ["2024-10-27T00:59:59Z", "2024-10-27T01:00:00Z", "2024-10-27T02:59:59Z"] {
        assert_eq!(secondly.next_after(at(within)), Some(at("2024-10-27T03:00:00Z")), "{within}");
    }
}

proptest::proptest! {
    /// Against a search day by day that knows nothing of the crate.
    #[test]
    fn the_next_run_is_the_next_that_fits(
        minutes in proptest::collection::btree_set(0..60_u32, 1..4),
        hours in proptest::collection::btree_set(0..24_u32, 1..4),
        days in proptest::option::of(proptest::collection::btree_set(1..29_u32, 1..4)),
        months in proptest::option::of(proptest::collection::btree_set(1..13_u32, 1..4)),
        weekdays in proptest::option::of(proptest::collection::btree_set(0..7_u32, 1..4)),
        after in 0..4_000_000_000_i64,
    ) {
        let list = |set: &std::collections::BTreeSet<u32>| {
            set.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        };
        let field = |set: &Option<_>| set.as_ref().map_or("*".to_owned(), list);
        let text = format!(
            "{} {} {} {} {}", list(&minutes), list(&hours), field(&days), field(&months), field(&weekdays),
        );
        let fits = |day: NaiveDate| {
            let by_day = days.as_ref().map(|set| set.contains(&day.day()));
            let by_weekday = weekdays.as_ref().map(|set| set.contains(&day.weekday().num_days_from_sunday()));
            months.as_ref().is_none_or(|set| set.contains(&day.month()))
                && match (by_day, by_weekday) {
                    (Some(one), Some(other)) => one || other,
                    (one, other) => one.unwrap_or(true) && other.unwrap_or(true),
                }
        };
        let start = DateTime::from_timestamp(after, 0).expect("a moment").naive_utc();
        let want = start.date().iter_days().filter(|day| fits(*day)).find_map(|day| {
            let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (*hour, *minute)));
            times.filter_map(|(hour, minute)| day.and_hms_opt(hour, minute, 0)).find(|time| *time > start)
        });
        let want = want.map(|time| Timestamp::from_utc(time.and_utc()));
        proptest::prop_assert_eq!(text.parse::<Schedule>().expect("a schedule").next_after(Timestamp::from_micros(after * SECOND)), want);
    }

    #[test]
    fn runs_strictly_increase_and_due_agrees_with_them(
        zone in 0..ZONES.len(), after in 1_577_836_800_i64..2_240_000_000, micros in 0..SECOND,
        text in proptest::sample::select(vec![
            "*/30 * * * *", "@hourly", "0 2 * * *", "30 2 * * 0", "59 59 1 * * *", "0 0 1 * 1", "@every 7m",
        ]),
    ) {
        let schedule = Schedule::parse(text, ZONES[zone]).expect("a schedule");
        let start = Timestamp::from_micros(after * SECOND + micros);
        let mut run = start;
        for _ in 0..20 {
            let next = schedule.next_after(run).expect("a run");
            proptest::prop_assert!(next > run);
            let just_before = Timestamp::from_micros(next.micros() - 1);
            proptest::prop_assert_eq!(schedule.due(run, just_before), None);
            proptest::prop_assert_eq!(schedule.due(run, next), Some(next));
            run = next;
            if text != "@every 7m" {
                proptest::prop_assert_eq!(schedule.due(start, run), Some(run));
            }
        }
    }
}
