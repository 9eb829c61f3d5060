//! `Retry-After`: seconds or a date (RFC 9110 §10.2.3).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Timestamp;
use crate::limits;

/// The wait that the header names, seen from `now`; `None` when it makes no
/// sense. Capped at [`limits::REMOTE_WAIT_LONGEST`].
pub fn parse(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    let wait = if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time.
        Duration::from_secs(header.parse().unwrap_or(u64::MAX))
    } else {
        // An HTTP date is an RFC 2822 date with `GMT` for its zone.
        let at = DateTime::parse_from_rfc2822(header).ok()?;
        Timestamp::from_utc(at.with_timezone(&Utc)).since(now)
    };
    Some(wait.min(limits::REMOTE_WAIT_LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_neither() {
        let now = Timestamp::from_micros(1_445_412_420_000_000); // 2015-10-21T07:27:00Z
        for (header, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(86_400)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:26:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ] {
            assert_eq!(parse(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }
}
