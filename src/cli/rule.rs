//! Rules as words: `field operator value[,value…]`.
//!
//! Only the shape is read here. Which fields, operators and values there are
//! is the daemon's to say.

use std::str::FromStr;

use serde_json::{Value, json};

use super::terminal::cell;
use crate::limits;

/// One criterion of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    field: String,
    operator: String,
    values: Vec<String>,
}

/// Why a text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A word is missing.
    #[error("a rule is `field operator value[,value…]`, such as `tag ew -stable` or `tag oo 1.0,1.1`")]
    Shape,
    /// Nothing between two commas.
    #[error("a value is empty; write `\\,` for a comma inside a value")]
    EmptyValue,
    /// Too many values.
    #[error("a rule has at most {} values", limits::RULE_VALUES)]
    TooMany,
}

impl Rule {
    /// As the API takes it.
    pub fn to_json(&self) -> Value {
        json!({"field": self.field, "operator": self.operator, "values": self.values})
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let word = |text: &str| text.split_once(char::is_whitespace).map(|(a, b)| (a.to_owned(), b.trim().to_owned()));
        let (field, rest) = word(text.trim()).ok_or(RuleError::Shape)?;
        let (operator, rest) = word(&rest).ok_or(RuleError::Shape)?;
        let values = values(&rest)?;
        Ok(Self { field, operator, values })
    }
}

/// All the rules of a policy in the API's answer, as they are written here.
pub fn shown(policy: &Value) -> String {
    let rules = policy.pointer("/rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    rules.iter().map(one_shown).collect::<Vec<_>>().join("; ")
}

/// One rule in the API's answer, as it is written here.
pub fn one_shown(rule: &Value) -> String {
    format!("{} {} {}", cell(rule, "/field"), cell(rule, "/operator"), cell(rule, "/values"))
}

fn values(text: &str) -> Result<Vec<String>, RuleError> {
    let mut values = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(',')) => {
                characters.next();
                last(&mut values).push(',');
            }
            (',', _) => values.push(String::new()),
            (other, _) => last(&mut values).push(other),
        }
    }
    for value in &mut values {
        *value = value.trim().to_owned();
    }
    if values.iter().any(String::is_empty) {
        return Err(RuleError::EmptyValue);
    }
    if values.len() > limits::RULE_VALUES {
        return Err(RuleError::TooMany);
    }
    Ok(values)
}

fn last(values: &mut [String]) -> &mut String {
    values.last_mut().expect("it began with one value and only grows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_the_apis_rule_and_back() {
        for (text, rule, shown) in [
            ("tag eq 1.0", json!({"field":"tag","operator":"eq","values":["1.0"]}), "tag eq 1.0"),
            ("  tag  oo  1.0, 1.1 ", json!({"field":"tag","operator":"oo","values":["1.0","1.1"]}), "tag oo 1.0,1.1"),
            (
                "license.name oo GPL v3",
                json!({"field":"license.name","operator":"oo","values":["GPL v3"]}),
                "license.name oo GPL v3",
            ),
            (
                r"tag matches a{1\,2}\d",
                json!({"field":"tag","operator":"matches","values":["a{1,2}\\d"]}),
                r"tag matches a{1,2}\d",
            ),
        ] {
            let read = text.parse::<Rule>().unwrap().to_json();
            assert_eq!(read, rule, "{text}");
            assert_eq!(super::shown(&json!({"rules": [read]})), shown);
        }
    }

    #[test]
    fn a_rule_that_is_none_is_told_the_shape() {
        for (text, error) in [
            ("", RuleError::Shape),
            ("tag", RuleError::Shape),
            ("tag eq", RuleError::Shape),
            ("tag eq 1,,2", RuleError::EmptyValue),
            ("tag eq 1,", RuleError::EmptyValue),
        ] {
            assert_eq!(text.parse::<Rule>(), Err(error), "{text}");
        }
        let many = format!("tag oo {}", vec!["x"; limits::RULE_VALUES + 1].join(","));
        assert_eq!(many.parse::<Rule>(), Err(RuleError::TooMany));
    }
}
