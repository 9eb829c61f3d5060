//! What an operator sets while the daemon runs, and what follows from it.

use crate::access::Level;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::oci::RepoName;
use crate::store::record::Settings;
use crate::store::{Change, Lane, Operation, StoreError, audit, repo, settings};

use super::repository::Settings as RepositorySettings;
use super::{Caller, Registry, RegistryError};

/// What of the settings changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Whether a push makes a repository that is not there.
    pub create_on_push: Option<bool>,
}

struct UpdateSettings {
    caller: Caller,
    change: SettingsChange,
}

impl Operation for UpdateSettings {
    type Plan = Settings;
    type Done = Settings;
    type Refusal = RegistryError;
    const NAME: &'static str = "update settings";
    const AUDIT: Audit = Audit::Acts(&[Action::SettingsUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Settings, RegistryError>, StoreError> {
        if !self.caller.is_admin(tables)? {
            return Ok(Err(RegistryError::AdminOnly { action: "change the settings" }));
        }
        Ok(Ok(settings::get(tables)?))
    }

    fn apply(&self, mut settings: Settings, tables: &mut Change<'_>) -> Result<Settings, StoreError> {
        let before = settings;
        settings.create_on_push = self.change.create_on_push.unwrap_or(settings.create_on_push);
        settings::put(tables, &settings)?;
        let act = Act::new(Action::SettingsUpdate, ObjectKind::Registry, "settings").changed(
            "createRepositoryOnPush",
            before.create_on_push,
            settings.create_on_push,
        );
        if act.tells() {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok(settings)
    }
}

impl Registry {
    /// The settings.
    pub fn settings(&self) -> Result<Settings, RegistryError> {
        Ok(settings::get(&self.store().snapshot()?)?)
    }

    /// Changes the settings.
    pub async fn update_settings(&self, caller: &Caller, change: SettingsChange) -> Result<Settings, RegistryError> {
        self.store().submit(Lane::Foreground, UpdateSettings { caller: caller.clone(), change }).await?
    }

    /// Makes a repository that a push is meant for and that is not there, where
    /// pushes make repositories and the caller may make this one. Says nothing
    /// about whether the push may go on.
    pub async fn make_for_push(&self, caller: &Caller, repository: &RepoName) -> Result<(), RegistryError> {
        {
            let read = self.store().snapshot()?;
            // All of it for everyone: the time that a refusal takes is no answer.
            let is_there = repo::get(&read, repository)?.is_some();
            let is_allowed = settings::get(&read)?.create_on_push;
            let level = caller.level(&read, repository.namespace(), None)?;
            if is_there || !is_allowed || level != Some(Level::Admin) {
                return Ok(());
            }
        }
        match self.create_repository(caller, repository, RepositorySettings::default()).await {
            Ok(_) => {
                tracing::info!(repo.name = repository.as_str(), "a push made a repository");
                Ok(())
            }
            // Another layer of the same push was first; or what made it allowed
            // is gone, and then the push is refused as always.
            Err(
                RegistryError::RepositoryExists { .. }
                | RegistryError::NamespaceUnknown { .. }
                | RegistryError::Denied { .. },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
