//! What was decided about a tag.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::policy::{Decision, PolicyId};

/// The decisions of all policies about the value that a tag got with event
/// `seq`. It lives as long as the tag, and is what makes a decision happen
/// once: allowed and done is final for that sequence and version.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// The event that set the value.
    pub seq: u64,
    /// The value.
    pub digest: Digest,
    /// One decision a policy, in the order they were made.
    pub decisions: Vec<Decided>,
}

/// What one policy decided.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// When it was made.
    pub at: Timestamp,
}

impl Verdict {
    /// The decision of a policy.
    pub fn of(&self, policy: &Id) -> Option<&Decided> {
        let policy = PolicyId::new(*policy);
        self.decisions.iter().find(|decided| decided.decision.policy == policy)
    }
}

impl Stored for Verdict {
    const VERSION: u8 = 1;
}
