//! Promotion policies: from one repository to another in this registry.

use super::terms::Terms;
use crate::oci::RepoName;

/// A promotion policy of one source repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotionPolicy {
    /// Whose, which tags, and under what name.
    pub terms: Terms,
    /// The repository they go to; may be the source itself, where the template
    /// gives another tag.
    pub target: RepoName,
}

impl PromotionPolicy {
    /// Whether this policy does the same as `before`: an edit that changes
    /// nothing else keeps the version.
    pub fn same_meaning(&self, before: &Self) -> bool {
        self.terms.same_meaning(&before.terms) && self.target == before.target
    }
}
