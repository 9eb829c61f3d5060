//! One act: who, from where, what, to what, why, and what changed.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::action::{Action, ObjectKind};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::limits;
use crate::oci::Digest;

/// One row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place among all rows; never reused.
    pub number: u64,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The same on the store's own time line, by which it is kept: whoever
    /// turns the wall clock forgets nothing.
    pub age: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// What.
    pub action: Action,
    /// To what.
    pub object: Object,
    /// Why, where that is known.
    pub cause: Cause,
    /// What changed, where that says something.
    pub details: Vec<Detail>,
    /// The event that tells the same to whoever follows the log of events, or
    /// the history of a tag.
    pub event: Option<u64>,
    /// How many times; more than one where like acts are told together.
    pub times: u64,
}

/// Where an act came from. It rides on the handle of the store through which
/// the act is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The daemon by itself: schedules, policies, upkeep.
    Daemon,
    /// A request.
    Request(Request),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The far end.
    pub peer: Peer,
    /// What the client calls itself, cut to a bound.
    pub agent: String,
    /// The request's id: in the answer, and in every line of the log.
    pub id: String,
    /// What was shown in place of a password: the label of a token, the name
    /// of a certificate. Never the token.
    pub credential: Option<String>,
}

/// The far end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// Somebody on this host, over the local socket: the user it runs as.
    Local {
        /// The user's number; none where the system does not say.
        uid: Option<u32>,
    },
    /// Somebody at an address. Behind a proxy it is the proxy's.
    Network(SocketAddr),
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What kind of thing.
    pub kind: ObjectKind,
    /// Its name then.
    pub name: String,
    /// Its id, which no later thing of that name has.
    pub id: Option<Id>,
    /// The namespace it lies in, whose owners may see the row.
    pub namespace: Option<String>,
}

/// Why something was done, beyond that somebody asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The policy that wanted it.
    pub policy: Option<Id>,
    /// The event that led to it.
    pub event: Option<u64>,
    /// The job that did it, or that it is.
    pub job: Option<Id>,
    /// In words; empty where nothing is to be said.
    pub words: String,
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Its name, as in the API.
    pub field: Cow<'static, str>,
    /// What it was; none where there was nothing, or it is too long to be told.
    pub before: Option<Value>,
    /// What it is now; the same.
    pub after: Option<Value>,
}

/// What something was, or is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A text, cut to a bound.
    Text(String),
    /// A digest, half as long as its text.
    Digest(Digest),
}

/// An act in the making: all that the store does not know by itself.
#[derive(Clone, Debug)]
pub struct Act {
    pub(crate) action: Action,
    pub(crate) object: Object,
    pub(crate) cause: Cause,
    pub(crate) details: Vec<Detail>,
    pub(crate) event: Option<u64>,
    pub(crate) times: u64,
    /// In place of where the handle says it comes from.
    pub(crate) origin: Option<Origin>,
}

impl Act {
    /// `action`, done to `name`.
    pub fn new(action: Action, kind: ObjectKind, name: impl fmt::Display) -> Self {
        Self {
            action,
            object: Object { kind, name: cut(&name.to_string()), id: None, namespace: None },
            cause: Cause::default(),
            details: Vec::new(),
            event: None,
            times: 1,
            origin: None,
        }
    }

    /// Whether anything is told to have changed.
    pub fn tells(&self) -> bool {
        !self.details.is_empty()
    }

    /// The thing's id.
    #[must_use]
    pub fn id(mut self, id: Id) -> Self {
        self.object.id = Some(id);
        self
    }

    /// The namespace it lies in.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.object.namespace = Some(cut(namespace));
        self
    }

    /// The policy that wanted it.
    #[must_use]
    pub fn by_policy(mut self, policy: Option<Id>) -> Self {
        self.cause.policy = policy;
        self
    }

    /// The job that it is.
    #[must_use]
    pub fn by_job(mut self, job: Id) -> Self {
        self.cause.job = Some(job);
        self
    }

    /// Why, in words.
    #[must_use]
    pub fn because(mut self, words: impl fmt::Display) -> Self {
        self.cause.words = cut(&words.to_string());
        self
    }

    /// The event that tells the same.
    #[must_use]
    pub fn event(mut self, seq: u64) -> Self {
        self.event = Some(seq);
        self
    }

    /// How many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Where it came from, where the handle does not know.
    #[must_use]
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Something that is now: there was nothing of it before.
    #[must_use]
    pub fn with(self, field: &'static str, after: impl fmt::Display) -> Self {
        self.detail(field, None, Some(after.to_string()))
    }

    /// The same of a field that its user named.
    #[must_use]
    pub fn with_given(mut self, field: &str, after: &str) -> Self {
        if self.details.len() < limits::AUDIT_DETAILS {
            let field = Cow::Owned(cut(field));
            self.details.push(Detail { field, before: None, after: Some(Value::Text(cut(after))) });
        }
        self
    }

    /// Something that may have changed; told where it did.
    #[must_use]
    pub fn changed<T: PartialEq + fmt::Display>(self, field: &'static str, before: T, after: T) -> Self {
        if before == after { self } else { self.detail(field, Some(before.to_string()), Some(after.to_string())) }
    }

    /// The same of a long text, of which nothing but that it changed is told.
    #[must_use]
    pub fn rewrote(self, field: &'static str, before: &str, after: &str) -> Self {
        if before == after { self } else { self.detail(field, None, None) }
    }

    /// What was, and what is now.
    #[must_use]
    pub fn detail(mut self, field: &'static str, before: Option<String>, after: Option<String>) -> Self {
        if self.details.len() < limits::AUDIT_DETAILS {
            let text = |text: Option<String>| text.map(|text| Value::Text(cut(&text)));
            self.details.push(Detail { field: Cow::Borrowed(field), before: text(before), after: text(after) });
        }
        self
    }

    /// What something named, and what it names now.
    #[must_use]
    pub fn digests(mut self, before: Option<Digest>, after: Option<Digest>) -> Self {
        let (before, after) = (before.map(Value::Digest), after.map(Value::Digest));
        self.details.push(Detail { field: Cow::Borrowed("digest"), before, after });
        self
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid: Some(uid) } => write!(f, "local socket, uid {uid}"),
            Self::Local { uid: None } => f.write_str("local socket"),
            Self::Network(address) => write!(f, "{address}"),
        }
    }
}

/// A text that a stranger may have sent, cut to a bound at a character's end.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(limits::AUDIT_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_characters_end() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(limits::AUDIT_TEXT_BYTES);
        let told = cut(&long);
        assert!(told.len() <= limits::AUDIT_TEXT_BYTES && long.starts_with(&told));
    }

    #[test]
    fn what_did_not_change_is_not_told() {
        let act = Act::new(Action::RepositoryUpdate, ObjectKind::Repository, "dev/web")
            .changed("visibility", "private", "public")
            .changed("tagLimit", 3, 3)
            .rewrote("longDescription", "a", "b");
        assert_eq!(act.details.len(), 2);
        assert_eq!(act.details[0].after, Some(Value::Text("public".to_owned())));
        assert_eq!((&act.details[1].before, &act.details[1].after), (&None, &None));
    }
}
