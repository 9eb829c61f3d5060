//! Tag templates: the name that a promoted or mirrored tag gets.
//!
//! Literal text and DTR's 19 variables: `%n`, the tag's own name, and 18 parts
//! of a moment with the meaning of C's and Python's `strftime` in the C
//! locale, English names. `%%` is a literal `%`, which no tag may hold, so a
//! template with one is refused like every other that can never give a tag.
//!
//! Expanding is pure: the moment is a parameter (the causing event's, so that
//! a tag gets the same name whenever it is planned) and so is the zone. What
//! comes out is a valid tag or an error that is data; nothing is ever cut or
//! replaced to make it fit.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use chrono::{DateTime, Datelike as _};
use chrono_tz::Tz;

use crate::clock::Timestamp;
use crate::limits;
use crate::oci::Tag;

/// A checked template. `Display` and `FromStr` round-trip.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// Why a text is no template. Characters are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No text.
    #[error("the tag template is empty; %n keeps the tag's name")]
    Empty,
    /// Too long a text.
    #[error("the tag template has {0} bytes; it may have at most {max}", max = limits::TEMPLATE_BYTES)]
    TooLong(usize),
    /// `%` and a character that names no variable.
    #[error("%{letter} (character {at} of the tag template) is no variable; {LIST}")]
    Unknown {
        /// What follows the `%`.
        letter: char,
        /// Where the `%` stands.
        at: usize,
    },
    /// A `%` with nothing after it.
    #[error("the tag template ends in a single %; {LIST}")]
    Trailing,
    /// A literal character that no tag may hold.
    #[error(
        "{character:?} (character {at} of the tag template) may not stand in a tag; letters, digits, `_`, `.` and `-` may"
    )]
    Character {
        /// The character; `%` where the template says `%%`.
        character: char,
        /// Where it stands.
        at: usize,
    },
    /// A literal beginning that no tag may have.
    #[error("the tag template begins with {0:?}; a tag begins with a letter, a digit or `_`")]
    Beginning(char),
    /// Even the shortest expansion is too long.
    #[error("the tag template gives at least {0} characters; a tag has at most {max}", max = limits::TAG_BYTES)]
    NeverFits(usize),
}

/// Why a template gave no tag for one tag and moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpandError {
    /// Longer than a tag may be.
    #[error("it gives {bytes} characters; a tag has at most {}", limits::TAG_BYTES)]
    TooLong {
        /// The expansion's length.
        bytes: u64,
    },
    /// Not of a tag's grammar, as `%Z` in a zone whose name is `+03`.
    #[error(
        "it gives {text:?}; a tag has letters, digits, `_`, `.` and `-` only and begins with a letter, a digit or `_`"
    )]
    NotATag {
        /// The expansion.
        text: String,
    },
    /// A moment outside the years 0 to 9999, which only a broken clock gives.
    #[error("the moment lies outside the years 0 to 9999")]
    Moment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name,
    Time(&'static Variable),
}

/// One part of a moment.
#[derive(Debug, PartialEq, Eq)]
struct Variable {
    letter: char,
    /// chrono's words for it; the meanings of the letters differ in `%f`.
    chrono: &'static str,
    /// Length of its shortest value.
    shortest: usize,
}

const fn variable(letter: char, chrono: &'static str, shortest: usize) -> Variable {
    Variable { letter, chrono, shortest }
}

/// The 18 parts of a moment.
static VARIABLES: [Variable; 18] = [
    variable('A', "%A", 6),
    variable('a', "%a", 3),
    variable('w', "%w", 1),
    variable('d', "%d", 2),
    variable('B', "%B", 3),
    variable('b', "%b", 3),
    variable('m', "%m", 2),
    variable('Y', "%Y", 4),
    variable('y', "%y", 2),
    variable('H', "%H", 2),
    variable('I', "%I", 2),
    variable('p', "%p", 2),
    variable('M', "%M", 2),
    variable('S', "%S", 2),
    variable('f', "%6f", 6),
    // The zone's abbreviation at that moment; the zone is part of the policy, not of the template.
    variable('Z', "%Z", 1),
    variable('j', "%j", 3),
    variable('W', "%W", 2),
];

/// What the messages list.
const LIST: &str = "the variables are %n (the tag) %A %a %w %d (weekday, its short form and number, day) %B %b %m \
                    (month, short, number) %Y %y (year) %H %I %p %M %S %f (hour of 24, of 12, AM or PM, minute, \
                    second, microsecond) %Z (time zone) %j %W (day and week of the year)";

