//! Who did what, from where and why, as data.
//!
//! Every act that somebody will ask about later is one [`Entry`], written in
//! the commit of the act itself (`store::audit`). What an act is called stands
//! in one closed vocabulary ([`Action`]); where it came from rides on the
//! handle of the store through which it is done ([`Origin`]), so that nobody
//! can forget it; what is not recorded, and why, stands in
//! `docs/design/0011-audit.md`.
//!
//! Nothing here holds a secret: texts are names, numbers and flags, each cut to
//! a bound.

/// What can be done.
mod action;
/// One act, and how it is told.
mod entry;

pub use action::{Action, Class, ObjectKind};
pub(crate) use entry::cut;
pub use entry::{Act, Cause, Detail, Entry, Object, Origin, Peer, Request, Value};

/// What an operation leaves in the audit log. Each one says it, so that none
/// can forget to ask itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// Rows of these kinds; none where nothing changed.
    Acts(&'static [Action]),
    /// No row, for this reason.
    Nothing(&'static str),
}

impl Audit {
    /// Whether an operation may write a row of this kind.
    pub fn allows(self, action: Action) -> bool {
        match self {
            Self::Acts(actions) => actions.contains(&action),
            Self::Nothing(_) => false,
        }
    }
}
