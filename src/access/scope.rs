//! What a credential leaves of its holder's rights: patterns of repositories,
//! and what may be done with those that match.
//!
//! A scope is written `PATTERN:ACTIONS`, as in `dev/*:pull,push`. A pattern is a
//! repository's name in which `*` stands for any part of a component and `**`,
//! as a whole component, for any number of them. What no scope names may not be
//! done; a scope never gives what its holder does not have.

use std::fmt;
use std::str::FromStr;

use super::Level;
use crate::limits;

/// What is done with a repository. All but `Pull` include it: a client looks
/// at what is there before it sends or deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// See and pull.
    Pull,
    /// Push.
    Push,
    /// Remove tags, manifests and blobs.
    Delete,
    /// Settings, policies and deletion of the repository, and all else.
    Admin,
}

impl Action {
    const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Delete, Self::Admin];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }

    /// The level that it takes.
    pub const fn level(self) -> Level {
        match self {
            Self::Pull => Level::ReadOnly,
            Self::Push | Self::Delete => Level::ReadWrite,
            Self::Admin => Level::Admin,
        }
    }
}

impl From<Level> for Action {
    fn from(level: Level) -> Self {
        match level {
            Level::ReadOnly => Self::Pull,
            Level::ReadWrite => Self::Push,
            Level::Admin => Self::Admin,
        }
    }
}

/// A set of actions; never empty in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    const fn bit(action: Action) -> u8 {
        1 << action as u8
    }

    fn with(self, action: Action) -> Self {
        let more = match action {
            Action::Pull => Self::bit(Action::Pull),
            Action::Push | Action::Delete => Self::bit(Action::Pull) | Self::bit(action),
            Action::Admin => 0b1111,
        };
        Self(self.0 | more)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `action` is in it.
    pub const fn allow(self, action: Action) -> bool {
        self.0 & Self::bit(action) != 0
    }

    /// The highest level of which something may be done.
    pub fn level(self) -> Option<Level> {
        Action::ALL.into_iter().filter(|action| self.allow(*action)).map(Action::level).max()
    }
}

/// Some repositories, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pattern: String,
    actions: Actions,
}

/// A text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It has no colon.
    #[error("{0:?}: a scope is written PATTERN:ACTIONS, as in `dev/*:pull,push`")]
    Shape(String),
    /// The pattern is none.
    #[error(
        "{0:?}: a pattern is a repository's name of up to {most} bytes, in which `*` stands for any part of a component \
         and `**`, as a whole component, for any number of them",
        most = limits::SCOPE_PATTERN_BYTES
    )]
    Pattern(String),
    /// An action that is none.
    #[error("{0:?} is none of the actions pull, push, delete and admin")]
    Action(String),
    /// Too many of them.
    #[error("a credential has at most {most} scopes", most = limits::SCOPES)]
    TooMany,
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let (pattern, words) = text.split_once(':').ok_or_else(|| ScopeError::Shape(text.to_owned()))?;
        if !is_pattern(pattern) {
            return Err(ScopeError::Pattern(pattern.to_owned()));
        }
        let mut actions = Actions::default();
        for word in words.split(',') {
            let action = Action::ALL.into_iter().find(|action| action.as_str() == word);
            actions = actions.with(action.ok_or_else(|| ScopeError::Action(word.to_owned()))?);
        }
        Ok(Self { pattern: pattern.to_owned(), actions })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.pattern)?;
        let implied = |action: Action| match action {
            Action::Admin => false,
            Action::Push | Action::Delete => self.actions.allow(Action::Admin),
            Action::Pull => self.actions.level() > Some(Level::ReadOnly),
        };
        let said = Action::ALL.into_iter().filter(|action| self.actions.allow(*action) && !implied(*action));
        f.write_str(&said.map(Action::as_str).collect::<Vec<_>>().join(","))
    }
}

impl Scope {
    /// Whether it can name no repository outside of this namespace.
    pub fn is_within(&self, namespace: &str) -> bool {
        self.pattern.split('/').next() == Some(namespace)
    }

    fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.pattern.split('/').collect::<Vec<_>>(), name.split('/').collect::<Vec<_>>());
        // Which components of the name the pattern may have come to.
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        for part in pattern {
            let mut next = vec![false; name.len() + 1];
            for (at, _) in reached.iter().enumerate().filter(|(_, is)| **is) {
                if part == "**" {
                    next[at..].fill(true);
                } else if name.get(at).is_some_and(|component| component_matches(part, component)) {
                    next[at + 1] = true;
                }
            }
            reached = next;
        }
        reached[name.len()]
    }

    /// Whether it names every repository of a namespace, those to come as well.
    fn covers(&self, namespace: &str) -> bool {
        match self.pattern.split('/').collect::<Vec<_>>()[..] {
            ["**"] => true,
            [first, "**"] => first == "**" || component_matches(first, namespace),
            _ => false,
        }
    }
}

