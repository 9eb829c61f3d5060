//! Time zones by their IANA names, such as `UTC` or `Europe/Berlin`.
//!
//! The rules of all zones are compiled in: a schedule means the same on a box
//! whose system has no zone files or old ones.

use chrono_tz::Tz;

/// A text that names no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no time zone: use an IANA name such as UTC, Europe/Berlin or America/New_York")]
pub struct ZoneError {
    name: String,
}

/// Parses a zone's name. An empty name means UTC. `Tz::name` gives it back.
pub fn parse(name: &str) -> Result<Tz, ZoneError> {
    if name.is_empty() {
        return Ok(Tz::UTC);
    }
    // Only the head of a long text is repeated, so that the message stays a line.
    name.parse().map_err(|_| ZoneError { name: name.chars().take(64).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for good in ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Etc/GMT+5"] {
            assert_eq!(parse(good).map(|zone| zone.name().to_owned()), Ok(good.to_owned()));
        }
        assert_eq!(parse(""), Ok(Tz::UTC));
        for bad in ["Mars/Phobos", "+02:00", "europe/berlin ", "CEST"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
