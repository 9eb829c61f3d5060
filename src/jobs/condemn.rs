//! Writes down what is damaged: off the tables that are read, into quarantine,
//! with a job that gets the right bytes back, in one commit.

use crate::audit::Audit;
use crate::chance::Id;
use crate::store::file::{Flaw, UploadId};
use crate::store::quarantine::{self, Held};
use crate::store::{Change, Operation, StoreError};

use super::heal::wish_heal;

/// Bytes that were looked at and are damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flawed {
    /// What names them.
    pub(super) held: Held,
    /// The file in which they were found; none for the database.
    pub(super) upload: Option<UploadId>,
    /// What is wrong with them.
    pub(super) flaw: Flaw,
}

/// Writes down what is damaged.
pub(super) struct Condemn {
    pub(super) flawed: Vec<Flawed>,
    /// The id of a job that may be needed.
    pub(super) heal: Id,
}

impl Operation for Condemn {
    type Plan = ();
    /// Those that were named still.
    type Done = Vec<Flawed>;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "quarantine";
    const AUDIT: Audit =
        Audit::Nothing("what is damaged stands in the quarantine and in the log of the pass that found it");
    // A full disk serves no damaged bytes either.
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<Vec<Flawed>, StoreError> {
        condemn_all(tables, &self.flawed, self.heal)
    }
}

/// Puts into quarantine what of `flawed` is named still; those.
pub(super) fn condemn_all(change: &mut Change<'_>, flawed: &[Flawed], heal: Id) -> Result<Vec<Flawed>, StoreError> {
    let mut done = Vec::new();
    for one in flawed {
        if quarantine::condemn(change, &one.held, one.upload, &one.flaw)? {
            done.push(one.clone());
        }
    }
    if !done.is_empty() {
        wish_heal(change, heal)?;
    }
    Ok(done)
}

/// One line for each, for whoever watches the log.
pub(super) fn tell(condemned: &[Flawed]) {
    for Flawed { held, flaw, .. } in condemned {
        let (digest, kind) = (held.digest, held.holder.as_str());
        tracing::error!(digest = %digest, kind, flaw = %flaw, "damaged bytes were found; they are not served any more");
    }
}
