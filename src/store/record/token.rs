//! Access tokens, robots, and certificates that stand for accounts.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;

/// An access token. The key is the SHA-256 of its text, which is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Token {
    /// The account or robot that it stands for.
    pub holder: Id,
    /// What people call it.
    pub label: String,
    /// How it came about.
    pub origin: Origin,
    /// The program that asked for it, as it called itself.
    pub creator_ua: String,
    /// Whether it may be used.
    pub is_active: bool,
    /// What it leaves of its holder's rights; `None`: all.
    pub scopes: Option<Vec<String>>,
    /// From when on it may not be used; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last, as far as that is written down.
    pub last_used: Option<Timestamp>,
}

/// How an access token came about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Origin {
    /// Somebody asked for it.
    Made,
    /// A program signed in with a password and keeps this in its place, for as
    /// long as the password is the same: `print` is the password's.
    SignIn {
        /// What [`crate::store::token`]'s callers make of the stored hash.
        print: [u8; 16],
    },
}

/// A robot: a name for programs that belongs to a namespace. The key is the id
/// of the namespace's account and its name there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Robot {
    /// Its id, which never comes back.
    pub id: Id,
    /// What it is for.
    pub description: String,
    /// What of the namespace's rights it has.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A name in client certificates that stands for an account. The key is the
/// name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Certified {
    /// The account.
    pub account: Id,
    /// When it was mapped.
    pub created_at: Timestamp,
}

impl Stored for Token {
    const VERSION: u8 = 1;
}

impl Stored for Robot {
    const VERSION: u8 = 1;
}

impl Stored for Certified {
    const VERSION: u8 = 1;
}
