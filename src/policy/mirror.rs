//! Mirror policies, as far as they decide which tags move and under what name.
//! The other registry (its address, its credentials) is not this row's
//! business.

use super::id::PolicyId;
use super::reason::Reason;
use super::rename::Rename;
use super::rule::{Rules, Subject};
use super::schedule::Schedule;
use super::terms::Terms;
use crate::oci::Tag;

/// A push mirror: from one repository to another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushMirror {
    /// Whose, which tags, and under what name. The version changes with the
    /// remote repository too.
    pub terms: Terms,
}

/// A pull mirror: from another registry to one repository. DTR's takes every
/// tag under its own name, which is what no rules and the default rename mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullMirror {
    /// The policy.
    pub id: PolicyId,
    /// Changes with the rules, the rename and the remote repository.
    pub version: u32,
    /// The account that saved it last.
    pub owner: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Which of the other registry's tags it takes.
    pub rules: Rules,
    /// What they are called here.
    pub rename: Rename,
    /// When it looks.
    pub schedule: Schedule,
}

/// What a pull mirror does about one of the other registry's tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullDecision {
    /// It takes it.
    Take {
        /// Its name there.
        remote: Tag,
        /// Its name here. No two remote names give the same.
        local: Tag,
        /// Why.
        reason: Reason,
    },
    /// It leaves it.
    Leave {
        /// Why.
        reason: Reason,
    },
}

impl PullMirror {
    /// Decides about a tag by the name that the other registry lists, which
    /// may be any text.
    pub fn decide(&self, remote: &str) -> PullDecision {
        if !self.enabled {
            return PullDecision::Leave { reason: Reason::Disabled };
        }
        let Ok(remote) = remote.parse::<Tag>() else {
            return PullDecision::Leave { reason: Reason::not_a_tag(remote) };
        };
        let (holds, reason) = Reason::of(&self.rules, &self.rules.evaluate(Subject { tag: &remote }));
        if !holds {
            return PullDecision::Leave { reason };
        }
        match self.rename.apply(&remote) {
            Ok(local) => PullDecision::Take { remote, local, reason },
            Err(error) => PullDecision::Leave { reason: Reason::template(self.rename.template(), error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::policy::rule::RawRule;
    use crate::policy::template::ExpandError;

    fn mirror(enabled: bool, rename: &str) -> PullMirror {
        let rule = RawRule { field: "tag".into(), operator: "ew".into(), values: vec!["-stable".into()] };
        PullMirror {
            id: PolicyId::new(Chance::seeded(1).id()),
            version: 1,
            owner: "ann".to_owned(),
            enabled,
            rules: Rules::parse(vec![rule]).expect("good rules"),
            rename: rename.parse().expect("a rename"),
            schedule: "@every 30m".parse().expect("a schedule"),
        }
    }

    #[test]
    fn takes_what_its_rules_hold_for_under_its_local_name() {
        let taken = mirror(true, "hub-%n").decide("1.4-stable");
        let PullDecision::Take { remote, local, reason } = taken else { panic!("{taken:?}") };
        assert_eq!((remote.as_str(), local.as_str()), ("1.4-stable", "hub-1.4-stable"));
        assert!(matches!(reason, Reason::Matched { rules: 1, .. }));
    }

    #[test]
    fn leaves_the_rest_with_a_reason() {
        let leaves = |mirror: PullMirror, name: &str| match mirror.decide(name) {
            PullDecision::Leave { reason } => reason,
            taken @ PullDecision::Take { .. } => panic!("{taken:?}"),
        };
        assert!(matches!(leaves(mirror(true, "%n"), "1.4-beta"), Reason::RuleFailed(_)));
        assert_eq!(leaves(mirror(true, "%n"), "../x"), Reason::NotATag { name: "../x".to_owned() });
        assert_eq!(leaves(mirror(false, "%n"), "1.4-stable"), Reason::Disabled);
        let long = format!("{}-stable", "x".repeat(121));
        let error = ExpandError::TooLong { bytes: 132 };
        assert_eq!(leaves(mirror(true, "hub-%n"), &long), Reason::Template { template: "hub-%n".to_owned(), error });
    }
}
