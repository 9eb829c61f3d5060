//! The list of repositories: only what the caller may see.

use std::ops::ControlFlow;

use crate::oci::RepoName;
use crate::oci::page::Page;
use crate::store::record::Repository;
use crate::store::repo;

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
        // Rights are the same for a whole namespace but for public
        // repositories, so an account is looked up once a namespace.
        let mut known: Option<(String, bool)> = None;
        repo::walk(&read, namespace, page.last.as_deref(), |name, record| {
            let sees_all = match &known {
                Some((namespace, sees)) if namespace == name.namespace() => *sees,
                _ => {
                    let sees = caller.level(&read, name.namespace(), None)?.is_some();
                    known = Some((name.namespace().to_owned(), sees));
                    sees
                }
            };
            if !sees_all && caller.level(&read, name.namespace(), Some(&record))?.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            if found.len() == page.entries {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            found.push((name, record));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, more))
    }
}
