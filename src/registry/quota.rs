//! Quotas: how much a repository, a namespace and all of them may hold.
//!
//! What decides is the check in the transaction that links (`fits`): used and
//! needed are read there, behind every change before it, so nothing gets past a
//! quota however many come at once. What goes in for a second time costs
//! nothing. `reserve` refuses earlier, before bytes are sent for
//! nothing.
//!
//! The quota of a repository is its admin's to set, that of a namespace and
//! that of all a system admin's. A quota below what is used is taken: nothing
//! more goes in until some goes.

use std::fmt;
use std::ops::ControlFlow;

use bytesize::ByteSize;

use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::oci::{Digest, RepoName};
use crate::store::quarantine::Held;
use crate::store::usage::{self, Scope};
use crate::store::{
    Change, Lane, Operation, Read, RepoId, StoreError, account, audit, blob, manifest, quarantine, repo,
};

use super::{Caller, Registry, RegistryError};

/// What is bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// All repositories together.
    All,
    /// A namespace.
    Namespace(String),
    /// A repository.
    Repository(RepoName),
}

/// A quota that leaves no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub of: Bounded,
    /// Bytes that may be held.
    pub limit: u64,
    /// Bytes that are.
    pub used: u64,
    /// Bytes that others are bringing at this moment.
    pub reserved: u64,
    /// Bytes that this needs beyond that; 0 where it is not known yet.
    pub needed: u64,
}

/// What is held, and how much may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of what.
    pub of: Bounded,
    /// Bytes that are held.
    pub used: u64,
    /// Bytes that may be; none: as many as there is room for.
    pub limit: Option<u64>,
}

/// Bytes that something adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// To the repository, and to its namespace.
    pub(super) linked: u64,
    /// To all.
    pub(super) stored: u64,
}

impl Cost {
    /// What a blob of `size` bytes adds that comes into `repo`.
    pub(super) fn of_blob(read: &impl Read, repo: RepoId, digest: &Digest, size: u64) -> Result<Self, StoreError> {
        let is_linked = blob::is_linked(read, repo, digest)?;
        let is_stored = blob::get(read, digest)?.is_some() || quarantine::has(read, &Held::blob(*digest))?;
        Ok(Self::new(size, is_linked, is_stored))
    }

    /// What a manifest of `size` bytes adds that comes into `repo`.
    pub(super) fn of_manifest(read: &impl Read, repo: RepoId, digest: &Digest, size: u64) -> Result<Self, StoreError> {
        let is_linked = manifest::is_linked(read, repo, digest)?;
        let is_stored = manifest::body(read, digest)?.is_some() || quarantine::has(read, &Held::manifest(*digest))?;
        Ok(Self::new(size, is_linked, is_stored))
    }

    /// What making `held`, which is stored, readable in `repo` adds.
    pub(super) fn of_link(read: &impl Read, repo: RepoId, held: &Held) -> Result<Self, StoreError> {
        use crate::store::record::Holder;
        let is_linked = match held.holder {
            Holder::Blob => blob::is_linked(read, repo, &held.digest)?,
            Holder::Manifest => manifest::is_linked(read, repo, &held.digest)?,
        };
        let linked = if is_linked { 0 } else { usage::size(read, held)? };
        Ok(Self { linked, stored: 0 })
    }

    fn new(size: u64, is_linked: bool, is_stored: bool) -> Self {
        Self { linked: if is_linked { 0 } else { size }, stored: if is_stored { 0 } else { size } }
    }

    /// What it adds to one of the three.
    pub(super) fn to(self, scope: Scope<'_>) -> u64 {
        match scope {
            Scope::All => self.stored,
            Scope::Namespace(_) | Scope::Repository(_) => self.linked,
        }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.linked = self.linked.saturating_add(other.linked);
        self.stored = self.stored.saturating_add(other.stored);
    }
}

/// Whether what `cost` says may be held as well in a repository, by its own
/// quota, its namespace's and that of all. Where nothing bounds it, the cost is
/// not asked for. Until everything that is held has been counted ([`usage`])
/// nothing is refused.
pub(super) fn fits<R: Read>(
    read: &R,
    place: (&RepoName, RepoId),
    cost: impl FnOnce() -> Result<Cost, StoreError>,
) -> Result<Result<(), RegistryError>, StoreError> {
    fits_beside(read, place, cost, |_| Ok(0))
}

