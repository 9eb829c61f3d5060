//! Repositories: made, looked at, changed, removed.

use crate::access::Level;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::event::Kind;
use crate::oci::{RepoName, Tag};
use crate::store::record::{Account, JobStatus, PolicyStatus, Repository};
use crate::store::usage::{self, Scope};
use crate::store::{Change, Key, Lane, Operation, Parts, Read, RepoId, Span, StoreError, Table};
use crate::store::{account, audit, event, grant, organization, policy, queue, repo, team, transfer};

use super::{Caller, Registry, RegistryError};

/// What a repository is made with, or changed to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Everyone may read it.
    pub is_public: Option<bool>,
    /// A line about it.
    pub short_description: Option<String>,
    /// A page about it.
    pub long_description: Option<String>,
    /// A tag that exists is never moved or removed.
    pub immutable_tags: Option<bool>,
    /// Kept for DTR's clients.
    pub scan_on_push: Option<bool>,
    /// At most so many tags, the oldest of which a new one pushes out; 0 is no
    /// limit. It rests while tags are immutable.
    pub tag_limit: Option<u64>,
    /// It may hold at most so many bytes; 0 is no limit.
    pub quota_bytes: Option<u64>,
    /// Kept for DTR's clients.
    pub enable_manifest_lists: Option<bool>,
}

impl Settings {
    fn write_to(&self, record: &mut Repository) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut record.is_public, self.is_public.as_ref());
        set(&mut record.short_description, self.short_description.as_ref());
        set(&mut record.long_description, self.long_description.as_ref());
        set(&mut record.immutable_tags, self.immutable_tags.as_ref());
        set(&mut record.scan_on_push, self.scan_on_push.as_ref());
        set(&mut record.tag_limit, self.tag_limit.as_ref());
        set(&mut record.enable_manifest_lists, self.enable_manifest_lists.as_ref());
    }

    fn write_quota(&self, tables: &mut Change<'_>, number: RepoId) -> Result<(), StoreError> {
        match self.quota_bytes {
            Some(bytes) => usage::set_quota(tables, Scope::Repository(number), bytes),
            None => Ok(()),
        }
    }
}

struct CreateRepository {
    caller: Caller,
    name: RepoName,
    settings: Settings,
    id: Id,
}