/// All scopes of a credential. What one of them allows is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Reads what a request or a row holds.
    ///
    /// # Errors
    /// [`ScopeError`].
    pub fn read<T: AsRef<str>>(texts: &[T]) -> Result<Self, ScopeError> {
        if texts.len() > limits::SCOPES {
            return Err(ScopeError::TooMany);
        }
        texts.iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(Scope::to_string).collect()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may be done with the repository `name`.
    pub fn on(&self, name: &str) -> Actions {
        self.0.iter().filter(|scope| scope.matches(name)).fold(Actions::default(), |all, one| all.or(one.actions))
    }

    /// What may be done with whatever a namespace holds.
    pub fn across(&self, namespace: &str) -> Actions {
        self.0.iter().filter(|scope| scope.covers(namespace)).fold(Actions::default(), |all, one| all.or(one.actions))
    }
}

fn is_pattern(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_plain = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-*".contains(&b));
        !part.is_empty() && is_plain && (part == "**" || !part.contains("**"))
    };
    text.len() <= limits::SCOPE_PATTERN_BYTES && text.split('/').all(is_part)
}

/// Whether a component fits one of a pattern, in which `*` is any text. Goes
/// back to the last `*` alone: quadratic at worst, on short texts.
fn component_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes::read(texts).unwrap()
    }

    #[test]
    fn a_star_ends_at_a_slash_and_two_do_not() {
        for (pattern, name, is) in [
            ("dev/web", "dev/web", true),
            ("dev/web", "dev/website", false),
            ("dev/web", "dev/web/x", false),
            ("dev/web", "adev/web", false),
            ("dev/*", "dev/web", true),
            ("dev/*", "dev/web/x", false),
            ("dev/*", "devil/web", false),
            ("dev/**", "dev/web/x/y", true),
            ("dev/**", "qa/web", false),
            ("dev*/**", "devil/web", true),
            ("**", "dev/web", true),
            ("**/web", "dev/a/web", true),
            ("**/web", "dev/a/webs", false),
            ("dev/**/web", "dev/web", true),
            ("dev/**/web", "dev/a/b/web", true),
            ("*/web", "dev/web", true),
            ("*", "dev/web", false),
            ("dev/w*b*e", "dev/website", true),
            ("dev/w*b*x", "dev/website", false),
            ("dev/*site", "dev/sitesite", true),
        ] {
            assert_eq!(scopes(&[&format!("{pattern}:pull")]).on(name).allow(Action::Pull), is, "{pattern} {name}");
        }
    }

    #[test]
    fn every_action_allows_itself_and_what_it_includes() {
        use Action::{Admin, Delete, Pull, Push};
        for (words, allowed) in [
            ("pull", vec![Pull]),
            ("push", vec![Pull, Push]),
            ("delete", vec![Pull, Delete]),
            ("pull,push,delete", vec![Pull, Push, Delete]),
            ("admin", vec![Pull, Push, Delete, Admin]),
        ] {
            let actions = scopes(&[&format!("dev/x:{words}")]).on("dev/x");
            for action in Action::ALL {
                assert_eq!(actions.allow(action), allowed.contains(&action), "{words}: {action:?}");
            }
        }
        assert_eq!(scopes(&[]).on("dev/x").level(), None);
        assert_eq!(scopes(&["dev/x:delete"]).on("dev/x").level(), Some(Level::ReadWrite));
        let both = scopes(&["dev/*:push", "dev/x:delete"]).on("dev/x");
        assert!(both.allow(Push) && both.allow(Delete) && !both.allow(Admin));
    }

    #[test]
    fn a_namespace_is_covered_by_patterns_that_name_all_of_it() {
        for (pattern, is) in
            [("dev/**", true), ("**", true), ("*/**", true), ("de*/**", true), ("dev/*", false), ("qa/**", false)]
        {
            let actions = scopes(&[&format!("{pattern}:admin")]).across("dev");
            assert_eq!(actions.allow(Action::Admin), is, "{pattern}");
        }
        let within = |text: &str| text.parse::<Scope>().unwrap().is_within("dev");
        assert!(within("dev/**:pull") && !within("d*v/x:pull") && !within("**:pull") && !within("qa/dev:pull"));
    }

    #[test]
    fn texts_round_trip_and_others_are_refused() {
        for text in ["dev/**:push", "**:pull", "dev/x:admin", "dev/a-*:push,delete"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert_eq!("dev/x:pull,push".parse::<Scope>().unwrap().to_string(), "dev/x:push");
        assert_eq!("dev/x:pull,admin,push".parse::<Scope>().unwrap().to_string(), "dev/x:admin");
        let long = format!("{}:pull", "x".repeat(limits::SCOPE_PATTERN_BYTES + 1));
        for bad in [
            "",
            "dev/x",
            ":pull",
            "dev/x:",
            "dev/x:pul",
            "dev/x:pull,",
            "Dev/x:pull",
            "dev//x:pull",
            "dev/***:pull",
            "dev/a**:pull",
            "/x:pull",
            "dev/x/:pull",
            "dev/x:PULL",
            "dev/x: pull",
            &long,
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        assert_eq!(Scopes::read(&vec!["dev/x:pull"; limits::SCOPES + 1]), Err(ScopeError::TooMany));
    }

    #[test]
    fn a_pattern_full_of_stars_is_matched_at_once() {
        let pattern = format!("dev/{}b:pull", "*a".repeat(90));
        assert!(!scopes(&[&pattern]).on(&format!("dev/{}", "a".repeat(190))).allow(Action::Pull));
    }
}
