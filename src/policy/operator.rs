//! The words of rules: what they look at and how they compare, in DTR's
//! spelling. Comparison is by bytes: case matters, nothing is trimmed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a rule looks at. The fields that this version evaluates; the others
/// that DTR knows are refused with a message of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Field {
    /// The tag's name.
    #[serde(rename = "tag")]
    Tag,
}

/// How a rule compares. A positive operator holds when *any* of its values
/// matches (DTR's tools send exactly one for `eq`, `sw`, `ew` and `c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// Equals a value.
    #[serde(rename = "eq")]
    Equals,
    /// Starts with a value.
    #[serde(rename = "sw")]
    StartsWith,
    /// Ends with a value.
    #[serde(rename = "ew")]
    EndsWith,
    /// Contains a value.
    #[serde(rename = "c")]
    Contains,
    /// Is one of the values.
    #[serde(rename = "oo")]
    OneOf,
    /// Is none of the values.
    #[serde(rename = "noo")]
    NotOneOf,
}

/// A word that no rule may use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A field that DTR knows and this version does not evaluate.
    #[error("field {0:?} {1}; the field that can be used is \"tag\"")]
    FieldNotYet(&'static str, &'static str),
    /// No field at all.
    #[error("{0:?} is no field; the field that can be used is \"tag\"")]
    Field(String),
    /// No operator of this field.
    #[error(
        "{0:?} is no operator of the field \"tag\"; use one of eq (equals), sw (starts with), ew (ends with), \
         c (contains), oo (one of), noo (not one of)"
    )]
    Operator(String),
}

impl Field {
    /// The field's one spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, WordError> {
        const SCAN: &str = "needs image scanning, which this version does not have";
        const TIME: &str = "is not supported in this version";
        match text {
            "tag" => Ok(Self::Tag),
            "component.name" => Err(WordError::FieldNotYet("component.name", SCAN)),
            "license.name" => Err(WordError::FieldNotYet("license.name", SCAN)),
            "vulnerability_all" => Err(WordError::FieldNotYet("vulnerability_all", SCAN)),
            "vulnerability_critical" => Err(WordError::FieldNotYet("vulnerability_critical", SCAN)),
            "vulnerability_major" => Err(WordError::FieldNotYet("vulnerability_major", SCAN)),
            "vulnerability_minor" => Err(WordError::FieldNotYet("vulnerability_minor", SCAN)),
            "updated_at" => Err(WordError::FieldNotYet("updated_at", TIME)),
            "updated_at_duration" => Err(WordError::FieldNotYet("updated_at_duration", TIME)),
            other => Err(WordError::Field(head(other))),
        }
    }
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Equals, Self::StartsWith, Self::EndsWith, Self::Contains, Self::OneOf, Self::NotOneOf];

    /// The operator's one spelling, DTR's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "eq",
            Self::StartsWith => "sw",
            Self::EndsWith => "ew",
            Self::Contains => "c",
            Self::OneOf => "oo",
            Self::NotOneOf => "noo",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, WordError> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text).ok_or_else(|| WordError::Operator(head(text)))
    }

    pub(super) fn matches(self, saw: &str, value: &str) -> bool {
        match self {
            Self::Equals | Self::OneOf | Self::NotOneOf => saw == value,
            Self::StartsWith => saw.starts_with(value),
            Self::EndsWith => saw.ends_with(value),
            Self::Contains => saw.contains(value),
        }
    }

    /// Whether the operator holds when one of its values matches.
    pub(super) const fn wants_a_match(self) -> bool {
        match self {
            Self::Equals | Self::StartsWith | Self::EndsWith | Self::Contains | Self::OneOf => true,
            Self::NotOneOf => false,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The beginning of a text that came from outside, for a message of one line.
fn head(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_are_serdes() {
        for operator in Operator::ALL {
            assert_eq!(serde_json::to_value(operator).expect("json"), operator.as_str());
            assert_eq!(Operator::parse(operator.as_str()), Ok(operator));
        }
        assert_eq!(serde_json::to_value(Field::Tag).expect("json"), Field::Tag.as_str());
        assert_eq!(Field::parse(Field::Tag.as_str()), Ok(Field::Tag));
    }
}
