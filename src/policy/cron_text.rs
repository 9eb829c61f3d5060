//! The grammar of cron expressions, with Unix's meaning.
//!
//! The `cron` crate searches; it does not read what people write. It wants six
//! fields, calls Sunday 1, and wants the day of the month *and* the weekday to
//! fit. Here the text is parsed in full, so that an error names the field and
//! what is allowed in it, and handed to the crate as plain lists.
//!
//! Fields: [second] minute hour day-of-month month day-of-week. A field is a
//! list of `*`, `a`, `a-b`, each with an optional `/step` (`a/step` runs from
//! `a` to the end); `?` means `*` in the two day fields. Months and weekdays
//! may be named in English, by three letters or more. Sunday is 0 and 7. When
//! both day fields are restricted a day fits when *either* does; a field that
//! begins with `*` or `?` does not count as restricted (Vixie's rule), so
//! `*/2` beside a weekday means both.

use chrono::{DateTime, NaiveDateTime};

/// Nominal times: what a wall clock shows when a run is due.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// One, or two where either day field may fit.
    either: Vec<cron::Schedule>,
}

/// What is wrong with a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Neither five nor six fields.
    #[error(
        "{0} fields; a schedule has five (minute, hour, day of month, month, day of week) or six (with the second first)"
    )]
    FieldCount(usize),
    /// An item that does not parse or lies outside the field's range.
    #[error("{item:?} in the {field} field; it takes {low} to {high}{names}, `*`, ranges a-b, lists a,b and steps */n")]
    Item {
        /// The item.
        item: String,
        /// The field's name.
        field: &'static str,
        /// The least number.
        low: u32,
        /// The greatest number.
        high: u32,
        /// The names it takes too.
        names: &'static str,
    },
    /// No day ever fits.
    #[error("it never fires: no month that it names has such a day")]
    Never,
}

/// What one field takes.
struct Unit {
    name: &'static str,
    low: u32,
    high: u32,
    /// English names from `low` on.
    words: &'static [&'static str],
    names: &'static str,
    /// Whether it is one of the two day fields.
    day: bool,
}

const fn number(name: &'static str, low: u32, high: u32, day: bool) -> Unit {
    Unit { name, low, high, words: &[], names: "", day }
}

const SECOND: Unit = number("second", 0, 59, false);
const MINUTE: Unit = number("minute", 0, 59, false);
const HOUR: Unit = number("hour", 0, 23, false);
const DAY_OF_MONTH: Unit = number("day of month", 1, 31, true);
const MONTH: Unit = Unit {
    name: "month",
    low: 1,
    high: 12,
    words: &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
    names: " or jan to dec",
    day: false,
};
const DAY_OF_WEEK: Unit = Unit {
    name: "day of week",
    low: 0,
    high: 7,
    words: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    names: " (0 and 7 are Sunday) or sun to sat",
    day: true,
};

/// The numbers that fit a field.
struct Set {
    /// Bit `n` is set when the number `n` fits.
    bits: u64,
    /// Whether it counts as restricted in the rule for the day fields.
    restricted: bool,
}