impl Operation for CreateRepository {
    type Plan = ();
    type Done = Repository;
    type Refusal = RegistryError;
    const NAME: &'static str = "create repository";
    const AUDIT: Audit = Audit::Acts(&[Action::RepositoryCreate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<(), RegistryError>, StoreError> {
        let namespace = self.name.namespace();
        if self.caller.level(tables, namespace, None)? < Some(Level::Admin) {
            let (repository, needed) = (self.name.clone(), Level::Admin);
            return Ok(Err(RegistryError::Denied { repository, needed }));
        }
        if account::get(tables, namespace)?.is_none() {
            return Ok(Err(RegistryError::NamespaceUnknown { namespace: namespace.to_owned() }));
        }
        if repo::get(tables, &self.name)?.is_some() {
            return Ok(Err(RegistryError::RepositoryExists { repository: self.name.clone() }));
        }
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<Repository, StoreError> {
        let mut record = Repository {
            number: repo::next_number(tables)?,
            id: self.id,
            is_public: false,
            short_description: String::new(),
            long_description: String::new(),
            immutable_tags: false,
            scan_on_push: false,
            tag_limit: 0,
            enable_manifest_lists: false,
            created_at: tables.now(),
        };
        self.settings.write_to(&mut record);
        repo::put(tables, &self.name, &record)?;
        self.settings.write_quota(tables, record.number)?;
        let actor = self.caller.actor();
        let seq = event::append(tables, actor.clone(), (record.number, &self.name), Kind::RepositoryCreated)?;
        let act = of_repository(Action::RepositoryCreate, &self.name, &record).event(seq);
        audit::append(tables, &actor, act.with("visibility", visibility(&record)))?;
        Ok(record)
    }
}

struct UpdateRepository {
    caller: Caller,
    name: RepoName,
    settings: Settings,
}

impl Operation for UpdateRepository {
    type Plan = Repository;
    type Done = Repository;
    type Refusal = RegistryError;
    const NAME: &'static str = "update repository";
    const AUDIT: Audit = Audit::Acts(&[Action::RepositoryUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Repository, RegistryError>, StoreError> {
        self.caller.require(tables, &self.name, Level::Admin)
    }

    fn apply(&self, before: Repository, tables: &mut Change<'_>) -> Result<Repository, StoreError> {
        let mut record = before.clone();
        self.settings.write_to(&mut record);
        repo::put(tables, &self.name, &record)?;
        let quota_before = usage::quota(tables, Scope::Repository(record.number))?.unwrap_or(0);
        self.settings.write_quota(tables, record.number)?;
        let act = of_repository(Action::RepositoryUpdate, &self.name, &record)
            .changed("visibility", visibility(&before), visibility(&record))
            .changed("immutableTags", before.immutable_tags, record.immutable_tags)
            .changed("tagLimit", before.tag_limit, record.tag_limit)
            .changed("quotaBytes", quota_before, self.settings.quota_bytes.unwrap_or(quota_before))
            .changed("scanOnPush", before.scan_on_push, record.scan_on_push)
            .changed("enableManifestLists", before.enable_manifest_lists, record.enable_manifest_lists)
            .changed("shortDescription", &before.short_description, &record.short_description)
            .rewrote("longDescription", &before.long_description, &record.long_description);
        if act.tells() {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok(record)
    }
}

/// Something done to a repository.
fn of_repository(action: Action, name: &RepoName, record: &Repository) -> Act {
    Act::new(action, ObjectKind::Repository, name).id(record.id).within(name.namespace())
}

const fn visibility(record: &Repository) -> &'static str {
    if record.is_public { "public" } else { "private" }
}

/// Takes a repository's name away at once; what hangs on its number is removed
/// in slices by [`Purge`].
struct DeleteRepository {
    caller: Caller,
    name: RepoName,
}

impl Operation for DeleteRepository {
    type Plan = Repository;
    /// The policies of other repositories that lead here, and where they stand.
    type Done = Vec<(RepoName, Id)>;
    type Refusal = RegistryError;
    const NAME: &'static str = "delete repository";
    const AUDIT: Audit = Audit::Acts(&[Action::RepositoryDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Repository, RegistryError>, StoreError> {
        self.caller.require(tables, &self.name, Level::Admin)
    }

    fn apply(&self, record: Repository, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        for policy in policy::of(tables, record.number)? {
            policy::remove(tables, &policy)?;
            tables.put_mark(Table::Purges, &Key::new().id(&policy.id))?;
        }
        // Those that lead here stay, for they are others' and the repository
        // may be made again; each says what is wrong.
        let mut left = Vec::new();
        for policy in policy::into(tables, &self.name)? {
            let Some(source) = repo::name_of(tables, policy.repository)? else { continue };
            let last_moved_at = policy::status(tables, &policy.id)?.last_moved_at;
            let detail = format!("the target {} was deleted; nothing is promoted until it is made again", self.name);
            let (code, at) = ("NO_SUCH_REPOSITORY".to_owned(), Some(tables.now()));
            policy::set_status(tables, &policy.id, &PolicyStatus { last_moved_at, code, detail, at })?;
            left.push((source, policy.id));
        }
        grant::remove_of_repository(tables, &self.name, record.number)?;
        repo::remove(tables, &self.name, &record)?;
        tables.put_mark(Table::Purges, &Key::new().repo(record.number))?;
        let actor = self.caller.actor();
        let seq = event::append(tables, actor.clone(), (record.number, &self.name), Kind::RepositoryDeleted)?;
        audit::append(tables, &actor, of_repository(Action::RepositoryDelete, &self.name, &record).event(seq))?;
        Ok(left)
    }
}

/// What is gone and has left rows.
enum Left {
    Repository(RepoId),
    Policy(Id),
    Account(Id),
    Team { organization: Id, id: Id },
}

impl Left {
    /// Reads a key of `purges`: numbers and ids by their length, what is newer
    /// by its word.
    fn of(key: &[u8]) -> Option<Self> {
        let mut parts = Parts::of(key);
        match key.len() {
            8 => parts.repo().map(Self::Repository),
            16 => parts.id().map(Self::Policy),
            _ => match parts.text_then()? {
                "account" => parts.id().map(Self::Account),
                "team" => parts.id().zip(parts.id()).map(|(organization, id)| Self::Team { organization, id }),
                _ => None,
            },
        }
    }
}

/// Removes a slice of what something that was deleted has left.
pub struct Purge;

/// The tables whose keys begin with a repository's number, with the table of
/// the way back where there is one.
const OF_REPOSITORY: [(Table, Option<Table>); 11] = [
    (Table::Tags, None),
    (Table::TagHistory, None),
    (Table::DigestTags, None),
    (Table::RepositoryManifests, Some(Table::ManifestRepositories)),
    (Table::Referrers, None),
    (Table::RepositoryBlobs, Some(Table::BlobRepositories)),
    (Table::Verdicts, None),
    (Table::Sent, None),
    (Table::PoliciesOf, None),
    (Table::Holes, None),
    (Table::RepositoryCounts, None),
];

/// The tables whose keys begin with a policy's id.
const OF_POLICY: [Table; 2] = [Table::Baselines, Table::Transfers];

impl Operation for Purge {
    type Plan = Option<Vec<u8>>;
    /// Whether there may be more.
    type Done = bool;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "purge";
    const AUDIT: Audit = Audit::Nothing("rows of what was deleted, which was told");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(tables.keys(Table::Purges, &Span::all(), 1)?.pop()))
    }

    fn apply(&self, first: Option<Vec<u8>>, tables: &mut Change<'_>) -> Result<bool, StoreError> {
        let Some(key) = first else { return Ok(false) };
        let removed = match Left::of(&key) {
            Some(Left::Repository(number)) => purge_repository(tables, number)?,
            Some(Left::Policy(id)) => purge_policy(tables, &id)?,
            Some(Left::Account(id)) => organization::purge(tables, &id)?,
            Some(Left::Team { organization, id }) => team::purge(tables, &organization, &id)?,
            None => 0,
        };
        if removed == 0 {
            tables.remove_raw(Table::Purges, &key)?;
        }
        Ok(true)
    }
}

fn purge_repository(tables: &mut Change<'_>, number: RepoId) -> Result<usize, StoreError> {
    let prefix = Key::new().repo(number).prefix();
    for (table, back) in OF_REPOSITORY {
        let keys = tables.keys(table, &prefix, crate::limits::BACKGROUND_ROWS)?;
        for key in &keys {
            tables.remove_raw(table, key)?;
            let mut parts = Parts::of(key);
            parts.repo();
            if let (Some(back), Some(digest)) = (back, parts.digest()) {
                tables.remove(back, &Key::new().digest(&digest).repo(number))?;
            }
        }
        if !keys.is_empty() {
            return Ok(keys.len());
        }
    }
    Ok(0)
}

fn purge_policy(tables: &mut Change<'_>, id: &Id) -> Result<usize, StoreError> {
    let prefix = Key::new().id(id).prefix();
    for table in OF_POLICY {
        let keys = tables.keys(table, &prefix, crate::limits::BACKGROUND_ROWS)?;
        for key in &keys {
            let mut parts = Parts::of(key);
            parts.id();
            match (table, parts.tag()) {
                // Takes it off the row of due ones too.
                (Table::Transfers, Some(tag)) => {
                    call_off(tables, id, &tag)?;
                    transfer::remove(tables, id, &tag)?;
                }
                _ => {
                    tables.remove_raw(table, key)?;
                }
            }
        }
        if !keys.is_empty() {
            return Ok(keys.len());
        }
    }
    Ok(0)
}

/// Ends the job that shows a transfer, which nothing drives any more.
fn call_off(tables: &mut Change<'_>, id: &Id, tag: &Tag) -> Result<(), StoreError> {
    let Some(row) = transfer::get(tables, id, tag)? else { return Ok(()) };
    let Some(mut job) = queue::get(tables, &row.job)?.filter(|job| !job.status.is_over()) else { return Ok(()) };
    let line = format!("{} the policy was deleted", tables.now());
    queue::log(tables, &row.job, &mut job, &[line])?;
    job.status = JobStatus::Canceled;
    job.updated_at = tables.now();
    queue::put(tables, &row.job, &job)
}

impl Registry {
    /// Makes a repository in a namespace that exists.
    pub async fn create_repository(
        &self,
        caller: &Caller,
        name: &RepoName,
        settings: Settings,
    ) -> Result<Repository, RegistryError> {
        let id = self.store().chance().id();
        let operation = CreateRepository { caller: caller.clone(), name: name.clone(), settings, id };
        let made = self.store().submit(Lane::Foreground, operation).await??;
        self.quotas_changed()?;
        Ok(made)
    }

    /// Changes a repository's settings.
    pub async fn update_repository(
        &self,
        caller: &Caller,
        name: &RepoName,
        settings: Settings,
    ) -> Result<Repository, RegistryError> {
        let operation = UpdateRepository { caller: caller.clone(), name: name.clone(), settings };
        let changed = self.store().submit(Lane::Foreground, operation).await??;
        self.quotas_changed()?;
        Ok(changed)
    }

    /// Removes a repository with everything in it, its policies too. Policies
    /// of other repositories that promote into it stay; they are what is given
    /// back, with the repositories that they stand on.
    pub async fn delete_repository(
        &self,
        caller: &Caller,
        name: &RepoName,
    ) -> Result<Vec<(RepoName, Id)>, RegistryError> {
        let operation = DeleteRepository { caller: caller.clone(), name: name.clone() };
        let left = self.store().submit(Lane::Foreground, operation).await??;
        for (source, policy) in &left {
            let (source, target) = (source.as_str(), name.as_str());
            tracing::warn!(repo.name = source, policy.id = %policy, target, "a policy promotes into a repository that was deleted");
        }
        Ok(left)
    }

    /// A repository that the caller may see, and the account of its namespace.
    pub fn repository(&self, caller: &Caller, name: &RepoName) -> Result<(Repository, Option<Account>), RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, name, Level::ReadOnly)??;
        Ok((record, account::get(&read, name.namespace())?))
    }

    /// Whether a namespace belongs to an organization.
    pub fn namespace_is_org(&self, read: &impl Read, namespace: &str) -> Result<bool, RegistryError> {
        Ok(account::get(read, namespace)?.is_some_and(|account| account.is_org))
    }
}
