//! Rules: `{field, operator, values}`, ANDed, in DTR's spelling.
//!
//! A [`RawRule`] is what JSON and stored rows carry; a [`Rule`] has been
//! checked and can be evaluated without failing. What the operators mean is
//! written in `operator`; the record of an evaluation for people is made in
//! `reason`.

use serde::{Deserialize, Serialize};

use super::operator::{Field, Operator, WordError};
use crate::limits;
use crate::oci::Tag;

/// A rule as JSON and stored rows carry it, not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RawRule {
    /// The field's name.
    pub field: String,
    /// The operator's code.
    pub operator: String,
    /// The values; numbers too are texts.
    pub values: Vec<String>,
}

/// A checked rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    field: Field,
    operator: Operator,
    values: Vec<String>,
}

/// The checked rules of one policy: all must hold. No rules match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<RawRule>", into = "Vec<RawRule>")]
pub struct Rules(Vec<Rule>);

/// Why rules were refused. Rules are counted from 1 in the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// More rules than a policy may have.
    #[error("a policy has at most {} rules, not {count}", limits::POLICY_RULES)]
    TooMany {
        /// How many there were.
        count: usize,
    },
    /// One rule is wrong.
    #[error("rule {}: {problem}", .index + 1)]
    Rule {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        problem: RuleError,
    },
}

/// What is wrong with one rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A field or an operator that it may not use.
    #[error(transparent)]
    Word(#[from] WordError),
    /// No values.
    #[error("\"values\" is empty; give 1 to {} values", limits::RULE_VALUES)]
    NoValues,
    /// Too many values.
    #[error("{0} values; a rule has at most {max}", max = limits::RULE_VALUES)]
    TooManyValues(usize),
    /// An empty value, which would match everything or nothing.
    #[error("value {} is empty", .0 + 1)]
    EmptyValue(usize),
    /// A value that is too long.
    #[error("value {at} has {1} bytes; a value has at most {max}", at = .0 + 1, max = limits::RULE_VALUE_BYTES)]
    LongValue(usize, usize),
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The tag's name.
    pub tag: &'a Tag,
}

/// What one rule said about a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<'a> {
    /// Whether the rule holds.
    pub holds: bool,
    /// The value it saw.
    pub saw: &'a str,
    /// The rule's value that decided: the one that matched. `None` when none
    /// did, which fails a positive operator and satisfies `noo`.
    pub by: Option<&'a str>,
}

/// What a policy's rules said about a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluation<'a> {
    /// Every rule holds; one finding a rule, in order.
    Holds(Vec<Finding<'a>>),
    /// The first rule that does not hold.
    Fails {
        /// Its place, from 0.
        index: usize,
        /// The rule.
        rule: &'a Rule,
        /// What it found.
        finding: Finding<'a>,
    },
}

impl Rule {
    /// Checks a raw rule.
    pub fn parse(raw: RawRule) -> Result<Self, RuleError> {
        let field = Field::parse(&raw.field)?;
        let operator = Operator::parse(&raw.operator)?;
        let values = raw.values;
        if values.is_empty() {
            return Err(RuleError::NoValues);
        }
        if values.len() > limits::RULE_VALUES {
            return Err(RuleError::TooManyValues(values.len()));
        }
        for (place, value) in values.iter().enumerate() {
            if value.is_empty() {
                return Err(RuleError::EmptyValue(place));
            }
            if value.len() > limits::RULE_VALUE_BYTES {
                return Err(RuleError::LongValue(place, value.len()));
            }
        }
        Ok(Self { field, operator, values })
    }

