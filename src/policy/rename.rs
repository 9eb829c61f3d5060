//! The local names of pulled tags.
//!
//! A pull mirror converges only when each remote tag has one local name that
//! no other has, today and at every later run. So its template is `%n` with
//! literal text: without `%n` all tags would fight for one name, and with a
//! part of the time every run would make new ones.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;

use super::template::{ExpandError, Template, TemplateError};
use crate::clock::Timestamp;
use crate::oci::Tag;

/// A template that gives different tags different names, always the same ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Rename(Template);

/// Why a text is no rename.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    /// It is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It does not hold the tag's name.
    #[error("a pull mirror's tag template holds %n: without it every remote tag would get the same name")]
    NoName,
    /// It holds a part of the time.
    #[error("a pull mirror's tag template holds no part of the time, only %n and text: each run would make new tags")]
    Time,
}

impl Rename {
    /// The local name of a remote tag.
    pub fn apply(&self, remote: &Tag) -> Result<Tag, ExpandError> {
        // The moment and the zone do not matter: no part of the time is in it.
        self.0.expand(remote, Timestamp::EPOCH, Tz::UTC)
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.0
    }
}

impl Default for Rename {
    /// `%n`: every tag keeps its name, as DTR has it.
    fn default() -> Self {
        Self(Template::keep_name())
    }
}

impl TryFrom<Template> for Rename {
    type Error = RenameError;

    fn try_from(template: Template) -> Result<Self, RenameError> {
        if template.has_time() {
            Err(RenameError::Time)
        } else if !template.has_name() {
            Err(RenameError::NoName)
        } else {
            Ok(Self(template))
        }
    }
}

impl FromStr for Rename {
    type Err = RenameError;

    fn from_str(text: &str) -> Result<Self, RenameError> {
        text.parse::<Template>()?.try_into()
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_name_and_text_only() {
        assert_eq!("latest".parse::<Rename>(), Err(RenameError::NoName));
        assert_eq!("%n-%Y".parse::<Rename>(), Err(RenameError::Time));
        assert!(matches!("%n/%n".parse::<Rename>(), Err(RenameError::Template(_))));
        assert_eq!("%n".parse::<Rename>(), Ok(Rename::default()));
    }

    proptest::proptest! {
        #[test]
        fn different_tags_get_different_names(
            text in "([a-z0-1]{0,2}%n){1,3}[0-1]{0,2}", one in "[0-1]{1,5}", other in "[0-1]{1,5}",
        ) {
            let rename: Rename = text.parse().expect("a rename");
            let name = |tag: &str| rename.apply(&tag.parse().expect("a tag")).expect("a short name");
            proptest::prop_assert_eq!(name(&one) == name(&other), one == other);
        }
    }
}