/// The same beside what others are bringing, which `reserved` says.
pub(super) fn fits_beside<R: Read>(
    read: &R,
    (name, number): (&RepoName, RepoId),
    cost: impl FnOnce() -> Result<Cost, StoreError>,
    mut reserved: impl FnMut(Scope<'_>) -> Result<u64, StoreError>,
) -> Result<Result<(), RegistryError>, StoreError> {
    let mut bounds = Vec::new();
    for scope in [Scope::Repository(number), Scope::Namespace(name.namespace()), Scope::All] {
        bounds.extend(usage::quota(read, scope)?.map(|limit| (scope, limit)));
    }
    if bounds.is_empty() {
        return Ok(Ok(()));
    }
    let cost = cost()?;
    for (scope, limit) in bounds {
        let needed = cost.to(scope);
        if needed == 0 {
            continue;
        }
        let Some(used) = usage::held(read, scope)? else { continue };
        let reserved = reserved(scope)?;
        if used.saturating_add(reserved).saturating_add(needed) > limit {
            let of = Bounded::of(scope, name);
            return Ok(Err(Exceeded { of, limit, used, reserved, needed }.into()));
        }
    }
    Ok(Ok(()))
}

/// Whether a quota is used up: then nothing that is not there yet can go in.
pub(super) fn used_up(read: &impl Read, (name, number): (&RepoName, RepoId)) -> Result<Option<Exceeded>, StoreError> {
    for scope in [Scope::Repository(number), Scope::Namespace(name.namespace()), Scope::All] {
        let Some(limit) = usage::quota(read, scope)? else { continue };
        if let Some(used) = usage::held(read, scope)?.filter(|used| *used >= limit) {
            return Ok(Some(Exceeded { of: Bounded::of(scope, name), limit, used, reserved: 0, needed: 0 }));
        }
    }
    Ok(None)
}

/// How what has a quota stands, at most `most` of it.
pub fn standings(read: &impl Read, most: usize) -> Result<Vec<Standing>, StoreError> {
    let mut found = Vec::new();
    usage::walk_quotas(read, most, |scope| {
        let of = match scope {
            Scope::All => Bounded::All,
            Scope::Namespace(name) => Bounded::Namespace(name.to_owned()),
            Scope::Repository(number) => match repo::name_of(read, number)? {
                Some(name) => Bounded::Repository(name),
                // Its rows go behind the answer.
                None => return Ok(()),
            },
        };
        found.push(Standing { of, used: usage::counted(read, scope)?, limit: usage::quota(read, scope)? });
        Ok(())
    })?;
    Ok(found)
}

impl Bounded {
    fn of(scope: Scope<'_>, name: &RepoName) -> Self {
        match scope {
            Scope::All => Self::All,
            Scope::Namespace(namespace) => Self::Namespace(namespace.to_owned()),
            Scope::Repository(_) => Self::Repository(name.clone()),
        }
    }

    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Namespace(_) => "namespace",
            Self::Repository(_) => "repository",
        }
    }

    /// Its name; empty for all.
    pub fn name(&self) -> &str {
        match self {
            Self::All => "",
            Self::Namespace(name) => name,
            Self::Repository(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("the whole registry"),
            Self::Namespace(name) => write!(f, "the namespace {name}"),
            Self::Repository(name) => write!(f, "the repository {name}"),
        }
    }
}

/// Says which quota, what is used, what this needs, and what to do.
impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, limit, used, reserved, needed } = self;
        write!(f, "the quota of {of} leaves no room: {} of {} used", ByteSize(*used), ByteSize(*limit))?;
        if *reserved > 0 {
            write!(f, ", {} on their way", ByteSize(*reserved))?;
        }
        if *needed > 0 {
            write!(f, ", {} more needed", ByteSize(*needed))?;
        }
        f.write_str("; delete images and have them collected (`tidegate gc run`), or have the quota raised (")?;
        match of {
            Bounded::All => f.write_str("`tidegate quota set SIZE --all`)"),
            Bounded::Namespace(name) => write!(f, "`tidegate quota set SIZE --namespace {name}`)"),
            Bounded::Repository(name) => write!(f, "`tidegate repository update {name} --quota SIZE`)"),
        }
    }
}

impl std::error::Error for Exceeded {}

impl Standing {
    /// Of `scope`, which is called `of`.
    pub(super) fn read(read: &impl Read, scope: Scope<'_>, of: Bounded) -> Result<Self, StoreError> {
        Ok(Self { of, used: usage::counted(read, scope)?, limit: usage::quota(read, scope)? })
    }