    /// What it looks at.
    pub fn field(&self) -> Field {
        self.field
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with; never empty.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Evaluates the rule.
    pub fn find<'a>(&'a self, subject: Subject<'a>) -> Finding<'a> {
        let saw = match self.field {
            Field::Tag => subject.tag.as_str(),
        };
        let by = self.values.iter().map(String::as_str).find(|value| self.operator.matches(saw, value));
        Finding { holds: by.is_some() == self.operator.wants_a_match(), saw, by }
    }
}

impl From<Rule> for RawRule {
    fn from(rule: Rule) -> Self {
        Self { field: rule.field.as_str().to_owned(), operator: rule.operator.as_str().to_owned(), values: rule.values }
    }
}

impl Rules {
    /// Checks the raw rules of one policy.
    pub fn parse(raw: Vec<RawRule>) -> Result<Self, RulesError> {
        if raw.len() > limits::POLICY_RULES {
            return Err(RulesError::TooMany { count: raw.len() });
        }
        raw.into_iter()
            .enumerate()
            .map(|(index, raw)| Rule::parse(raw).map_err(|problem| RulesError::Rule { index, problem }))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The rules, in the order given.
    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }

    /// The rules as JSON and stored rows carry them.
    pub fn to_raw(&self) -> Vec<RawRule> {
        self.0.iter().cloned().map(RawRule::from).collect()
    }

    /// Evaluates the rules in order, up to the first that does not hold.
    pub fn evaluate<'a>(&'a self, subject: Subject<'a>) -> Evaluation<'a> {
        let mut findings = Vec::with_capacity(self.0.len());
        for (index, rule) in self.0.iter().enumerate() {
            let finding = rule.find(subject);
            if !finding.holds {
                return Evaluation::Fails { index, rule, finding };
            }
            findings.push(finding);
        }
        Evaluation::Holds(findings)
    }
}

impl TryFrom<Vec<RawRule>> for Rules {
    type Error = RulesError;

