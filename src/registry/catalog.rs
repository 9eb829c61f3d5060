//! The list of repositories: only what the caller may see.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::access::Level;
use crate::chance::Id;
use crate::oci::RepoName;
use crate::oci::page::Page;
use crate::store::record::{Member, Repository};
use crate::store::{Snapshot, StoreError, account, grant, organization, repo, team};

use super::{Caller, Registry, RegistryError};

impl Registry {
    /// One page of the repositories that the caller may see, by name, within a
    /// namespace if one is given; and whether more follow.
    pub fn repositories(
        &self,
        caller: &Caller,
        namespace: Option<&str>,
        page: &Page,
    ) -> Result<(Vec<(RepoName, Repository)>, bool), RegistryError> {
        let read = self.store().snapshot()?;
        let mut found = Vec::new();
        let mut more = false;
        if page.entries == 0 {
            return Ok((found, false));
        }
        let mut take = |name, record| {
            if found.len() == page.entries {
                more = true;
                return ControlFlow::Break(());
            }
            found.push((name, record));
            ControlFlow::Continue(())
        };
        let last = page.last.as_deref();
        if caller.is_admin_somewhere(&read)? {
            repo::walk(&read, namespace, last, |name, record| {
                let is_seen = caller.level(&read, name.namespace(), Some(&record))?.is_some();
                Ok(if is_seen { take(name, record) } else { ControlFlow::Continue(()) })
            })?;
            return Ok((found, more));
        }
        // What the caller may see is looked up, not what is there: a page costs
        // the same for one who sees a repository in a hundred.
        let mut from = page.last.clone();
        loop {
            let names = seen(&read, caller, namespace, from.as_deref(), page.entries)?;
            let is_last = names.len() <= page.entries;
            // Behind the first so many, names of another namespace may be missing.
            for name in names.into_iter().take(page.entries.saturating_add(1)) {
                // A name that has just been let in may still be refused here,
                // where rights are decided: what a credential's scopes leave out
                // is, and then what follows is looked at until the page is full.
                if let Ok(record) = caller.require(&read, &name, Level::ReadOnly)?
                    && take(name.clone(), record).is_break()
                {
                    return Ok((found, true));
                }
                from = Some(name.as_str().to_owned());
            }
            if is_last {
                return Ok((found, false));
            }
        }
    }
}

/// What of a namespace a caller may see beyond what is public.
enum Seen {
    /// All of it.
    Whole,
    /// What these teams have grants on.
    Granted(Vec<Id>),
}

