//! The audit log, as it is kept.

use serde::{Deserialize, Serialize};

use super::{Damage, Stored, decode};
use crate::audit::{Action, Cause, Class, Detail, Entry, Object, Origin};
use crate::clock::Timestamp;
use crate::event::Actor;

impl Stored for Entry {
    const VERSION: u8 = 1;
}

/// The same as an [`Entry`], field by field, of what others hold: every push
/// writes one.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// `Entry::number`, and so on.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// On the store's own time line.
    pub age: Timestamp,
    /// Who.
    pub actor: &'a Actor,
    /// From where.
    pub origin: &'a Origin,
    /// What.
    pub action: Action,
    /// To what.
    pub object: &'a Object,
    /// Why.
    pub cause: &'a Cause,
    /// What changed.
    pub details: &'a [Detail],
    /// The event.
    pub event: Option<u64>,
    /// How many times.
    pub times: u64,
}

impl Row<'_> {
    /// The stored bytes of the entry that it is.
    ///
    /// # Panics
    /// Never: it is plain data in memory.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![Entry::VERSION]).expect("plain data always encodes")
    }
}

/// How the audit log stands: one row of `meta`, read and written once a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The number of the last row; 0 when there was none.
    pub last: u64,
    /// How many rows of each class are kept, by the class's number.
    pub kept: [u64; Class::ALL.len()],
}

impl Stored for Standing {
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            1 => {
                let Standing1 { last, kept: [system, namespace, content, sign_in] } = decode(rest)?;
                Ok(Self { last, kept: [system, namespace, content, sign_in, 0] })
            }
            other => Err(Damage::Version(other)),
        }
    }
}

/// Before there was a class of what is one's own: its rows are in that of
/// namespaces, and stay there.
#[derive(Serialize, Deserialize)]
struct Standing1 {
    last: u64,
    kept: [u64; 4],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Act, ObjectKind, Peer, Request};
    use crate::chance::Id;
    use crate::oci::Digest;

    #[test]
    fn a_standing_of_four_classes_reads_as_one_of_five() {
        let mut old = vec![1];
        old.extend(postcard::to_stdvec(&Standing1 { last: 900, kept: [1, 2, 3, 4] }).unwrap());
        assert_eq!(Standing::decode(&old), Ok(Standing { last: 900, kept: [1, 2, 3, 4, 0] }));
    }

    #[test]
    fn a_row_reads_back_as_the_entry_that_it_is() {
        let act = Act::new(Action::TagPush, ObjectKind::Tag, "dev/web:1")
            .id(Id::from_bytes([1; 16]))
            .within("dev")
            .by_policy(Some(Id::from_bytes([2; 16])))
            .because("words")
            .changed("a", 1, 2)
            .digests(None, Some(Digest::sha256_of(b"x")));
        let peer = Peer::Network(([10, 0, 0, 1], 7).into());
        let request = Request { peer, agent: "a".into(), id: "i".into(), credential: Some("c".into()) };
        let entry = Entry {
            number: 9,
            at: Timestamp::from_micros(1),
            age: Timestamp::from_micros(2),
            actor: Actor::Account { id: Id::from_bytes([3; 16]), name: "ann".into() },
            origin: Origin::Request(request),
            action: act.action,
            object: act.object,
            cause: act.cause,
            details: act.details,
            event: Some(4),
            times: 5,
        };
        let row = Row {
            number: entry.number,
            at: entry.at,
            age: entry.age,
            actor: &entry.actor,
            origin: &entry.origin,
            action: entry.action,
            object: &entry.object,
            cause: &entry.cause,
            details: &entry.details,
            event: entry.event,
            times: entry.times,
        };
        assert_eq!(row.encode(), entry.encode());
        assert_eq!(Entry::decode(&row.encode()), Ok(entry));
    }
}