/// Parses an expression of five or six fields.
pub(super) fn parse(text: &str) -> Result<Slots, CronError> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [second, minute, hour, day, month, weekday] = match fields[..] {
        [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
        [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
        _ => return Err(CronError::FieldCount(fields.len())),
    };
    let time = [SECOND.parse(second)?, MINUTE.parse(minute)?, HOUR.parse(hour)?];
    let day = DAY_OF_MONTH.parse(day)?;
    let month = MONTH.parse(month)?;
    let weekday = DAY_OF_WEEK.parse(weekday)?;

    let [second, minute, hour] = time.map(|set| list(set.bits));
    // The crate counts weekdays from 1.
    let (days, weekdays, month) = (list(day.bits), list(weekday.bits << 1), list(month.bits));
    let either = if day.restricted && weekday.restricted {
        vec![(days, "*".to_owned()), ("*".to_owned(), weekdays)]
    } else {
        vec![(days, weekdays)]
    };
    let slots = Slots {
        either: either
            .into_iter()
            .map(|(days, weekdays)| format!("{second} {minute} {hour} {days} {month} {weekdays}"))
            .map(|plain| plain.parse().expect("lists of numbers within each field's range are the crate's grammar"))
            .collect(),
    };
    if slots.next(DateTime::UNIX_EPOCH.naive_utc()).is_none() { Err(CronError::Never) } else { Ok(slots) }
}

impl Slots {
    /// The nominal times after `wall`, in order, up to the crate's last year
    /// (2100). `wall` must lie in a year from 0 to 9999.
    pub(super) fn after(&self, wall: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
        std::iter::successors(self.next(wall), |&slot| self.next(slot))
    }

    fn next(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        // On a line without gaps and repeats the crate's search is right.
        let line = wall.and_utc();
        self.either.iter().filter_map(|one| one.after(&line).next()).min().map(|at| at.naive_utc())
    }
}

impl Unit {
    fn parse(&self, text: &str) -> Result<Set, CronError> {
        let mut bits = 0;
        for item in text.split(',') {
            bits |= self.item(item).ok_or_else(|| CronError::Item {
                item: item.chars().take(32).collect(),
                field: self.name,
                low: self.low,
                high: self.high,
                names: self.names,
            })?;
        }
        Ok(Set { bits: self.folded(bits), restricted: !text.starts_with(['*', '?']) })
    }

    /// The numbers of one item of the list.
    fn item(&self, item: &str) -> Option<u64> {
        let (span, step) = match item.split_once('/') {
            None => (item, None),
            Some((span, step)) => (span, Some(digits(step).filter(|step| (1..=self.high).contains(step))?)),
        };
        let (first, last) = match span.split_once('-') {
            _ if span == "*" || (span == "?" && self.day) => (self.low, self.last()),
            Some((first, last)) => {
                let first = self.value(first)?;
                // `fri-sun` ends on the Sunday after, which is 7.
                let last = self.value(last).map(|last| if last == 0 && first > 0 { self.high } else { last })?;
                (first, last)
            }
            None => {
                let value = self.value(span)?;
                (value, if step.is_some() { self.last().max(value) } else { value })
            }
        };
        if first > last {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        Some((first..=last).step_by(step).fold(0, |bits, number| bits | 1 << number))
    }

    /// The greatest number that is not another's second name.
    fn last(&self) -> u32 {
        if self.words.len() == 7 { 6 } else { self.high }
    }

    /// Sunday as 7 becomes Sunday as 0.
    fn folded(&self, bits: u64) -> u64 {
        if self.words.len() == 7 { (bits | bits >> 7) & 0x7f } else { bits }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = text.to_ascii_lowercase();
        let named = || self.words.iter().zip(self.low..).find(|(full, _)| word.len() >= 3 && full.starts_with(&word));
        digits(text)
            .filter(|number| (self.low..=self.high).contains(number))
            .or_else(|| named().map(|(_, number)| number))
    }
}

/// A number of one or two digits, without a sign.
fn digits(text: &str) -> Option<u32> {
    if (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn list(bits: u64) -> String {
    let numbers: Vec<String> = (0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
    numbers.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(unit: &Unit, text: &str) -> Option<Vec<u32>> {
        let set = unit.parse(text).ok()?;
        Some((0..64).filter(|bit| set.bits >> bit & 1 == 1).collect())
    }

    #[test]
    fn fields_are_read_as_unix_does() {
        #[rustfmt::skip]
        let table: &[(&Unit, &str, Option<&[u32]>)] = &[
            (&HOUR, "*/6", Some(&[0, 6, 12, 18])),
            (&HOUR, "1-7/3", Some(&[1, 4, 7])),
            (&HOUR, "20/2", Some(&[20, 22])),
            (&HOUR, "3,1,3", Some(&[1, 3])),
            (&HOUR, "07", Some(&[7])),
            (&HOUR, "24", None),
            (&HOUR, "?", None),
            (&HOUR, "", None),
            (&HOUR, "1,", None),
            (&HOUR, "5-3", None),
            (&HOUR, "-3", None),
            (&HOUR, "*/0", None),
            (&HOUR, "*/", None),
            (&HOUR, "1-2-3", None),
            (&HOUR, "+3", None),
            (&HOUR, "99999999999999999999", None),
            (&DAY_OF_MONTH, "0", None),
            (&DAY_OF_MONTH, "32", None),
            (&MONTH, "jan-Mar,sept,DECEMBER", Some(&[1, 2, 3, 9, 12])),
            (&MONTH, "ja", None),
            (&MONTH, "foo", None),
            (&DAY_OF_WEEK, "?", Some(&[0, 1, 2, 3, 4, 5, 6])),
            (&DAY_OF_WEEK, "*", Some(&[0, 1, 2, 3, 4, 5, 6])),
            (&DAY_OF_WEEK, "0", Some(&[0])),
            (&DAY_OF_WEEK, "7", Some(&[0])),
            (&DAY_OF_WEEK, "1", Some(&[1])),
            (&DAY_OF_WEEK, "5-7", Some(&[0, 5, 6])),
            (&DAY_OF_WEEK, "fri-sun", Some(&[0, 5, 6])),
            (&DAY_OF_WEEK, "sun-tue", Some(&[0, 1, 2])),
            (&DAY_OF_WEEK, "*/2", Some(&[0, 2, 4, 6])),
            (&DAY_OF_WEEK, "7/2", Some(&[0])),
            (&DAY_OF_WEEK, "8", None),
        ];
        for (unit, text, want) in table {
            assert_eq!(bits(unit, text).as_deref(), *want, "{text} in {}", unit.name);
        }
    }

    #[test]
    fn errors_name_the_field_and_what_it_takes() {
        for (text, words) in [
            ("* * * *", "4 fields; a schedule has five"),
            ("* * * * * * *", "7 fields"),
            ("60 * * * *", "\"60\" in the minute field; it takes 0 to 59,"),
            ("0 0 1 foo *", "\"foo\" in the month field; it takes 1 to 12 or jan to dec,"),
            ("0 0 * * 9", "\"9\" in the day of week field; it takes 0 to 7 (0 and 7 are Sunday) or sun to sat"),
            ("61 0 0 * * *", "in the second field"),
            ("0 0 30 2 *", "never fires"),
            ("0 0 31 2,4,6,9,11 *", "never fires"),
            ("0 0 30 2 */3", "never fires"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse("0 0 29 2 *").is_ok());
        assert!(parse("0 0 30 2 1").is_ok(), "Mondays in February fit");
    }
}