    fn try_from(raw: Vec<RawRule>) -> Result<Self, RulesError> {
        Self::parse(raw)
    }
}

impl From<Rules> for Vec<RawRule> {
    fn from(rules: Rules) -> Self {
        rules.0.into_iter().map(RawRule::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(field: &str, operator: &str, values: &[&str]) -> RawRule {
        RawRule {
            field: field.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    #[test]
    fn every_operator_means_one_thing() {
        type Row<'a> = (&'a str, &'a [&'a str], &'a str, bool, Option<&'a str>);
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            // operator, values, tag, holds, the value that decided
            ("eq",  &["1.4"],           "1.4",        true,  Some("1.4")),
            ("eq",  &["1.4"],           "1.4-stable", false, None),
            ("eq",  &["Latest"],        "latest",     false, None),
            ("eq",  &["a", "b"],        "b",          true,  Some("b")),
            ("sw",  &["release-"],      "release-1",  true,  Some("release-")),
            ("sw",  &["release-"],      "release-",   true,  Some("release-")),
            ("sw",  &["release-"],      "prerelease-1", false, None),
            ("sw",  &["v", "1"],        "1.0",        true,  Some("1")),
            ("sw",  &["V"],             "v1",         false, None),
            ("ew",  &["-stable"],       "1.4-stable", true,  Some("-stable")),
            ("ew",  &["-stable"],       "-stable-1".trim_start_matches('-'), false, None),
            ("ew",  &["rc", "beta"],    "1-beta",     true,  Some("beta")),
            ("c",   &["rc"],            "1-rc-2",     true,  Some("rc")),
            ("c",   &["rc"],            "1-RC-2",     false, None),
            ("c",   &["x", "y"],        "ayb",        true,  Some("y")),
            ("oo",  &["a", "b"],        "a",          true,  Some("a")),
            ("oo",  &["a", "b"],        "c",          false, None),
            ("oo",  &["a", "b"],        "ab",         false, None),
            ("noo", &["a", "b"],        "b",          false, Some("b")),
            ("noo", &["a", "b"],        "c",          true,  None),
            ("noo", &["a"],             "A",          true,  None),
            ("c",   &["é"],             "e",          false, None),
        ];
        for &(operator, values, tag, holds, by) in table {
            let rule = Rule::parse(raw("tag", operator, values)).expect("a good rule");
            let tag: Tag = tag.parse().expect("a tag");
            let found = rule.find(Subject { tag: &tag });
            assert_eq!((found.holds, found.by, found.saw), (holds, by, tag.as_str()), "{operator} {values:?} on {tag}");
        }
        for operator in Operator::ALL {
            assert!(table.iter().any(|row| row.0 == operator.as_str()), "{operator} is not in the table");
        }
    }

    #[test]
    fn all_rules_must_hold_and_the_first_that_does_not_decides() {
        let rules = Rules::parse(vec![
            raw("tag", "sw", &["1."]),
            raw("tag", "ew", &["-stable"]),
            raw("tag", "noo", &["1.3-stable"]),
        ])
        .expect("good rules");
        let decide = |tag: &str| match rules.evaluate(Subject { tag: &tag.parse().expect("a tag") }) {
            Evaluation::Holds(findings) => Ok(findings.len()),
            Evaluation::Fails { index, .. } => Err(index),
        };
        assert_eq!(decide("1.4-stable"), Ok(3));
        assert_eq!(decide("2.4-beta"), Err(0));
        assert_eq!(decide("1.4-beta"), Err(1));
        assert_eq!(decide("1.3-stable"), Err(2));
        assert_eq!(Rules::default().evaluate(Subject { tag: &"x".parse().expect("a tag") }), Evaluation::Holds(vec![]));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let long = "x".repeat(limits::RULE_VALUE_BYTES + 1);
        let many = vec!["x"; limits::RULE_VALUES + 1];
        let table: &[(RawRule, &str)] = &[
            (raw("vulnerability_critical", "lte", &["0"]), "needs image scanning"),
            (raw("component.name", "oo", &["log4j"]), "needs image scanning"),
            (raw("updated_at", "bf", &["2020"]), "not supported in this version"),
            (raw("Tag", "eq", &["x"]), "\"Tag\" is no field"),
            (raw("", "eq", &["x"]), "\"\" is no field"),
            (raw("tag", "gte", &["1"]), "\"gte\" is no operator of the field \"tag\"; use one of eq"),
            (raw("tag", "EQ", &["1"]), "noo (not one of)"),
            (raw("tag", "eq", &[]), "\"values\" is empty"),
            (raw("tag", "eq", &["x", ""]), "value 2 is empty"),
            (raw("tag", "eq", &[&long]), "value 1 has 513 bytes; a value has at most 512"),
            (raw("tag", "eq", &many), "257 values; a rule has at most 256"),
        ];
        for (bad, words) in table {
            let error = Rules::parse(vec![raw("tag", "eq", &["x"]), bad.clone()]).expect_err("a bad rule").to_string();
            assert!(error.starts_with("rule 2: ") && error.contains(words), "{bad:?}: {error}");
        }
        let full = vec![raw("tag", "eq", &["x"]); limits::POLICY_RULES];
        assert!(Rules::parse(full.clone()).is_ok());
        let error = Rules::parse([full, vec![raw("tag", "eq", &["x"])]].concat()).expect_err("too many");
        assert_eq!(error.to_string(), "a policy has at most 64 rules, not 65");
    }

    #[test]
    fn json_is_dtrs_and_is_checked() {
        let json = r#"[{"field":"tag","operator":"noo","values":["a","b"]}]"#;
        let rules: Rules = serde_json::from_str(json).expect("good rules");
        assert_eq!(serde_json::to_string(&rules).expect("json"), json);
        let error = serde_json::from_str::<Rules>(r#"[{"field":"tag","operator":"like","values":["a"]}]"#)
            .expect_err("a bad operator");
        assert!(error.to_string().contains("rule 1: \"like\" is no operator"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_what_parses_round_trips(
            field in "tag|component\\.name|.{0,8}", operator in "eq|sw|ew|c|oo|noo|.{0,4}",
            values in proptest::collection::vec(".{0,6}", 0..4), tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}",
        ) {
            let raw = RawRule { field, operator, values };
            if let Ok(rules) = Rules::parse(vec![raw.clone()]) {
                proptest::prop_assert_eq!(rules.to_raw(), vec![raw.clone()]);
                let tag: Tag = tag.parse().expect("a tag");
                let found = rules.as_slice()[0].find(Subject { tag: &tag });
                proptest::prop_assert_eq!(found.holds, found.by.is_some() == (raw.operator != "noo"));
            }
        }
    }
}
