//! What a plan is made from besides policies: one tag at one moment of its
//! repository's history, and what made somebody look at it.

use super::id::PolicyId;
use crate::clock::Timestamp;
use crate::oci::{Digest, RepoName, Tag};

/// One value of one tag, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The repository that holds the tag.
    pub source: RepoName,
    /// The tag.
    pub tag: Tag,
    /// What it points at.
    pub digest: Digest,
    /// The sequence number of the event that set it.
    pub seq: u64,
    /// That event's time, which templates use: the same tag gets the same new
    /// name whenever it is planned.
    pub set_at: Timestamp,
    /// Promotions that led here: 0 for a push and for a pulled image.
    pub hops: u8,
    /// The policies that made them, first to last. Shorter than `hops` where
    /// a person promoted by hand.
    pub passed: Vec<PolicyId>,
}

impl Facts {
    /// The hops and the passed policies of the tag that a promotion of this
    /// one by `policy` writes.
    pub fn onward(&self, policy: PolicyId) -> (u8, Vec<PolicyId>) {
        let mut passed = self.passed.clone();
        passed.push(policy);
        (self.hops.saturating_add(1), passed)
    }
}

/// What made somebody plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The tag was set: pushed, promoted or pulled. All policies are planned.
    TagSet,
    /// A policy was saved, and the tags that are there are walked: only that
    /// policy is planned.
    PolicySaved(PolicyId),
    /// The sweep found that a verdict is missing. All policies are planned.
    Sweep,
    /// A person asks what would happen: as if every policy were enabled and
    /// applied to tags that are there already. The intents are shown, never
    /// applied.
    Preview,
}
