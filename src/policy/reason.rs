//! What was decided about a tag, and why, as data.
//!
//! Every decision is stored in its tag's verdict and shown by `why`, so it is
//! bounded (see `limits`) and has two faces: serde for rows and the API, and
//! `Display` for people. In data rules are counted from 0, in words from 1.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::PolicyId;
use super::operator::{Field, Operator};
use super::rule::{Evaluation, Finding, Rule, Rules};
use super::template::{ExpandError, Template};
use crate::limits;
use crate::oci::{RepoName, Tag};

/// The kinds of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To another repository here.
    Promotion,
    /// To another registry.
    PushMirror,
    /// From another registry.
    PullMirror,
}

/// What a policy does about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It moves the tag.
    Allow,
    /// It leaves the tag alone.
    Deny,
    /// It cannot be decided yet.
    Defer,
    /// It would move the tag, and something refuses. Set by who applies.
    Blocked,
}

/// What one policy decided about one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The policy.
    pub policy: PolicyId,
    /// Its version, which changes with its rules, target or template.
    pub version: u32,
    /// Its kind.
    pub kind: Kind,
    /// What it does.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The repository that a promotion goes to; `None` for mirrors.
    pub target: Option<RepoName>,
    /// The tag it gets there; `None` where it was not come to.
    pub tag: Option<Tag>,
}

/// Why a policy decided so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Every rule holds.
    Matched {
        /// How many rules there are.
        rules: u32,
        /// The first of them, as they were found.
        checks: Vec<Check>,
    },
    /// A rule does not hold.
    RuleFailed(Check),
    /// The policy is switched off.
    Disabled,
    /// The tag was set before the policy began to apply.
    NotYetApplying {
        /// The first sequence number that it applies to.
        applies_from: u64,
        /// The tag's.
        seq: u64,
    },
    /// The policy is one of those that brought the image here.
    Loop,
    /// The chain of promotions is as long as it may get.
    HopLimit {
        /// Its length.
        hops: u8,
    },
    /// The template gives no tag.
    Template {
        /// The template.
        template: String,
        /// What is wrong with what it gives.
        error: ExpandError,
    },
    /// The target is the source itself, under the same tag.
    Itself,
    /// The other registry's name for it is no tag.
    NotATag {
        /// The beginning of the name.
        name: String,
    },
    /// The target refused. Set by who applies.
    TargetRefused {
        /// The refusal.
        detail: String,
    },
    /// The policy's owner may not do this any more. Set by who applies.
    RightLost {
        /// The account.
        owner: String,
        /// The right that is missing, and on what.
        detail: String,
    },
    /// The event could not be handled. Set by who applies.
    Failed {
        /// What went wrong.
        detail: String,
    },
    /// The target is a tag that the image came through. Set by who applies.
    CameThrough {
        /// The repository of that tag.
        repository: RepoName,
        /// The tag.
        tag: Tag,
    },
    /// The target has something newer than this image, and what comes late
    /// does not replace it. Set by who applies.
    Overtaken {
        /// The event that set the target's tag.
        by: u64,
        /// The event that brought this image in.
        seq: u64,
    },
}

/// One rule and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The rule's place, from 0.
    pub rule: u32,
    /// What it looked at.
    pub field: Field,
    /// How it compared.
    pub operator: Operator,
    /// The value that decided; where none matched, the first of them.
    pub values: Vec<String>,
    /// Values that the rule has beyond `values`, none of which matched either.
    /// 0 where one decided.
    pub more: u32,
    /// The value it saw.
    pub saw: String,
}

impl Decision {
    /// The same decision, denied for `reason`.
    #[must_use]
    pub fn denied(mut self, reason: Reason) -> Self {
        self.outcome = Outcome::Deny;
        self.reason = reason;
        self
    }

    /// The same decision, blocked for `reason`.
    #[must_use]
    pub fn blocked(mut self, reason: Reason) -> Self {
        self.outcome = Outcome::Blocked;
        self.reason = reason;
        self
    }
}

impl Reason {
    /// The target refused, in these words (their beginning, if they are long).
    pub fn target_refused(detail: impl fmt::Display) -> Self {
        Self::TargetRefused { detail: beginning(&detail.to_string()) }
    }

    /// `owner` lacks a right.
    pub fn right_lost(owner: &str, detail: impl fmt::Display) -> Self {
        Self::RightLost { owner: owner.to_owned(), detail: beginning(&detail.to_string()) }
    }

