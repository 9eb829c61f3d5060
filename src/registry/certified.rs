//! Which account a client certificate stands for.
//!
//! A certificate has names: the hash of all of it, those of its subject
//! alternative names, the common name of its subject. System admins say which
//! name stands for which account; the most particular one decides. What no name
//! leads to is nobody, and signs in otherwise.

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::limits;
use crate::store::record::Certified;
use crate::store::{Change, Lane, Operation, Read, StoreError, account, audit, certified};

use super::{Caller, Registry, RegistryError};

/// The kinds of names, the most particular first.
const KINDS: [&str; 5] = ["fingerprint:", "uri:", "email:", "dns:", "cn:"];

/// A name of a certificate in the one spelling that it is kept in; `None` when
/// it is none.
pub fn certificate_name(text: &str) -> Option<String> {
    let kind = KINDS.into_iter().find(|kind| text.starts_with(kind))?;
    let value = &text[kind.len()..];
    if value.is_empty() || text.len() > limits::CERTIFIED_NAME_BYTES || value.chars().any(char::is_control) {
        return None;
    }
    match kind {
        "fingerprint:" => {
            let digits: String = value.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
            let is_hash = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            is_hash.then(|| format!("{kind}{digits}"))
        }
        // Names of hosts have no case (RFC 4343).
        "dns:" => Some(format!("{kind}{}", value.to_ascii_lowercase())),
        _ => Some(text.to_owned()),
    }
}

/// Who shows a certificate with these names, and by which: the first that is
/// mapped decides. `names` is in the order of `KINDS`.
pub fn who(read: &impl Read, names: &[String]) -> Result<Option<(Caller, String)>, StoreError> {
    for name in names {
        let Some(mapped) = certified::get(read, name)? else { continue };
        let account = account::by_id(read, &mapped.account)?.filter(|(_, found)| found.is_active && !found.is_org);
        return Ok(account.map(|(called, found)| (Caller::account_of(found.id, called), name.clone())));
    }
    Ok(None)
}

struct MapCertificate {
    caller: Caller,
    name: String,
    /// The account; none forgets the name.
    account: Option<String>,
}

const ACTION: &str = "map client certificates to accounts";

impl Operation for MapCertificate {
    type Plan = Option<Certified>;
    type Done = ();
    type Refusal = RegistryError;
    const NAME: &'static str = "map client certificate";
    const AUDIT: Audit = Audit::Acts(&[Action::CertificateMap, Action::CertificateUnmap]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        if !self.caller.is_admin(tables)? {
            return Ok(Err(RegistryError::AdminOnly { action: ACTION }));
        }
        if self.caller.is_restricted() {
            return Ok(Err(RegistryError::Restricted));
        }
        let is_there = certified::get(tables, &self.name)?.is_some();
        let Some(wanted) = &self.account else {
            let unknown = || RegistryError::CertificateUnknown { name: self.name.clone() };
            return Ok(if is_there { Ok(None) } else { Err(unknown()) });
        };
        let Some(found) = account::get(tables, wanted)?.filter(|account| !account.is_org) else {
            return Ok(Err(RegistryError::AccountUnknown { name: wanted.clone() }));
        };
        let count = limits::CERTIFIED_NAMES;
        if !is_there && certified::list(tables, "", count)?.len() >= count {
            return Ok(Err(RegistryError::TooManyCredentials { count }));
        }
        Ok(Ok(Some(Certified { account: found.id, created_at: tables.now() })))
    }

    fn apply(&self, plan: Self::Plan, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let named = |tables: &Change<'_>, id: &Id| account::name_of(tables, id);
        let before = match certified::get(tables, &self.name)? {
            Some(before) => named(tables, &before.account)?,
            None => None,
        };
        let (action, after) = match plan {
            Some(record) => {
                certified::put(tables, &self.name, &record)?;
                (Action::CertificateMap, named(tables, &record.account)?)
            }
            None => {
                certified::remove(tables, &self.name)?;
                (Action::CertificateUnmap, None)
            }
        };
        let act = Act::new(action, ObjectKind::Certificate, &self.name).detail("account", before, after);
        audit::append(tables, &self.caller.actor(), act)
    }
}

impl Registry {
    /// Maps a name in certificates to an account.
    pub async fn map_certificate(&self, caller: &Caller, name: &str, account: &str) -> Result<String, RegistryError> {
        self.set_certificate(caller, name, Some(account.to_owned())).await
    }

    /// Forgets such a name. Certificates with it are nobody's at once.
    pub async fn unmap_certificate(&self, caller: &Caller, name: &str) -> Result<String, RegistryError> {
        self.set_certificate(caller, name, None).await
    }

    async fn set_certificate(
        &self,
        caller: &Caller,
        name: &str,
        account: Option<String>,
    ) -> Result<String, RegistryError> {
        let name = certificate_name(name).ok_or_else(|| RegistryError::CertificateName { name: name.to_owned() })?;
        let operation = MapCertificate { caller: caller.clone(), name: name.clone(), account };
        self.store().submit(Lane::Foreground, operation).await??;
        Ok(name)
    }

    /// The names that are mapped, from `start` on, with their accounts' names.
    pub fn certificates(
        &self,
        caller: &Caller,
        start: &str,
        limit: usize,
    ) -> Result<Vec<(String, String, Certified)>, RegistryError> {
        let read = self.store().snapshot()?;
        if !caller.is_admin(&read)? {
            return Err(RegistryError::AdminOnly { action: ACTION });
        }
        let mut found = Vec::new();
        for (name, record) in certified::list(&read, start, limit)? {
            let account = account::name_of(&read, &record.account)?.unwrap_or_default();
            found.push((name, account, record));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let hash = "AB".repeat(32);
        let colons = vec!["ab"; 32].join(":");
        for text in [format!("fingerprint:{hash}"), format!("fingerprint:{colons}")] {
            assert_eq!(certificate_name(&text), Some(format!("fingerprint:{}", "ab".repeat(32))));
        }
        for (text, kept) in [
            ("uri:spiffe://factory/press-7", Some("uri:spiffe://factory/press-7")),
            ("cn:Press 7", Some("cn:Press 7")),
            ("dns:Press-7.Example", Some("dns:press-7.example")),
            ("cn:", None),
            ("press-7", None),
            ("fingerprint:abc", None),
            ("cn:a\nb", None),
        ] {
            assert_eq!(certificate_name(text).as_deref(), kept, "{text}");
        }
        assert_eq!(certificate_name(&format!("cn:{}", "x".repeat(limits::CERTIFIED_NAME_BYTES))), None);
    }
}
