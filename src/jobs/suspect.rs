//! Looks at what somebody met and found wrong, at once: a download that broke
//! off, a manifest that did not hash, a file that `verify` named.

use crate::lifecycle::{self, Scope};
use crate::registry::{Registry, RegistryError};
use crate::store::quarantine::Held;
use crate::store::scrub::{self, Item};
use crate::store::{Lane, error_chain};

use super::budget::Rate;
use super::condemn::{Condemn, Flawed, tell};
use super::examine::{Examiner, Seen};
use super::heal::go_on;

/// Looks at suspects until the scope is told to stop.
pub async fn run(registry: Registry, scope: Scope) {
    // What an earlier run found and could not heal is tried on.
    if let Err(error) = go_on(registry.store()).await {
        tracing::warn!(error = error_chain(&error), "what is damaged could not be looked up; the next pass does");
    }
    // Somebody waits for it: at no rate.
    let now = registry.store().clock().monotonic();
    let mut examiner = Examiner::new(registry.store().files(), Rate::UNLIMITED, now);
    while let Some(held) = scope.until_stopped(registry.suspected()).await {
        match scope.until_stopped(look(&registry, &mut examiner, held)).await {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(held = %held, error = error_chain(&error), "what may be damaged could not be looked at");
            }
        }
    }
}

/// Looks at one; whether it is damaged.
async fn look(registry: &Registry, examiner: &mut Examiner, held: Held) -> Result<bool, RegistryError> {
    let store = registry.store().clone();
    let item = lifecycle::blocking(move || scrub::item_of(&store.snapshot()?, &held)).await?;
    let (upload, flaw) = match item {
        None => return Ok(false),
        Some(Item::Inline { flaw, .. }) => (None, flaw),
        Some(Item::File { file, size }) => match examiner.look(&file, size).await {
            Seen::Flawed(flaw) => (Some(file.upload), Some(flaw)),
            Seen::Whole => (Some(file.upload), None),
            Seen::Unsteady(flaw) => {
                tracing::warn!(held = %held, flaw = %flaw, "read wrong once and right the next time: the disk or the memory fails");
                (Some(file.upload), None)
            }
            Seen::Unseen(why) => {
                tracing::warn!(held = %held, why, "what may be damaged could not be looked at");
                return Ok(false);
            }
        },
    };
    let Some(flaw) = flaw else { return Ok(false) };
    let store = registry.store();
    let condemn = Condemn { flawed: vec![Flawed { held, upload, flaw }], heal: store.chance().id() };
    let condemned = store.submit(Lane::Background, condemn).await?.unwrap_or_else(|never| match never {});
    tell(&condemned);
    Ok(!condemned.is_empty())
}