    /// The event could not be handled.
    pub fn failed(detail: impl fmt::Display) -> Self {
        Self::Failed { detail: beginning(&detail.to_string()) }
    }

    pub(super) fn template(template: &Template, error: ExpandError) -> Self {
        Self::Template { template: template.as_str().to_owned(), error }
    }

    pub(super) fn not_a_tag(name: &str) -> Self {
        Self::NotATag { name: beginning(name) }
    }

    /// The reason that an evaluation of `rules` gives, and whether they hold.
    pub(super) fn of(rules: &Rules, evaluation: &Evaluation<'_>) -> (bool, Self) {
        match evaluation {
            Evaluation::Fails { index, rule, finding } => (false, Self::RuleFailed(Check::new(*index, rule, finding))),
            Evaluation::Holds(findings) => {
                let rules = rules.as_slice();
                let checks = rules.iter().zip(findings).enumerate().take(limits::REASON_CHECKS);
                let checks = checks.map(|(index, (rule, finding))| Check::new(index, rule, finding)).collect();
                (true, Self::Matched { rules: count(rules.len()), checks })
            }
        }
    }
}

impl Check {
    fn new(index: usize, rule: &Rule, finding: &Finding<'_>) -> Self {
        let values = match finding.by {
            Some(value) => vec![value.to_owned()],
            None => rule.values().iter().take(limits::REASON_VALUES).cloned().collect(),
        };
        let more = if finding.by.is_some() { 0 } else { count(rule.values().len() - values.len()) };
        let (field, operator) = (rule.field(), rule.operator());
        Self { rule: count(index), field, operator, values, more, saw: finding.saw.to_owned() }
    }
}

impl Kind {
    /// The kind's one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::PushMirror => "push_mirror",
            Self::PullMirror => "pull_mirror",
        }
    }
}

