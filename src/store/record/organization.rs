//! Organizations: who belongs to them, their teams, and what those may do.

use super::Stored;
use crate::access::Level;
use crate::chance::Id;
use crate::clock::Timestamp;

/// How large an organization is. The key is its account's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OrganizationSize {
    /// How many members it has.
    pub members: u64,
    /// How many teams it has.
    pub teams: u64,
}

impl Stored for OrganizationSize {
    const VERSION: u8 = 1;
}

/// A user's place in an organization or in a team.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// An owner of the organization; in a team, who may change the team.
    pub is_admin: bool,
}

impl Stored for Member {
    const VERSION: u8 = 1;
}

/// A team. The key is its organization and its id.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Team {
    /// Its id, which never comes back.
    pub id: Id,
    /// Its name, one of a kind in the organization.
    pub name: String,
    /// A line about it.
    pub description: String,
    /// How many members it has.
    pub members: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Stored for Team {
    const VERSION: u8 = 1;
}

/// What a team may do with a repository, or in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Grant {
    /// How much.
    pub level: Level,
}

impl Stored for Grant {
    const VERSION: u8 = 1;
}