impl Template {
    /// The template `%n`, which keeps the tag's name.
    pub fn keep_name() -> Self {
        Self { text: "%n".to_owned(), parts: vec![Part::Name] }
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every tag keeps its name: the template is `%n` alone.
    pub fn keeps_name(&self) -> bool {
        self.parts == [Part::Name]
    }

    /// Whether the tag's name is part of what it gives.
    pub fn has_name(&self) -> bool {
        self.parts.contains(&Part::Name)
    }

    /// Whether what it gives depends on the moment.
    pub fn has_time(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Time(_)))
    }

    /// The tag that `tag` gets when it was set at `at`, in `zone`'s time.
    pub fn expand(&self, tag: &Tag, at: Timestamp, zone: Tz) -> Result<Tag, ExpandError> {
        let text = self.render(tag, at, zone)?;
        if text.len() > limits::TAG_BYTES {
            return Err(ExpandError::TooLong { bytes: text.len() as u64 });
        }
        text.parse().map_err(|_| ExpandError::NotATag { text })
    }

    fn render(&self, tag: &Tag, at: Timestamp, zone: Tz) -> Result<String, ExpandError> {
        let local = if self.has_time() { Some(local(at, zone).ok_or(ExpandError::Moment)?) } else { None };
        let mut text = String::new();
        for part in &self.parts {
            match (part, &local) {
                (Part::Literal(literal), _) => text.push_str(literal),
                (Part::Name, _) => text.push_str(tag.as_str()),
                (Part::Time(variable), Some(local)) => {
                    write!(text, "{}", local.format(variable.chrono)).map_err(|_| ExpandError::Moment)?;
                }
                (Part::Time(_), None) => return Err(ExpandError::Moment),
            }
        }
        Ok(text)
    }

    /// Refuses what can never give a tag.
    fn check(&self) -> Result<(), TemplateError> {
        if let Some(Part::Literal(literal)) = self.parts.first()
            && let Some(first @ ('.' | '-')) = literal.chars().next()
        {
            return Err(TemplateError::Beginning(first));
        }
        let shortest = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => literal.len(),
                Part::Name => 1,
                Part::Time(variable) => variable.shortest,
            })
            .sum();
        if shortest > limits::TAG_BYTES { Err(TemplateError::NeverFits(shortest)) } else { Ok(()) }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        if text.len() > limits::TEMPLATE_BYTES {
            return Err(TemplateError::TooLong(text.len()));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut characters = text.chars().zip(1..);
        while let Some((character, at)) = characters.next() {
            if character == '%' {
                let part = match characters.next().map(|(letter, _)| letter) {
                    None => return Err(TemplateError::Trailing),
                    Some('%') => return Err(TemplateError::Character { character: '%', at }),
                    Some('n') => Part::Name,
                    Some(letter) => VARIABLES
                        .iter()
                        .find(|variable| variable.letter == letter)
                        .map(Part::Time)
                        .ok_or(TemplateError::Unknown { letter, at })?,
                };
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
            } else if character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-') {
                literal.push(character);
            } else {
                return Err(TemplateError::Character { character, at });
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let template = Self { text: text.to_owned(), parts };
        template.check()?;
        Ok(template)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `at` on the zone's wall, where its year has four digits.
fn local(at: Timestamp, zone: Tz) -> Option<DateTime<Tz>> {
    let utc = DateTime::from_timestamp_micros(at.micros()).filter(|utc| (-1..=10_000).contains(&utc.year()))?;
    Some(utc.with_timezone(&zone)).filter(|local| (0..=9_999).contains(&local.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every variable but `%n`, in the order of the file's columns.
    const ALL: &str = "%A_%a_%w_%d_%B_%b_%m_%Y_%y_%H_%I_%p_%M_%S_%f_%j_%W_%Z";

    fn tag(text: &str) -> Tag {
        text.parse().expect("a tag")
    }

    #[test]
    fn agrees_with_pythons_strftime() {
        let template: Template = ALL.parse().expect("a template");
        let (mut rows, mut tags) = (0, 0);
        for line in include_str!("testdata/strftime.tsv").lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let mut column = || columns.next().expect("three columns");
            let at = Timestamp::from_micros(column().parse().expect("microseconds"));
            let zone = crate::policy::zone::parse(column()).expect("a zone");
            let want = column();
            assert_eq!(template.render(&tag("x"), at, zone).as_deref(), Ok(want), "{at} {zone}");
            // The same text is a tag, or an error where the zone's name is an offset.
            match template.expand(&tag("x"), at, zone) {
                Ok(tag) => {
                    tags += 1;
                    assert_eq!(tag.as_str(), want);
                }
                Err(error) => {
                    assert_eq!(error, ExpandError::NotATag { text: want.to_owned() });
                    assert!(want.contains('+') || want.contains("_-"), "{want}");
                }
            }
            rows += 1;
        }
        assert!(rows > 500 && tags > 300 && tags < rows, "{tags} of {rows}");
    }

    #[test]
    fn literals_and_the_name_are_mixed_in() {
        let at = Timestamp::from_micros(1_600_000_000_123_456);
        for (text, want) in [
            ("%n", "1.4-stable"),
            ("%n-%Y%m%d", "1.4-stable-20200913"),
            ("qa_%n.%H%M%S", "qa_1.4-stable.122640"),
            ("%y-%m-%d", "20-09-13"),
            ("latest", "latest"),
            ("%n%n", "1.4-stable1.4-stable"),
        ] {
            let template: Template = text.parse().expect("a template");
            assert_eq!(
                template.expand(&tag("1.4-stable"), at, Tz::UTC).map(|tag| tag.to_string()),
                Ok(want.to_owned())
            );
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn the_zone_decides_the_day() {
        // 2020-09-13 22:26:40 UTC.
        let at = Timestamp::from_micros(1_600_036_000_000_000);
        let template: Template = "%d-%H-%Z".parse().expect("a template");
        for (zone, want) in [(Tz::UTC, "13-22-UTC"), (Tz::Europe__Berlin, "14-00-CEST"), (Tz::Asia__Tokyo, "14-07-JST")]
        {
            assert_eq!(template.expand(&tag("x"), at, zone), Ok(tag(want)));
        }
        let error = template.expand(&tag("x"), at, Tz::Asia__Riyadh).expect_err("no tag");
        assert!(error.to_string().contains("\"14-01-+03\""), "{error}");
    }

    #[test]
    fn what_can_never_be_a_tag_is_refused_with_what_is_allowed() {
        let table: &[(&str, &str)] = &[
            ("", "is empty"),
            ("%", "ends in a single %; the variables are %n"),
            ("%n-%", "ends in a single %"),
            ("a%q", "%q (character 2 of the tag template) is no variable; the variables are %n"),
            ("%é", "%é (character 1"),
            ("%N", "is no variable"),
            ("100%%", "'%' (character 4 of the tag template) may not stand in a tag"),
            ("%n/x", "'/' (character 3"),
            ("a b", "' ' (character 2"),
            ("ü", "'ü' (character 1"),
            (".%n", "begins with '.'"),
            ("-x", "begins with '-'"),
        ];
        for (text, words) in table {
            let error = text.parse::<Template>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert_eq!("x".repeat(257).parse::<Template>(), Err(TemplateError::TooLong(257)));
        assert_eq!("x".repeat(129).parse::<Template>(), Err(TemplateError::NeverFits(129)));
        assert!("x".repeat(128).parse::<Template>().is_ok());
        assert_eq!("%f".repeat(22).parse::<Template>(), Err(TemplateError::NeverFits(132)));
        for variable in &VARIABLES {
            assert!(LIST.contains(&format!("%{}", variable.letter)), "{variable:?} is not in the list");
        }
    }

    #[test]
    fn an_expansion_that_is_no_tag_is_an_error() {
        let template: Template = "%n%n".parse().expect("a template");
        let long = tag(&"x".repeat(65));
        assert_eq!(template.expand(&long, Timestamp::EPOCH, Tz::UTC), Err(ExpandError::TooLong { bytes: 130 }));
        let template: Template = "%Y".parse().expect("a template");
        for at in [Timestamp::MAX, Timestamp::from_micros(i64::MIN), Timestamp::from_micros(253_402_300_800_000_000)] {
            assert_eq!(template.expand(&long, at, Tz::UTC), Err(ExpandError::Moment), "{at:?}");
        }
        // Without a part of the moment the clock does not matter.
        assert_eq!(Template::keep_name().expand(&long, Timestamp::MAX, Tz::UTC), Ok(long));
    }

    proptest::proptest! {
        #[test]
        fn parsing_and_expanding_never_panic(
            text in "(%[nAawdBbmYyHIpMSfZjW%]|[a-zA-Z0-9_.-]|.){0,40}", name in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
            at in proptest::num::i64::ANY, zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            if let Ok(template) = text.parse::<Template>() {
                proptest::prop_assert_eq!(template.to_string(), text);
                let _ = template.expand(&tag(&name), Timestamp::from_micros(at), chrono_tz::TZ_VARIANTS[zone]);
            }
        }

        #[test]
        fn every_moment_of_four_digit_years_expands(
            seconds in -62_000_000_000_i64..253_000_000_000, zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let template: Template = ALL.trim_end_matches("_%Z").parse().expect("a template");
            let at = Timestamp::from_micros(seconds * 1_000_000);
            let text = template.expand(&tag("x"), at, chrono_tz::TZ_VARIANTS[zone]).map(|tag| tag.to_string());
            proptest::prop_assert!(text.is_ok_and(|text| text.split('_').count() == 17));
        }
    }
}
