//! Repository names: `namespace/name[/more]`.
//!
//! The grammar is the distribution specification's; on top of it a name has at
//! least two parts, because the first is the namespace: a user's or an
//! organization's, and rights start there.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// Why a text is no repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Only one part.
    #[error("a repository name has at least two parts, `namespace/name`, such as dev/website")]
    OnePart,
    /// Longer than the limit.
    #[error("a repository name has at most {} characters", limits::REPOSITORY_NAME_BYTES)]
    TooLong,
    /// A part outside the grammar.
    #[error(
        "every part of a repository name is lower-case letters and digits, with `.`, `_`, `__` or `-` between them"
    )]
    Grammar,
}

/// A repository's name. `Display` and `FromStr` round-trip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoName(String);

impl RepoName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first part: the user or organization it belongs to.
    pub fn namespace(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// What follows the namespace; may hold slashes.
    pub fn rest(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, rest)| rest)
    }
}

/// Whether `part` is one component of a name:
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub fn is_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !word(first) || !word(last) {
        return false;
    }
    bytes
        .split(|&b| word(b))
        .all(|between| matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|&b| b == b'-'))
}

/// Whether `name` is a repository name in the specification's grammar, with
/// one part or more. Names at *other* registries may have one.
pub fn is_path(name: &str) -> bool {
    name.len() <= limits::REPOSITORY_NAME_BYTES && name.split('/').all(is_component)
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > limits::REPOSITORY_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if !text.split('/').all(is_component) {
            return Err(NameError::Grammar);
        }
        if !text.contains('/') {
            return Err(NameError::OnePart);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for RepoName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RepoName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_grammar_and_nothing_else() {
        for good in ["dev/website", "a/b/c/d", "a-b/c__d", "a.b/c_d", "a---b/c", "0/1"] {
            assert_eq!(good.parse::<RepoName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "dev//x", "/dev/x", "dev/x/", "Dev/x", "dev/..", "dev/%2e", "dev/x ", "-a/b", "a_/b", "a___b/c", "a._b/c",
            "a/é", "",
        ] {
            assert_eq!(bad.parse::<RepoName>(), Err(NameError::Grammar), "{bad}");
        }
        assert_eq!("website".parse::<RepoName>(), Err(NameError::OnePart));
        assert_eq!(format!("a/{}", "b".repeat(300)).parse::<RepoName>(), Err(NameError::TooLong));
    }

    #[test]
    fn namespace_is_the_first_part() {
        let name: RepoName = "dev/web/site".parse().expect("valid");
        assert_eq!((name.namespace(), name.rest()), ("dev", "web/site"));
    }
}
