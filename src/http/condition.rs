//! Conditions of requests, as both APIs take and refuse them.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use crate::oci::Condition;
use crate::oci::condition::{ConditionError, Unmet};
use crate::registry::condition::{Refused, Subject};

/// On what condition something is to be changed. A header that cannot be read
/// is refused: passed over, it would let happen what it was to prevent.
pub(super) fn to_change(headers: &HeaderMap) -> Result<Condition, ConditionError> {
    Condition::parse(lines(headers, &header::IF_MATCH), lines(headers, &header::IF_NONE_MATCH))
}

/// On what condition something is to be read. An `If-None-Match` that cannot
/// be read is none: some clients leave the quotes out, and get it once more.
pub(super) fn to_read(headers: &HeaderMap) -> Result<Condition, ConditionError> {
    match to_change(headers) {
        Err(ConditionError { header: Unmet::IfNoneMatch }) => Condition::parse(lines(headers, &header::IF_MATCH), []),
        read => read,
    }
}

/// What stands there, for programs: whoever lost a race goes on without asking
/// again.
pub(super) fn detail(refused: &Refused) -> Value {
    let (field, name) = match &refused.subject {
        Subject::Tag(tag) => ("tag", tag.to_string()),
        Subject::Manifest(digest) | Subject::Blob(digest) => ("reference", digest.to_string()),
    };
    json!({ field: name, "digest": refused.there })
}

fn lines<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}
