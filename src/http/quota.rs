//! A quota that leaves no room, for programs: both APIs say it alike.

use serde_json::{Value, json};

use crate::registry::quota::Exceeded;

/// The `detail` of the refusal.
pub(super) fn detail(exceeded: &Exceeded) -> Value {
    json!({
        "quota": exceeded.of.kind(),
        "name": exceeded.of.name(),
        "limitBytes": exceeded.limit,
        "usedBytes": exceeded.used,
        "reservedBytes": exceeded.reserved,
        "neededBytes": exceeded.needed,
    })
}