    /// What whoever set it has to know.
    pub fn warning(&self) -> Option<String> {
        let limit = self.limit.filter(|limit| self.used >= *limit)?;
        Some(format!(
            "{} holds {}, and its quota is {}: nothing more goes in until some goes",
            self.of,
            ByteSize(self.used),
            ByteSize(limit)
        ))
    }
}

/// Sets the quota of a namespace, or (without one) of all.
struct SetQuota {
    caller: Caller,
    namespace: Option<String>,
    bytes: u64,
}

impl Operation for SetQuota {
    type Plan = ();
    type Done = Standing;
    type Refusal = RegistryError;
    const NAME: &'static str = "set quota";
    const AUDIT: Audit = Audit::Acts(&[Action::QuotaSet]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<(), RegistryError>, StoreError> {
        if !self.caller.is_admin(tables)? {
            return Ok(Err(RegistryError::AdminOnly { action: "set the quotas of namespaces and of all" }));
        }
        match &self.namespace {
            Some(namespace) if account::get(tables, namespace)?.is_none() => {
                Ok(Err(RegistryError::NamespaceUnknown { namespace: namespace.clone() }))
            }
            Some(_) | None => Ok(Ok(())),
        }
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<Standing, StoreError> {
        let (scope, of) = match &self.namespace {
            Some(name) => (Scope::Namespace(name), Bounded::Namespace(name.clone())),
            None => (Scope::All, Bounded::All),
        };
        let before = usage::quota(tables, scope)?.unwrap_or(0);
        usage::set_quota(tables, scope, self.bytes)?;
        let act = match &self.namespace {
            Some(name) => Act::new(Action::QuotaSet, ObjectKind::Namespace, name).within(name),
            None => Act::new(Action::QuotaSet, ObjectKind::Registry, "all"),
        };
        let act = act.changed("quotaBytes", before, self.bytes);
        if act.tells() {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Standing::read(tables, scope, of)
    }
}

/// A page of repositories, and whether more follow.
type Page = (Vec<Standing>, Option<RepoName>);

impl Registry {
    /// Sets the quota of a namespace, or (without one) of all; 0 takes it away.
    pub async fn set_quota(
        &self,
        caller: &Caller,
        namespace: Option<&str>,
        bytes: u64,
    ) -> Result<Standing, RegistryError> {
        let namespace = namespace.map(str::to_owned);
        let operation = SetQuota { caller: caller.clone(), namespace, bytes };
        let standing = self.store().submit(Lane::Foreground, operation).await??;
        self.quotas_changed()?;
        Ok(standing)
    }

    /// How all together stand, and whether everything is counted.
    pub fn usage_of_all(&self) -> Result<(Standing, bool), RegistryError> {
        let read = self.store().snapshot()?;
        Ok((Standing::read(&read, Scope::All, Bounded::All)?, usage::is_whole(&read)?))
    }

    /// How a namespace stands.
    pub fn usage_of_namespace(&self, namespace: &str) -> Result<Standing, RegistryError> {
        let read = self.store().snapshot()?;
        if account::get(&read, namespace)?.is_none() {
            return Err(RegistryError::NamespaceUnknown { namespace: namespace.to_owned() });
        }
        Ok(Standing::read(&read, Scope::Namespace(namespace), Bounded::Namespace(namespace.to_owned()))?)
    }

    /// How a repository stands.
    pub fn usage_of_repository(
        &self,
        read: &impl Read,
        name: &RepoName,
        number: RepoId,
    ) -> Result<Standing, StoreError> {
        Standing::read(read, Scope::Repository(number), Bounded::Repository(name.clone()))
    }

    /// How the repositories of a namespace stand, from the one at or after
    /// `start`, up to `limit`; and where the next page begins.
    pub fn usage_within(&self, namespace: &str, start: Option<&str>, limit: usize) -> Result<Page, RegistryError> {
        let read = self.store().snapshot()?;
        let mut found = Vec::new();
        let mut next = None;
        // A walk begins after a name, and a page at one.
        if let Some(first) = start.and_then(|start| start.parse::<RepoName>().ok())
            && first.namespace() == namespace
            && let Some(record) = repo::get(&read, &first)?
        {
            found.push(self.usage_of_repository(&read, &first, record.number)?);
        }
        repo::walk(&read, Some(namespace), start, |name, record| {
            if found.len() == limit {
                next = Some(name);
                return Ok(ControlFlow::Break(()));
            }
            found.push(self.usage_of_repository(&read, &name, record.number)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, next))
    }
}
