//! The plan: what the policies of one repository do about one tag.
//!
//! A pure function. The reactor applies its intents in the commit that stores
//! its decisions; the preview, `why` and the tests call the same function. It
//! takes no `now`: no rule of this version looks at the clock, and the time in
//! a template is the causing event's.
//!
//! A policy is asked in this order, and the first answer is the reason: is it
//! enabled, does it apply to the tag yet, do its rules hold, has the image come
//! through it already, is the chain too long, does the template give a tag, and
//! would anything change. Rules come before loops, so that a loop is reported
//! only where it would have happened. Disabled policies have a decision too:
//! `why` has something to say about each.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Trigger};
use super::id::PolicyId;
use super::mirror::PushMirror;
use super::promotion::PromotionPolicy;
use super::reason::{Decision, Kind, Outcome, Reason};
use super::rule::Subject;
use super::terms::Terms;
use crate::limits;
use crate::oci::{Digest, RepoName, Tag};

/// A policy that acts when a tag is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// To another repository here.
    Promotion(PromotionPolicy),
    /// To another registry.
    PushMirror(PushMirror),
}

/// What is to be done, and what was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One for each policy that was asked, in their order.
    pub decisions: Vec<Decision>,
    /// One for each decision that allows, in the same order. Two of them may
    /// name the same target and tag: the digest is the same, so the second
    /// changes nothing.
    pub intents: Vec<Intent>,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Write a tag in another repository.
    Promote {
        /// By which policy.
        policy: PolicyId,
        /// Its version.
        version: u32,
        /// Where.
        target: RepoName,
        /// The tag there.
        tag: Tag,
        /// What it points at.
        digest: Digest,
    },
    /// Owe another registry a tag.
    Mirror {
        /// By which policy.
        policy: PolicyId,
        /// Its version.
        version: u32,
        /// The tag there.
        remote_tag: Tag,
        /// What it points at.
        digest: Digest,
    },
}

/// Plans what `policies` (all of the source repository) do about one tag.
pub fn plan(policies: &[Policy], trigger: Trigger, facts: &Facts) -> Plan {
    let asked = |policy: &&Policy| match trigger {
        Trigger::PolicySaved(saved) => policy.terms().id == saved,
        Trigger::TagSet | Trigger::Sweep | Trigger::Preview => true,
    };
    let mut plan = Plan::default();
    for policy in policies.iter().filter(asked) {
        let (outcome, reason, tag) = match ask(policy, trigger, facts) {
            Ok((reason, tag)) => {
                plan.intents.push(intent(policy, tag.clone(), facts.digest));
                (Outcome::Allow, reason, Some(tag))
            }
            Err(reason) => (Outcome::Deny, reason, None),
        };
        let Terms { id, version, .. } = *policy.terms();
        let target = policy.target().cloned();
        plan.decisions.push(Decision { policy: id, version, kind: policy.kind(), outcome, reason, target, tag });
    }
    plan
}

impl Policy {
    /// Whose, which tags, and under what name.
    pub fn terms(&self) -> &Terms {
        match self {
            Self::Promotion(promotion) => &promotion.terms,
            Self::PushMirror(mirror) => &mirror.terms,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Promotion(_) => Kind::Promotion,
            Self::PushMirror(_) => Kind::PushMirror,
        }
    }

    /// The repository here that it writes to.
    pub fn target(&self) -> Option<&RepoName> {
        match self {
            Self::Promotion(promotion) => Some(&promotion.target),
            Self::PushMirror(_) => None,
        }
    }
}

/// Why one policy moves the tag and what it is called then, or why not.
fn ask(policy: &Policy, trigger: Trigger, facts: &Facts) -> Result<(Reason, Tag), Reason> {
    let terms = policy.terms();
    if trigger != Trigger::Preview {
        if !terms.enabled {
            return Err(Reason::Disabled);
        }
        if facts.seq < terms.applies_from {
            return Err(Reason::NotYetApplying { applies_from: terms.applies_from, seq: facts.seq });
        }
    }
    let (holds, reason) = Reason::of(&terms.rules, &terms.rules.evaluate(Subject { tag: &facts.tag }));
    if !holds {
        return Err(reason);
    }
    // A mirror ends the chain here, so only promotions go round.
    if let Policy::Promotion(_) = policy {
        if facts.passed.contains(&terms.id) {
            return Err(Reason::Loop);
        }
        if facts.hops >= limits::PROMOTION_HOPS {
            return Err(Reason::HopLimit { hops: facts.hops });
        }
    }
    let tag = terms
        .template
        .expand(&facts.tag, facts.set_at, terms.zone)
        .map_err(|error| Reason::template(&terms.template, error))?;
    if policy.target() == Some(&facts.source) && tag == facts.tag {
        return Err(Reason::Itself);
    }
    Ok((reason, tag))
}

