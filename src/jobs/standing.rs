//! What a mirror has not brought where it should be: what waits for another
//! try, and what was called off. A policy whose last act went well may still
//! lack something, and says so.

use std::fmt;
use std::ops::ControlFlow;

use crate::clock::Timestamp;
use crate::limits;
use crate::oci::Tag;
use crate::store::record::{Direction, Policy, Transfer};
use crate::store::{Read, StoreError, tag, transfer};

/// What a mirror lacks; in words by `Display`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Transfers that failed and are tried again.
    pub waiting: usize,
    /// Transfers that were called off and are not tried again by themselves.
    pub called_off: usize,
    /// The first of those that wait: its tag, its next try, its reason.
    next: Option<(Tag, Timestamp, String)>,
    /// The first of those that were called off, and why.
    lost: Option<(Tag, String)>,
    now: Timestamp,
}

/// How a mirror stands. At most [`limits::STANDING_ROWS`] transfers are looked
/// at; beyond that the numbers are a part of the truth.
pub fn standing(read: &impl Read, policy: &Policy, now: Timestamp) -> Result<Standing, StoreError> {
    let mut found = Standing { now, ..Standing::default() };
    let mut suspects = Vec::new();
    let mut seen = 0;
    transfer::of(read, &policy.id, None, |name, row| {
        seen += 1;
        if row.is_owed() && !row.last_error.is_empty() {
            found.waiting += 1;
            if found.next.as_ref().is_none_or(|(_, at, _)| row.next_at < *at) {
                found.next = Some((name, row.next_at, row.last_error));
            }
        } else if row.is_short() {
            suspects.push((name, row));
        }
        Ok(if seen < limits::STANDING_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for (name, row) in suspects {
        if is_wanted(read, policy, &name, &row)? {
            found.called_off += 1;
            found.lost.get_or_insert((name, row.last_error));
        }
    }
    Ok(found)
}

/// Whether what was called off should still be there: a tag that is gone or is
/// something else by now is not to be sent.
fn is_wanted(read: &impl Read, policy: &Policy, name: &Tag, row: &Transfer) -> Result<bool, StoreError> {
    Ok(match row.direction {
        Direction::Pull => true,
        Direction::Push => tag::get(read, policy.repository, name)?.is_some_and(|value| value.digest == row.want),
    })
}

impl Standing {
    /// Whether nothing is lacking.
    pub fn is_good(&self) -> bool {
        self.waiting == 0 && self.called_off == 0
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((tag, at, why)) = &self.next {
            let verb = if self.waiting == 1 { "waits" } else { "wait" };
            if *at > self.now {
                write!(f, "{} {verb} until {at}: {tag}: {why}", self.waiting)?;
            } else {
                write!(f, "{} {verb} and will be tried now: {tag}: {why}", self.waiting)?;
            }
        }
        if let Some((tag, why)) = &self.lost {
            let verb = if self.called_off == 1 { "is" } else { "are" };
            let apart = if self.next.is_some() { "; " } else { "" };
            write!(f, "{apart}{} {verb} missing: {tag}: {why}", self.called_off)?;
        }
        Ok(())
    }
}
