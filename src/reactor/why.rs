//! Why a tag is where it is: what its policies decided when it was set, and
//! what they would do today where that differs.
//!
//! The stored verdict is what happened. Today's plan is made by the same
//! function as ever; what was allowed and done stands for good, so a plan that
//! would now say otherwise is no news about it.

use crate::oci::{RepoName, Tag};
use crate::policy::{Decision, Outcome, Reason, Trigger};
use crate::store::record::{Decided, Repository, TagValue};
use crate::store::{Read, StoreError, policy};

use super::view::View;

/// What is known about one tag.
#[derive(Clone, Debug)]
pub struct Why {
    /// What was decided about the value that the tag has.
    pub decisions: Vec<Decided>,
    /// Today's decisions where they differ.
    pub today: Vec<Decision>,
}

/// Explains the value of a tag.
pub fn why(
    read: &impl Read,
    repository: (&RepoName, &Repository),
    tag: &Tag,
    value: &TagValue,
) -> Result<Why, StoreError> {
    let number = repository.1.number;
    let verdict = policy::verdict(read, number, tag)?.filter(|verdict| verdict.seq == value.seq);
    let decisions = verdict.map(|verdict| verdict.decisions).unwrap_or_default();
    let view = View::read(read, number, repository.0.clone())?;
    let mut today = view.plan(Trigger::TagSet, tag, value).decisions;
    today.retain(|planned| {
        let stored = decisions.iter().find(|decided| decided.decision.policy == planned.policy);
        stored.is_none_or(|stored| differs(&stored.decision, planned))
    });
    Ok(Why { decisions, today })
}

/// Whether a plan says something that a stored decision does not.
fn differs(stored: &Decision, planned: &Decision) -> bool {
    if stored.version == planned.version {
        match (stored.outcome, planned.outcome) {
            // Done for good.
            (Outcome::Allow, _) => return false,
            // The plan does not ask the target, which refused.
            (Outcome::Blocked, Outcome::Allow) => return false,
            // Nor does it know the way that the image came, or what came before it.
            (Outcome::Deny, Outcome::Allow)
                if matches!(stored.reason, Reason::CameThrough { .. } | Reason::Overtaken { .. }) =>
            {
                return false;
            }
            (Outcome::Deny | Outcome::Defer | Outcome::Blocked, _) => {}
        }
    }
    (stored.version, stored.outcome, &stored.reason, &stored.target, &stored.tag)
        != (planned.version, planned.outcome, &planned.reason, &planned.target, &planned.tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::policy::{Kind, PolicyId};

    #[test]
    fn only_news_differs() {
        let decision = |version, outcome, reason| Decision {
            policy: PolicyId::new(Chance::seeded(1).id()),
            version,
            kind: Kind::Promotion,
            outcome,
            reason,
            target: "qa/website".parse().ok(),
            tag: None,
        };
        let matched = || Reason::Matched { rules: 0, checks: Vec::new() };
        let looped = || {
            let (repository, tag) = ("qa/website".parse().expect("a name"), "1".parse().expect("a tag"));
            decision(1, Outcome::Deny, Reason::CameThrough { repository, tag })
        };
        let allowed = || decision(1, Outcome::Allow, matched());
        let denied = || decision(1, Outcome::Deny, Reason::Disabled);
        let blocked = || decision(1, Outcome::Blocked, Reason::failed("full"));
        for (stored, planned, news) in [
            (allowed(), allowed(), false),
            (allowed(), denied(), false),
            (denied(), denied(), false),
            (denied(), allowed(), true),
            (blocked(), allowed(), false),
            (blocked(), denied(), true),
            (looped(), allowed(), false),
            (looped(), denied(), true),
            (allowed(), decision(2, Outcome::Deny, Reason::Disabled), true),
            (allowed(), decision(2, Outcome::Allow, matched()), true),
        ] {
            assert_eq!(differs(&stored, &planned), news, "{stored:?} {planned:?}");
        }
    }
}