fn intent(policy: &Policy, tag: Tag, digest: Digest) -> Intent {
    let Terms { id, version, .. } = *policy.terms();
    match policy {
        Policy::Promotion(promotion) => {
            Intent::Promote { policy: id, version, target: promotion.target.clone(), tag, digest }
        }
        Policy::PushMirror(_) => Intent::Mirror { policy: id, version, remote_tag: tag, digest },
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::chance::Id;
    use crate::clock::Timestamp;
    use crate::policy::rule::{RawRule, Rules};

    fn id(number: u8) -> PolicyId {
        PolicyId::new(Id::from_bytes([number; 16]))
    }

    fn terms(number: u8, suffix: &str, template: &str) -> Terms {
        let rule = RawRule { field: "tag".into(), operator: "ew".into(), values: vec![suffix.into()] };
        Terms {
            id: id(number),
            version: 3,
            owner: "ann".to_owned(),
            enabled: true,
            rules: Rules::parse(vec![rule]).expect("good rules"),
            template: template.parse().expect("a template"),
            zone: Tz::Europe__Berlin,
            applies_from: 0,
        }
    }

    fn promotion(terms: Terms, target: &str) -> Policy {
        Policy::Promotion(PromotionPolicy { terms, target: target.parse().expect("a name") })
    }

    fn facts() -> Facts {
        Facts {
            source: "dev/website".parse().expect("a name"),
            tag: "1.4-stable".parse().expect("a tag"),
            digest: Digest::sha256_of(b"image"),
            seq: 40,
            // 2020-09-13 22:26:40 UTC: already the 14th in Berlin.
            set_at: Timestamp::from_micros(1_600_036_000_000_000),
            hops: 0,
            passed: Vec::new(),
        }
    }

    /// Outcome and reason of a single policy.
    fn decide(policy: Policy, trigger: Trigger, facts: &Facts) -> (Outcome, Reason) {
        let Plan { mut decisions, intents } = plan(&[policy], trigger, facts);
        let decision = decisions.pop().expect("one decision");
        assert_eq!(intents.len(), usize::from(decision.outcome == Outcome::Allow), "an intent where it allows");
        assert_eq!(decision.tag.is_some(), decision.outcome == Outcome::Allow, "a tag where it allows");
        (decision.outcome, decision.reason)
    }

    #[test]
    fn every_policy_is_decided_and_those_that_allow_act() {
        let policies = [
            promotion(terms(1, "-stable", "%n-%Y%m%d"), "qa/website"),
            promotion(terms(2, "-beta", "%n"), "beta/website"),
            Policy::PushMirror(PushMirror { terms: terms(3, "-stable", "edge-%n") }),
            promotion(terms(4, "stable", "%n-20200914"), "qa/website"),
        ];
        let facts = facts();
        let Plan { decisions, intents } = plan(&policies, Trigger::TagSet, &facts);
        let told: Vec<_> = decisions
            .iter()
            .map(|decision| (decision.policy, decision.version, decision.kind, decision.outcome))
            .collect();
        assert_eq!(
            told,
            [
                (id(1), 3, Kind::Promotion, Outcome::Allow),
                (id(2), 3, Kind::Promotion, Outcome::Deny),
                (id(3), 3, Kind::PushMirror, Outcome::Allow),
                (id(4), 3, Kind::Promotion, Outcome::Allow),
            ]
        );
        let promote = |number| Intent::Promote {
            policy: id(number),
            version: 3,
            target: "qa/website".parse().expect("a name"),
            tag: "1.4-stable-20200914".parse().expect("a tag"),
            digest: facts.digest,
        };
        let remote_tag = "edge-1.4-stable".parse().expect("a tag");
        let mirror = Intent::Mirror { policy: id(3), version: 3, remote_tag, digest: facts.digest };
        // Two policies may give the same target and tag: writing it twice changes nothing.
        assert_eq!(intents, [promote(1), mirror, promote(4)]);
        assert_eq!(decisions[1].reason.to_string(), r#"rule 1 (tag ew "-beta") saw "1.4-stable", so it does not hold"#);
    }

    #[test]
    fn each_reason_has_its_case() {
        let push = facts();
        let good = || terms(1, "-stable", "%n");
        let plain = |terms| promotion(terms, "qa/website");
        let mirror = |terms| Policy::PushMirror(PushMirror { terms });
        let off = || Terms { enabled: false, ..good() };
        let late = |applies_from| Terms { applies_from, ..good() };
        let round = Facts { passed: vec![id(9), id(1)], hops: 2, ..facts() };
        let long = Facts { hops: limits::PROMOTION_HOPS, ..facts() };
        let almost = Facts { hops: limits::PROMOTION_HOPS - 1, passed: vec![id(9)], ..facts() };
        let unfit = || Terms { zone: Tz::Asia__Riyadh, ..terms(1, "-stable", "%n%Z") };
        type Test = fn(&Reason) -> bool;
        let matched: Test = |reason| matches!(reason, Reason::Matched { rules: 1, .. });
        #[rustfmt::skip]
        let table: Vec<(&str, Policy, &Facts, Outcome, Test)> = vec![
            ("good", plain(good()), &push, Outcome::Allow, matched),
            ("off", plain(off()), &push, Outcome::Deny, |r| *r == Reason::Disabled),
            ("later", plain(late(41)), &push, Outcome::Deny,
                |r| *r == Reason::NotYetApplying { applies_from: 41, seq: 40 }),
            ("from now", plain(late(40)), &push, Outcome::Allow, matched),
            ("no match", plain(terms(1, "-beta", "%n")), &push, Outcome::Deny, |r| matches!(r, Reason::RuleFailed(_))),
            ("no match is no loop", plain(terms(1, "-beta", "%n")), &round, Outcome::Deny,
                |r| matches!(r, Reason::RuleFailed(_))),
            ("round", plain(good()), &round, Outcome::Deny, |r| *r == Reason::Loop),
            ("another policy", plain(terms(2, "-stable", "%n")), &round, Outcome::Allow, matched),
            ("too long", plain(good()), &long, Outcome::Deny, |r| *r == Reason::HopLimit { hops: limits::PROMOTION_HOPS }),
            ("the last hop", plain(good()), &almost, Outcome::Allow, matched),
            ("mirror at the end of a chain", mirror(good()), &long, Outcome::Allow, matched),
            ("no tag", plain(unfit()), &push, Outcome::Deny, |r| matches!(r, Reason::Template { .. })),
            ("itself", promotion(good(), "dev/website"), &push, Outcome::Deny, |r| *r == Reason::Itself),
            ("itself renamed", promotion(terms(1, "-stable", "%n-ok"), "dev/website"), &push, Outcome::Allow, matched),
        ];
        for (case, policy, facts, outcome, fits) in table {
            let (decided, reason) = decide(policy, Trigger::TagSet, facts);
            assert!(decided == outcome && fits(&reason), "{case}: {decided} because {reason}");
        }
    }

    #[test]
    fn the_trigger_says_who_is_asked() {
        let policies = [promotion(terms(1, "-stable", "%n"), "qa/a"), promotion(terms(2, "-stable", "%n"), "qa/b")];
        let asked = |trigger| plan(&policies, trigger, &facts()).decisions.len();
        assert_eq!(asked(Trigger::TagSet), 2);
        assert_eq!(asked(Trigger::Sweep), 2);
        assert_eq!(asked(Trigger::PolicySaved(id(2))), 1);
        assert_eq!(asked(Trigger::PolicySaved(id(7))), 0);
        let draft = Terms { enabled: false, applies_from: u64::MAX, ..terms(1, "-stable", "%n") };
        assert_eq!(decide(promotion(draft, "qa/a"), Trigger::Preview, &facts()).0, Outcome::Allow);
    }

    /// Repositories that promote to one another in a ring, and one that
    /// promotes to itself under ever longer names: following the plans from a
    /// push comes to an end, each policy having run at most once.
    #[test]
    fn chains_end_by_themselves() {
        let open = |number, template| Terms { rules: Rules::default(), ..terms(number, "x", template) };
        let policies = [
            ("dev/website", promotion(open(1, "%n"), "qa/website")),
            ("qa/website", promotion(open(2, "%n-b"), "prod/website")),
            ("prod/website", promotion(open(3, "%n"), "dev/website")),
            ("dev/website", promotion(open(4, "%n-again"), "dev/website")),
        ];
        let mut reached = vec![facts()];
        let mut done = 0;
        while let Some(facts) = reached.get(done).cloned() {
            done += 1;
            assert!(done < 100, "the chain goes on: {facts:?}");
            let here: Vec<_> = policies.iter().filter(|(source, _)| *source == facts.source.as_str()).collect();
            let here: Vec<_> = here.into_iter().map(|(_, policy)| policy.clone()).collect();
            for intent in plan(&here, Trigger::TagSet, &facts).intents {
                let Intent::Promote { policy, target, tag, .. } = intent else { continue };
                let (hops, passed) = facts.onward(policy);
                reached.push(Facts { source: target, tag, hops, passed, ..facts.clone() });
            }
        }
        for facts in &reached {
            let mut passed = facts.passed.clone();
            passed.sort();
            passed.dedup();
            assert_eq!(passed.len(), usize::from(facts.hops), "no policy ran twice on the way to {facts:?}");
        }
        let tags: Vec<_> = reached.iter().map(|facts| format!("{}:{}", facts.source, facts.tag)).collect();
        assert!(tags.contains(&"dev/website:1.4-stable-b".to_owned()), "{tags:?}");
        assert!(tags.contains(&"dev/website:1.4-stable-b-again".to_owned()), "{tags:?}");
    }

    #[test]
    fn a_plan_depends_on_nothing_but_its_input() {
        let policies = [promotion(terms(1, "-stable", "%n-%f"), "qa/website")];
        assert_eq!(plan(&policies, Trigger::TagSet, &facts()), plan(&policies, Trigger::Sweep, &facts()));
    }
}
