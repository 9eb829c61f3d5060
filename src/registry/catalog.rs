//! The list of repositories: only what the caller may see.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::access::Level;
use crate::oci::RepoName;
use crate::oci::page::Page;
use crate::store::record::Repository;
use crate::store::{Snapshot, StoreError, repo};

use super::caller::ROBOT_MARK;
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
        for name in seen(&read, caller, namespace, last, page.entries)? {
            // A name that has just been let in may still be refused here, where
            // rights are decided.
            if let Ok(record) = caller.require(&read, &name, Level::ReadOnly)?
                && take(name, record).is_break()
            {
                break;
            }
        }
        Ok((found, more))
    }
}

/// The names of up to one more than `entries` repositories that the caller may
/// see: those of its own namespace and the public ones, in order.
fn seen(
    read: &Snapshot,
    caller: &Caller,
    namespace: Option<&str>,
    last: Option<&str>,
    entries: usize,
) -> Result<BTreeSet<RepoName>, StoreError> {
    let most = entries.saturating_add(1);
    let mut names = BTreeSet::new();
    let own = match caller {
        Caller::System | Caller::Account { .. } => caller.label(),
        Caller::Robot { name, .. } => name.split(ROBOT_MARK).next().unwrap_or_default(),
    };
    if namespace.is_none_or(|asked| asked == own) {
        repo::walk(read, Some(own), last, |name, _| {
            names.insert(name);
            Ok(if names.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    let mut count = 0;
    repo::walk_public(read, namespace, last, |name| {
        names.insert(name);
        count += 1;
        Ok(if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(names)
}
