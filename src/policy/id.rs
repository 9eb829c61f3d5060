//! The name of a policy: a random identifier that it keeps for life, through
//! every edit. DTR's tools show it as a UUID, its activity stream as the first
//! eight digits.

use std::fmt;
use std::str::FromStr;

use crate::chance::{Id, IdError};

/// A policy's identifier. `Display` and `FromStr` round-trip, as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PolicyId(Id);

impl PolicyId {
    /// From an identifier that a source of chance made or a row holds.
    pub const fn new(id: Id) -> Self {
        Self(id)
    }

    /// The identifier, for stored keys.
    pub const fn id(&self) -> &Id {
        &self.0
    }

    /// The first eight digits, in capitals, as DTR's activity stream shows it.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for PolicyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn reads_what_it_writes() {
        let id = PolicyId::new(Chance::seeded(1).id());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("CA5E7822".parse::<PolicyId>().is_err());
        let json = serde_json::to_string(&id).expect("json");
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<PolicyId>(&json).expect("json"), id);
    }
}