/// The names of at least one more than `entries` repositories that the caller
/// may see, if there are as many, in order: those of its own namespace, of its
/// organizations as far as its place there goes, and the public ones.
fn seen(
    read: &Snapshot,
    caller: &Caller,
    namespace: Option<&str>,
    last: Option<&str>,
    entries: usize,
) -> Result<BTreeSet<RepoName>, StoreError> {
    let most = entries.saturating_add(1);
    let mut names = BTreeSet::new();
    for (of, seen) in namespaces(read, caller, namespace)? {
        // They come in the order of their repositories, so what the first have
        // is before what the others have.
        if names.len() >= most {
            break;
        }
        match seen {
            Seen::Whole => {
                let full = names.len() + most;
                repo::walk(read, Some(&of), last, |name, _| {
                    names.insert(name);
                    Ok(if names.len() < full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                })?;
            }
            Seen::Granted(teams) => {
                for team in teams {
                    let mut count = 0;
                    grant::walk_of_team(read, &team, last, |name, _| {
                        names.insert(name);
                        count += 1;
                        Ok(if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                    })?;
                }
            }
        }
    }
    let mut count = 0;
    repo::walk_public(read, namespace, last, |name| {
        names.insert(name);
        count += 1;
        Ok(if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(names)
}

/// The namespaces that a caller sees something of, in the order of the names
/// in them.
fn namespaces(read: &Snapshot, caller: &Caller, asked: Option<&str>) -> Result<Vec<(String, Seen)>, StoreError> {
    // A slash sorts behind some of what a name may have in it.
    let mut found = BTreeMap::new();
    let is_asked = |name: &str| asked.is_none_or(|asked| asked == name);
    let id = match caller {
        Caller::Account { id, .. } => id,
        Caller::Robot { namespace, .. } => {
            let own = account::name_of(read, namespace)?.filter(|own| is_asked(own));
            return Ok(own.map(|own| (own, Seen::Whole)).into_iter().collect());
        }
        Caller::System | Caller::Anonymous => return Ok(Vec::new()),
    };
    if let Some(own) = account::name_of(read, id)?.filter(|own| is_asked(own)) {
        found.insert(format!("{own}/"), (own, Seen::Whole));
    }
    let mut organizations = Vec::new();
    organization::walk_of_user(read, id, None, |organization| {
        organizations.push(organization);
        Ok(ControlFlow::Continue(()))
    })?;
    for organization in organizations {
        // One that is gone has rows until they are removed.
        let Some(name) = account::name_of(read, &organization)?.filter(|name| is_asked(name)) else { continue };
        let seen = match organization::member(read, &organization, id)? {
            Some(Member { is_admin: true }) => Seen::Whole,
            Some(Member { is_admin: false }) | None => teams(read, id, &organization)?,
        };
        found.insert(format!("{name}/"), (name, seen));
    }
    Ok(found.into_values().collect())
}

/// What a user's teams in an organization let it see.
fn teams(read: &Snapshot, user: &Id, organization: &Id) -> Result<Seen, StoreError> {
    let mut teams = Vec::new();
    for team in team::of_user(read, user, organization)? {
        if !team::exists(read, organization, &team)? {
            continue;
        }
        if grant::of_namespace(read, organization, &team)?.is_some() {
            return Ok(Seen::Whole);
        }
        teams.push(team);
    }
    Ok(Seen::Granted(teams))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::Scopes;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::registry::account::NewAccount;
    use crate::registry::caller::Restriction;
    use crate::registry::repository::Settings;
    use crate::store::Store;

    /// A page that held only names outside of the scopes came back empty, as if
    /// nothing followed.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_scopes_leave_out_ends_no_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).expect("opens");
        let registry = Registry::new(store).expect("sessions");
        for name in ["ann", "qa"] {
            let new = NewAccount {
                name: name.into(),
                full_name: String::new(),
                is_org: false,
                is_admin: false,
                is_active: true,
                password_hash: None,
            };
            registry.create_account(&Caller::System, new).await.expect("is made");
        }
        let mut names: Vec<String> = (0..30).map(|number| format!("ann/r{number:02}")).collect();
        names.extend(["qa/open", "qa/shut"].map(str::to_owned));
        for name in &names {
            let settings = Settings { is_public: Some(name == "qa/open"), ..Settings::default() };
            registry
                .create_repository(&Caller::System, &name.parse().expect("a name"), settings)
                .await
                .expect("is made");
        }
        let id =
            account::get(&registry.store().snapshot().expect("reads"), "ann").expect("reads").expect("is there").id;
        let scopes = Scopes::read(&["ann/r2*:pull".to_owned()]).expect("scopes");
        let within = Some(Arc::new(Restriction { scopes: Some(scopes) }));
        let caller = Caller::Account { id, name: "ann".into(), within };
        let mut expected: Vec<String> = (20..30).map(|number| format!("ann/r{number}")).collect();
        expected.push("qa/open".to_owned());
        for entries in [1, 3, 11, 12, 50] {
            let (mut listed, mut page) = (Vec::new(), Page { entries, last: None });
            loop {
                let (found, more) = registry.repositories(&caller, None, &page).expect("lists");
                assert_eq!(more, listed.len() + found.len() < expected.len(), "{entries}: {found:?}");
                listed.extend(found.into_iter().map(|(name, _)| name.to_string()));
                if !more {
                    break;
                }
                page.last = listed.last().cloned();
            }
            assert_eq!(listed, expected, "{entries} a page");
        }
    }
}
