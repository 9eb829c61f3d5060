//! Amounts in a configuration: how long, how much, how often.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use crate::limits;
use crate::policy::schedule::{Schedule, ScheduleError};
use crate::store::file::Keep;

/// When the daemon does something by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// On a schedule.
    On(Schedule),
    /// Never: only when somebody asks.
    Never,
}

impl FromStr for When {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::On) }
    }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting(pub Duration);

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time: write one such as 90s, 36h or 14d")]
pub struct NoTime(String);

impl FromStr for Lasting {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        humantime::parse_duration(text).map(Self).map_err(|_| NoTime(text.to_owned()))
    }
}

/// What is kept free on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepFree(pub Keep);

/// A text that is no such amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no amount of room: write bytes such as 2GiB, up to 1PiB, or a part of the disk such as 10%, up to 90%"
)]
pub struct NoRoom(String);

impl FromStr for KeepFree {
    type Err = NoRoom;

    fn from_str(text: &str) -> Result<Self, NoRoom> {
        let bad = || NoRoom(text.to_owned());
        match text.strip_suffix('%') {
            Some(part) => match part.parse() {
                Ok(part @ 0..=90) => Ok(Self(Keep::Percent(part))),
                _ => Err(bad()),
            },
            None => match text.parse::<ByteSize>() {
                Ok(size) if size.as_u64() <= limits::KEEP_MOST_BYTES => Ok(Self(Keep::Bytes(size.as_u64()))),
                Ok(_) | Err(_) => Err(bad()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_people_write_them() {
        assert_eq!("10%".parse(), Ok(KeepFree(Keep::Percent(10))));
        assert_eq!("2GiB".parse(), Ok(KeepFree(Keep::Bytes(2 << 30))));
        assert_eq!("500 MB".parse(), Ok(KeepFree(Keep::Bytes(500_000_000))));
        for bad in ["", "2PiB", "99999999PB", "95%", "-1%", "some", "%"] {
            assert_eq!(bad.parse::<KeepFree>(), Err(NoRoom(bad.to_owned())));
        }
        assert_eq!("36h".parse(), Ok(Lasting(Duration::from_secs(36 * 3600))));
        assert_eq!("14d".parse(), Ok(Lasting(Duration::from_secs(14 * 86_400))));
        assert!("36".parse::<Lasting>().is_err());
        assert_eq!("never".parse(), Ok(When::Never));
        assert!(matches!("@daily".parse(), Ok(When::On(_))));
        assert!("daily".parse::<When>().is_err());
    }
}
