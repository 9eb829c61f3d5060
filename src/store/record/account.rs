//! Accounts: users and organizations, one space of names.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;

/// A user or an organization. The key is its name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// Its id, which never comes back.
    pub id: Id,
    /// A name for people; may be empty.
    pub full_name: String,
    /// An organization rather than a user.
    pub is_org: bool,
    /// A system admin.
    pub is_admin: bool,
    /// May sign in.
    pub is_active: bool,
    /// The argon2id hash of the password, in PHC form; users only.
    pub password_hash: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Stored for Account {
    const VERSION: u8 = 1;
}
