//! Rights as arithmetic: who asks, what is asked for and which grants hold go
//! in; the level that follows comes out. No lookup happens here.
//!
//! The levels are DTR's. The highest of a caller's rights holds. A credential
//! may leave less of it ([`scope`]).

/// What a credential leaves of its holder's rights.
pub mod scope;

pub use scope::{Action, Actions, Scope, ScopeError, Scopes};

/// How much a caller may do with a repository. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// See and pull.
    ReadOnly,
    /// Push and delete too.
    ReadWrite,
    /// Settings, policies and deletion of the repository too.
    Admin,
}

impl Level {
    /// All levels, the least first.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::ReadWrite, Self::Admin];

    /// DTR's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
            Self::Admin => "admin",
        }
    }
}

/// A text that is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access level is \"read-only\", \"read-write\" or \"admin\", not {0:?}")]
pub struct NoLevel(pub String);

impl std::str::FromStr for Level {
    type Err = NoLevel;

    fn from_str(text: &str) -> Result<Self, NoLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| NoLevel(text.to_owned()))
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Nobody who signed in.
    Anonymous,
    /// A user.
    User {
        /// The user's name, which is its namespace too.
        name: &'a str,
        /// Whether it is a system admin.
        is_admin: bool,
        /// Whether it may act at all.
        is_active: bool,
    },
    /// A robot, which belongs to a namespace.
    Robot {
        /// That namespace.
        namespace: &'a str,
    },
    /// Whoever holds the local socket.
    System,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Whether everyone may read it.
    pub is_public: bool,
}

/// The level that `subject` has on `object`, given the levels that grants
/// (of teams, on the repository or its namespace) give it; an owner of the
/// organization has a grant of [`Level::Admin`] on all of it.
pub fn level(subject: Subject<'_>, object: Object<'_>, grants: impl IntoIterator<Item = Level>) -> Option<Level> {
    match subject {
        Subject::System => Some(Level::Admin),
        Subject::User { is_active: false, .. } => None,
        Subject::Anonymous => object.is_public.then_some(Level::ReadOnly),
        Subject::User { is_admin: true, .. } => Some(Level::Admin),
        // Of what the namespace's owner may do, its scopes leave something.
        Subject::Robot { namespace } if namespace == object.namespace => Some(Level::Admin),
        Subject::Robot { .. } => object.is_public.then_some(Level::ReadOnly),
        Subject::User { name, .. } if name == object.namespace => Some(Level::Admin),
        Subject::User { .. } => {
            let public = object.is_public.then_some(Level::ReadOnly);
            grants.into_iter().chain(public).max()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn user(name: &str) -> Subject<'_> {
        Subject::User { name, is_admin: false, is_active: true }
    }

    #[test]
    fn the_rules() {
        let private = Object { namespace: "dev", is_public: false };
        let public = Object { namespace: "dev", is_public: true };
        let admin = Subject::User { name: "root", is_admin: true, is_active: true };
        let gone = Subject::User { name: "dev", is_admin: true, is_active: false };
        for (subject, object, grants, expected) in [
            (Subject::System, private, vec![], Some(Level::Admin)),
            (admin, private, vec![], Some(Level::Admin)),
            (gone, public, vec![Level::Admin], None),
            (user("dev"), private, vec![], Some(Level::Admin)),
            (user("eve"), private, vec![], None),
            (user("eve"), public, vec![], Some(Level::ReadOnly)),
            (user("eve"), private, vec![Level::ReadOnly, Level::ReadWrite], Some(Level::ReadWrite)),
            (user("eve"), public, vec![Level::Admin, Level::ReadOnly], Some(Level::Admin)),
            (Subject::Anonymous, public, vec![Level::Admin], Some(Level::ReadOnly)),
            (Subject::Anonymous, private, vec![Level::Admin], None),
            (Subject::Robot { namespace: "dev" }, private, vec![], Some(Level::Admin)),
            (Subject::Robot { namespace: "qa" }, public, vec![Level::Admin], Some(Level::ReadOnly)),
            (Subject::Robot { namespace: "qa" }, private, vec![Level::Admin], None),
        ] {
            assert_eq!(level(subject, object, grants.clone()), expected, "{subject:?} {object:?} {grants:?}");
        }
    }
}