impl Outcome {
    /// The outcome's one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Defer => "defer",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched { rules: 0, .. } => f.write_str("the policy has no rules: it takes every tag"),
            Self::Matched { rules, checks } => {
                f.write_str(if *rules == 1 { "the rule holds" } else { "every rule holds" })?;
                for (place, check) in checks.iter().enumerate() {
                    write!(f, "{} {check}", if place == 0 { ":" } else { ";" })?;
                }
                match (*rules as usize).saturating_sub(checks.len()) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Self::RuleFailed(check) => write!(f, "{check}, so it does not hold"),
            Self::Disabled => f.write_str("the policy is disabled"),
            Self::NotYetApplying { applies_from, seq } => {
                write!(f, "the tag was set by event {seq}; the policy applies from event {applies_from} on")
            }
            Self::Loop => {
                f.write_str("the policy is one of those that brought the image here: going on would be a loop")
            }
            Self::HopLimit { hops } => {
                write!(f, "{hops} promotions led here; a chain has at most {}", limits::PROMOTION_HOPS)
            }
            Self::Template { template, error } => write!(f, "the template {template:?} gives no tag: {error}"),
            Self::Itself => f.write_str("the target is the source itself, under the same tag"),
            Self::NotATag { name } => write!(f, "the other registry's name {name:?} is no tag"),
            Self::TargetRefused { detail } => write!(f, "the target refused: {detail}"),
            Self::RightLost { owner, detail } => write!(f, "the policy's owner {owner} may not: {detail}"),
            Self::Failed { detail } => write!(f, "could not be handled: {detail}"),
            Self::CameThrough { repository, tag } => {
                write!(f, "the image came here through {repository}:{tag}: going back would be a loop")
            }
            Self::Overtaken { by, seq } => {
                write!(f, "the target has something newer (event {by}; this image came with event {seq}) and keeps it")
            }
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} ({} {}", u64::from(self.rule) + 1, self.field, self.operator)?;
        for (place, value) in self.values.iter().enumerate() {
            write!(f, "{} {value:?}", if place == 0 { "" } else { "," })?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        write!(f, ") saw {:?}", self.saw)
    }
}

/// A count that the limits keep far below four thousand million.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// As much of a text as a stored reason may hold.
fn beginning(text: &str) -> String {
    let end = (0..=limits::REASON_DETAIL_BYTES.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::policy::rule::{RawRule, Subject};

    fn rules(raw: &[(&str, &[&str])]) -> Rules {
        let raw = raw.iter().map(|(operator, values)| RawRule {
            field: "tag".to_owned(),
            operator: (*operator).to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        });
        Rules::parse(raw.collect()).expect("good rules")
    }

    fn reason(rules: &Rules, tag: &str) -> Reason {
        Reason::of(rules, &rules.evaluate(Subject { tag: &tag.parse().expect("a tag") })).1
    }

    #[test]
    fn rules_are_told_with_what_they_saw() {
        let two = rules(&[("sw", &["1.", "2."]), ("noo", &["a", "b", "c", "d", "e", "f"])]);
        for (rules, tag, want) in [
            (&rules(&[]), "x", "the policy has no rules: it takes every tag"),
            (
                &rules(&[("ew", &["-stable"])]),
                "1-stable",
                r#"the rule holds: rule 1 (tag ew "-stable") saw "1-stable""#,
            ),
            (
                &two,
                "2.4",
                r#"every rule holds: rule 1 (tag sw "2.") saw "2.4"; rule 2 (tag noo "a", "b", "c", "d" and 2 more) saw "2.4""#,
            ),
            (&two, "3.1", r#"rule 1 (tag sw "1.", "2.") saw "3.1", so it does not hold"#),
            (&rules(&[("noo", &["a", "b"])]), "b", r#"rule 1 (tag noo "b") saw "b", so it does not hold"#),
        ] {
            assert_eq!(reason(rules, tag).to_string(), want);
        }
    }

    #[test]
    fn a_stored_reason_is_bounded() {
        let long = "v".repeat(limits::RULE_VALUE_BYTES);
        let values = vec![long.as_str(); limits::RULE_VALUES];
        let all: Vec<(&str, &[&str])> = vec![("noo", &values); limits::POLICY_RULES];
        let stored = serde_json::to_string(&reason(&rules(&all), "x")).expect("json");
        assert!(stored.len() < 20 * 1024, "{} bytes", stored.len());
        assert!(reason(&rules(&all), "x").to_string().ends_with("; and 56 more"));
        match Reason::target_refused("é".repeat(limits::REASON_DETAIL_BYTES)) {
            Reason::TargetRefused { detail } => assert_eq!(detail.len(), limits::REASON_DETAIL_BYTES),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn decisions_round_trip_as_json_and_as_rows() {
        let error = ExpandError::NotATag { text: "x+03".to_owned() };
        let reasons = [
            reason(&rules(&[("sw", &["1"]), ("c", &["."])]), "1.0"),
            reason(&rules(&[("sw", &["1"])]), "2"),
            Reason::Disabled,
            Reason::NotYetApplying { applies_from: 7, seq: 3 },
            Reason::Loop,
            Reason::HopLimit { hops: 16 },
            Reason::template(&Template::keep_name(), error),
            Reason::Itself,
            Reason::not_a_tag("a b"),
            Reason::target_refused("dev/x is immutable"),
            Reason::right_lost("ann", "write on qa/website"),
            Reason::failed("the manifest is gone"),
            Reason::CameThrough {
                repository: "dev/website".parse().expect("a name"),
                tag: "1.0".parse().expect("a tag"),
            },
            Reason::Overtaken { by: 9, seq: 4 },
        ];
        for reason in reasons {
            let decision = Decision {
                policy: PolicyId::new(Chance::seeded(3).id()),
                version: 2,
                kind: Kind::Promotion,
                outcome: Outcome::Deny,
                reason,
                target: Some("qa/website".parse().expect("a name")),
                tag: Some("1.0".parse().expect("a tag")),
            };
            let json = serde_json::to_string(&decision).expect("json");
            assert_eq!(serde_json::from_str::<Decision>(&json).expect("json"), decision, "{json}");
            let row = postcard::to_stdvec(&decision).expect("a row");
            assert_eq!(postcard::from_bytes::<Decision>(&row).expect("a row"), decision);
            assert!(!decision.reason.to_string().is_empty());
        }
    }

    #[test]
    fn the_spellings_are_serdes() {
        for kind in [Kind::Promotion, Kind::PushMirror, Kind::PullMirror] {
            assert_eq!(serde_json::to_value(kind).expect("json"), kind.as_str());
        }
        for outcome in [Outcome::Allow, Outcome::Deny, Outcome::Defer, Outcome::Blocked] {
            assert_eq!(serde_json::to_value(outcome).expect("json"), outcome.as_str());
        }
        let failed = reason(&rules(&[("sw", &["1"])]), "2");
        assert_eq!(
            serde_json::to_string(&failed).expect("json"),
            r#"{"rule_failed":{"rule":0,"field":"tag","operator":"sw","values":["1"],"more":0,"saw":"2"}}"#
        );
        assert_eq!(serde_json::to_string(&Reason::Loop).expect("json"), r#""loop""#);
    }
}
