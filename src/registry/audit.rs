//! Who did what: for system admins all of it, for owners what was done in their
//! namespace.

use crate::access::Level;
use crate::audit::{Act, Action, Audit};
use crate::event::Actor;
use crate::store::audit::{self, Filter, Found};
use crate::store::{Change, Lane, Operation, StoreError};

use super::{Caller, Registry, RegistryError};

/// Who may read the audit log.
pub const READS_AUDIT: &str = "a system admin, or an admin of the namespace that is asked for";

/// Writes down what leaves no other row: it is written before it is done, so
/// that whoever did it cannot have done it unseen.
struct Note {
    actor: Actor,
    act: Act,
}

impl Operation for Note {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "note act";
    const AUDIT: Audit =
        Audit::Acts(&[Action::TagSend, Action::BackupBegin, Action::BackupKeys, Action::KeyAdd, Action::KeyRetire]);
    // A backup is what helps where the disk is full.
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        audit::append(tables, &self.actor, self.act.clone())
    }
}

/// Writes down sign-ins that failed, many at once.
struct NoteFailures(Vec<Act>);

impl Operation for NoteFailures {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "note failed sign-ins";
    const AUDIT: Audit = Audit::Acts(&[Action::SignInFail]);

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        for act in &self.0 {
            audit::append(tables, &Caller::Anonymous.actor(), act.clone())?;
        }
        Ok(())
    }
}

impl Registry {
    /// Rows of the audit log, newest first, from number `start` down.
    pub fn audit_log(
        &self,
        caller: &Caller,
        filter: &Filter,
        start: Option<u64>,
        limit: usize,
    ) -> Result<Found, RegistryError> {
        let read = self.store().snapshot()?;
        let may = match &filter.namespace {
            _ if caller.is_admin(&read)? => true,
            Some(namespace) => caller.level(&read, namespace, None)? == Some(Level::Admin),
            None => false,
        };
        if !may {
            return Err(RegistryError::NotFor { who: READS_AUDIT });
        }
        Ok(audit::page(&read, filter, start, limit)?)
    }

    /// Writes down what `caller` is about to do.
    pub async fn note(&self, caller: &Caller, act: Act) -> Result<(), RegistryError> {
        let note = Note { actor: caller.actor(), act };
        let Ok(()) = self.store().submit(Lane::Foreground, note).await?;
        Ok(())
    }

    /// Writes down sign-ins that failed.
    pub async fn note_failures(&self, acts: Vec<Act>) -> Result<(), StoreError> {
        let Ok(()) = self.store().submit(Lane::Background, NoteFailures(acts)).await?;
        Ok(())
    }
}
