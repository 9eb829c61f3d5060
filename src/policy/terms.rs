//! What promotion policies and push mirrors have in common: who stands behind
//! the policy, which tags it takes, and what they are called where they go.

use chrono_tz::Tz;

use super::id::PolicyId;
use super::rule::Rules;
use super::template::Template;

/// The terms of one policy on one source repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The policy.
    pub id: PolicyId,
    /// Changes with its rules, target or template, and with nothing else: a
    /// verdict holds for one version.
    pub version: u32,
    /// The account that saved it last; its rights are needed at each run.
    pub owner: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Which tags it takes.
    pub rules: Rules,
    /// What they are called at the target.
    pub template: Template,
    /// The zone of the template's times.
    pub zone: Tz,
    /// The first event sequence number that it applies to: that of its saving
    /// where `initialEvaluation` was false, 0 otherwise.
    pub applies_from: u64,
}

impl Terms {
    /// Whether these terms take the same tags under the same names as
    /// `before`: then an edit keeps the policy's version (if the target stayed
    /// too).
    pub fn same_meaning(&self, before: &Self) -> bool {
        self.rules == before.rules && self.template == before.template && self.zone == before.zone
    }
}
